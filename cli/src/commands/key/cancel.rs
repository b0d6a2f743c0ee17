//! `ssid key rotate --cancel`: a rotation is given up.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;
use ssid_node::identity::peer_id_of;
use ssid_node::keyfile;
use ssid_node::view::{MembershipView, Operated, ProposalView};
use ssid_protocol::id::ManifestHash;
use ssid_protocol::manifest::Manifest;

use crate::client::Client;
use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::output::{clean, short};

/// A proposal that would put the key in force, and what became of refusing it.
#[derive(Debug, Serialize)]
struct Named {
    manifest_hash: ManifestHash,
    #[serde(rename = "refused")]
    is_refused: bool,
    explanation: String,
}

/// Refuses what would put the key at `path` in force. The key is erased where nothing proposed names
/// it: what others may decide without this node must find it here.
pub(super) async fn run(
    path: &Path,
    reason: Option<String>,
    by: Option<String>,
    client: &Client,
    context: &Context,
) -> Result<()> {
    if !path.exists() {
        let message = format!("no rotation is under way: there is no {}", path.display());
        return Err(CliError::usage(message).into());
    }
    let public = keyfile::public(path).or_usage()?;
    let peer = peer_id_of(&public).or_usage()?.to_string();
    let view: MembershipView = client.get(&["v1", "membership"], &[]).await?;
    if view.change.is_some() {
        let message = "a change of members is decided and comes into force: that is final";
        let hint = "wait until it is in force: ssid membership list";
        return Err(CliError::new(Code::NoConsensus, message).hint(hint).into());
    }
    let mut named = Vec::new();
    for proposal in &view.proposals {
        let hash = proposal.manifest_hash.to_string();
        let path = ["v1", "membership", "proposals", &hash];
        let full: ProposalView = client.get(&path, &[]).await?;
        let manifest = full.manifest.unwrap_or_default().to_string();
        let manifest = Manifest::parse(manifest.as_bytes()).or_code(Code::Failed)?;
        let mut members = manifest.members.iter();
        if members.any(|member| member.node_id == public || member.peer_id == peer) {
            let body = json!({ "reason": reason, "by": by });
            let path = ["v1", "membership", "proposals", &hash, "reject"];
            let answer: Result<Operated> = client.post_json(&path, &[], &body).await;
            named.push(Named {
                manifest_hash: proposal.manifest_hash,
                is_refused: answer.is_ok(),
                explanation: match answer {
                    Ok(done) => done.explanation,
                    Err(error) => error.to_string(),
                },
            });
        }
    }
    let is_erased = named.is_empty();
    if is_erased {
        keyfile::erase(path).or_code(Code::Failed)?;
    }
    let shown = json!({ "proposals": named, "erased": is_erased });
    context.out.show(&shown, |_| said(path, &named))?;
    Ok(())
}

fn said(path: &Path, named: &[Named]) -> String {
    let path = path.display();
    if named.is_empty() {
        return format!("erased {path}: nothing that is proposed names that key");
    }
    let line = |one: &Named| {
        let what = if one.is_refused {
            "refused"
        } else {
            "not refused"
        };
        let hash = short(&one.manifest_hash);
        format!("{what} {hash}: {}", clean(&one.explanation))
    };
    let mut lines: Vec<_> = named.iter().map(line).collect();
    lines.push(format!(
        "{path} stays until another epoch begins, as the others may decide it all the same; erase it then with \
         the same command."
    ));
    lines.join("\n")
}
