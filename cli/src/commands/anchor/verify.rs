//! `ssid anchor verify`.

use std::collections::BTreeSet;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use ssid_node::anchor::manifest::AnchorManifest;
use ssid_node::anchor::verify::{Checked, Target, Verdict, Verifier};
use ssid_node::view::{AnchorView, AnchorsView};

use super::shared::{PAGE, configured, running};
use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::output::{Output, Tone, clean};
use crate::table::{named, whole};

/// What to verify.
#[derive(Debug, Default, Args)]
pub(crate) struct VerifyArgs {
    /// Ask every place, also when the first delivers
    #[arg(long)]
    everywhere: bool,
}

pub(super) async fn run(args: &VerifyArgs, context: &Context) -> Result<()> {
    let report = checked(args, context).await?;
    context
        .out
        .show(&report, |report| lines(report, context.out))?;
    conclude(&report)
}

/// Fetches everything that is anchored, and looks whether it is what was recorded.
pub(crate) async fn checked(args: &VerifyArgs, context: &Context) -> Result<Report> {
    let (paths, config) = configured(context)?;
    let settings = config.settings.anchoring;
    let mut verifier = Verifier::configured(&settings).or_usage()?;
    verifier.everywhere = args.everywhere;
    // the manifest is what was promised; a node may know of more
    let manifest = AnchorManifest::read(&paths.ipfs_anchor_manifest).or_code(Code::Failed)?;
    let mut targets: Vec<Target> = manifest.anchors.iter().map(Target::from).collect();
    // two lists of mostly the same: each content is fetched once
    if let Some(node) = running(context).await {
        let held: AnchorsView = node
            .get(&["v1", "anchors"], &[("limit", PAGE.to_string())])
            .await?;
        targets.extend(held.items.into_iter().map(target));
    }
    let mut seen = BTreeSet::new();
    targets.retain(|target| seen.insert((target.cid.clone(), target.sha256.clone())));
    let bar = context
        .out
        .progress(Some(targets.len() as u64), "verifying");
    let checked = verifier.check(targets, &|| bar.inc(1)).await;
    bar.finish_and_clear();
    let count = |verdict| checked.iter().filter(|c| c.verdict == verdict).count();
    let proven = count(Verdict::Proven);
    let differ = count(Verdict::Differs);
    let lost = count(Verdict::Unreachable);
    Ok(Report {
        proven,
        differ,
        unreachable: lost,
        anchors: checked,
    })
}

/// The command's end: exit 5 if any content differs, 1 if some could not be reached.
pub(crate) fn conclude(report: &Report) -> Result<()> {
    let differ = report.differ;
    let lost = report.unreachable;
    if differ > 0 {
        let error = CliError::new(
            Code::Verification,
            format!("{differ} of the anchors are not what was recorded"),
        );
        return Err(error
            .hint("do not rely on them; whoever delivered the content is named above")
            .into());
    }
    if lost > 0 {
        let error = CliError::new(
            Code::Failed,
            format!("{lost} of the anchors could not be reached"),
        );
        return Err(error
            .hint("start the IPFS node (ipfs daemon), or add gateways to anchoring.gateways")
            .into());
    }
    Ok(())
}

fn target(anchor: AnchorView) -> Target {
    Target {
        file: anchor.name,
        sha256: anchor.sha256.to_string(),
        cid: anchor.cid,
    }
}

/// What was proved of all anchors.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) proven: usize,
    pub(crate) differ: usize,
    pub(crate) unreachable: usize,
    pub(crate) anchors: Vec<Checked>,
}

fn lines(report: &Report, out: Output) -> String {
    if report.anchors.is_empty() {
        return "nothing is anchored".to_owned();
    }
    let row = |checked: &Checked| {
        let (tone, word) = match checked.verdict {
            Verdict::Proven => (Tone::Good, "proven"),
            Verdict::Differs => (Tone::Bad, "differs"),
            Verdict::Unreachable => (Tone::Warn, "unreachable"),
        };
        let from = checked.from.clone().unwrap_or_default();
        vec![
            out.plain(clean(&checked.file)),
            out.plain(&checked.cid),
            out.cell(tone, word),
            out.plain(from),
        ]
    };
    let mut text = out.table(
        &[
            named("FILE", 12),
            whole("CID"),
            whole("CONTENT"),
            named("FROM", 8).goes(1),
        ],
        report.anchors.iter().map(row),
    ) + "\n";
    for checked in report
        .anchors
        .iter()
        .filter(|checked| checked.verdict != Verdict::Proven)
    {
        for note in &checked.notes {
            text = format!("{text}\n{}: {}", clean(&checked.file), clean(note));
        }
    }
    text + &format!(
        "\n{} proven, {} differ, {} unreachable",
        report.proven, report.differ, report.unreachable
    )
}
