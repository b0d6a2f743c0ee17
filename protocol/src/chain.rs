//! The chain of epochs (SPEC §4): the manifest of each epoch, proven from the genesis manifest by
//! certificates of the epochs before, and what is verified by them.
//!
//! A certificate of epoch 3, with nothing but the genesis manifest, `epochs.jsonl`, and the hash of
//! a manifest that somebody trusted read aloud:
//!
//! ```
//! use ssid_protocol::chain::Chain;
//! # use ssid_protocol::testing::epochs;
//! # let (genesis, epochs_jsonl, certificate) = epochs::documents(3);
//! # let pin = epochs::links(3)[1].manifest.hash();
//!
//! let mut chain = Chain::new(genesis)?;
//! chain.read(epochs_jsonl.as_bytes())?;
//! chain.check_pin(&pin)?;
//! assert_eq!(certificate.epoch.0, 3);
//! chain.verify(&certificate)?;
//! # Ok::<(), ssid_protocol::chain::ChainError>(())
//! ```

mod error;
mod line;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use error::{ChainError, LineError};
pub use line::ChainLine;

use crate::certificate::{Certificate, Verifier};
use crate::event::FEDERATION_EPOCH;
use crate::id::{Epoch, FederationId, ManifestHash, NodeId};
use crate::json::excerpt;
use crate::manifest::{Manifest, ManifestError};
use crate::member::Member;

/// One epoch after genesis: its manifest, and the certificate of the epoch before that brought it
/// in. Nothing of it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The epoch's own, valid after the one before.
    pub manifest: Manifest,
    /// A certificate of its `federation_epoch` event.
    pub certificate: Certificate,
}

/// The proven manifests of a federation, of epoch 0, 1, 2, … without a gap.
#[derive(Clone, Debug)]
pub struct Chain {
    federation: FederationId,
    genesis: Manifest,
    /// The proven manifests after genesis.
    later: Vec<Manifest>,
    hashes: BTreeSet<ManifestHash>,
    /// Node ids that some manifest names as `former`: they never return.
    replaced: BTreeSet<NodeId>,
}

impl Chain {
    /// The chain of a genesis manifest alone.
    ///
    /// # Errors
    /// If it is no valid genesis manifest.
    pub fn new(genesis: Manifest) -> Result<Self, ChainError> {
        genesis
            .validate_genesis()
            .map_err(|source| ChainError::Manifest {
                epoch: Epoch::ZERO,
                source,
            })?;
        Ok(Self::of_validated(genesis))
    }

    /// The chain of a genesis manifest that was validated when it was read.
    pub fn of_validated(genesis: Manifest) -> Self {
        Self {
            federation: genesis.federation_id(),
            hashes: BTreeSet::from([genesis.hash()]),
            genesis,
            later: Vec::new(),
            replaced: BTreeSet::new(),
        }
    }

    /// Proves the manifest of the next epoch and takes it. If it is refused the chain stays as it
    /// was.
    ///
    /// # Errors
    /// If the manifest is not valid after the latest one, or the certificate does not verify under
    /// that or is not of this manifest's event.
    pub fn extend(&mut self, link: Link) -> Result<(), ChainError> {
        self.check_link(&link)?;
        let manifest = link.manifest;
        self.hashes.insert(manifest.hash());
        let succeeds = manifest.change.iter().flat_map(|change| &change.succeeds);
        self.replaced.extend(succeeds.map(|one| one.former));
        self.later.push(manifest);
        Ok(())
    }

    /// Proves and takes all of a chain file: lines of manifest and certificate, from the epoch
    /// after the latest on. If a line is refused, those before it are taken.
    ///
    /// # Errors
    /// The first line that is none or does not verify.
    pub fn read(&mut self, chain_file: &[u8]) -> Result<(), ChainError> {
        for line in line::lines(chain_file) {
            self.extend(line::link(line, self.next_epoch())?)?;
        }
        Ok(())
    }

    /// Proves and takes the links of a certificate with its chain, and returns the certificate,
    /// which is still to be verified. Of epochs that the chain has already they must bring in the
    /// same manifests.
    ///
    /// # Errors
    /// The first line that is none or does not verify; if the last one is no certificate; and if
    /// the two chains contradict each other.
    pub fn read_certificate(&mut self, file: &[u8]) -> Result<Certificate, ChainError> {
        let mut lines: Vec<_> = line::lines(file).collect();
        let mut own = Self::new(self.genesis.clone())?;
        let last = lines.pop().unwrap_or_default();
        // it stands where the link of the epoch after the others would
        let epoch = Epoch(lines.len() as u64 + 1);
        let certificate = match ChainLine::parse(last) {
            Ok(ChainLine::Certificate(certificate)) => *certificate,
            Ok(ChainLine::Link(_)) => {
                let source = LineError::NoCertificate;
                return Err(ChainError::Line { epoch, source });
            }
            Err(source) => return Err(ChainError::Line { epoch, source }),
        };
        for line in lines {
            own.extend(line::link(line, own.next_epoch())?)?;
        }
        let both = || own.later.iter().zip(&self.later);
        if let Some((other, _)) = both().find(|(other, known)| other != known) {
            return Err(ChainError::Contradiction { epoch: other.epoch });
        }
        if own.later.len() > self.later.len() {
            *self = own;
        }
        Ok(certificate)
    }

    /// Refuses a chain that does not contain the manifest of this hash. Since each manifest names
    /// the one before, one hash that is trusted proves every manifest up to its own.
    ///
    /// # Errors
    /// If no manifest of the chain has the hash.
    pub fn check_pin(&self, pin: &ManifestHash) -> Result<(), ChainError> {
        if self.hashes.contains(pin) {
            return Ok(());
        }
        Err(ChainError::Pin {
            pin: *pin,
            latest: self.latest().epoch,
        })
    }

    /// Verifies a certificate by the manifest of its own epoch.
    ///
    /// # Errors
    /// If the chain has no manifest of that epoch, or the certificate does not verify.
    pub fn verify(&self, certificate: &Certificate) -> Result<(), ChainError> {
        let mut verifier = self.verifier(certificate.epoch)?;
        Ok(certificate.verify(&mut verifier)?)
    }

    /// What certificates of an epoch are checked against.
    ///
    /// # Errors
    /// If the chain has no manifest of that epoch.
    pub fn verifier(&self, epoch: Epoch) -> Result<Verifier<'_>, ChainError> {
        let manifest = self.proven(epoch)?;
        Verifier::new(self.federation, manifest, &self.genesis.event_policies)
            .map_err(|source| ChainError::Manifest { epoch, source })
    }

    /// The proven manifest of an epoch.
    ///
    /// # Errors
    /// If the chain does not reach that epoch.
    pub fn proven(&self, epoch: Epoch) -> Result<&Manifest, ChainError> {
        let latest = self.latest().epoch;
        self.manifest(epoch)
            .ok_or(ChainError::NoManifest { epoch, latest })
    }

    /// The proven manifest of an epoch; `None` if the chain does not reach it.
    pub fn manifest(&self, epoch: Epoch) -> Option<&Manifest> {
        match epoch.0.checked_sub(1) {
            None => Some(&self.genesis),
            Some(place) => self.later.get(usize::try_from(place).ok()?),
        }
    }

    /// All of them in order, genesis first.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        std::iter::once(&self.genesis).chain(&self.later)
    }

    /// The manifest of the latest epoch.
    pub fn latest(&self) -> &Manifest {
        self.later.last().unwrap_or(&self.genesis)
    }

    /// The latest manifest in which `node` is a member of whom `is_fit` holds: that by which
    /// statements of no epoch – events and log heads – are judged.
    pub fn latest_with(
        &self,
        node: &NodeId,
        is_fit: impl Fn(&Member) -> bool,
    ) -> Option<&Manifest> {
        let has_it = |manifest: &&Manifest| manifest.member(node).is_some_and(&is_fit);
        let latest = self.later.iter().rev().find(has_it);
        latest.or_else(|| Some(&self.genesis).filter(has_it))
    }

    /// The genesis manifest.
    pub fn genesis(&self) -> &Manifest {
        &self.genesis
    }

    /// The federation that began with it.
    pub fn federation_id(&self) -> FederationId {
        self.federation
    }

    /// Whether `manifest` could be that of the next epoch, were it certified.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_next(&self, manifest: &Manifest) -> Result<(), ManifestError> {
        manifest.validate_successor(self.latest(), &self.genesis, &self.replaced)
    }

    fn next_epoch(&self) -> Epoch {
        self.latest().epoch.next()
    }

    fn check_link(&self, link: &Link) -> Result<(), ChainError> {
        let epoch = self.next_epoch();
        self.check_next(&link.manifest)
            .map_err(|source| ChainError::Manifest { epoch, source })?;
        let mut verifier = self.verifier(self.latest().epoch)?;
        link.certificate
            .verify(&mut verifier)
            .map_err(|source| ChainError::Certificate { epoch, source })?;
        let (event, expected) = (&link.certificate.event, link.manifest.epoch_event());
        for (field, expected, found) in [
            ("event", FEDERATION_EPOCH, &event.event),
            ("commit_hash", &expected.commit_hash, &event.commit_hash),
            ("timestamp", &expected.timestamp, &event.timestamp),
        ] {
            if expected != found {
                return Err(ChainError::AnotherEvent {
                    epoch,
                    field,
                    expected: excerpt(expected),
                    found: excerpt(found),
                });
            }
        }
        Ok(())
    }
}
