//! `ssid anchor`: copies of the registry's files on IPFS.

mod shared;
pub(super) mod verify;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde::Serialize;
use ssid_node::anchor::cid::{self, CidVersion, Import};
use ssid_node::anchor::manifest::AnchorManifest;
use ssid_node::anchor::provider::{Providers, import_of};
use ssid_node::anchor::run::{self, Item, Known, Progress, Session};
use ssid_node::anchor::select::Wanted;
use ssid_node::anchor::{environment, manifest_gateway};
use ssid_node::view::{AnchorView, AnchorsView, Page};

use shared::{PAGE, configured, running};

use crate::client::Client;
use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::output::{Output, Tone, clean, clean_lines, counted, seconds, when};
use crate::table::{named, whole};

/// How often a running node is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Put copies of the registry's files on IPFS, and verify them
#[derive(Debug, Subcommand)]
pub(crate) enum AnchorCommand {
    /// Anchor what has changed: hash, upload, compare the CID, pin, record
    ///
    /// Takes the files that the events in the registry log call for: always the log itself; for
    /// releases their bundles and manifests, for quarterly events dashboard data and compliance
    /// reports, for governance and dashboard events those files. Nothing is anchored twice. With a
    /// node running, what no provider takes waits in its outbox and goes out by itself.
    ///
    /// Examples:
    ///   ssid anchor run
    ///   ssid anchor run --repo . --json      in a workflow, without a node
    #[command(verbatim_doc_comment)]
    Run,
    /// Fetch everything anchored and prove that it is what was recorded
    ///
    /// Asks the local IPFS node first, then the gateways of anchoring.gateways. Exit code 5 if any
    /// content differs, 1 if some could not be reached.
    ///
    /// Example:
    ///   ssid anchor verify --everywhere
    #[command(verbatim_doc_comment)]
    Verify(verify::VerifyArgs),
    /// List what is anchored, and what waits
    ///
    /// Example:
    ///   ssid anchor list
    #[command(verbatim_doc_comment)]
    List {
        /// How many are shown at most
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Compute the CIDs of files, as `ipfs add` would give them; nothing is uploaded
    ///
    /// Example:
    ///   ssid anchor cid --cid-version 1 registry_events.log
    #[command(verbatim_doc_comment)]
    Cid(CidArgs),
}

/// The files whose content identifiers are computed.
#[derive(Debug, Args)]
pub(crate) struct CidArgs {
    /// 0 for Qm…, 1 for bafy… [default: anchoring.cid_version]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=1))]
    cid_version: Option<u64>,
    /// The files to compute it of
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(crate) async fn run(command: AnchorCommand, context: &Context) -> Result<()> {
    match command {
        AnchorCommand::Run => anchor(context).await,
        AnchorCommand::Verify(args) => verify::run(&args, context).await,
        AnchorCommand::List { limit } => list(limit, context).await,
        AnchorCommand::Cid(args) => cids(&args, context),
    }
}

async fn anchor(context: &Context) -> Result<()> {
    let (all, has_node) = anchored(context).await?;
    context.out.show(&all, |all| summary(all, context.out))?;
    conclude(&all, has_node, context.out)
}

/// Anchors what has changed; what became of it, and whether a node did it.
pub(super) async fn anchored(context: &Context) -> Result<(Session, bool)> {
    let node = running(context).await;
    let mut all = Session::default();
    loop {
        let session = match &node {
            Some(node) => through_node(node, context.out).await?,
            None => alone(context).await?,
        };
        all.anchored.extend(session.anchored);
        all.failed.extend(session.failed);
        all.remarks.extend(session.remarks);
        (all.unchanged, all.left) = (all.unchanged.max(session.unchanged), session.left);
        // a session is full: the next takes what is left
        if all.left == 0 || !all.failed.is_empty() {
            break;
        }
    }
    Ok((all, node.is_some()))
}

/// The command's end: what deserves a remark, and exit 1 if something was not anchored.
pub(super) fn conclude(session: &Session, has_node: bool, out: Output) -> Result<()> {
    session
        .remarks
        .iter()
        .for_each(|remark| out.remark(&clean_lines(remark)));
    failed(session, has_node)
}

/// How many anchors the manifest has.
pub(super) fn recorded(context: &Context) -> Result<usize> {
    let (paths, _) = configured(context)?;
    Ok(AnchorManifest::read(&paths.ipfs_anchor_manifest)
        .or_code(Code::Failed)?
        .anchors
        .len())
}

async fn through_node(node: &Client, out: Output) -> Result<Session> {
    let bar = out.progress(Some(0), "anchoring");
    let session = node.post(&["v1", "anchors"], &[], Vec::new());
    tokio::pin!(session);
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            session = &mut session => {
                bar.finish_and_clear();
                return session;
            }
            _ = look.tick() => {
                let seen: Result<AnchorsView> = node.get(&["v1", "anchors"], &[("limit", "1".to_owned())]).await;
                if let Ok(AnchorsView { running: Some(progress), .. }) = seen {
                    bar.set_length(progress.total);
                    bar.set_position(progress.done);
                }
            }
        }
    }
}

/// Without a node: the files and the manifest are all there is.
async fn alone(context: &Context) -> Result<Session> {
    let (paths, config) = configured(context)?;
    let settings = config.settings.anchoring.clone();
    // nothing is uploaded before all of it is known to be configured
    let providers =
        Providers::configured(&settings, &environment(&config.secret_hosts())).or_usage()?;
    let files = Wanted::of_registry(&paths)
        .and_then(|wanted| wanted.files(&paths))
        .or_code(Code::Failed)?;
    // what is anchored stands in the manifest only: without a node there is no database
    let known = AnchorManifest::read(&paths.ipfs_anchor_manifest).or_code(Code::Failed)?;
    let bar = context.out.progress(Some(files.len() as u64), "anchoring");
    let progress = |progress: Progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let items = files.into_iter().map(Item::from).collect();
    let known = Known::of(&known.anchors);
    let session = run::session(
        items,
        &known,
        &providers,
        manifest_gateway(&settings),
        &progress,
    )
    .await;
    bar.finish_and_clear();
    // what was uploaded is in the manifest also where other files failed
    session
        .record(&paths.ipfs_anchor_manifest)
        .or_code(Code::Failed)?;
    Ok(session)
}

fn summary(session: &Session, out: Output) -> String {
    let row = |record: &ssid_node::anchor::manifest::AnchorRecord| {
        let services = [&record.storage_provider, &record.pin_service]
            .into_iter()
            .flatten();
        let services: Vec<&str> = services.map(String::as_str).collect();
        vec![
            out.plain(clean(&record.file_path)),
            out.plain(&record.ipfs_cid),
            out.plain(services.join(", ")),
        ]
    };
    let anchored = session.anchored.len();
    let unchanged = session.unchanged;
    let failed = session.failed.len();
    let mut text = String::new();
    if anchored > 0 {
        text = out.table(
            &[named("FILE", 12), whole("CID"), named("ON", 6).goes(1)],
            session.anchored.iter().map(row),
        ) + "\n\n";
    }
    for failure in &session.failed {
        // its first line says what happened; what to do stands once, below
        let reason = failure.reason.lines().next().unwrap_or_default();
        text = format!(
            "{text}{} {}: {}\n",
            out.paint(Tone::Bad, "failed"),
            clean(&failure.file),
            clean(reason)
        );
    }
    text + &format!("{anchored} anchored, {unchanged} unchanged, {failed} failed")
}

fn failed(session: &Session, has_node: bool) -> Result<()> {
    let Some(first) = session
        .failed
        .iter()
        .find(|failure| failure.retry)
        .or(session.failed.first())
    else {
        return Ok(());
    };
    let (what, step) = first
        .reason
        .split_once("\n  ")
        .unwrap_or((&first.reason, ""));
    let count = counted(session.failed.len() as u64, "file is", "files are");
    let error = CliError::new(
        Code::Failed,
        format!("{count} not anchored as configured: {what}"),
    );
    let later = match (first.retry, has_node) {
        (false, _) => "",
        (true, true) => "they wait, and go out by themselves when it works again: ssid anchor list",
        (true, false) => "no node runs here, so nothing is tried again by itself: run this again",
    };
    let hint: Vec<&str> = [step, later]
        .into_iter()
        .filter(|line| !line.is_empty())
        .collect();
    Err(error.hint(hint.join("\n").replace("\n  ", "\n")).into())
}

async fn list(limit: usize, context: &Context) -> Result<()> {
    let out = context.out;
    let view: AnchorsView = match running(context).await {
        Some(node) => {
            node.get(
                &["v1", "anchors"],
                &[("limit", limit.min(PAGE).to_string())],
            )
            .await?
        }
        None => in_manifest(limit, context)?,
    };
    out.show(&view, |view| listed(view, out))?;
    Ok(())
}

fn in_manifest(limit: usize, context: &Context) -> Result<AnchorsView> {
    let (paths, _) = configured(context)?;
    let manifest = AnchorManifest::read(&paths.ipfs_anchor_manifest).or_code(Code::Failed)?;
    let view = |record: &ssid_node::anchor::manifest::AnchorRecord| {
        let services = [&record.storage_provider, &record.pin_service]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let name = record.file_path.clone();
        let cid = record.ipfs_cid.clone();
        let at = record.anchored_at.clone();
        Some(AnchorView {
            name,
            sha256: record.file_hash.parse().ok()?,
            cid,
            at,
            services,
        })
    };
    let total = manifest.anchors.len() as u64;
    let items = manifest
        .anchors
        .iter()
        // the latest first, as the node lists them
        .rev()
        .filter_map(view)
        .take(limit)
        .collect();
    Ok(AnchorsView {
        items,
        next: None,
        total,
        // an outbox belongs to a node
        waiting: 0,
        running: None,
        problem: None,
        next_try_at: None,
    })
}

fn listed(view: &AnchorsView, out: Output) -> String {
    let row = |anchor: &AnchorView| {
        vec![
            out.plain(clean(&anchor.name)),
            out.plain(clean(&anchor.cid)),
            out.plain(when(&anchor.at)),
            out.plain(clean(&anchor.services.join(", "))),
        ]
    };
    let mut text = if view.items.is_empty() {
        "nothing is anchored".to_owned()
    } else {
        out.table(
            &[
                named("FILE", 12),
                whole("CID"),
                whole("AT").goes(1),
                named("ON", 6).goes(2),
            ],
            view.items.iter().map(row),
        )
    };
    if view.waiting > 0 {
        let next = view
            .next_try_at
            .as_ref()
            .map(|at| format!(", tried again at {}", seconds(at)))
            .unwrap_or_default();
        text = format!("{text}\n\n{} in the outbox{next}", view.waiting);
    }
    if let Some(problem) = &view.problem {
        text = format!(
            "{text}\nlast problem: {}",
            clean(&problem.replace("\n  ", "; "))
        );
    }
    text
}

/// One CID, as printed.
#[derive(Debug, Serialize)]
struct Named {
    cid: String,
    file: String,
    sha256: String,
    bytes: u64,
}

fn cids(args: &CidArgs, context: &Context) -> Result<()> {
    let import = match args.cid_version {
        Some(0) => Import::of(CidVersion::V0),
        Some(_) => Import::of(CidVersion::V1),
        None => configured(context).map(|(_, config)| import_of(&config.settings.anchoring))?,
    };
    let name = |path: &PathBuf| {
        let content = cid::of_file(path, &[import])
            .with_context(|| format!("cannot read {}", path.display()))?;
        let cid = content.cids.iter().map(ToString::to_string).collect();
        Ok(Named {
            cid,
            file: path.display().to_string(),
            sha256: content.sha256.to_string(),
            bytes: content.bytes,
        })
    };
    let named: Vec<Named> = args.files.iter().map(name).collect::<Result<_>>()?;
    let line = |named: &Named| format!("{}  {}", named.cid, clean(&named.file));
    context.out.show(&Page::whole(named), |named| {
        named.items.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(())
}
