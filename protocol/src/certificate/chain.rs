//! The chain that proves an epoch's manifest (SPEC §4): for each epoch the manifest and a
//! certificate, under the previous manifest, of the `federation_epoch` event whose `commit_hash` is
//! its hash.

use super::{Certificate, CertificateError, Verifier};
use crate::event::FEDERATION_EPOCH;
use crate::id::{Epoch, ManifestHash};
use crate::json::excerpt;
use crate::manifest::{Manifest, ManifestError};

/// Why a chain of manifests is refused: at which epoch, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The epoch's manifest is not valid.
    #[error("epoch {epoch}: {source}")]
    Manifest {
        /// Where the manifest stands in the chain.
        epoch: Epoch,
        /// What it breaks.
        source: ManifestError,
    },
    /// The certificate that should bring the epoch in does not verify.
    #[error("epoch {epoch}: {source}")]
    Certificate {
        /// Where the manifest stands in the chain.
        epoch: Epoch,
        /// What is wrong with its certificate.
        source: CertificateError,
    },
    /// The certificate is good, but of something else.
    #[error(
        "epoch {epoch}: certificate field `event.event` must be {FEDERATION_EPOCH:?}; it is {found}"
    )]
    NotAnEpochChange {
        /// Where the manifest stands in the chain.
        epoch: Epoch,
        /// The event type, quoted.
        found: String,
    },
    /// The certificate is good, but of another manifest.
    #[error(
        "epoch {epoch}: certificate field `event.commit_hash` must be the manifest's hash {expected}; it is {found}"
    )]
    AnotherManifest {
        /// Where the manifest stands in the chain.
        epoch: Epoch,
        /// Hash of the manifest given.
        expected: ManifestHash,
        /// What was certified, quoted.
        found: String,
    },
}

/// Proves the manifests of the epochs 1, 2, … from the genesis manifest alone, and returns all of
/// them in order of their epochs, genesis first.
///
/// # Errors
/// The first epoch whose manifest is not valid or not what the previous epoch's voters certified.
pub fn verify_chain(
    genesis: &Manifest,
    chain: &[(Manifest, Certificate)],
) -> Result<Vec<Manifest>, ChainError> {
    genesis
        .validate_genesis()
        .map_err(|source| ChainError::Manifest {
            epoch: Epoch::ZERO,
            source,
        })?;
    let mut previous = genesis;
    let mut proven = vec![genesis.clone()];
    for (manifest, certificate) in chain {
        verify_link(genesis, previous, manifest, certificate)?;
        proven.push(manifest.clone());
        previous = manifest;
    }
    Ok(proven)
}

/// Proves the manifest of one epoch, given the proven manifest of the epoch before.
///
/// # Errors
/// If it is not valid, or the certificate does not verify or is not of this manifest.
pub fn verify_link(
    genesis: &Manifest,
    previous: &Manifest,
    manifest: &Manifest,
    certificate: &Certificate,
) -> Result<(), ChainError> {
    let epoch = previous.epoch.next();
    let invalid = |source| ChainError::Manifest { epoch, source };
    manifest
        .validate_successor(previous, genesis)
        .map_err(invalid)?;
    let mut verifier = Verifier::new(genesis.federation_id(), previous, &genesis.event_policies)
        .map_err(invalid)?;
    certificate
        .verify(&mut verifier)
        .map_err(|source| ChainError::Certificate { epoch, source })?;
    let event = &certificate.event;
    if event.event != FEDERATION_EPOCH {
        return Err(ChainError::NotAnEpochChange {
            epoch,
            found: excerpt(&event.event),
        });
    }
    let expected = manifest.hash();
    if event.commit_hash != expected.to_string() {
        return Err(ChainError::AnotherManifest {
            epoch,
            expected,
            found: excerpt(&event.commit_hash),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::certify;
    use super::*;
    use crate::member::Status;
    use crate::subject::EventPolicies;
    use crate::testing::{event, federation, key};

    /// Genesis and two further epochs with their certificates: member 3 is suspended, then admitted
    /// again.
    fn chain() -> (Manifest, Vec<(Manifest, Certificate)>) {
        let (genesis, id, _, keys) = federation(4);
        let mut previous = genesis.clone();
        let mut chain = Vec::new();
        for (epoch, suspended, signers) in [(1, true, 0..3), (2, false, 1..3)] {
            let mut next = previous.clone();
            next.epoch = Epoch(epoch);
            next.members[3].status = if suspended {
                Status::Suspended
            } else {
                Status::Active
            };
            let mut change = event(FEDERATION_EPOCH, &epoch.to_string());
            change.commit_hash = next.hash().to_string();
            let certificate = certify(&previous, id, change, &keys[signers]);
            previous = next.clone();
            chain.push((next, certificate));
        }
        (genesis, chain)
    }

    #[test]
    fn a_chain_proves_every_epoch_from_genesis() {
        let (genesis, links) = chain();
        let expected: Vec<_> = [&genesis]
            .into_iter()
            .chain(links.iter().map(|(m, _)| m))
            .cloned()
            .collect();
        assert_eq!(verify_chain(&genesis, &links), Ok(expected));
        assert_eq!(verify_chain(&genesis, &[]), Ok(vec![genesis]));
    }

    #[test]
    fn a_broken_chain_is_refused_where_it_breaks() {
        type Spoil = fn(&mut Manifest, &mut Vec<(Manifest, Certificate)>);
        type Case = (Spoil, fn(&ChainError) -> bool);
        let cases: &[Case] = &[
            (
                |g, _| g.threshold_bp = 0,
                |e| {
                    matches!(
                        e,
                        ChainError::Manifest {
                            epoch: Epoch(0),
                            ..
                        }
                    )
                },
            ),
            // another genesis is another federation
            (
                |g, _| g.name.push('x'),
                |e| {
                    matches!(
                        e,
                        ChainError::Certificate {
                            epoch: Epoch(1),
                            source: CertificateError::Federation { .. }
                        }
                    )
                },
            ),
            (
                |_, c| drop(c.remove(0)),
                |e| {
                    matches!(
                        e,
                        ChainError::Manifest {
                            epoch: Epoch(1),
                            ..
                        }
                    )
                },
            ),
            (
                |_, c| c[1].0.event_policies = EventPolicies::default(),
                |e| {
                    matches!(
                        e,
                        ChainError::Manifest {
                            epoch: Epoch(2),
                            ..
                        }
                    )
                },
            ),
            (
                |_, c| c[1].0.name.push('x'),
                |e| {
                    matches!(
                        e,
                        ChainError::AnotherManifest {
                            epoch: Epoch(2),
                            ..
                        }
                    )
                },
            ),
            (
                |_, c| c[1].1 = c[0].1.clone(),
                |e| {
                    matches!(
                        e,
                        ChainError::Certificate {
                            epoch: Epoch(2),
                            source: CertificateError::Epoch { .. }
                        }
                    )
                },
            ),
            (
                |_, c| c[1].1.precommits.truncate(1),
                |e| {
                    matches!(
                        e,
                        ChainError::Certificate {
                            epoch: Epoch(2),
                            source: CertificateError::Signers { .. }
                        }
                    )
                },
            ),
            // voters of the epoch before, not of the new one, decide: the suspended member is none
            // of them
            (
                |_, c| c[1].1.precommits[0].signer = key(3).node_id(),
                |e| {
                    matches!(
                        e,
                        ChainError::Certificate {
                            epoch: Epoch(2),
                            source: CertificateError::NotAVoter { .. }
                        }
                    )
                },
            ),
            (
                |g, c| {
                    c[0].1 = certify(
                        g,
                        g.federation_id(),
                        event("release", "1"),
                        &[key(0), key(1), key(2)],
                    );
                },
                |e| {
                    matches!(
                        e,
                        ChainError::NotAnEpochChange {
                            epoch: Epoch(1),
                            ..
                        }
                    )
                },
            ),
        ];
        for (i, (spoil, is_right)) in cases.iter().enumerate() {
            let (mut genesis, mut links) = chain();
            spoil(&mut genesis, &mut links);
            let error = verify_chain(&genesis, &links).unwrap_err();
            assert!(is_right(&error), "case {i}: {error}");
        }
    }
}
