//! `ssid bench outside`: whether certification is slowed when everything outside the federation is
//! switched on and none of it can be reached. Clusters that are plain and clusters that are not
//! take turns, so that a machine that becomes slower meanwhile slows both.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};
use ssid_node::config::{Channel, Config, IpfsFederation, NotifiedEvents, Settings};
use ssid_node::home::Home;
use ssid_node::registry::paths::RegistryPaths;
use ssid_node::view::AnchorsView;

use super::load::{self, Latencies, READY_WITHIN};
use super::machine::Machine;
use super::median::median;
use super::process::Usage;
use crate::cluster::{Cluster, ClusterSpec, Prepare};
use crate::context::Context;
use crate::error::{CliError, Code};
use crate::output::Output;

/// Measure what anchoring, notifications, webhook and Git cost while nothing is reachable
///
/// Two clusters take turns: one plain, one with `anchoring.after_certified`,
/// `advanced.ipfs_federation`, telemetry with all four channels, `advanced.webhook_on_consensus`
/// and a Git remote for each node. What they lead to are ports of this machine that refuse, and one
/// that accepts and never answers. Medians over the rounds are compared. What a node does once,
/// such as the first attempts at everything, falls into four seconds before.
///
/// Example:
///   ssid bench outside --events 10000 --rounds 5
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct OutsideArgs {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 4)]
    nodes: usize,
    /// How many events are offered at once
    #[arg(long, value_name = "M", default_value_t = 10_000)]
    events: usize,
    /// How many events are timed one by one before that
    #[arg(long, value_name = "S", default_value_t = 100)]
    samples: usize,
    /// Switch on only these, to see which of them costs what
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = System::value_variants().to_vec(), hide_default_value = true)]
    only: Vec<System>,
    /// How often each of the two is measured
    #[arg(long, value_name = "R", default_value_t = 5)]
    rounds: usize,
}

/// Events that are certified before anything is measured.
const WARM_UP: usize = 20;
/// How many of them a second: longer than it takes until everything has been tried once.
const WARM_UP_RATE: f64 = 5.0;

/// What leads out of the federation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum System {
    Anchoring,
    Telemetry,
    Webhook,
    Git,
}

/// What one cluster did; over all rounds the median.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Figures {
    certified_per_second: f64,
    latency_ms: Latencies,
    /// Processor time of all nodes together, which other work on the machine disturbs least.
    cpu_seconds: f64,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    nodes: usize,
    events: usize,
    samples: usize,
    lost: u64,
    plain: Figures,
    unreachable: Figures,
    /// Of the two rates: below 1 is slower with everything unreachable.
    throughput_ratio: f64,
    /// Of the two median latencies: above 1 is slower.
    latency_ratio: f64,
    /// Of the processor times: above 1 is more work.
    cpu_ratio: f64,
    /// What waited on the first node at the end: that it was switched on.
    waiting: Waiting,
    rounds: Vec<Round>,
    machine: Machine,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Round {
    plain: Figures,
    unreachable: Figures,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Waiting {
    anchors: u64,
    notifications: u64,
}

/// Where everything leads.
struct Nowhere {
    /// Accepts, as far as the kernel does, and never answers. Held until the end.
    silent: TcpListener,
    refusing: u16,
}

impl Nowhere {
    fn new() -> Result<Self> {
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port");
        // the second is let go: nobody listens there any more
        let silent = free()?;
        let refusing = free()?.local_addr()?.port();
        Ok(Self { silent, refusing })
    }

    fn spec(&self, nodes: usize, only: &[System]) -> Result<ClusterSpec> {
        let silent = format!("http://127.0.0.1:{}", self.silent.local_addr()?.port());
        let refusing = self.refusing;
        let only = only.to_vec();
        let has_git = only.contains(&System::Git);
        Ok(ClusterSpec {
            git_remotes: if has_git {
                format!("https://127.0.0.1:{refusing}")
            } else {
                String::new()
            },
            prepare: Prepare::new(move |_, _, home| switch_on(home, &only, &silent, refusing)),
            ..ClusterSpec::new(nodes)
        })
    }
}

pub(super) async fn run(args: &OutsideArgs, context: &Context) -> Result<()> {
    if args.events == 0 || args.rounds == 0 || args.samples == 0 {
        return Err(CliError::usage("--events, --rounds and --samples must be above 0").into());
    }
    let machine = Machine::here();
    // servers that take connections and never answer: the worst that somebody outside can do
    let nowhere = Nowhere::new()?;
    let plain = ClusterSpec::new(args.nodes);
    let outside = nowhere.spec(args.nodes, &args.only)?;
    let mut rounds = Vec::new();
    let mut waiting = Waiting::default();
    let mut lost = 0;
    for number in 0..args.rounds {
        context
            .out
            .remark(&format!("round {} of {}", number + 1, args.rounds));
        let mut round = Round::default();
        // who comes first changes
        for turn in 0..2 {
            let is_plain = (number + turn) % 2 == 0;
            let measured = measure(
                args,
                if is_plain { &plain } else { &outside },
                !is_plain,
                context.out,
            )
            .await?;
            lost += measured.lost;
            if is_plain {
                round.plain = measured.figures;
            } else {
                (round.unreachable, waiting) = (measured.figures, measured.waiting);
            }
        }
        rounds.push(round);
    }
    // medians over the rounds: one that the machine was busy in changes little
    let report = report(args, rounds, waiting, lost, machine);
    context
        .out
        .show(&report, |report| words(report, context.out))?;
    if lost > 0 {
        return Err(CliError::new(Code::Failed, format!("{lost} events are lost")).into());
    }
    // a bench of what is not on would find that it costs nothing
    let is_missing = |system, count| args.only.contains(&system) && count == 0;
    if is_missing(System::Anchoring, waiting.anchors)
        || is_missing(System::Telemetry, waiting.notifications)
    {
        return Err(CliError::new(
            Code::Failed,
            "nothing waited to leave: what should be measured was not on",
        )
        .into());
    }
    Ok(())
}

struct Measured {
    figures: Figures,
    lost: u64,
    waiting: Waiting,
}

async fn measure(
    args: &OutsideArgs,
    spec: &ClusterSpec,
    is_outside: bool,
    out: Output,
) -> Result<Measured> {
    let dir = tempfile::Builder::new()
        .prefix("ssid-bench-")
        .tempdir()
        .context("no temporary directory")?;
    let mut cluster = Cluster::up(dir.path(), spec, READY_WITHIN).await?;
    let measured = async {
        // connections and caches are made in the first events, and are not what is measured
        load::at_rest(&cluster, "warm_up", WARM_UP, Some(WARM_UP_RATE), out).await?;
        let latency_ms = load::at_rest(&cluster, "rest", args.samples, None, out).await?;
        let burst = load::burst(&cluster, args.events, out).await?;
        let waiting = if is_outside {
            waiting(&cluster).await?
        } else {
            Waiting::default()
        };
        let usages = (0..cluster.len())
            .map(|index| Usage::of(&mut cluster, index))
            .collect::<Result<Vec<_>>>()?;
        let cpu_seconds = usages.iter().map(|usage| usage.cpu_seconds).sum();
        let figures = Figures {
            certified_per_second: burst.certified_per_second,
            latency_ms,
            cpu_seconds,
        };
        anyhow::Ok(Measured {
            figures,
            lost: burst.lost,
            waiting,
        })
    }
    .await;
    // down in any case
    cluster.down().await?;
    measured
}

async fn waiting(cluster: &Cluster) -> Result<Waiting> {
    let client = cluster.client(0)?;
    let anchors: AnchorsView = client
        .get(&["v1", "anchors"], &[("limit", "1".to_owned())])
        .await?;
    // where telemetry is off there is no such list
    let notifications: Vec<Value> = client
        .get(&["v1", "telemetry", "outbox"], &[])
        .await
        .unwrap_or_default();
    Ok(Waiting {
        anchors: anchors.waiting,
        notifications: notifications.len() as u64,
    })
}

/// What leaves the federation, for one node.
fn switch_on(home: &Home, only: &[System], silent: &str, refusing: u16) -> Result<()> {
    let paths = RegistryPaths::choose(None, home.root());
    let mut config = Config::load(&paths.federation_config)?;
    for system in only {
        match system {
            System::Anchoring => anchoring(&mut config.settings, refusing),
            System::Telemetry => telemetry(
                &mut config.settings,
                &paths.telemetry_config,
                silent,
                refusing,
            )?,
            System::Webhook => {
                config.settings.advanced.webhook_on_consensus = Some(format!("{silent}/consensus"));
            }
            System::Git => {
                config.settings.federation.auto_sync = true;
                config.settings.sync_settings.interval_minutes = 1;
            }
        }
    }
    config.save_atomic(&paths.federation_config)?;
    only_for_its_owner(&paths.federation_config)
}

fn anchoring(settings: &mut Settings, refusing: u16) {
    settings.advanced.ipfs_federation = IpfsFederation {
        enabled: true,
        pin_consensus_records: true,
    };
    settings.anchoring.after_certified = true;
    settings.anchoring.local_api = format!("http://127.0.0.1:{refusing}");
}

fn telemetry(settings: &mut Settings, file: &Path, silent: &str, refusing: u16) -> Result<()> {
    settings.notifications.enabled = true;
    // every channel at once, each silent or refusing in its own way
    settings.notifications.channels = vec![
        Channel::Slack,
        Channel::Discord,
        Channel::Webhook,
        Channel::Email,
    ];
    settings.notifications.events = NotifiedEvents {
        sync_completed: true,
        sync_failed: true,
        consensus_achieved: true,
        consensus_failed: true,
        node_added: true,
        node_removed: true,
        trust_score_low: true,
        membership_proposed: true,
        epoch_changed: true,
        review_waiting: true,
        node_down: true,
        quorum_lost: true,
        node_stopped: true,
        divergence: true,
    };
    let telemetry = json!({
        "check_interval_seconds": 5,
        "notifications": {
            "slack": { "enabled": true, "webhook_url": format!("{silent}/slack") },
            "discord": { "enabled": true, "webhook_url": format!("http://127.0.0.1:{refusing}/discord") },
            "webhook": { "enabled": true, "url": format!("{silent}/webhook") },
            "email": {
                "enabled": true, "smtp_server": "127.0.0.1", "smtp_port": refusing, "security": "none",
                "from_address": "bench@example.org", "to_addresses": ["ops@example.org"],
            },
        },
    });
    fs::write(file, telemetry.to_string())?;
    only_for_its_owner(file)
}

/// Addresses of webhooks are secrets: they are used only from files that nobody else can read.
fn only_for_its_owner(file: &Path) -> Result<()> {
    Ok(fs::set_permissions(
        file,
        fs::Permissions::from_mode(0o600),
    )?)
}

fn report(
    args: &OutsideArgs,
    rounds: Vec<Round>,
    waiting: Waiting,
    lost: u64,
    machine: Machine,
) -> Report {
    let over = |of: fn(&Round) -> Figures| {
        let middle = |figure: fn(&Figures) -> f64| {
            median(rounds.iter().map(|round| figure(&of(round))).collect())
        };
        Figures {
            certified_per_second: middle(|f| f.certified_per_second),
            latency_ms: Latencies {
                p50: middle(|f| f.latency_ms.p50),
                p90: middle(|f| f.latency_ms.p90),
                p99: middle(|f| f.latency_ms.p99),
            },
            cpu_seconds: middle(|f| f.cpu_seconds),
        }
    };
    let plain = over(|round| round.plain);
    let unreachable = over(|round| round.unreachable);
    let ratio = |of: f64, to: f64| (of / to.max(f64::MIN_POSITIVE) * 1000.0).round() / 1000.0;
    Report {
        nodes: args.nodes,
        events: args.events,
        samples: args.samples,
        lost,
        throughput_ratio: ratio(unreachable.certified_per_second, plain.certified_per_second),
        latency_ratio: ratio(unreachable.latency_ms.p50, plain.latency_ms.p50),
        cpu_ratio: ratio(unreachable.cpu_seconds, plain.cpu_seconds),
        plain,
        unreachable,
        waiting,
        rounds,
        machine,
    }
}

fn words(report: &Report, out: Output) -> String {
    let figures = |of: &Figures| {
        let rate = of.certified_per_second;
        let latency = of.latency_ms;
        let cpu = of.cpu_seconds;
        let p50 = latency.p50;
        let p99 = latency.p99;
        format!(
            "{rate} events/s at once; p50 {p50:.1} ms, p99 {p99:.1} ms one by one; {cpu:.1} s of processors"
        )
    };
    out.fields(&[
        ("plain", figures(&report.plain)),
        ("unreachable", figures(&report.unreachable)),
        (
            "ratio",
            format!(
                "throughput {:.3}, p50 latency {:.3}, processor time {:.3} (medians of {} rounds)",
                report.throughput_ratio,
                report.latency_ratio,
                report.cpu_ratio,
                report.rounds.len()
            ),
        ),
        (
            "waiting",
            format!(
                "{} sets of entries to be anchored, {} notifications, on one node",
                report.waiting.anchors, report.waiting.notifications
            ),
        ),
        ("machine", report.machine.to_string()),
    ])
}
