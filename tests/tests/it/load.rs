//! Load on nodes that come and go, and what must have come of it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ssid_tests::{Address, Cluster, Events, LONG, Node, eventually};

/// Offers events one by one as fast as the node takes them, until told to stop; those acknowledged,
/// by event hash. A node that is down is offered the same event again.
pub(crate) fn offer_until(
    node: &Address,
    events: &Events,
    stop: &AtomicBool,
    acknowledged: &Mutex<BTreeSet<String>>,
) {
    for i in 0.. {
        let event = serde_json::to_vec(&events.event(i)).unwrap();
        loop {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            match node.post("/v1/events", &event) {
                Ok(reply) if matches!(reply.status, 200 | 202) => break,
                // gone, going or coming: whether it was taken is not known, so it is offered again
                _ => thread::sleep(Duration::from_millis(10)),
            }
        }
        acknowledged
            .lock()
            .unwrap()
            .insert(events.event(i).event_hash().to_string());
    }
}

pub(crate) fn wait_holds(cluster: &Cluster, hashes: &BTreeSet<String>) {
    for node in cluster.nodes() {
        eventually(
            &format!("{} holds what was acknowledged", node.org.name),
            LONG,
            || {
                if node.certified_count() < hashes.len() as u64 {
                    return Err(format!("{} of {}", node.certified_count(), hashes.len()));
                }
                let held: BTreeSet<String> = node
                    .certified_set()
                    .into_iter()
                    .map(|[_, hash, _]| hash)
                    .collect();
                let missing = hashes.difference(&held).count();
                if missing == 0 {
                    Ok(())
                } else {
                    Err(format!("{missing} missing of {}", hashes.len()))
                }
            },
        );
    }
}

pub(crate) fn wait_equal(cluster: &Cluster) {
    eventually(
        "nothing is open and all certified sets have one size",
        LONG,
        || {
            let state = |node: &Node| {
                let counts = node.status()["statistics"].clone();
                (counts["open"].as_u64(), counts["certified"].as_u64())
            };
            let states: Vec<_> = cluster.nodes().iter().map(state).collect();
            let is_settled = states.iter().all(|s| s.0 == Some(0) && s.1 == states[0].1);
            if is_settled { Ok(()) } else { Err(states) }
        },
    );
}

/// Ends the offering threads also when the test fails.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
