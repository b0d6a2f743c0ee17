//! `ssid compat auto-ipfs-anchor`.

use anyhow::Result;
use clap::Args;
use ssid_node::anchor::error::ProviderError;
use ssid_node::anchor::run::Session;
use ssid_node::anchor::verify::Verdict;
use ssid_node::registry::paths::RegistryPaths;
use ssid_node::registry::stream::read_all;

use super::facts::in_repository;
use super::paper::Paper;
use crate::commands::anchor::verify::{self, Report, VerifyArgs};
use crate::commands::anchor::{anchored, conclude, recorded};
use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::output::{Output, Tone, clean};

/// auto_ipfs_anchor.py: anchor governance artifacts on IPFS
///
/// As ssid anchor run and verify. Unlike the script, a file whose content changed is anchored
/// again, what is verified is the content (exit 5 if it differs), and what was not anchored or
/// reached is exit 1. Web3.Storage switched off the API that --web3-storage used: it is exit 1.
///
/// Example:
///   ssid compat auto-ipfs-anchor --verify
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct AnchorArgs {
    /// Verify what is anchored
    #[arg(long, conflicts_with = "web3_storage")]
    verify: bool,
    /// Upload with Web3.Storage
    #[arg(long)]
    web3_storage: bool,
}

pub(crate) async fn run(args: &AnchorArgs, context: &Context) -> Result<()> {
    if args.web3_storage {
        return Err(CliError::new(Code::Failed, ProviderError::Web3).into());
    }
    let here = in_repository(context);
    let paths = RegistryPaths::choose(here.repo.as_deref(), here.home.root());
    let mut events = 0;
    read_all(&paths.registry_log, |part| events += part.entries.len()).or_code(Code::Failed)?;
    let before = (events, recorded(&here)?);
    if args.verify {
        let report = verify::checked(&VerifyArgs::default(), &here).await?;
        here.out
            .show(&report, |report| verified_text(report, before, here.out))?;
        return verify::conclude(&report);
    }
    let (session, has_node) = anchored(&here).await?;
    let manifest = paths
        .ipfs_anchor_manifest
        .strip_prefix(&paths.root)
        .unwrap_or(&paths.ipfs_anchor_manifest);
    let manifest = manifest.display().to_string();
    here.out.show(&session, |session| {
        anchored_text(session, before, &manifest, here.out)
    })?;
    conclude(&session, has_node, here.out)
}

fn head(out: Output, (events, anchors): (usize, usize)) -> Paper {
    let mut paper = Paper::new(out);
    paper.heading("SSID Auto-Anchoring System");
    paper.line(&format!("[LIST] Loaded {events} registry events"));
    paper.line(&format!("[LIST] Existing anchors: {anchors}"));
    paper.line("");
    paper
}

fn verified_text(report: &Report, before: (usize, usize), out: Output) -> String {
    let mut paper = head(out, before);
    paper.painted(Tone::Warn, "[CHECK] Verifying existing anchors...");
    paper.line("");
    for anchor in &report.anchors {
        let (tone, word) = match anchor.verdict {
            Verdict::Proven => (Tone::Good, "OK"),
            Verdict::Differs => (Tone::Bad, "X its content differs"),
            Verdict::Unreachable => (Tone::Bad, "X not reached"),
        };
        let word = paper.paint(tone, word);
        paper.line(&format!(
            "  Verifying {}... {word}",
            clean(name_of(&anchor.file))
        ));
    }
    paper.line("");
    let failed = report.differ + report.unreachable;
    paper.line(&format!(
        "Verification complete: {} verified, {failed} failed",
        report.proven
    ));
    paper.finish()
}

fn anchored_text(session: &Session, before: (usize, usize), manifest: &str, out: Output) -> String {
    let mut paper = head(out, before);
    for record in &session.anchored {
        paper.line(&format!("[?] Anchoring: {}", clean(&record.file_name)));
        paper.painted(
            Tone::Good,
            &format!("OK Anchored: {}", clean(&record.ipfs_cid)),
        );
        paper.line(&format!("  URL: {}", clean(&record.ipfs_gateway_url)));
    }
    for failure in &session.failed {
        paper.line(&format!("[?] Anchoring: {}", clean(name_of(&failure.file))));
        let reason = failure.reason.lines().next().unwrap_or_default();
        paper.painted(
            Tone::Bad,
            &format!(
                "X Failed to anchor {}: {}",
                clean(name_of(&failure.file)),
                clean(reason)
            ),
        );
    }
    if session.anchored.is_empty() && session.failed.is_empty() {
        paper.painted(Tone::Warn, "[i] No new files to anchor");
    } else if !session.anchored.is_empty() {
        paper.line("");
        paper.painted(
            Tone::Good,
            &format!("OK Anchored {} new files", session.anchored.len()),
        );
        paper.painted(Tone::Good, &format!("OK Manifest updated: {manifest}"));
    }
    paper.line("");
    paper.heading("Auto-Anchoring Complete");
    paper.finish()
}

/// The last part of a path in the registry.
fn name_of(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}
