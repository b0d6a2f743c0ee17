//! `ssid bench git`: one real node that fetches the branches of many members from repositories on
//! this machine.
//!
//! Every member's branch holds announcements, votes and certificates of events of its own, signed
//! with its key; so a cold sync ends when the node has certified all of them. A warm sync finds
//! nothing new.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use ssid_node::child;
use ssid_node::home::Home;
use ssid_node::keyfile;
use ssid_node::view::{StatusView, SyncOutcome};
use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::event::Event;
use ssid_protocol::git_lines::{LINES_DIR, Line, segment_name};
use ssid_protocol::id::{Epoch, Round, UnixMillis};
use ssid_protocol::identity::VotingKey;
use ssid_protocol::manifest::{Manifest, TieBreak};
use ssid_protocol::vote::{Phase, Vote};

use super::machine::Machine;
use super::process::Usage;
use crate::client::Client;
use crate::context::Context;
use crate::error::{CliError, Code};
use crate::output::Output;
use crate::setup::{self, NewFederation, NewNode};

/// How long the node may take to answer, and make no progress with certifying what it fetched.
const PATIENCE: Duration = Duration::from_mins(2);
/// Warm syncs that are timed; the middle one counts.
const WARM: usize = 5;
/// Statements signed together, and events announced before the first of them are certified, as
/// nodes do.
const BATCH: usize = 1024;
/// Events announced together, as many as fit a message.
const ANNOUNCED: usize = 256;
/// Bytes of a file of lines.
const SEGMENT_BYTES: usize = 1 << 20;

/// Measure syncs over Git: cold, and with nothing new
///
/// Example:
///   ssid bench git --members 20 --events 0
///   ssid bench git --members 5 --events 1000 --json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct GitArgs {
    /// How many members publish
    #[arg(long, value_name = "N", default_value_t = 5)]
    members: usize,
    /// How many events each has on its branch
    #[arg(long, value_name = "M", default_value_t = 1000)]
    events: usize,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    members: usize,
    events_each: usize,
    branch_bytes: u64,
    /// The first sync: fetched, checked, handed over.
    cold_seconds: f64,
    /// Until every event was certified and on disk.
    cold_certified_seconds: f64,
    certified: u64,
    /// A sync with nothing new, the middle of five.
    warm_seconds: f64,
    /// Memory before the first sync.
    rss_mib_before: f64,
    usage: Usage,
    machine: Machine,
}

pub(crate) async fn run(args: &GitArgs, context: &Context) -> Result<()> {
    if !(2..=200).contains(&args.members) {
        return Err(CliError::usage(
            "--members is 2 to 200: a quorum of them signs what the node fetches",
        )
        .into());
    }
    let dir = tempfile::Builder::new()
        .prefix("ssid-bench-")
        .tempdir()
        .context("no temporary directory")?;
    let (manifest, keys) = make_members(dir.path(), args.members + 1)?;
    let mut branch_bytes = 0;
    for index in 1..=args.members {
        branch_bytes += publish(dir.path(), index, args.events, &manifest, &keys)?;
    }
    let home = Home::new(dir.path().join("node-0"));
    let mut node = Node::start(&home)?;
    // the node is stopped whatever comes of it
    let measured = measure(args, branch_bytes, &home, &node, context).await;
    node.end();
    let report = measured?;
    context
        .out
        .show(&report, |report| words(report, context.out))?;
    let all = (args.members * args.events) as u64;
    if report.certified < all {
        return Err(CliError::new(
            Code::Failed,
            format!("{} of {all} events are certified", report.certified),
        )
        .into());
    }
    Ok(())
}

async fn measure(
    args: &GitArgs,
    branch_bytes: u64,
    home: &Home,
    node: &Node,
    context: &Context,
) -> Result<Report> {
    let client = Client::new(home)?;
    let started = Instant::now();
    while client.ready().await.is_none() {
        anyhow::ensure!(started.elapsed() < PATIENCE, "the node does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // idle: what the sync adds is the difference
    let before = Usage::of_process(node.0.id(), home)?;
    let bar = context.out.progress(None, "syncing");
    let start = Instant::now();
    sync(&client, args.members).await?;
    let cold = start.elapsed();
    let all = (args.members * args.events) as u64;
    let mut certified = 0;
    let mut moved = Instant::now();
    let mut voting = None;
    let cold_certified = loop {
        let status = client.get::<StatusView>(&["v1", "status"], &[]).await?;
        if status.statistics.certified > certified {
            // as long as something moves: how long all of it takes is what is measured
            (certified, moved) = (status.statistics.certified, Instant::now());
        }
        // a node that takes the branches for its own lost votes would sync, and measure something
        // else
        voting = voting.or(status.voting.abstaining);
        if certified >= all || moved.elapsed() > PATIENCE {
            break start.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    anyhow::ensure!(
        voting.is_none(),
        "the node abstains: {}",
        voting.unwrap_or_default()
    );
    // nothing new: what a sync costs that finds everything as it was
    let mut warm = Vec::new();
    for _ in 0..WARM {
        let start = Instant::now();
        sync(&client, args.members).await?;
        warm.push(start.elapsed());
    }
    warm.sort_unstable();
    bar.finish_and_clear();
    Ok(Report {
        members: args.members,
        events_each: args.events,
        branch_bytes,
        cold_seconds: cold.as_secs_f64(),
        cold_certified_seconds: cold_certified.as_secs_f64(),
        certified,
        warm_seconds: warm[WARM / 2].as_secs_f64(),
        rss_mib_before: before.rss_mib,
        usage: Usage::of_process(node.0.id(), home)?,
        machine: Machine::here(),
    })
}

async fn sync(client: &Client, members: usize) -> Result<()> {
    let query = [
        ("force", "true".to_owned()),
        ("transport", "git".to_owned()),
    ];
    let outcome: SyncOutcome = client.post(&["v1", "sync"], &query, Vec::new()).await?;
    anyhow::ensure!(
        outcome.git_fetched == members as u64 && outcome.git_failed == 0,
        "not every branch was fetched: {:?}",
        outcome.remarks
    );
    Ok(())
}

/// The node that syncs. Ends with the bench.
struct Node(Child);

impl Node {
    fn start(home: &Home) -> Result<Self> {
        let log = fs::File::create(home.root().join("node.log"))?;
        let mut command =
            Command::new(std::env::current_exe().context("cannot find this program's own file")?);
        command
            .arg("run")
            .arg("--data")
            .arg(home.root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        child::forget_own(&mut command);
        Ok(Self(command.spawn().context("cannot start a node")?))
    }

    fn end(&mut self) {
        // its data goes with the bench's directory; it may have ended
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

fn remote(dir: &Path, index: usize) -> PathBuf {
    dir.join(format!("{index}.git"))
}

/// Members with keys and repositories; the first of them is the node that syncs.
fn make_members(dir: &Path, count: usize) -> Result<(Manifest, Vec<VotingKey>)> {
    let mut cards = Vec::new();
    let mut keys = Vec::new();
    for index in 0..count {
        let home = Home::new(dir.join(format!("node-{index}")));
        home.create()?;
        // branches are fetched from this disk: only Git and the node are measured, no network
        let config = json!({ "security": { "allowed_git_protocols": ["file"] } });
        fs::write(home.config(), config.to_string())?;
        git(
            dir,
            &[
                "init",
                "--quiet",
                "--bare",
                &remote(dir, index).display().to_string(),
            ],
            b"",
        )?;
        let node = NewNode {
            name: format!("Node-{index}"),
            organization: format!("Organization {index}"),
            git_remote: format!("file://{}", remote(dir, index).display()),
            addresses: Vec::new(),
            listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
            observer: false,
            mdns: false,
        };
        cards.push(setup::init_node(&home, None, &node, None)?);
        let seed = keyfile::read(&home.voting_key(), None)?;
        keys.push(VotingKey::from_seed(&seed));
    }
    let manifest = setup::create_federation(&NewFederation {
        // one of the members that publish: the node that syncs needs no part in it
        name: "bench".to_owned(),
        coordinators: vec![cards[0].member.node_id.to_string()],
        cards,
        threshold_bp: 6600,
        min_participating_nodes: 2,
        tie_breaking: TieBreak::TimestampPriority,
        auto_resolve_conflicts: false,
        recurring: Vec::new(),
    })?;
    let genesis = dir.join("genesis.json");
    fs::write(&genesis, manifest.to_pretty())?;
    // only the first runs; the others are keys and repositories
    setup::join(&Home::new(dir.join("node-0")), &genesis)?;
    Ok((manifest, keys))
}

/// Puts a member's branch into its repository; bytes of its lines.
fn publish(
    dir: &Path,
    index: usize,
    count: usize,
    manifest: &Manifest,
    keys: &[VotingKey],
) -> Result<u64> {
    let events: Vec<Event> = (0..count).map(|i| event(index, i)).collect();
    let mut files = vec![String::new()];
    // cut into files as a node cuts them: else the reader would refuse what is too long
    for line in lines(&events, &keys[index], manifest, keys)? {
        if files.last().is_some_and(|file| file.len() >= SEGMENT_BYTES) {
            files.push(String::new());
        }
        if let (Some(file), Some(text)) = (files.last_mut(), line.to_text()) {
            // writing to a String does not fail
            let _ = writeln!(file, "{text}");
        }
    }
    // one process and no working tree: thousands of lines in one commit
    let mut stream =
        "commit refs/heads/ssid-federation\ncommitter bench <bench@ssid.invalid> 1700000000 +0000\ndata 5\nbench\n"
            .to_owned();
    for (number, file) in (0..).zip(&files) {
        let name = segment_name(number);
        let _ = write!(
            stream,
            "M 100644 inline {LINES_DIR}/{name}\ndata {}\n{file}\n",
            file.len()
        );
    }
    git(
        &remote(dir, index),
        &["fast-import", "--quiet"],
        stream.as_bytes(),
    )?;
    Ok(files.iter().map(|file| file.len() as u64).sum())
}

fn event(member: usize, number: usize) -> Event {
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    Event {
        timestamp: UnixMillis(now / 1000 * 1000 - 3_600_000).iso(),
        event: "blueprint_tagged".to_owned(),
        version: format!("bench-{member}-{number}"),
        commit_hash: format!("{:07x}", 0x00ab_cdef + number),
        blueprint: "v4.4".to_owned(),
        root_24_lock: "active".to_owned(),
        compliance_score: "unknown".to_owned(),
        emitted_by: "bench".to_owned(),
    }
}

/// What a member says of its events, and a quorum of all with it. The node that syncs is not among
/// them: it has signed nothing, and would take it for a vote history that was set back.
fn lines(
    events: &[Event],
    own: &VotingKey,
    manifest: &Manifest,
    keys: &[VotingKey],
) -> Result<Vec<Line>> {
    let federation = manifest.federation_id();
    let policies = &manifest.event_policies;
    let mut lines = Vec::new();
    let quorum = usize::try_from(manifest.voters()?.quorum())?;
    let votes = |part: &[Event], phase| {
        let vote = |event: &Event| Vote {
            epoch: Epoch::ZERO,
            subject: policies.subject_of(event).id(&federation),
            round: Round::ZERO,
            phase,
            ballot: Some(event.choice()),
            observed: false,
        };
        Statements::Votes(part.iter().map(vote).collect())
    };
    // a node announces no more before the first of these are certified
    for part in events.chunks(BATCH) {
        for announced in part.chunks(ANNOUNCED) {
            let batch =
                VerifiedBatch::sign(own, &federation, Statements::Events(announced.to_vec()))?;
            lines.push(Line::Batch(batch.batch().clone()));
        }
        let prevotes = VerifiedBatch::sign(own, &federation, votes(part, Phase::Prevote))?;
        lines.push(Line::Batch(prevotes.batch().clone()));
        let signed = keys
            .iter()
            .skip(1)
            .take(quorum)
            .map(|key| VerifiedBatch::sign(key, &federation, votes(part, Phase::Precommit)));
        let precommits = signed.collect::<Result<Vec<_>, _>>()?;
        for (place, event) in (0..).zip(part) {
            let proofs = precommits
                .iter()
                .filter_map(|batch| batch.proof(place))
                .collect();
            let subject = policies.subject_of(event);
            let certificate = Certificate::assemble(
                federation,
                Epoch::ZERO,
                subject,
                Round::ZERO,
                event.clone(),
                proofs,
            );
            lines.push(Line::Certificate(Box::new(certificate)));
        }
    }
    Ok(lines)
}

fn git(dir: &Path, args: &[&str], input: &[u8]) -> Result<()> {
    let mut command = Command::new("git");
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_"))
    {
        command.env_remove(name);
    }
    child::forget_own(&mut command);
    command
        .arg("-C")
        .arg(dir)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut child = command.spawn().context("cannot run git")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input)?;
    }
    let status = child.wait()?;
    anyhow::ensure!(status.success(), "git {} failed: {status}", args[0]);
    Ok(())
}

fn words(report: &Report, out: Output) -> String {
    out.fields(&[
        (
            "branches",
            format!(
                "{} members, {} events each, {} KiB together",
                report.members,
                report.events_each,
                report.branch_bytes / 1024
            ),
        ),
        (
            "cold",
            format!(
                "{:.2} s fetched and checked; {:.2} s until all {} were certified",
                report.cold_seconds, report.cold_certified_seconds, report.certified
            ),
        ),
        ("nothing new", format!("{:.3} s", report.warm_seconds)),
        (
            "memory",
            format!(
                "{:.1} MiB before, {:.1} MiB after, {:.1} MiB at most",
                report.rss_mib_before, report.usage.rss_mib, report.usage.peak_rss_mib
            ),
        ),
        (
            "processor",
            format!(
                "{:.2} s the node, {:.2} s git",
                report.usage.cpu_seconds, report.usage.children_cpu_seconds
            ),
        ),
        ("machine", report.machine.to_string()),
    ])
}
