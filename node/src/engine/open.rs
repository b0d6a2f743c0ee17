//! One open instance as the engine keeps it: the pure state machine, and beside it the proofs that it does not know.

use std::sync::Arc;

use ssid_protocol::batch::{BatchProof, VerifiedBatch};
use ssid_protocol::id::{Choice, NodeId, Round, UnixMillis};
use ssid_protocol::quorum::VoterIndex;
use ssid_protocol::record::Transport;
use ssid_protocol::small_map::SmallMap;
use ssid_protocol::subject::Subject;
use ssid_protocol::sync::ProvenEvent;
use ssid_protocol::vote::{Ballot, Phase};
use ssid_protocol::voting::{Instance, Rules, Signing};
use ssid_storage::{BatchRef, NoteKind, OpenSubject, OperatorNote, ProofRef};

/// One vote's place in the batch that proves it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) voter: VoterIndex,
    pub(super) round: Round,
    pub(super) phase: Phase,
    pub(super) ballot: Ballot,
    pub(super) batch: Arc<VerifiedBatch>,
    pub(super) index: u32,
    /// By which road it came.
    pub(super) road: Transport,
}

impl Held {
    pub(super) fn reference(&self) -> ProofRef {
        let (signer, root) = (self.batch.signer(), self.batch.root());
        ProofRef::Batch(BatchRef { signer, root, index: self.index })
    }
}

/// The proof that an origin announced a candidate.
#[derive(Clone, Debug)]
pub(super) enum Announced {
    /// In a batch held whole.
    Batch(Arc<VerifiedBatch>, u32),
    /// Alone.
    Alone(BatchProof),
}

impl Announced {
    pub(super) fn signer(&self) -> NodeId {
        match self {
            Self::Batch(batch, _) => batch.signer(),
            Self::Alone(proof) => proof.signer,
        }
    }

    pub(super) fn proof(&self) -> Option<BatchProof> {
        match self {
            Self::Batch(batch, index) => batch.proof(*index),
            Self::Alone(proof) => Some(proof.clone()),
        }
    }

    pub(super) fn reference(&self) -> ProofRef {
        match self {
            Self::Batch(batch, index) => {
                ProofRef::Batch(BatchRef { signer: batch.signer(), root: batch.root(), index: *index })
            }
            Self::Alone(proof) => ProofRef::Alone(proof.clone()),
        }
    }
}

/// An instance being voted on.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) machine: Instance,
    /// Known once a candidate is.
    pub(super) subject: Option<Subject>,
    pub(super) first_seen: UnixMillis,
    pub(super) held: Vec<Held>,
    /// Proposals by their batches: one a round at the most.
    pub(super) proposals: Vec<Arc<VerifiedBatch>>,
    pub(super) announced: SmallMap<Choice, Announced>,
    /// Whose share of the open instances it counts to: the first to announce a candidate.
    pub(super) origin: Option<NodeId>,
    /// What its operator decided, the latest of each kind, in that order; on disk as long as the subject is open.
    pub(super) notes: Vec<OperatorNote>,
    /// False for a subject that was decided before the database was lost: only its certificate may end it.
    pub(super) may_sign: bool,
    /// The event of a certificate that decided it, if no candidate brought it.
    pub(super) certified_event: Option<ssid_protocol::event::Event>,
    /// When something new last arrived, or it was last asked about.
    pub(super) quiet_since: UnixMillis,
    /// How often it was asked about since something new arrived.
    pub(super) asked: u32,
}

impl Open {
    pub(super) fn new(machine: Instance, now: UnixMillis) -> Self {
        Self {
            machine,
            subject: None,
            first_seen: now,
            held: Vec::new(),
            proposals: Vec::new(),
            announced: SmallMap::default(),
            origin: None,
            notes: Vec::new(),
            may_sign: true,
            certified_event: None,
            quiet_since: now,
            asked: 0,
        }
    }

    /// What holds for this instance of what holds for all.
    pub(super) fn rules(&self, all: Rules) -> Rules {
        let automatic = all.automatic.filter(|_| !self.machine.is_epoch_change());
        let signing = if self.may_sign { all.signing } else { Signing::Never };
        Rules { signing, automatic, ..all }
    }

    /// Keeps an operator's decision; the latest of its kind holds.
    pub(super) fn note(&mut self, note: OperatorNote) {
        self.notes.retain(|known| known.kind != note.kind);
        self.notes.push(note);
    }

    /// What the operator decided of this kind.
    pub(super) fn noted(&self, kind: NoteKind) -> Option<Choice> {
        self.notes.iter().find(|note| note.kind == kind)?.choice
    }

    /// Something new arrived.
    pub(super) fn progressed(&mut self, now: UnixMillis) {
        self.quiet_since = now;
        self.asked = 0;
    }

    /// The row that lets a restart know the candidates again; `None` while there is none.
    pub(super) fn row(&self) -> Option<OpenSubject> {
        let candidates =
            self.machine.candidates().map(|c| (c.choice, self.announced.get(&c.choice).map(Announced::reference)));
        Some(OpenSubject {
            subject: self.subject.clone()?,
            first_seen: self.first_seen,
            candidates: candidates.collect(),
        })
    }

    /// The votes that prove a quorum, or part of one, for `choice` in one round and phase; one a voter.
    pub(super) fn votes_for(&self, round: Round, phase: Phase, choice: Choice) -> impl Iterator<Item = &Held> {
        self.held.iter().filter(move |v| v.round == round && v.phase == phase && v.ballot == Some(choice))
    }

    /// What another node needs to go on from here (rule 9): the votes of the current round and of round 0, the prevotes
    /// behind `locked` and `valid`; and the votes of the round before, because what made this node leave it may have
    /// reached nobody else.
    pub(super) fn offered_votes(&self) -> impl Iterator<Item = &Held> {
        let polkas = [self.machine.locked(), self.machine.valid()];
        self.held.iter().filter(move |vote| {
            vote.round == Round::ZERO
                || vote.round == self.machine.round()
                || vote.round.next() == self.machine.round()
                || vote.phase == Phase::Prevote
                    && polkas.iter().flatten().any(|p| p.at.round == vote.round && vote.ballot == Some(p.choice))
        })
    }

    /// The known candidates with their announcements.
    pub(super) fn proven_events(&self) -> impl Iterator<Item = ProvenEvent> {
        self.machine.candidates().map(|candidate| ProvenEvent {
            event: candidate.event.clone(),
            announced: self.announced.get(&candidate.choice).and_then(Announced::proof),
        })
    }
}
