//! What is offered to the nodes, and how its certification is seen.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use serde::Serialize;
use serde_json::json;
use ssid_engine::NodeEvent;
use ssid_node::view::{EmitView, ImportView, StatusView};
use ssid_protocol::event::Event;
use ssid_protocol::id::SubjectId;
use tokio::sync::mpsc;

use crate::client::{Client, StreamItem};
use crate::cluster::Cluster;
use crate::output::Output;

/// How long the nodes may take to be ready.
pub(super) const READY_WITHIN: Duration = Duration::from_mins(1);
/// An event that is not certified by then ends the measurement.
const CERTIFIED_WITHIN: Duration = Duration::from_secs(30);
/// How long the burst may make no progress at all before the rest counts as lost.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// Certifications seen and not yet looked at.
const SEEN: usize = 65_536;

/// Percentiles of the time from offering an event until all nodes have certified it, in
/// milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Latencies {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
}

impl Latencies {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: usize| {
            let rank = (times.len() * share).div_ceil(100);
            let time = times.get(rank.saturating_sub(1));
            time.map_or(0.0, |time| (time.as_secs_f64() * 100_000.0).round() / 100.0)
        };
        Self {
            p50: at(50),
            p90: at(90),
            p99: at(99),
        }
    }
}

/// An event of eight fields and about 250 bytes.
fn event(kind: &str, number: usize) -> Event {
    let now = jiff_now();
    Event {
        timestamp: now,
        event: format!("bench_{kind}"),
        version: format!("v1.0.{number}"),
        commit_hash: format!("{number:040x}"),
        blueprint: "v4.4".into(),
        root_24_lock: "active".into(),
        compliance_score: "100/100".into(),
        emitted_by: "ssid bench, one event of the size that registries have".into(),
    }
}

fn jiff_now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// Offers `samples` events of a kind that no others have, each to another node, and times each
/// until every node has certified it.
pub(super) async fn at_rest(
    cluster: &Cluster,
    kind: &str,
    samples: usize,
    rate: Option<f64>,
    out: Output,
) -> Result<Latencies> {
    // all of them listen before the first is offered: a decision on four nodes takes milliseconds
    let (seen, mut certified) = mpsc::channel(SEEN);
    for index in 0..cluster.len() {
        let client = cluster.client(index)?;
        let mut stream = Box::pin(client.stream().await?);
        let seen = seen.clone();
        tokio::spawn(async move {
            while let Some(Ok(item)) = stream.next().await {
                if let StreamItem::Event(NodeEvent::Certified { subject_id, .. }) = item
                    && seen.send((subject_id, Instant::now())).await.is_err()
                {
                    return;
                }
            }
        });
    }
    let progress = out.progress(Some(samples as u64), "timing");
    let clients = (0..cluster.len())
        .map(|index| cluster.client(index))
        .collect::<Result<Vec<_>>>()?;
    let mut offered: HashMap<SubjectId, Timed> = HashMap::new();
    let mut times = Vec::with_capacity(samples);
    let pause = rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
    let begin = Instant::now();
    for number in 0..samples {
        // by the clock and not by pauses: late answers must not lower the rate
        if let Some(pause) = pause {
            tokio::time::sleep_until((begin + pause.mul_f64(number as f64)).into()).await;
        }
        let client = clients.get(number % clients.len()).context("no nodes")?;
        let start = Instant::now();
        let subject = emit(client, &event(kind, number)).await?;
        offered.entry(subject).or_default().start = Some(start);
        // without a rate one at a time: the time of an event alone
        while pause.is_none() && !offered.is_empty() {
            take(&mut certified, &mut offered, &mut times, cluster.len()).await?;
        }
        // what came meanwhile, so that the channel never fills while it waits for its turn
        while let (Some(_), Ok(next)) = (pause, certified.try_recv()) {
            note(next, &mut offered, &mut times, cluster.len());
        }
        progress.set_position(times.len() as u64);
    }
    while !offered.is_empty() {
        take(&mut certified, &mut offered, &mut times, cluster.len()).await?;
    }
    progress.finish_and_clear();
    Ok(Latencies::of(times))
}

/// One event under way: when it was offered, and when nodes were seen to have certified it (perhaps
/// before the answer to the offer was read).
#[derive(Debug, Default)]
struct Timed {
    start: Option<Instant>,
    seen: Vec<Instant>,
}

type Seen = (SubjectId, Instant);

async fn take(
    certified: &mut mpsc::Receiver<Seen>,
    offered: &mut HashMap<SubjectId, Timed>,
    times: &mut Vec<Duration>,
    nodes: usize,
) -> Result<()> {
    let next = tokio::time::timeout(CERTIFIED_WITHIN, certified.recv()).await;
    let Ok(next) = next else {
        bail!(
            "{} events were not certified on all nodes within {} s",
            offered.len(),
            CERTIFIED_WITHIN.as_secs()
        );
    };
    note(
        next.context("a node's stream ended")?,
        offered,
        times,
        nodes,
    );
    Ok(())
}

fn note(
    (subject, at): Seen,
    offered: &mut HashMap<SubjectId, Timed>,
    times: &mut Vec<Duration>,
    nodes: usize,
) {
    let timed = offered.entry(subject).or_default();
    timed.seen.push(at);
    if let (Some(start), true) = (timed.start, timed.seen.len() == nodes) {
        let last = timed.seen.iter().max().copied().unwrap_or(start);
        times.push(last.duration_since(start));
        offered.remove(&subject);
    }
}

async fn emit(client: &Client, event: &Event) -> Result<SubjectId> {
    let view: EmitView = client.post_json(&["v1", "events"], &[], event).await?;
    match view.outcome {
        ssid_engine::EmitOutcome::Accepted { subject_id, .. } => Ok(subject_id),
        other => bail!("an event was not accepted: {other:?}"),
    }
}

/// What became of events that were offered all at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst {
    pub(super) lost: u64,
    pub(super) certified_per_second: f64,
}

/// Offers all events at once, spread over the nodes, and waits until the slowest node has certified
/// the last of them.
pub(super) async fn burst(cluster: &Cluster, events: usize, out: Output) -> Result<Burst> {
    let clients = (0..cluster.len())
        .map(|index| cluster.client(index))
        .collect::<Result<Vec<_>>>()?;
    // nodes have certified others before; only what is added counts
    let before = certified(&clients).await?;
    // made before the clock starts
    let bodies = logs(events, clients.len());

    let start = Instant::now();
    let accepted = offer(&clients, bodies).await?;
    let progress = out.progress(Some(events as u64), "certifying");
    let mut least = 0;
    let mut moved = Instant::now();
    // until nothing moves: events may be lost, and the report says how many
    while least < accepted && moved.elapsed() < STUCK_AFTER {
        tokio::time::sleep(Duration::from_millis(10)).await;
        // the slowest node counts: before that a decision is not everybody's
        let now = certified(&clients)
            .await?
            .into_iter()
            .zip(&before)
            .map(|(now, before)| now - before);
        let now = now.min().unwrap_or(0);
        if now > least {
            (least, moved) = (now, Instant::now());
            progress.set_position(least);
        }
    }
    // to the last progress, not to the end of waiting for more
    let elapsed = moved.duration_since(start);
    progress.finish_and_clear();
    Ok(Burst {
        lost: events as u64 - least.min(events as u64),
        certified_per_second: (least as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE)).round(),
    })
}

/// Registry logs of `events` events in all, one for each node.
fn logs(events: usize, nodes: usize) -> Vec<Vec<u8>> {
    let mut logs = vec![Vec::new(); nodes];
    for number in 0..events {
        if let Some(log) = logs.get_mut(number % nodes.max(1)) {
            log.extend_from_slice(json!(event("burst", number)).to_string().as_bytes());
            log.push(b'\n');
        }
    }
    logs
}

/// Offers every node its log, all at once; how many events were accepted.
async fn offer(clients: &[Client], logs: Vec<Vec<u8>>) -> Result<u64> {
    let path = ["v1", "events", "import"];
    let offers = clients.iter().zip(logs).map(|(client, log)| async move {
        let view: ImportView = client.post(&path, &[], log).await?;
        anyhow::Ok(view.accepted)
    });
    let accepted = futures::future::try_join_all(offers).await?;
    Ok(accepted.into_iter().sum())
}

/// How many subjects each node has certified.
async fn certified(clients: &[Client]) -> Result<Vec<u64>> {
    let statuses = clients
        .iter()
        .map(|client| client.get::<StatusView>(&["v1", "status"], &[]));
    Ok(futures::future::try_join_all(statuses)
        .await?
        .into_iter()
        .map(|status| status.log.size)
        .collect())
}
