//! `/v1/consensus/verify`: every certificate and the log's tree, from what is on disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use ssid_protocol::certificate::Verifier;
use ssid_protocol::epoch::Epochs;
use ssid_protocol::id::{Epoch, MerkleHash};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::merkle;
use tokio::sync::Semaphore;

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::view::{FailedCertificate, VerifyProgress, VerifyView};

/// Failures an answer lists.
const LISTED: usize = 100;
/// Batch signatures remembered as checked.
const REMEMBERED: usize = 4096;
/// Verifications at once: one uses a core.
static RUNS: Semaphore = Semaphore::const_new(1);

/// How far the one under way is, and how far it goes.
static DONE: AtomicU64 = AtomicU64::new(0);
static TOTAL: AtomicU64 = AtomicU64::new(0);

pub(super) async fn progress() -> Json<VerifyProgress> {
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    let is_running = RUNS.available_permits() == 0;
    Json(VerifyProgress {
        is_running,
        verified: count(&DONE),
        total: count(&TOTAL),
    })
}

pub(super) async fn verify(State(state): State<ApiState>) -> Answer<VerifyView> {
    let permit = RUNS.try_acquire();
    let _permit =
        permit.map_err(|_| Failure::busy("verifications", "another verification is under way"))?;
    state.read(|state| Ok(verify_all(state))).await.map(Json)
}

fn verify_all(state: &ApiState) -> VerifyView {
    let started = Instant::now();
    let head = state.known.store.log_head();
    // one look at the epochs: a change of members meanwhile is of no concern to what is in the log
    let epochs = state.known.epochs.borrow().clone();
    let mut checks = Checks {
        state,
        epochs: &epochs,
        verifier: None,
    };
    let mut leaves = Vec::new();
    let mut view = VerifyView {
        ok: false,
        certificates: head.size,
        failures: 0,
        failed: Vec::new(),
        root_matches: false,
        root: head.root,
        milliseconds: 0,
    };
    // seen by `progress`, which anybody may ask meanwhile
    TOTAL.store(head.size, Ordering::Relaxed);
    // up to the head as it was: a log that grows must not keep it running
    for sequence in 0..head.size {
        DONE.store(sequence, Ordering::Relaxed);
        match checks.check(sequence) {
            Ok(leaf) => leaves.push(leaf),
            Err(reason) => {
                view.failures += 1;
                if view.failed.len() < LISTED {
                    view.failed.push(FailedCertificate { sequence, reason });
                }
            }
        }
    }
    view.root = merkle::root(&leaves);
    // a failed certificate has no leaf, so the root cannot match either: both are told
    view.root_matches = leaves.len() as u64 == head.size && view.root == head.root;
    view.ok = view.failures == 0 && view.root_matches;
    view.milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    view
}

/// The verifier of the epoch at hand; remembers the batch signatures it has checked, for a stretch
/// of the log.
struct Checks<'a> {
    state: &'a ApiState,
    epochs: &'a Epochs,
    verifier: Option<Verifier<'a>>,
}

impl<'a> Checks<'a> {
    /// Verifies one certificate; its leaf in the log's tree.
    fn check(&mut self, sequence: u64) -> Result<MerkleHash, String> {
        let certificate = self
            .state
            .known
            .store
            .certificate(sequence)
            .map_err(|e| e.to_string())?;
        let certificate = certificate.ok_or("the certificate is lost")?;
        let mut verifier = match self.verifier.take() {
            Some(same)
                if same.epoch() == certificate.epoch && same.batches_verified() < REMEMBERED =>
            {
                same
            }
            _ => self.verifier_of(certificate.epoch)?,
        };
        let result = certificate.verify(&mut verifier);
        self.verifier = Some(verifier);
        result.map_err(|e| e.to_string())?;
        Ok(merkle::leaf_hash(&certificate.choice.to_bytes()))
    }

    fn verifier_of(&self, epoch: Epoch) -> Result<Verifier<'a>, String> {
        if let Some(known) = self.epochs.get(epoch) {
            return Ok(known.certificates());
        }
        // an epoch that is over: its manifest stands in storage
        let store = &self.state.known.store;
        let row = store
            .epoch(epoch)
            .map_err(|e| e.to_string())?
            .ok_or_else(|| format!("the manifest of epoch {epoch} is not known"))?;
        let manifest = Manifest::parse(row.manifest.as_bytes()).map_err(|e| e.to_string())?;
        let current = self.epochs.current();
        let federation = *current.federation();
        // policies are those of genesis in every epoch
        Verifier::new(federation, &manifest, current.policies()).map_err(|e| e.to_string())
    }
}
