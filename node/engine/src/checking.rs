//! Checks what peers answer, away from the engine: every signature and certificate, before anything
//! is believed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use ssid_protocol::batch::{BatchProof, Kind, KnownRoots, SignedBatch, VerifiedBatch};
use ssid_protocol::certificate::{Certificate, CertificateError, Verifier};
use ssid_protocol::epoch::{EpochContext, Epochs};
use ssid_protocol::event::Event;
use ssid_protocol::evidence::{Evidence, Signed};
use ssid_protocol::id::{Epoch, FederationId, NodeId, SubjectId};
use ssid_protocol::identity::VerifyKey;
use ssid_protocol::sync::{
    Answer, ChangeAnswer, HeldClose, LOG_PAGE, LockProof, ProvenEvent, READY, Request,
};

use super::messages::{Carried, CheckedAnswer};

/// What signatures and certificates are checked against: the epochs that are known.
#[derive(Clone, Debug)]
pub struct Checker {
    epochs: Arc<Epochs>,
    /// Votes come alone out of the same batch: its signature is checked once.
    known: RefCell<KnownRoots>,
}

/// Why an answer is not believed. Whoever sent it did not check it either, or lies; unless
/// [`BadAnswer::needs_another_manifest`].
#[derive(Debug, thiserror::Error)]
#[error("{what} in the answer of node {from} does not hold: {reason}")]
pub struct BadAnswer {
    from: NodeId,
    what: &'static str,
    reason: String,
    needs_another_manifest: bool,
}

impl BadAnswer {
    fn new(from: NodeId, what: &'static str, reason: &(impl ToString + ?Sized)) -> Self {
        Self {
            from,
            what,
            reason: reason.to_string(),
            needs_another_manifest: false,
        }
    }

    /// Whether it may hold by another epoch's manifest, which whoever sent it may have.
    pub fn needs_another_manifest(&self) -> bool {
        self.needs_another_manifest
    }
}

/// What was checked; `None` if that takes another manifest, which is no reason to believe less of
/// the rest.
fn usable<T>(checked: Result<T, BadAnswer>) -> Result<Option<T>, BadAnswer> {
    match checked {
        Ok(found) => Ok(Some(found)),
        Err(bad) if bad.needs_another_manifest => Ok(None),
        Err(bad) => Err(bad),
    }
}

/// What of `items` is usable.
fn usable_of<T, U>(
    items: Vec<T>,
    check: impl Fn(T) -> Result<U, BadAnswer>,
) -> Result<Vec<U>, BadAnswer> {
    items
        .into_iter()
        .filter_map(|item| usable(check(item)).transpose())
        .collect()
}

/// Verifiers of certificates, each made when a certificate of its epoch is met: signatures that
/// several share are checked once.
struct Verifiers<'a> {
    checker: &'a Checker,
    by_epoch: BTreeMap<Epoch, Verifier<'a>>,
}

impl Verifiers<'_> {
    fn verify(&mut self, certificate: &Certificate) -> Result<(), CertificateError> {
        let epoch = self.checker.epoch_of(Some(certificate.epoch));
        let verifier = self
            .by_epoch
            .entry(epoch.number())
            .or_insert_with(|| epoch.certificates());
        certificate.verify(verifier)
    }
}

impl Checker {
    /// By the epochs that are known.
    pub fn new(epochs: Arc<Epochs>) -> Self {
        Self {
            epochs,
            known: RefCell::default(),
        }
    }

    /// The same, of later epochs: what was checked before stays so.
    pub fn set_epochs(&mut self, epochs: Arc<Epochs>) {
        self.epochs = epochs;
    }

    /// The context of an epoch; of one that is not known, and of what has none, the current one,
    /// which says what does not fit.
    fn epoch_of(&self, number: Option<Epoch>) -> &EpochContext {
        let known = number.and_then(|number| self.epochs.get(number));
        known.unwrap_or(self.epochs.current())
    }

    fn verifiers(&self) -> Verifiers<'_> {
        Verifiers {
            checker: self,
            by_epoch: BTreeMap::new(),
        }
    }

    fn current(&self) -> &EpochContext {
        self.epochs.current()
    }

    /// Checks everything in `answer`, which must be one to `request`. What takes another epoch's
    /// manifest is left out.
    ///
    /// # Errors
    /// The first thing that does not hold; then nothing of the answer is used.
    pub fn check(
        &self,
        from: NodeId,
        request: &Request,
        answer: Answer,
    ) -> Result<CheckedAnswer, BadAnswer> {
        match (request, answer) {
            (_, Answer::Refused(reason)) => {
                // shown to people, who shall not read a page of somebody else's words
                Ok(CheckedAnswer::Refused(reason.chars().take(200).collect()))
            }
            (Request::Status, Answer::Status(batch)) => {
                Ok(CheckedAnswer::Status(self.one(from, batch)?))
            }
            (
                Request::Own,
                Answer::Own {
                    heartbeat,
                    votes,
                    complete,
                },
            ) => Ok(CheckedAnswer::Own {
                heartbeat: self.one(from, heartbeat)?,
                votes: usable_of(votes, |signed| {
                    self.statement(from, &signed).map(|()| signed)
                })?,
                complete,
            }),
            (
                Request::Log { .. },
                Answer::Log {
                    log_id,
                    size,
                    entries,
                },
            ) if entries.len() <= LOG_PAGE as usize => {
                let count = entries.len();
                let certificates = self.certificates(from, entries)?;
                // a log is read in order: nothing counts behind a gap
                if certificates.len() < count {
                    let reason =
                        "its log has certificates of an epoch whose manifest is not known here";
                    return Ok(CheckedAnswer::Refused(reason.to_owned()));
                }
                Ok(CheckedAnswer::Log {
                    log_id,
                    size,
                    certificates,
                })
            }
            (
                Request::Open { .. },
                Answer::Open {
                    batches,
                    statements,
                    events,
                    certificates,
                    next,
                },
            ) => {
                let carried = Carried {
                    batches: usable_of(batches, |batch| self.batch(from, batch))?,
                    statements: usable_of(statements, |signed| {
                        self.statement(from, &signed).map(|()| signed)
                    })?,
                    certificates: self.certificates(from, certificates)?,
                    events: self.events(from, events)?,
                };
                Ok(CheckedAnswer::Open { carried, next })
            }
            (Request::Events { digests }, Answer::Events(events)) => {
                let events = self.events(from, events)?;
                // what was not asked for may be true, and would take room all the same
                let asked = events
                    .into_iter()
                    .filter(|(event, _)| digests.contains(&event.content_digest()));
                Ok(CheckedAnswer::Events(asked.collect()))
            }
            (Request::Evidence { .. }, Answer::Evidence(pieces)) => {
                let check = |evidence: Evidence| match evidence
                    .verify(self.epoch_of(evidence.epoch()).evidence())
                {
                    Ok(_) => Ok(evidence),
                    // of an epoch that is not known here it may be right
                    Err(error) => Err(BadAnswer {
                        needs_another_manifest: error.needs_another_manifest(),
                        ..BadAnswer::new(from, "evidence", &error)
                    }),
                };
                Ok(CheckedAnswer::Evidence(usable_of(pieces, check)?))
            }
            (Request::Change(_), Answer::Change(answer)) => {
                Ok(CheckedAnswer::Change(self.change(from, answer)?))
            }
            _ => Err(BadAnswer::new(
                from,
                "the kind of answer",
                &"it answers another question",
            )),
        }
    }

    /// What concerns changes of members: closes and the votes behind locks. A chain of epochs, and
    /// manifests, prove themselves together, and parts of sets by what a close names.
    fn change(&self, from: NodeId, answer: ChangeAnswer) -> Result<ChangeAnswer, BadAnswer> {
        let statement = |signed: Signed| self.statement(from, &signed).map(|()| signed);
        Ok(match answer {
            ChangeAnswer::Closes(closes) => ChangeAnswer::Closes(usable_of(closes, |held| {
                let close = statement(held.close)?;
                Ok(HeldClose { close, ..held })
            })?),
            ChangeAnswer::Polkas(proofs) => ChangeAnswer::Polkas(usable_of(proofs, |proof| {
                Ok(match proof {
                    LockProof::Prevotes { event, prevotes } => LockProof::Prevotes {
                        event,
                        prevotes: usable_of(prevotes, statement)?,
                    },
                    LockProof::Certificate(certificate) => {
                        let mut good = self.certificates(from, vec![*certificate])?;
                        let good = good.pop().ok_or_else(|| BadAnswer {
                            needs_another_manifest: true,
                            ..BadAnswer::new(from, "a certificate", &"its epoch is not known")
                        })?;
                        LockProof::Certificate(Box::new(good))
                    }
                })
            })?),
            ChangeAnswer::Ready(batches) => ChangeAnswer::Ready(self.ready(from, batches)?),
            other @ (ChangeAnswer::Epochs(_)
            | ChangeAnswer::Manifests(_)
            | ChangeAnswer::Standing(_)
            | ChangeAnswer::Sets(_)) => other,
        })
    }

    /// Ready statements are signed by keys that may be in no manifest in force: what each says of
    /// its own is checked, and whose seat it is by who knows the manifest.
    fn ready(
        &self,
        from: NodeId,
        batches: Vec<SignedBatch>,
    ) -> Result<Vec<SignedBatch>, BadAnswer> {
        let check = |batch: SignedBatch| {
            let bad = |error: &dyn ToString| BadAnswer::new(from, "a ready statement", error);
            let key = VerifyKey::parse(batch.signer).map_err(|error| bad(&error))?;
            let verified = batch.verify(&key, self.current().federation());
            let verified = verified.map_err(|error| bad(&error))?;
            Ok(verified.batch().clone())
        };
        batches.into_iter().take(READY).map(check).collect()
    }

    fn one(
        &self,
        from: NodeId,
        batch: Option<Box<SignedBatch>>,
    ) -> Result<Option<Arc<VerifiedBatch>>, BadAnswer> {
        let Some(batch) = batch else { return Ok(None) };
        usable(self.batch(from, *batch))
    }

    /// Whose signatures are believed, and the subjects of whose events: what a branch is read with.
    pub fn federation(&self) -> FederationId {
        *self.current().federation()
    }

    /// The subject of an event, under the federation's policies.
    pub fn subject_of(&self, event: &Event) -> SubjectId {
        self.current().subject_of(event)
    }

    /// Checks a batch that stood on the branch of `from`.
    ///
    /// # Errors
    /// If its signature does not hold.
    pub fn carried_batch(
        &self,
        from: NodeId,
        batch: SignedBatch,
    ) -> Result<Arc<VerifiedBatch>, BadAnswer> {
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

    /// Those of the certificates that hold, each on its own, and why others do not; of those of
    /// other epochs neither.
    pub fn carried_certificates(
        &self,
        certificates: Vec<Certificate>,
    ) -> (Vec<Certificate>, Vec<String>) {
        let mut verifiers = self.verifiers();
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for certificate in certificates {
            match verifiers.verify(&certificate) {
                Ok(()) => good.push(certificate),
                Err(error) if error.needs_another_manifest() => {}
                Err(error) => bad.push(error.to_string()),
            }
        }
        (good, bad)
    }

    fn key(&self, from: NodeId, signer: NodeId) -> Result<&VerifyKey, BadAnswer> {
        self.epochs.key(&signer).ok_or_else(|| BadAnswer {
            needs_another_manifest: true,
            ..BadAnswer::new(
                from,
                "a signature",
                &format!("its signer {signer} is no member"),
            )
        })
    }

    fn batch(&self, from: NodeId, batch: SignedBatch) -> Result<Arc<VerifiedBatch>, BadAnswer> {
        let key = self.key(from, batch.signer)?;
        let known = &mut self.known.borrow_mut();
        let verified = batch.verify_once(key, self.current().federation(), known);
        let verified = verified.map(Arc::new);
        verified.map_err(|error| BadAnswer::new(from, "a batch", &error))
    }

    fn statement(&self, from: NodeId, signed: &Signed) -> Result<(), BadAnswer> {
        let key = self.key(from, signed.proof.signer)?;
        let known = &mut self.known.borrow_mut();
        let verified = signed.verify_once(key, self.current().federation(), known);
        verified.map_err(|error| BadAnswer::new(from, "a statement", &error))
    }

    /// Events, each with its announcement; without it if its signer is known to another manifest
    /// only.
    fn events(
        &self,
        from: NodeId,
        events: Vec<ProvenEvent>,
    ) -> Result<Vec<(Event, Option<BatchProof>)>, BadAnswer> {
        let check = |ProvenEvent { event, announced }: ProvenEvent| {
            let Some(proof) = announced else {
                return Ok((event, None));
            };
            let Some(key) = usable(self.key(from, proof.signer))? else {
                return Ok((event, None));
            };
            let verified = proof.verify_once(
                Kind::Events,
                &event.choice().to_bytes(),
                key,
                self.current().federation(),
                &mut self.known.borrow_mut(),
            );
            verified.map_err(|error| BadAnswer::new(from, "an announcement", &error))?;
            Ok((event, Some(proof)))
        };
        events.into_iter().map(check).collect()
    }

    /// Those of the certificates that are of the epoch whose manifest is known.
    fn certificates(
        &self,
        from: NodeId,
        certificates: Vec<Certificate>,
    ) -> Result<Vec<Certificate>, BadAnswer> {
        let mut verifiers = self.verifiers();
        let mut good = Vec::with_capacity(certificates.len());
        for certificate in certificates {
            match verifiers.verify(&certificate) {
                Ok(()) => good.push(certificate),
                Err(error) if error.needs_another_manifest() => {}
                Err(error) => return Err(BadAnswer::new(from, "a certificate", &error)),
            }
        }
        Ok(good)
    }
}
