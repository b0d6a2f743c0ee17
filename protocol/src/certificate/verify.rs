//! Whether a certificate proves what it says (SPEC §8).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{Certificate, CertificateError};
use crate::batch::{BatchError, BatchProof, Kind};
use crate::id::{Epoch, FederationId, MerkleHash, Signature};
use crate::json::excerpt;
use crate::manifest::{Manifest, ManifestError};
use crate::quorum::{Voter, VoterIndex, VoterSet};
use crate::subject::{EventPolicies, Policy};

/// What certificates of one epoch are checked against, and the batch signatures found good so far:
/// certificates from the same batches cost one signature check per batch. It grows by an entry per
/// batch, so it is made anew per page.
#[derive(Clone, Debug)]
pub struct Verifier<'a> {
    federation: FederationId,
    epoch: Epoch,
    voters: Cow<'a, VoterSet>,
    policies: &'a EventPolicies,
    // the signature is part of the key: a root that is proven once does not make every signature
    // beside it good
    verified: HashSet<(VoterIndex, u32, MerkleHash, Signature)>,
}

impl<'a> Verifier<'a> {
    /// A verifier for the epoch of `manifest`, which the caller has validated. The policies are the
    /// genesis manifest's.
    ///
    /// # Errors
    /// As [`Manifest::voters`]; not if the manifest is valid.
    pub fn new(
        federation: FederationId,
        manifest: &Manifest,
        policies: &'a EventPolicies,
    ) -> Result<Self, ManifestError> {
        let voters = Cow::Owned(manifest.voters()?);
        Ok(Self {
            federation,
            epoch: manifest.epoch,
            voters,
            policies,
            verified: HashSet::new(),
        })
    }

    /// A verifier for an epoch whose voters are known already.
    pub fn with_voters(
        federation: FederationId,
        epoch: Epoch,
        voters: &'a VoterSet,
        policies: &'a EventPolicies,
    ) -> Self {
        Self {
            federation,
            epoch,
            voters: Cow::Borrowed(voters),
            policies,
            verified: HashSet::new(),
        }
    }

    /// The epoch whose certificates it verifies.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How many batch signatures it has checked and found good.
    pub fn batches_verified(&self) -> usize {
        self.verified.len()
    }
}

/// A precommit in its bounds, whose signature is still to be checked over the root it leads to.
struct Claim<'a> {
    place: VoterIndex,
    voter: &'a Voter,
    proof: &'a BatchProof,
    root: MerkleHash,
}

impl Certificate {
    /// Checks all that SPEC §8 asks of a certificate of the verifier's epoch; signatures last, as
    /// they cost most.
    ///
    /// A certificate is verified with nothing but the genesis manifest:
    ///
    /// ```
    /// use ssid_protocol::batch::{Statements, VerifiedBatch};
    /// use ssid_protocol::certificate::{Certificate, Verifier};
    /// use ssid_protocol::id::{Epoch, Round};
    /// use ssid_protocol::testing::{event, federation};
    /// use ssid_protocol::vote::{Phase, Vote};
    ///
    /// let (genesis, id, _, keys) = federation(4);
    /// let event = event("release", "v1");
    /// let subject = genesis.event_policies.subject_of(&event);
    /// let precommit = Vote {
    ///     epoch: Epoch::ZERO,
    ///     subject: subject.id(&id),
    ///     round: Round::ZERO,
    ///     phase: Phase::Precommit,
    ///     ballot: Some(event.choice()),
    ///     observed: false,
    /// };
    /// let proofs = keys.iter().map(|key| {
    ///     let batch = VerifiedBatch::sign(key, &id, Statements::Votes(vec![precommit]));
    ///     batch.unwrap().proof(0).unwrap()
    /// });
    /// let proofs: Vec<_> = proofs.take(3).collect();
    /// let mut certificate =
    ///     Certificate::assemble(id, Epoch::ZERO, subject, Round::ZERO, event, proofs);
    ///
    /// let mut verifier = Verifier::new(id, &genesis, &genesis.event_policies).unwrap();
    /// assert!(certificate.verify(&mut verifier).is_ok());
    /// certificate.precommits.pop();
    /// assert!(certificate.verify(&mut verifier).is_err(), "2 of 4 are no quorum");
    /// ```
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn verify(&self, against: &mut Verifier<'_>) -> Result<(), CertificateError> {
        // all that costs nothing comes before hashes, and these before signatures
        self.check_contents(against)?;
        let voters = &*against.voters;
        let claims = self.claims(voters)?;
        // both are asked: weights may make a few members a quorum
        if claims.len() < voters.min_signers() {
            return Err(CertificateError::Signers {
                min: voters.min_signers(),
                found: claims.len(),
            });
        }
        let weight = claims
            .iter()
            .fold(0_u64, |sum, claim| sum.saturating_add(claim.voter.weight));
        if weight < voters.quorum() {
            return Err(CertificateError::Weight {
                quorum: voters.quorum(),
                weight,
            });
        }
        for (
            at,
            Claim {
                place,
                voter,
                proof,
                root,
            },
        ) in claims.into_iter().enumerate()
        {
            // by signature too (SPEC §14): a spoiled one beside a good one would pass else
            let batch = (place, proof.count, root, proof.signature);
            if !against.verified.contains(&batch) {
                proof
                    .verify_root(Kind::Votes, &root, &voter.key, &against.federation)
                    .map_err(|_| CertificateError::Signature {
                        at,
                        signer: proof.signer,
                    })?;
                against.verified.insert(batch);
            }
        }
        Ok(())
    }

    /// What can be checked without looking at the precommits.
    fn check_contents(&self, against: &Verifier<'_>) -> Result<(), CertificateError> {
        if self.federation_id != against.federation {
            return Err(CertificateError::Federation {
                expected: against.federation,
                found: self.federation_id,
            });
        }
        if self.epoch != against.epoch {
            return Err(CertificateError::Epoch {
                expected: against.epoch,
                found: self.epoch,
            });
        }
        self.event.check_admissible(self.epoch)?;
        self.check_choice()?;
        self.check_subject(against.policies)
    }

    fn check_choice(&self) -> Result<(), CertificateError> {
        let (actual, named) = (self.event.choice(), self.choice);
        let differs = |field, expected: String, found: String| CertificateError::Choice {
            field,
            // named one by one: the registry's own hash leaves three fields out, and people know
            // only that one
            expected,
            found,
        };
        if actual.event_hash != named.event_hash {
            return Err(differs(
                "event_hash",
                actual.event_hash.to_string(),
                named.event_hash.to_string(),
            ));
        }
        if actual.content_digest != named.content_digest {
            return Err(differs(
                "content_digest",
                actual.content_digest.to_string(),
                named.content_digest.to_string(),
            ));
        }
        Ok(())
    }

    fn check_subject(&self, policies: &EventPolicies) -> Result<(), CertificateError> {
        let (actual, named) = (policies.subject_of(&self.event), &self.subject);
        for (field, expected, found) in [
            ("event", &actual.event, &named.event),
            ("version", &actual.version, &named.version),
        ] {
            if expected != found {
                let (expected, found) = (excerpt(expected), excerpt(found));
                return Err(CertificateError::Subject {
                    field,
                    expected,
                    found,
                });
            }
        }
        // of recurring events it is the timestamp as written: another way to write it is another
        // subject
        if actual.occurrence != named.occurrence {
            let policy = match policies.of(&self.event.event) {
                Policy::Unique => "unique",
                Policy::Recurring => "recurring",
            };
            let (expected, found) = (excerpt(&actual.occurrence), excerpt(&named.occurrence));
            return Err(CertificateError::Occurrence {
                policy,
                expected,
                found,
            });
        }
        Ok(())
    }

    /// The precommits with their distinct voters and the roots they lead to.
    fn claims<'a>(&'a self, voters: &'a VoterSet) -> Result<Vec<Claim<'a>>, CertificateError> {
        // rebuilt from the certificate: what a proof itself might claim is never asked
        let leaf = self.vote().leaf_bytes();
        let mut first_at = HashMap::new();
        let mut claims = Vec::new();
        for (at, proof) in self.precommits.iter().enumerate() {
            let voter = voters
                .index_of(&proof.signer)
                .and_then(|place| Some((place, voters.get(place)?)));
            let Some((place, voter)) = voter else {
                return Err(CertificateError::NotAVoter {
                    at,
                    epoch: self.epoch,
                    found: proof.signer,
                });
            };
            // counted once a voter: else one signer alone could make a quorum
            if let Some(first) = first_at.insert(place, at) {
                return Err(CertificateError::CountedTwice {
                    at,
                    first,
                    found: proof.signer,
                });
            }
            let root = proof
                .root(&leaf)
                .map_err(|e| out_of_bounds(at, proof, &e))?;
            claims.push(Claim {
                place,
                voter,
                proof,
                root,
            });
        }
        Ok(claims)
    }
}

/// In the words of a certificate why a proof leads to no root.
fn out_of_bounds(at: usize, proof: &BatchProof, reason: &BatchError) -> CertificateError {
    let BatchProof { index, count, .. } = *proof;
    match reason {
        BatchError::Count(_) => CertificateError::Count { at, found: count },
        BatchError::Index { .. } => CertificateError::Index {
            at,
            count,
            found: index,
        },
        _ => CertificateError::Path {
            at,
            index,
            count,
            found: proof.path.len(),
        },
    }
}
