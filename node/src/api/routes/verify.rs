//! `/v1/consensus/verify`: every certificate and the log's tree, from what is on disk.

use std::collections::HashMap;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use ssid_protocol::id::{Epoch, MerkleHash};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::merkle;
use tokio::sync::Semaphore;

use crate::api::ApiState;
use crate::api::error::{Answer, Failure};
use crate::api::view::{FailedCertificate, VerifyView};

/// Failures an answer lists.
const LISTED: usize = 100;
/// Verifications at once: one uses a core.
static RUNS: Semaphore = Semaphore::const_new(1);

pub(super) async fn verify(State(state): State<ApiState>) -> Answer<VerifyView> {
    let permit = RUNS.try_acquire();
    let _permit = permit.map_err(|_| Failure::busy("verifications", "another verification is under way"))?;
    state.read(verify_all).await.map(Json)
}

fn verify_all(state: &ApiState) -> Result<VerifyView, Failure> {
    let started = Instant::now();
    let head = state.store.log_head();
    let mut manifests = Manifests::new(state);
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
    for sequence in 0..head.size {
        match verify_one(state, &mut manifests, sequence) {
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
    view.root_matches = leaves.len() as u64 == head.size && view.root == head.root;
    view.ok = view.failures == 0 && view.root_matches;
    view.milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(view)
}

fn verify_one(state: &ApiState, manifests: &mut Manifests<'_>, sequence: u64) -> Result<MerkleHash, String> {
    let certificate = state.store.certificate(sequence).map_err(|e| e.to_string())?;
    let certificate = certificate.ok_or("the certificate is lost")?;
    let manifest = manifests.of(certificate.epoch)?;
    certificate.verify(manifest, &state.federation_id).map_err(|e| e.to_string())?;
    Ok(merkle::leaf_hash(&certificate.choice.to_bytes()))
}

/// Manifests by epoch, read once.
struct Manifests<'a> {
    state: &'a ApiState,
    read: HashMap<Epoch, Manifest>,
}

impl<'a> Manifests<'a> {
    fn new(state: &'a ApiState) -> Self {
        Self { state, read: HashMap::from([(state.manifest.epoch, (*state.manifest).clone())]) }
    }

    fn of(&mut self, epoch: Epoch) -> Result<&Manifest, String> {
        if !self.read.contains_key(&epoch) {
            let row = self.state.store.epoch(epoch).map_err(|e| e.to_string())?;
            let row = row.ok_or_else(|| format!("the manifest of epoch {epoch} is not known"))?;
            let manifest = Manifest::parse(row.manifest.as_bytes()).map_err(|e| e.to_string())?;
            self.read.insert(epoch, manifest);
        }
        self.read.get(&epoch).ok_or_else(|| format!("the manifest of epoch {epoch} is not known"))
    }
}
