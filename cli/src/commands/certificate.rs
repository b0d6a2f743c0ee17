//! `ssid certificate`: offline; needs no node and no data directory.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use ssid_node::view::Page;
use ssid_protocol::certificate::Certificate;
use ssid_protocol::chain::Chain;
use ssid_protocol::id::NodeId;
use ssid_protocol::manifest::Manifest;

use super::offline::{CHAIN_BYTES, OfflineFederation, read_certificate, refused, with_hint};
use crate::context::Context;
use crate::error::{CliError, Code};
use crate::named_file;
use crate::output::{Output, Tone, clean, counted, short};

/// Verify certificates offline
#[derive(Debug, Subcommand)]
pub(crate) enum CertificateCommand {
    Verify(VerifyArgs),
}

/// Verify certificates with nothing but the genesis file
///
/// Exit 5 with the reason if one does not hold.
///
/// A certificate of a later epoch needs the chain of epochs up to its own: a file with a line of
/// manifest and certificate for each epoch from 1 on, given with --epochs or in front of the
/// certificate itself. With --pin HASH a chain that does not contain that manifest is refused: who
/// was told the hash of one manifest cannot be shown another history up to it.
///
/// Examples:
///   ssid certificate verify c.json --genesis genesis.json
///   ssid certificate verify certificates 2025/*.json --genesis genesis.json
///   ssid consensus export 17973e79 | ssid certificate verify - --genesis genesis.json
///   ssid certificate verify c.json --genesis genesis.json --epochs epochs.jsonl
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct VerifyArgs {
    /// Certificates; - is standard input, a directory every .json file in it
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    federation: OfflineFederation,
}

pub(crate) fn run(command: CertificateCommand, context: &Context) -> Result<()> {
    let CertificateCommand::Verify(args) = command;
    let chain = args.federation.chain()?;
    let genesis = chain.genesis();
    let files = named_files(&args.files)?;
    let out = context.out;
    // one file by its name is shown whole; of directories and several a line each
    if let ([file], [given]) = (&files[..], &args.files[..])
        && file == given
    {
        let verified = verify(file, &args.federation, &chain)?;
        out.show(&verified.document(genesis), |_| verified.page(genesis, out))?;
        return Ok(());
    }
    let bar = out.progress(Some(files.len() as u64), "verifying");
    let mut items = Vec::new();
    let mut lines = Vec::new();
    let mut failed = 0_u64;
    for file in &files {
        bar.inc(1);
        match verify(file, &args.federation, &chain) {
            Ok(verified) => {
                lines.push(verified.line(file, out));
                let mut document = verified.document(genesis);
                document["file"] = file.display().to_string().into();
                items.push(document);
            }
            // the others are verified all the same: which of hundreds are bad is what is asked
            Err(error) => {
                failed += 1;
                lines.push(format!(
                    "{}  {}",
                    out.paint(Tone::Bad, "invalid"),
                    clean(&format!("{error:#}"))
                ));
                items.push(
                    json!({ "valid": false, "file": file.display().to_string(), "reason": format!("{error:#}") }),
                );
            }
        }
    }
    bar.finish_and_clear();
    let held = counted(files.len() as u64 - failed, "certificate", "certificates");
    lines.push(format!("{held} verified, {failed} invalid"));
    // all of it is shown before the error that a script sees
    out.show(&Page::whole(items), |_| lines.join("\n"))?;
    if failed > 0 {
        let message = format!("{} of {} certificates did not verify", failed, files.len());
        return Err(CliError::new(Code::Verification, message).into());
    }
    Ok(())
}

/// Files in one directory that are taken.
const FILES: usize = 1_000_000;

/// What was named, with the .json files of directories in their place, in order.
fn named_files(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let failed =
            |e: std::io::Error| CliError::usage(format!("cannot read {}: {e}", path.display()));
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)?.take(FILES) {
            let file = entry.map_err(failed)?.path();
            if file
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                inside.push(file);
            }
        }
        if inside.is_empty() {
            return Err(
                CliError::usage(format!("there is no .json file in {}", path.display())).into(),
            );
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

/// A certificate that holds, and the manifest that it holds under.
struct Verified {
    certificate: Certificate,
    manifest: Manifest,
}

fn verify(file: &Path, federation: &OfflineFederation, chain: &Chain) -> Result<Verified> {
    let bytes = if file == Path::new("-") {
        let failed = |e| CliError::usage(format!("cannot read standard input: {e}"));
        named_file::read_input(CHAIN_BYTES).map_err(failed)?
    } else {
        named_file::read(file, CHAIN_BYTES).map_err(|e| {
            let hint = "export one with: ssid consensus export HASH -o c.json";
            CliError::usage(format!("cannot read {}: {e}", file.display())).hint(hint)
        })?
    };
    // each file may bring epochs of its own, which prove nothing for the next
    let mut chain = chain.clone();
    let certificate = read_certificate(&bytes, &mut chain).map_err(|e| refused(file, &e))?;
    let genesis = chain.genesis();
    // before anything is verified: with the wrong genesis file every signature would look forged
    if certificate.federation_id != chain.federation_id() {
        let why = format!(
            "it is a certificate of another federation: {}, and not of {} ({})",
            certificate.federation_id,
            clean(&genesis.name),
            chain.federation_id()
        );
        return Err(refused(file, &why)
            .hint("give the genesis file of its own federation")
            .into());
    }
    // whoever gave a pin relies on it: a chain that goes another way is refused whatever it proves
    federation.check_pin(&chain)?;
    chain
        .verify(&certificate)
        .map_err(|e| with_hint(refused(file, &e), &e))?;
    let manifest = chain
        .proven(certificate.epoch)
        .map_err(|e| refused(file, &e))?
        .clone();
    Ok(Verified {
        certificate,
        manifest,
    })
}

impl Verified {
    fn name_of(&self, signer: &NodeId) -> String {
        self.manifest
            .member(signer)
            .map_or(String::new(), |m| clean(&m.node_name))
    }

    fn document(&self, genesis: &Manifest) -> serde_json::Value {
        let certificate = &self.certificate;
        let event = &self.certificate.event;
        let signer =
            |signer: &NodeId| json!({ "node_id": signer, "node_name": self.name_of(signer) });
        json!({
            "valid": true,
            "federation_id": genesis.federation_id(),
            "epoch": certificate.epoch,
            "round": certificate.round,
            "event_type": event.event,
            "event_version": event.version,
            "timestamp": event.timestamp,
            "commit_hash": event.commit_hash,
            "event_hash": certificate.choice.event_hash,
            "content_digest": certificate.choice.content_digest,
            "subject_id": certificate.subject_id(),
            "signers": certificate.precommits.iter().map(|p| signer(&p.signer)).collect::<Vec<_>>(),
        })
    }

    fn page(&self, genesis: &Manifest, out: Output) -> String {
        let certificate = &self.certificate;
        let event = &self.certificate.event;
        let signers: Vec<_> = certificate
            .precommits
            .iter()
            .map(|p| self.name_of(&p.signer))
            .collect();
        let fields = out.fields(&[
            ("  commit", clean(&event.commit_hash)),
            ("  timestamp", clean(&event.timestamp)),
            ("  event hash", certificate.choice.event_hash.to_string()),
            ("  federation", clean(&genesis.name)),
            ("", genesis.federation_id().to_string()),
            (
                "  decided",
                format!("epoch {}, round {}", certificate.epoch, certificate.round),
            ),
            ("  signed by", signers.join(", ")),
        ]);
        let what = format!("{} {}", clean(&event.event), clean(&event.version));
        format!("{}: {what}\n{fields}", out.paint(Tone::Good, "valid"))
    }

    fn line(&self, file: &Path, out: Output) -> String {
        let event = &self.certificate.event;
        format!(
            "{}    {}  {} {}  {}  {}",
            out.paint(Tone::Good, "valid"),
            clean(&file.display().to_string()),
            clean(&event.event),
            clean(&event.version),
            short(&clean(&event.commit_hash)),
            clean(&event.timestamp),
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_directory_stands_for_its_json_files_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let inside = |name: &str| directory.path().join(name);
        let failed = named_files(&[directory.path().to_owned()]).unwrap_err();
        assert!(failed.to_string().contains("no .json file"), "{failed}");
        for name in ["b.json", "a.json", "notes.txt"] {
            std::fs::write(inside(name), "").unwrap();
        }
        // a file that is named is taken as it is, also one that is not there
        let given = [PathBuf::from("missing.txt"), directory.path().to_owned()];
        assert_eq!(
            named_files(&given).unwrap(),
            [given[0].clone(), inside("a.json"), inside("b.json")]
        );
    }
}
