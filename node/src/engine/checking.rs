//! Checks what peers answer, away from the engine: every signature and certificate, before anything is believed.

use std::collections::BTreeMap;
use std::sync::Arc;

use ssid_protocol::batch::{BatchProof, Kind, SignedBatch, VerifiedBatch};
use ssid_protocol::certificate::{Certificate, Verifier};
use ssid_protocol::event::Event;
use ssid_protocol::evidence::{self, Signed};
use ssid_protocol::id::{FederationId, NodeId, SubjectId};
use ssid_protocol::identity::VerifyKey;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::quorum::VoterSet;
use ssid_protocol::subject::EventPolicies;
use ssid_protocol::sync::{Answer, LOG_PAGE, ProvenEvent, Request};

use super::messages::CheckedAnswer;

/// What signatures and certificates are checked against: one epoch's members.
#[derive(Debug)]
pub struct Checker {
    federation: FederationId,
    manifest: Manifest,
    voters: VoterSet,
    policies: EventPolicies,
    keys: BTreeMap<NodeId, VerifyKey>,
    evidence: evidence::Verifier,
}

/// Why an answer is not believed. Whoever sent it did not check it either, or lies.
#[derive(Debug, thiserror::Error)]
#[error("{what} in the answer of node {from} does not hold: {reason}")]
pub struct BadAnswer {
    from: NodeId,
    what: &'static str,
    reason: String,
}

impl Checker {
    /// Of a validated manifest.
    pub fn new(federation: FederationId, manifest: Manifest, voters: VoterSet, policies: EventPolicies) -> Self {
        let evidence = evidence::Verifier::new(federation, &manifest, voters.clone(), policies.clone());
        let keys = manifest.members.iter().filter_map(|member| VerifyKey::parse(member.node_id).ok());
        let keys = keys.map(|key| (key.id(), key)).collect();
        Self { federation, manifest, voters, policies, keys, evidence }
    }

    /// Checks everything in `answer`, which must be one to `request`.
    ///
    /// # Errors
    /// The first thing that does not hold; then nothing of the answer is used.
    pub fn check(&self, from: NodeId, request: &Request, answer: Answer) -> Result<CheckedAnswer, BadAnswer> {
        match (request, answer) {
            (_, Answer::Refused(reason)) => Ok(CheckedAnswer::Refused(reason.chars().take(200).collect())),
            (Request::Status, Answer::Status(batch)) => {
                let batch = batch.map(|batch| self.batch(from, *batch)).transpose()?;
                Ok(CheckedAnswer::Status(batch))
            }
            (Request::Own, Answer::Own(batch)) => {
                let batch = batch.map(|batch| self.batch(from, *batch)).transpose()?;
                Ok(CheckedAnswer::Own(batch))
            }
            (Request::Log { .. }, Answer::Log { log_id, size, entries }) if entries.len() <= LOG_PAGE as usize => {
                Ok(CheckedAnswer::Log { log_id, size, certificates: self.certificates(from, entries)? })
            }
            (Request::Open { .. }, Answer::Open { batches, statements, events, certificates, next }) => {
                let batches = batches.into_iter().map(|batch| self.batch(from, batch)).collect::<Result<_, _>>()?;
                statements.iter().try_for_each(|signed| self.statement(from, signed))?;
                let certificates = self.certificates(from, certificates)?;
                Ok(CheckedAnswer::Open { batches, statements, events: self.events(from, events)?, certificates, next })
            }
            (Request::Events { digests }, Answer::Events(events)) => {
                let events = self.events(from, events)?;
                let asked = events.into_iter().filter(|(event, _)| digests.contains(&event.content_digest()));
                Ok(CheckedAnswer::Events(asked.collect()))
            }
            (Request::Evidence { .. }, Answer::Evidence(pieces)) => {
                for evidence in &pieces {
                    let bad = |reason: String| BadAnswer { from, what: "evidence", reason };
                    evidence.verify(&self.evidence).map_err(|error| bad(error.to_string()))?;
                }
                Ok(CheckedAnswer::Evidence(pieces))
            }
            _ => Err(BadAnswer { from, what: "the kind of answer", reason: "it answers another question".into() }),
        }
    }

    /// Whose signatures are believed, and the subjects of whose events: what a branch is read with.
    pub fn federation(&self) -> FederationId {
        self.federation
    }

    /// The subject of an event, under the federation's policies.
    pub fn subject_of(&self, event: &Event) -> SubjectId {
        self.policies.subject_of(event).id(&self.federation)
    }

    /// Checks a batch that stood on the branch of `from`.
    ///
    /// # Errors
    /// If its signature does not hold.
    pub fn carried_batch(&self, from: NodeId, batch: SignedBatch) -> Result<Arc<VerifiedBatch>, BadAnswer> {
        self.batch(from, batch)
    }

    /// Checks a statement that stood alone on the branch of `from`.
    ///
    /// # Errors
    /// If its proof does not hold.
    pub fn carried_statement(&self, from: NodeId, signed: &Signed) -> Result<(), BadAnswer> {
        self.statement(from, signed)
    }

    /// Checks an event that stood on the branch of `from`, and the announcement with it.
    ///
    /// # Errors
    /// If the announcement does not hold.
    pub fn carried_event(
        &self,
        from: NodeId,
        event: ProvenEvent,
    ) -> Result<Option<(Event, Option<BatchProof>)>, BadAnswer> {
        Ok(self.events(from, vec![event])?.pop())
    }

    /// Those of the certificates that hold, each on its own, and why the first of the others does not.
    pub fn carried_certificates(&self, certificates: Vec<Certificate>) -> (Vec<Certificate>, Vec<String>) {
        let mut verifier = Verifier::with_voters(self.federation, self.manifest.epoch, &self.voters, &self.policies);
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for certificate in certificates {
            match certificate.verify(&mut verifier) {
                Ok(()) => good.push(certificate),
                Err(error) => bad.push(error.to_string()),
            }
        }
        (good, bad)
    }

    fn key(&self, from: NodeId, signer: NodeId) -> Result<&VerifyKey, BadAnswer> {
        let reason = || format!("its signer {signer} is no member");
        self.keys.get(&signer).ok_or_else(|| BadAnswer { from, what: "a signature", reason: reason() })
    }

    fn batch(&self, from: NodeId, batch: SignedBatch) -> Result<Arc<VerifiedBatch>, BadAnswer> {
        let key = self.key(from, batch.signer)?;
        let bad =
            |error: ssid_protocol::batch::BatchError| BadAnswer { from, what: "a batch", reason: error.to_string() };
        batch.verify(key, &self.federation).map(Arc::new).map_err(bad)
    }

    fn statement(&self, from: NodeId, signed: &Signed) -> Result<(), BadAnswer> {
        let key = self.key(from, signed.proof.signer)?;
        let bad = |error: ssid_protocol::batch::BatchError| BadAnswer {
            from,
            what: "a statement",
            reason: error.to_string(),
        };
        signed.verify(key, &self.federation).map_err(bad)
    }

    fn events(&self, from: NodeId, events: Vec<ProvenEvent>) -> Result<Vec<(Event, Option<BatchProof>)>, BadAnswer> {
        let check = |ProvenEvent { event, announced }: ProvenEvent| {
            if let Some(proof) = &announced {
                let key = self.key(from, proof.signer)?;
                let bad = |error: ssid_protocol::batch::BatchError| BadAnswer {
                    from,
                    what: "an announcement",
                    reason: error.to_string(),
                };
                proof.verify(Kind::Events, &event.choice().to_bytes(), key, &self.federation).map_err(bad)?;
            }
            Ok((event, announced))
        };
        events.into_iter().map(check).collect()
    }

    fn certificates(&self, from: NodeId, certificates: Vec<Certificate>) -> Result<Vec<Certificate>, BadAnswer> {
        let mut verifier = Verifier::with_voters(self.federation, self.manifest.epoch, &self.voters, &self.policies);
        for certificate in &certificates {
            let bad = |error: ssid_protocol::certificate::CertificateError| BadAnswer {
                from,
                what: "a certificate",
                reason: error.to_string(),
            };
            certificate.verify(&mut verifier).map_err(bad)?;
        }
        Ok(certificates)
    }
}
