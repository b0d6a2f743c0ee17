//! Decisions: the certificate's reference, this node's record, trust, and the end of the instance
//! (SPEC §7 rule 3, §8).

use std::collections::BTreeMap;

use ssid_protocol::batch::BatchProof;
use ssid_protocol::certificate::Certificate;
use ssid_protocol::id::{Choice, Round, SubjectId};
use ssid_protocol::record::{ConsensusRecord, FirstPrevote, Resolution, Transport};
use ssid_protocol::small_map::SmallMap;
use ssid_protocol::vote::Phase;
use ssid_protocol::voting::Input;
use ssid_storage::{Certified, LogEntry, ProofRef};

use super::closing::Decided;
use super::engine::{Engine, Tick};
use super::node_event::NodeEvent;
use super::open::{Held, Open};
use super::proof::Proof;

/// Certificates kept for the next tick because they contradict a decision of this one; others come
/// again.
const CONTESTED: usize = 16;

impl Engine {
    /// Certificates that verified: each decides its subject at once (rule 3).
    pub(super) fn take_certificates(&mut self, tick: &mut Tick, certificates: Vec<Certificate>) {
        for certificate in certificates {
            if self.is_of_own_epoch(&certificate) {
                self.take_certificate(tick, certificate);
            } else {
                self.take_other_epochs(tick, certificate);
            }
        }
    }

    /// One that decides; if its subject is decided already it must name the same choice.
    pub(super) fn take_certificate(&mut self, tick: &mut Tick, certificate: Certificate) {
        let id = certificate.subject.id(self.epochs.current().federation());
        let (round, choice) = (certificate.round, certificate.choice);
        if self.ensure_open(tick, id).is_none() {
            self.compare_certificates(tick, &id, certificate);
            return;
        }
        // it may hold a precommit of this node that its journal lacks
        self.look_for_lost_precommit(tick, id, &certificate);
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        if let Some((_, decided)) = open.machine.decided() {
            // evidence needs the first one on disk, where it is after this tick
            if decided != choice && self.contested.len() < CONTESTED {
                self.contested.push(certificate);
            }
            return;
        }
        open.subject
            .get_or_insert_with(|| certificate.subject.clone());
        let event = certificate.event.clone();
        let transport = if tick.transport == Transport::Git {
            Transport::Git
        } else {
            Transport::Sync
        };
        tick.certificates.insert(id, (certificate, transport));
        // the certificate first: a candidate may complete a vote, and nothing is signed for what is
        // decided
        self.apply(tick, id, Input::Certified { round, choice });
        if let Some(open) = self.open.get_mut(&id) {
            open.certified_event = Some(event);
        }
    }

    /// Ends the instances that this tick decided.
    pub(super) fn finish_decided(&mut self, tick: &mut Tick) {
        for (subject, round, choice) in std::mem::take(&mut tick.decided) {
            // asked while the instance is there, whose candidate it may be
            let own = self.own_event(&subject);
            let Some(open) = self.forget(&subject) else {
                continue;
            };
            // what is certified gets no row among the open ones
            tick.dirty.remove(&subject);
            if self.end_decided_again(tick, subject, choice) {
                continue;
            }
            let certificate = tick.certificates.remove(&subject);
            let by_certificate = self.transport_of_votes(&open, round, choice).is_none();
            let Some(decided) = self.decide(tick, subject, &open, round, choice, certificate)
            else {
                // a node that abstains took its own vote back: the others' certificate comes. Any
                // other was to sign nothing for the subject any more, and has just forgotten that
                if self.standing.abstaining().is_none() {
                    let why = "its event or the votes that decided it are not held";
                    tick.failure.get_or_insert(format!(
                        "the decision of subject {subject} cannot be written: {why}"
                    ));
                }
                continue;
            };
            self.note_trust(tick, subject, &decided);
            if by_certificate {
                self.tell_own_observation(tick, &open);
            }
            let agrees = decided.record.disagreeing_nodes.is_empty();
            self.counts.note_record(agrees);
            let decided = Decided {
                held: open.held,
                announced: open.announced,
                ..decided
            };
            self.open.end_decided_before(&subject);
            tick.effects.events.push(NodeEvent::Certified {
                sequence: 0, // numbered once it is on disk
                subject_id: subject,
                choice,
                event: decided.record.event_type.clone(),
                version: decided.record.event_version.clone(),
                round,
                at: tick.now,
            });
            self.closing.add(tick.steady, subject, decided);
            self.settle_own(tick, subject, own.as_ref());
            if subject == self.epochs.current().change() {
                // nothing more is signed in this epoch
                self.membership.note_decided();
                self.rules.signing = self.signing();
            } else if open.machine.is_inherited() {
                tick.changes.inherited.push((subject, None));
            }
        }
    }

    /// Ends the vote on a subject that this node held certified while others may only have been
    /// locked on it; whether it is one.
    fn end_decided_again(&mut self, tick: &mut Tick, subject: SubjectId, choice: Choice) -> bool {
        if !self.is_certified(&subject) {
            return false;
        }
        self.membership.end_again(&subject);
        tick.changes.inherited.push((subject, None));
        if self
            .certified_choice(&subject)
            .is_some_and(|(_, own)| own != choice)
        {
            tracing::error!(%subject, "a certified subject was decided otherwise in a later epoch: more than F \
                of the voters' weight is dishonest");
        }
        true
    }

    fn decide(
        &mut self,
        tick: &mut Tick,
        subject_id: SubjectId,
        open: &Open,
        round: Round,
        choice: Choice,
        certificate: Option<(Certificate, Transport)>,
    ) -> Option<Decided> {
        let event = if let Some(candidate) = open.machine.candidate(choice) {
            candidate.event.clone() // stored when it became one
        } else {
            let event = open.certified_event.clone()?;
            tick.changes.events.push(event.clone());
            event
        };
        let subject = open.subject.clone()?;
        // the votes held come first: their batches are stored once for all their subjects, while a
        // certificate brings its proofs one by one
        let (epoch, references, transport) = if let Some(transport) =
            self.transport_of_votes(open, round, choice)
        {
            let precommits: Vec<&Held> = open.votes_for(round, Phase::Precommit, choice).collect();
            for batch in precommits.iter().filter_map(|held| held.proof.batch()) {
                self.store_batch(tick, batch);
            }
            (
                self.epochs.current().number(),
                precommits
                    .iter()
                    .map(|held| held.proof.reference())
                    .collect(),
                transport,
            )
        } else {
            let (certificate, transport) = certificate?;
            let alone: Vec<BatchProof> = certificate.precommits;
            (
                certificate.epoch,
                alone.into_iter().map(ProofRef::Alone).collect(),
                transport,
            )
        };
        let record = self.record(tick, subject_id, open, round, choice, transport, &event)?;
        let entry = LogEntry {
            subject,
            epoch,
            round,
            choice,
            precommits: references,
        };
        tick.changes.certified.push(Certified {
            entry,
            record: record.clone(),
        });
        // a late observation may be of one of these
        let others: BTreeMap<_, _> = open
            .machine
            .candidates()
            .filter(|c| c.choice != choice)
            .map(|c| (c.choice, c.event.clone()))
            .collect();
        let origin = open.announced.get(&choice).map(Proof::signer);
        let (held, announced) = (Vec::new(), SmallMap::default()); // moved here when the instance has ended
        let may_sign = open.may_sign;
        Some(Decided {
            sequence: None,
            record,
            event,
            others,
            origin,
            held,
            announced,
            may_sign,
            knows_late: true,
        })
    }

    /// The transport by which a quorum of precommits came: `live` if those alone are one that came live,
    /// `git` if some more were needed; `None` if they are no quorum.
    fn transport_of_votes(&self, open: &Open, round: Round, choice: Choice) -> Option<Transport> {
        let is_quorum = |votes: &dyn Fn(&Held) -> bool| {
            let precommits = open
                .votes_for(round, Phase::Precommit, choice)
                .filter(|held| votes(held));
            let (weight, count) = precommits.fold((0, 0), |(weight, count), held| {
                (
                    weight + self.epochs.current().voters().weight(held.voter),
                    count + 1,
                )
            });
            self.epochs.current().voters().is_quorum(weight, count)
        };
        match () {
            () if is_quorum(&|held| held.transport != Transport::Git) => Some(Transport::Live),
            () if is_quorum(&|_| true) => Some(Transport::Git),
            () => None,
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one record, made in one place from what the decision knows"
    )]
    fn record(
        &self,
        tick: &Tick,
        subject_id: SubjectId,
        open: &Open,
        round: Round,
        choice: Choice,
        transport: Transport,
        event: &ssid_protocol::event::Event,
    ) -> Option<ConsensusRecord> {
        let subject = open.subject.as_ref()?;
        let mut record = ConsensusRecord {
            subject_id,
            choice,
            event_type: subject.event.clone(),
            event_version: subject.version.clone(),
            initiated_at: open.first_seen,
            completed_at: tick.now,
            epoch: self.epochs.current().number(),
            round,
            eligible_nodes: u32::try_from(self.epochs.current().voters().len()).unwrap_or(u32::MAX),
            quorum: self.epochs.current().voters().quorum(),
            node_hashes: BTreeMap::new(),
            endorsing_nodes: BTreeMap::new(),
            // everybody, until a prevote is counted
            silent_nodes: self
                .epochs
                .current()
                .voters()
                .iter()
                .map(|(_, voter)| voter.key.id())
                .collect(),
            disagreeing_nodes: Vec::new(),
            found_later: None,
            resolution: self.resolution(round),
            transport,
        };
        let Some(round0) = open.machine.tally(Round::ZERO, Phase::Prevote) else {
            return Some(record);
        };
        for held in open.held.iter().filter(|held| held.is_first_prevote()) {
            // of an equivocator's two the first counts
            let is_first = round0.first(held.voter) == Some(held.ballot);
            let (Some(choice), true) = (held.ballot, is_first) else {
                continue;
            };
            let prevote = FirstPrevote {
                node: held.proof.signer(),
                choice,
                observed: held.observed,
            };
            let known = open.machine.candidate(choice).map(|c| &c.event);
            record.count(prevote, known, event);
        }
        Some(record)
    }

    fn resolution(&self, round: Round) -> Resolution {
        match self.rules.automatic {
            _ if round == Round::ZERO => Resolution::Achieved,
            Some(strategy) if self.rules.is_automatic(round) => Resolution::TieBreak(strategy),
            _ => Resolution::ManualReview,
        }
    }

    /// The others decided without this node: what it observed may never have reached them, and
    /// still counts into their records and into trust for a while (SPEC §8).
    fn tell_own_observation(&self, tick: &mut Tick, open: &Open) {
        let own = open
            .held
            .iter()
            .find(|vote| Some(vote.voter) == self.rules.me && vote.is_first_prevote());
        let batch = own.and_then(|vote| vote.proof.batch());
        if let Some(batch) = batch.filter(|own| {
            !tick
                .effects
                .publish
                .iter()
                .any(|batch| batch.root() == own.root())
        }) {
            tick.effects.publish.push(batch.clone());
        }
    }

    fn note_trust(&mut self, tick: &mut Tick, subject: SubjectId, decided: &Decided) {
        let Decided {
            record,
            event,
            origin,
            ..
        } = decided;
        let observed = record
            .node_hashes
            .keys()
            .map(|node| (*node, !record.disagreeing_nodes.contains(node)));
        // an endorsement that was for another event costs nothing
        let agrees = |choice: &Choice| {
            *choice == record.choice
                || decided
                    .event_of(choice)
                    .is_some_and(|other| other.agrees_with(event))
        };
        let endorsed = record
            .endorsing_nodes
            .iter()
            .filter(|(_, choice)| agrees(choice))
            .map(|(node, _)| (*node, true));
        for (node, agrees) in observed.chain(endorsed) {
            let change =
                self.trust
                    .observation(node, agrees, *origin, &subject.to_string(), tick.now);
            self.record_trust(tick, change);
        }
    }

    /// Gives the entries that were just written their places in the log.
    pub(super) fn number_certified(&mut self, tick: &mut Tick, first_sequence: u64) {
        let mut next = first_sequence;
        for event in &mut tick.effects.events {
            if let NodeEvent::Certified {
                sequence,
                subject_id,
                ..
            } = event
            {
                *sequence = next;
                self.closing.set_sequence(subject_id, next);
                next += 1;
            }
        }
    }
}
