//! Equivocation: what contradicts what is noticed as it arrives, kept with the tick that saw it,
//! and told to everybody (SPEC §7, *Equivocation* and *Evidence*). A decision is never changed by
//! it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::event::Event;
use ssid_protocol::evidence::{Evidence, EvidenceKind, EvidenceSlot, Signed, Statement};
use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::{Epoch, NodeId, Round, SubjectId};
use ssid_protocol::quorum::VoterIndex;
use ssid_protocol::subject::Policy;
use ssid_protocol::sync::{Answer, NAMES, Request};
use ssid_protocol::vote::{Ballot, EpochClose, Phase, Proposal};
use ssid_protocol::wire;
use ssid_storage::{EvidenceRow, RewrittenRow, StorageError, Store, SubjectState};

use super::engine::{Engine, Tick};
use super::messages::Validity;
use super::node_event::NodeEvent;
use super::open::{Held, Open};
use super::proof::Proof;
use super::settings::ANSWER_BYTES;

/// Log heads remembered of each member, to compare later ones with.
const HEADS_PER_MEMBER: usize = 8;

/// What is known of contradictions.
#[derive(Debug, Default)]
pub(super) struct EvidencePool {
    /// Of whom, of what kind and for which epoch evidence is on disk, or will be with this tick.
    pub(super) held: BTreeSet<EvidenceSlot>,
    /// The latest log heads, each of a size of its own.
    heads: BTreeMap<NodeId, VecDeque<Arc<VerifiedBatch>>>,
    /// The first close of this epoch by each voter.
    closes: BTreeMap<NodeId, Signed>,
}

/// Two votes of one voter that its instance has counted; their proofs are looked up once the tick's
/// own are signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct DoubleVote {
    pub(super) subject: SubjectId,
    pub(super) voter: VoterIndex,
    pub(super) round: Round,
    pub(super) phase: Phase,
    pub(super) ballots: [Ballot; 2],
}

impl EvidencePool {
    /// Remembers a log head; gives back an earlier one of the same log and size that names another
    /// root.
    fn note_head(
        &mut self,
        batch: &Arc<VerifiedBatch>,
        heartbeat: &Heartbeat,
    ) -> Option<Arc<VerifiedBatch>> {
        let heads = self.heads.entry(batch.signer()).or_default();
        let same_size = heads.iter().find_map(|known| match known.statements() {
            Statements::Heartbeat(head)
                if (head.log_id, head.log_size) == (heartbeat.log_id, heartbeat.log_size) =>
            {
                Some((known, head.log_root))
            }
            _ => None,
        });
        if let Some((known, root)) = same_size {
            return Some(known.clone()).filter(|_| root != heartbeat.log_root);
        }
        heads.push_back(batch.clone());
        if heads.len() > HEADS_PER_MEMBER {
            heads.pop_front();
        }
        None
    }
}

impl EvidencePool {
    /// Closes of an epoch that were heard of, the first of each voter.
    pub(super) fn closes_of(&self, epoch: Epoch) -> Vec<Signed> {
        let is_of = |signed: &&Signed| match signed.statement {
            Statement::Close(close) => close.epoch == epoch,
            _ => false,
        };
        self.closes.values().filter(is_of).cloned().collect()
    }

    /// This node's own: another one would contradict it.
    pub(super) fn note_own_close(&mut self, signed: &Signed) {
        self.closes.insert(signed.proof.signer, signed.clone());
    }

    /// Another epoch has begun.
    pub(super) fn forget_closes(&mut self) {
        self.closes.clear();
    }
}

/// Adds a late vote to those held of a decided subject; gives back an earlier one that it
/// contradicts. Rounds far beyond the decision are not kept: nobody needs them, and anyone could
/// make up any number of them.
pub(super) fn hold_late(held: &mut Vec<Held>, decided: Round, vote: &Held) -> Option<Held> {
    let earlier = held
        .iter()
        .find(|h| (h.voter, h.round, h.phase) == (vote.voter, vote.round, vote.phase));
    if let Some(earlier) = earlier {
        return Some(earlier.clone()).filter(|earlier| earlier.ballot != vote.ballot);
    }
    if vote.round <= decided.next() {
        held.push(vote.clone());
    }
    None
}

impl Engine {
    /// Keeps the first piece of evidence for its member, kind and epoch, and what follows from it.
    /// Whether it was new, or proves nothing. What is new is to be told to others; where it came by
    /// gossip, gossip does that.
    pub(super) fn file(
        &mut self,
        tick: &mut Tick,
        evidence: &Evidence,
        from: Option<NodeId>,
    ) -> Validity {
        let slot = evidence.slot();
        // one piece suffices, and anybody could send thousands
        if self.evidence_pool.held.contains(&slot) {
            return Validity::Nothing;
        }
        // by the members of its own epoch, where that is known
        let epoch = evidence.epoch().and_then(|epoch| self.epochs.get(epoch));
        let against = epoch.unwrap_or(self.epochs.current());
        let proven = match evidence.verify(against.evidence()) {
            Ok(proven) => proven,
            Err(error) if error.needs_another_manifest() => return Validity::Nothing,
            Err(error) => {
                tracing::warn!(member = %slot.member, kind = slot.kind.as_str(), %error, "no evidence");
                return Validity::Invalid;
            }
        };
        self.evidence_pool.held.insert(slot);
        let id = evidence.id();
        let name = proven.member.map_or_else(
            || "the federation".to_owned(),
            |member| self.name_of(&member),
        );
        let what = proven.what;
        if proven.member == Some(self.me) {
            tracing::error!(%id, what, "EQUIVOCATION OF THIS NODE'S OWN KEY: another program signs with it, or its \
                vote history was lost; stop this node and ask the coordinators to replace its key");
        } else {
            tracing::warn!(%id, member = name, what, "equivocation: evidence kept; see it with: ssid evidence list");
        }
        if let Some(member) = proven.member {
            let change = self.trust.equivocation(member, &id.to_string(), tick.now);
            self.record_trust(tick, change);
            self.charge_successor(tick, member, &id.to_string());
        } else if evidence
            .epoch()
            .is_none_or(|epoch| epoch >= self.epochs.current().number())
        {
            // no member is to blame: what certificates rest on does not hold
            tick.forked = Some(format!(
                "{what}; certificates can no longer be relied on: see ssid evidence show {id}"
            ));
        }
        let kind = proven.kind.as_str().to_owned();
        tick.effects.events.push(NodeEvent::Evidence {
            id,
            member: proven.member,
            kind,
            what,
        });
        let evidence = evidence.clone();
        tick.changes.evidence.push((
            slot,
            EvidenceRow {
                evidence,
                at: tick.now,
                from,
            },
        ));
        Validity::New
    }

    /// What is to be kept from the start; why this node may certify nothing, if it may not.
    pub(super) fn load_evidence(&mut self) -> Result<Option<String>, StorageError> {
        let mut forked = None;
        for row in self.store.clone().evidence() {
            let (slot, row) = row?;
            self.evidence_pool.held.insert(slot);
            if slot.kind == EvidenceKind::Certificates {
                let id = row.evidence.id();
                forked = Some(format!(
                    "two certificates of one subject are known: see ssid evidence show {id}"
                ));
            }
        }
        Ok(forked)
    }

    /// The question that brings what this node lacks.
    pub(super) fn evidence_question(&self) -> Request {
        Request::Evidence {
            known: self
                .evidence_pool
                .held
                .iter()
                .copied()
                .take(NAMES)
                .collect(),
        }
    }

    /// Looks up the proofs of the double votes that the tick's instances reported.
    pub(super) fn accuse_voters(&mut self, tick: &mut Tick) {
        for double in std::mem::take(&mut tick.double_votes) {
            let Some(open) = self.open.get(&double.subject) else {
                continue;
            };
            let place = (double.voter, double.round, double.phase);
            let [one, other] = double.ballots.map(|ballot| {
                open.held
                    .iter()
                    .find(|h| (h.voter, h.round, h.phase) == place && h.ballot == ballot)
                    .cloned()
            });
            if let (Some(one), Some(other)) = (one, other) {
                self.accuse_voter(tick, double.subject, &one, &other);
            }
        }
    }

    /// Files two votes that contradict each other.
    pub(super) fn accuse_voter(
        &mut self,
        tick: &mut Tick,
        subject: SubjectId,
        one: &Held,
        other: &Held,
    ) {
        let [one, other] =
            [one, other].map(|held| held.signed(self.epochs.current().number(), subject));
        self.accuse(tick, one, other);
    }

    /// Whether a proposal contradicts the one that counts in its round.
    pub(super) fn compare_proposals(
        &mut self,
        tick: &mut Tick,
        proposal: &Proposal,
        proof: &Proof,
    ) {
        let Some(open) = self.open.get(&proposal.subject) else {
            return;
        };
        let Some(counted) = open
            .machine
            .proposal(proposal.round)
            .filter(|counted| *counted != proposal)
        else {
            return;
        };
        // of another signer it is none of this one's business
        let first = open
            .proposals
            .iter()
            .find(|p| p.proposal == *counted && p.proof.signer() == proof.signer());
        let first = first.and_then(|first| first.proof.of(Statement::Proposal(first.proposal)));
        self.accuse(tick, first, proof.of(Statement::Proposal(*proposal)));
    }

    /// Whether the origin of an announcement has announced another event for the same unique
    /// subject.
    pub(super) fn compare_announcements(
        &mut self,
        tick: &mut Tick,
        subject: &SubjectId,
        event: &Event,
        proof: &Proof,
    ) {
        // of recurring types one origin may announce several
        if self.epochs.current().policies().of(&event.event) != Policy::Unique {
            return;
        }
        let (choice, origin) = (event.choice(), proof.signer());
        let differs = |known: &&Proof, other| known.signer() == origin && other != choice;
        let in_open = |open: &Open| {
            let mut known = open
                .announced
                .iter()
                .filter(|(other, known)| differs(known, **other));
            let (other, known) = known.next()?;
            Some((
                open.machine.candidate(*other)?.event.clone(),
                known.proof()?,
            ))
        };
        // of decided subjects for a while, as long as the proofs are kept
        let first = match self.open.get(subject) {
            Some(open) => in_open(open),
            None => self.closing.get_mut(subject).and_then(|decided| {
                let mut known = decided
                    .announced
                    .iter()
                    .filter(|(other, known)| differs(known, **other));
                let (other, known) = known.next()?;
                Some((decided.event_of(other)?.clone(), known.proof()?))
            }),
        };
        let Some((first, first_proof)) = first else {
            return;
        };
        let signed = |event, proof| Signed {
            statement: Statement::Event(event),
            proof,
        };
        let second = proof.proof().map(|proof| signed(event.clone(), proof));
        self.accuse(tick, Some(signed(first, first_proof)), second);
    }

    /// Whether a vote for a certified subject contradicts its voter's precommit in the certificate.
    /// Of other votes for it nothing is kept.
    pub(super) fn compare_with_certificate(
        &mut self,
        tick: &mut Tick,
        subject: SubjectId,
        vote: &Held,
    ) {
        let member = vote.proof.signer();
        let slot = EvidenceSlot {
            member,
            kind: EvidenceKind::Vote,
            epoch: self.epochs.current().number(),
        };
        if vote.phase != Phase::Precommit || self.evidence_pool.held.contains(&slot) {
            return; // one piece suffices: what the store is read for is bounded
        }
        let Ok(Some(SubjectState::Certified { sequence })) = self.store.subject(&subject) else {
            return;
        };
        let Ok(Some(entry)) = self.store.log_entry(sequence) else {
            return;
        };
        // asked of the entry first: reading a whole certificate is for what contradicts it
        let is_other = (entry.epoch, entry.round) == (self.epochs.current().number(), vote.round)
            && vote.ballot != Some(entry.choice);
        if !is_other
            || !entry
                .precommits
                .iter()
                .any(|precommit| precommit.signer() == member)
        {
            return;
        }
        let Some(certificate) = self.certificate(&subject) else {
            return;
        };
        let statement = Statement::Vote(certificate.vote());
        let first = certificate
            .precommits
            .into_iter()
            .find(|proof| proof.signer == member);
        let first = first.map(|proof| Signed { statement, proof });
        self.accuse(
            tick,
            first,
            vote.signed(self.epochs.current().number(), subject),
        );
    }

    /// Remembers the first close of each voter; another one contradicts it.
    pub(super) fn take_closes(
        &mut self,
        tick: &mut Tick,
        batch: &Arc<VerifiedBatch>,
        closes: &[EpochClose],
    ) -> Validity {
        let signer = batch.signer();
        if self.epochs.current().voters().index_of(&signer).is_none() {
            return Validity::Nothing;
        }
        let mut validity = Validity::Nothing;
        let epoch = self.epochs.current().number();
        for (index, _) in (0..).zip(closes).filter(|(_, close)| close.epoch == epoch) {
            let Some(signed) = Signed::of(batch, index) else {
                continue;
            };
            self.note_close(&signed);
            match self.evidence_pool.closes.get(&signer) {
                Some(first) if first.statement == signed.statement => {}
                Some(first) => {
                    let first = first.clone();
                    self.accuse(tick, Some(first), Some(signed));
                }
                None => {
                    self.evidence_pool.closes.insert(signer, signed);
                    validity = Validity::New;
                }
            }
        }
        validity
    }

    /// Whether a heartbeat names another root than an earlier one for its log and size.
    pub(super) fn compare_heads(
        &mut self,
        tick: &mut Tick,
        batch: &Arc<VerifiedBatch>,
        heartbeat: &Heartbeat,
    ) {
        if let Some(earlier) = self.evidence_pool.note_head(batch, heartbeat) {
            self.accuse(tick, Signed::of(&earlier, 0), Signed::of(batch, 0));
        }
    }

    fn accuse(&mut self, tick: &mut Tick, one: Option<Signed>, other: Option<Signed>) {
        if let (Some(one), Some(other)) = (one, other) {
            self.report(
                tick,
                Evidence::of_statements(*self.epochs.current().federation(), one, other),
            );
        }
    }

    /// Keeps what this node saw itself, and tells others.
    fn report(&mut self, tick: &mut Tick, evidence: Evidence) {
        if self.file(tick, &evidence, None) == Validity::New {
            tick.effects.evidence.push(Arc::new(evidence));
        }
    }

    /// A verified certificate of a subject that is certified here: for another choice it breaks the
    /// assumption of SPEC §1.
    pub(super) fn compare_certificates(
        &mut self,
        tick: &mut Tick,
        subject: &SubjectId,
        other: Certificate,
    ) {
        let Some((_, certified)) = self
            .certified_choice(subject)
            .filter(|(_, own)| *own != other.choice)
        else {
            return;
        };
        // keys of an epoch that has ended may be anybody's: what they contradict stops nobody
        let current = self.epochs.current().number();
        let is_current = |certificate: &Certificate| certificate.epoch >= current;
        if !is_current(&other) {
            tracing::error!(%subject, epoch = other.epoch.0, "a certificate of an earlier epoch contradicts this node's: it counts for nothing");
            return;
        }
        if let Some(own) = self
            .certificate(subject)
            .filter(|own| own.choice == certified && is_current(own))
        {
            self.report(
                tick,
                Evidence::of_certificates(*self.epochs.current().federation(), own, other),
            );
        }
    }
}

/// Keeps what this node saw of a member's Git branch. It is no evidence that others could check –
/// commits are unsigned – so that it is told to nobody and counts for nothing but the sync that
/// showed it (SPEC §14).
pub(super) fn note_rewritten(tick: &mut Tick, node: NodeId, histories: Vec<RewrittenRow>) {
    if let Some(RewrittenRow { was, now, .. }) = histories.last().cloned() {
        tick.effects
            .events
            .push(NodeEvent::HistoryRewritten { node, was, now });
    }
    tick.changes.rewritten.push((node, histories));
}

/// The answer to a peer that asks for evidence: what it did not name, as much as fits. A piece that
/// no frame could carry is left out; each certificate of it is in the logs.
pub fn evidence_answer(store: &Store, known: &[EvidenceSlot]) -> Answer {
    let known: BTreeSet<_> = known.iter().collect();
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    for row in store.evidence() {
        match row {
            Ok((slot, row)) if !known.contains(&slot) => {
                let size = wire::encode(&row.evidence).len();
                if bytes + size <= ANSWER_BYTES {
                    bytes += size;
                    pieces.push(row.evidence);
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "cannot read evidence for a peer");
                return Answer::Refused("this node cannot read its evidence".to_owned());
            }
        }
    }
    Answer::Evidence(pieces)
}
