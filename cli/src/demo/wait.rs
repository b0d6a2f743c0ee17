//! Asking nodes, and waiting until what they say is so.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};
use ssid_node::view::{Page, RecordView};
use ssid_protocol::heartbeat::CertifiedDigest;
use ssid_protocol::id::{Choice, Sha256Hash, SubjectId};
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;

/// How often a node is asked.
const POLL: Duration = Duration::from_millis(50);
/// More records than the demo makes.
const RECORDS: usize = 10_000;

/// What a node holds certificates for.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) records: Vec<RecordView>,
    /// Equal for equal sets, whatever the order (SPEC §10, `certified_digest`).
    pub(super) digest: Sha256Hash,
}

impl Held {
    /// As node `index` says.
    pub(super) async fn of(cluster: &Cluster, index: usize) -> Result<Self> {
        let records: Page<RecordView> = cluster
            .client(index)?
            .list(&["v1", "consensus"], &[], RECORDS)
            .await?;
        let records = records.items;
        let certified: BTreeSet<(SubjectId, Choice)> =
            records.iter().filter_map(certified).collect();
        let mut digest = CertifiedDigest::default();
        certified
            .iter()
            .for_each(|(subject, choice)| digest.add(subject, choice));
        Ok(Self {
            records,
            digest: digest.value(),
        })
    }

    /// The record of an event type and version.
    pub(super) fn find(&self, event_type: &str, version: &str) -> Option<&RecordView> {
        self.records
            .iter()
            .find(|r| r.event_type == event_type && r.event_version == version)
    }
}

fn certified(record: &RecordView) -> Option<(SubjectId, Choice)> {
    let choice = Choice {
        event_hash: record.consensus_hash?,
        content_digest: record.content_digest?,
    };
    Some((record.subject_id, choice))
}

/// Asks again until the answer is there; when the time is over, the error is what was still
/// missing.
pub(super) async fn until<T>(
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<Result<T, String>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let missing = match ask().await? {
            Ok(answer) => return Ok(answer),
            Err(missing) => missing,
        };
        if Instant::now() >= deadline {
            bail!("after {} s {missing}", limit.as_secs());
        }
        sleep(POLL).await;
    }
}

/// Waits until each of `nodes` holds `count` certificates and all hold the same ones.
pub(super) async fn until_equal(
    cluster: &Cluster,
    nodes: &[usize],
    count: usize,
    limit: Duration,
) -> Result<Held> {
    until(limit, async || {
        let mut first: Option<Held> = None;
        for index in nodes {
            let held = Held::of(cluster, *index).await?;
            // the reason is told if time runs out: which node was behind
            if held.records.len() != count {
                return Ok(Err(format!(
                    "node {index} holds {} certificates of {count}",
                    held.records.len()
                )));
            }
            match &first {
                // equal in number is not equal: two nodes may have certified different events
                Some(first) if first.digest != held.digest => {
                    return Ok(Err(format!(
                        "nodes {} and {index} hold different certified sets",
                        nodes[0]
                    )));
                }
                Some(_) => {}
                None => first = Some(held),
            }
        }
        Ok(first.ok_or_else(|| "no node was asked".to_owned()))
    })
    .await
}
