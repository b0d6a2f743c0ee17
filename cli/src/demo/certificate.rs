//! The last step: a certificate convinces somebody who has nothing but the genesis file.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::report::Shown;
use super::sample;
use super::wait::Held;
use crate::cluster::Cluster;
use crate::error::Code;
use crate::output::{clean, short};

/// Exports the certificate of the disputed event from node `index`, verifies it with the very
/// command that people type, and shows that a copy with one changed digit does not verify.
pub(super) async fn check(cluster: &Cluster, index: usize) -> Result<Shown> {
    let (event, version) = sample::disputed();
    let held = Held::of(cluster, index).await?;
    let hash = held
        .find(event, version)
        .and_then(|r| r.consensus_hash)
        .context("the event is not certified")?;
    let text = cluster
        .client(index)?
        .get_text(&["v1", "certificates", &hash.to_string()])
        .await?;
    let good = cluster.dir().join("certificate.json");
    let bad = cluster.dir().join("spoiled.json");
    fs::write(&good, &text)?;
    // one digit of one hash: the least that can be wrong
    fs::write(&bad, spoil(&text)?)?;

    // as a process of its own, which knows nothing of this one
    let verified = verify(&good, &cluster.genesis()).await?;
    ensure!(
        verified.status.success(),
        "the certificate does not verify: {}",
        reason(&verified)
    );
    let answer: Value =
        serde_json::from_slice(&verified.stdout).context("the verifier's answer is no JSON")?;
    ensure!(
        answer["event_hash"] == json!(hash),
        "another event was verified"
    );
    let signers = answer["signers"].as_array().map_or(0, Vec::len);

    let refused = verify(&bad, &cluster.genesis()).await?;
    let code = refused.status.code();
    // the code that scripts look at, not only the words
    ensure!(
        code == Some(Code::Verification as i32),
        "a spoiled certificate was not refused (exit {code:?})"
    );
    let why: String = reason(&refused).chars().take_while(|c| *c != ';').collect();
    let brief = why
        .split_once(" must ")
        .map_or(why.as_str(), |(field, _)| field);
    let line = format!(
        "a certificate verified offline with only the genesis file: {event} {version}, signed by {signers} nodes"
    );
    let below = format!(
        "$ ssid certificate verify certificate.json --genesis genesis.json\nexit 0, event {}\n\
         $ ssid certificate verify spoiled.json --genesis genesis.json\nexit 5, {brief}",
        short(&hash)
    );
    let facts = json!({ "event_hash": hash, "signers": answer["signers"], "exported_from": index, "exit": 0,
        "spoiled": { "exit": code, "reason": why } });
    Ok(Shown::new(facts, line).below(below))
}

/// The certificate with one digit of its first signature changed.
fn spoil(text: &str) -> Result<String> {
    const KEY: &str = "\"signature\"";
    let key = text
        .find(KEY)
        .context("a certificate without a signature")?
        + KEY.len();
    let digit = text[key..]
        .find(|c: char| c.is_ascii_hexdigit())
        .context("a signature without digits")?
        + key;
    let other = if text[digit..].starts_with('0') {
        "1"
    } else {
        "0"
    };
    Ok(format!("{}{other}{}", &text[..digit], &text[digit + 1..]))
}

/// `ssid certificate verify`, as a process of its own: no node, no data directory.
async fn verify(file: &Path, genesis: &Path) -> Result<Output> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = std::process::Command::new(program);
    ssid_node::child::forget_own(&mut command);
    let mut command = tokio::process::Command::from(command);
    command
        .args(["--json", "certificate", "verify"])
        .arg(file)
        .arg("--genesis")
        .arg(genesis);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command.output().await.context("cannot start the verifier")
}

/// Why it refused, without the file's name.
fn reason(output: &Output) -> String {
    let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_default();
    let text = error["error"].as_str().map_or_else(
        || String::from_utf8_lossy(&output.stderr).into_owned(),
        str::to_owned,
    );
    clean(
        text.split_once(".json: ")
            .map_or(text.as_str(), |(_, why)| why),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_digit_is_changed() {
        assert_eq!(
            spoil(r#"{"a": 1, "signature": "0f", "b": "signature"}"#).unwrap(),
            r#"{"a": 1, "signature": "1f", "b": "signature"}"#
        );
        assert!(spoil("{}").is_err());
    }
}
