//! One open instance as the engine keeps it: the pure state machine, and beside it the proofs that
//! it does not know.

use std::sync::OnceLock;
use std::time::Duration;

use ssid_protocol::backoff::Backoff;
use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::id::{Choice, Epoch, NodeId, Round, SubjectId, UnixMillis};
use ssid_protocol::quorum::{VoterIndex, VoterSet};
use ssid_protocol::record::Transport;
use ssid_protocol::small_map::SmallMap;
use ssid_protocol::subject::Subject;
use ssid_protocol::sync::ProvenEvent;
use ssid_protocol::vote::{Ballot, Phase, Proposal, Vote};
use ssid_protocol::voting::{Input, Instance, Output, Rules, Signing};
use ssid_storage::{NoteKind, OpenSubject, OperatorNote};

use super::clock::{Now, Steady};
use super::proof::Proof;
use super::settings::{QUIET_AFTER, STALLED_AFTER, STALLED_AT_MOST, UNSUPPORTED_AT_MOST};
use super::shown::ReviewReason;

/// One vote and its proof.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) voter: VoterIndex,
    pub(super) round: Round,
    pub(super) phase: Phase,
    pub(super) ballot: Ballot,
    /// Whether its voter's own registry has it.
    pub(super) observed: bool,
    pub(super) proof: Proof,
    /// By which transport it came.
    pub(super) transport: Transport,
}

impl Held {
    /// Whether it is a prevote of round 0: what its voter observed or endorsed.
    pub(super) fn is_first_prevote(&self) -> bool {
        self.round == Round::ZERO && self.phase == Phase::Prevote
    }

    /// What the machine is told of it.
    pub(super) fn input(&self) -> Input {
        let Self {
            voter,
            round,
            phase,
            ballot,
            ..
        } = *self;
        Input::Vote {
            voter,
            round,
            phase,
            ballot,
        }
    }

    /// What was said, on a subject of an epoch.
    pub(super) fn statement(&self, epoch: Epoch, subject: SubjectId) -> Statement {
        let Self {
            round,
            phase,
            ballot,
            observed,
            ..
        } = *self;
        Statement::Vote(Vote {
            epoch,
            subject,
            round,
            phase,
            ballot,
            observed,
        })
    }

    /// The same, with its proof.
    pub(super) fn signed(&self, epoch: Epoch, subject: SubjectId) -> Option<Signed> {
        self.proof.of(self.statement(epoch, subject))
    }
}

/// A proposal and its proof.
#[derive(Clone, Debug)]
pub(super) struct Proposed {
    pub(super) proposal: Proposal,
    pub(super) proof: Proof,
}

/// Since when a subject is quiet, and how often it was asked about since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    since: Steady,
    times: u32,
}

impl Asked {
    /// Something new arrived now.
    pub(super) fn new(now: Steady) -> Self {
        Self {
            since: now,
            times: 0,
        }
    }

    /// Whether it has been quiet for long enough to ask, and how often it was asked about. What
    /// nobody supports is asked about ever more rarely: whoever holds votes for it says so by the
    /// digest of its heartbeats.
    pub(super) fn due(&self, now: Steady, is_supported: bool) -> Option<usize> {
        let at_most = if is_supported {
            STALLED_AT_MOST
        } else {
            UNSUPPORTED_AT_MOST
        };
        let pause = Backoff::new(STALLED_AFTER, at_most).pause(self.times);
        (now.since(self.since) >= pause).then_some(self.times as usize)
    }

    /// How long nothing new has arrived.
    pub(super) fn quiet_for(&self, now: Steady) -> Duration {
        now.since(self.since)
    }

    /// Whether it was asked about so often in vain that it waits for people, as far as one can
    /// tell.
    pub(super) fn is_quiet(&self) -> bool {
        self.times >= QUIET_AFTER
    }

    pub(super) fn ask(&mut self, now: Steady) {
        *self = Self {
            since: now,
            times: self.times.saturating_add(1),
        };
    }
}

/// As what an open subject is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// It waits for people to resolve a conflict.
    pub(super) conflict: bool,
    /// It waits for this node's operator to endorse or refuse.
    pub(super) review: bool,
    /// It takes part of its origin's share of what nobody else votes for.
    pub(super) unsupported: bool,
}

/// An instance being voted on.
#[derive(Debug)]
pub(super) struct Open {
    /// To read; [`Self::step`] alone changes it.
    pub(super) machine: Instance,
    /// Its part of `open_digest` until it is stepped: heartbeats of every peer are compared with
    /// that.
    digest: OnceLock<Vec<u8>>,
    /// Known once a candidate is.
    pub(super) subject: Option<Subject>,
    /// By the wall clock, as it is shown and stored.
    pub(super) first_seen: UnixMillis,
    /// The same by the steady clock; `None` if that was before this node's start.
    pub(super) opened: Option<Steady>,
    pub(super) held: Vec<Held>,
    /// One a round at the most.
    pub(super) proposals: Vec<Proposed>,
    /// The proofs that their origins announced the candidates.
    pub(super) announced: SmallMap<Choice, Proof>,
    /// Whose share of the open instances it counts to: the first to announce a candidate.
    pub(super) origin: Option<NodeId>,
    /// Whether somebody else than its origin voted in it, this node included.
    pub(super) is_supported: bool,
    /// What this node's prevote in round 0 waited for when that was last looked at.
    pub(super) waits_for: Option<ReviewReason>,
    /// As what it is counted in the status.
    pub(super) counted: Counted,
    /// What its operator decided, the latest of each kind, in that order; on disk as long as the
    /// subject is open.
    pub(super) notes: Vec<OperatorNote>,
    /// False for a subject that was decided before the database was lost: only its certificate may
    /// end it.
    pub(super) may_sign: bool,
    /// The event of a certificate that decided it, if no candidate brought it.
    pub(super) certified_event: Option<ssid_protocol::event::Event>,
    pub(super) asked: Asked,
    /// The look at the own registry file that has to be done before another's candidate is
    /// endorsed.
    pub(super) look: u64,
    /// Whether it is among those that wait for a look.
    pub(super) awaits_look: bool,
}

impl Open {
    pub(super) fn new(machine: Instance, now: Now) -> Self {
        Self {
            machine,
            digest: OnceLock::new(),
            subject: None,
            first_seen: now.wall,
            opened: Some(now.steady),
            held: Vec::new(),
            proposals: Vec::new(),
            announced: SmallMap::default(),
            origin: None,
            is_supported: false,
            waits_for: None,
            counted: Counted::default(),
            notes: Vec::new(),
            may_sign: true,
            certified_event: None,
            asked: Asked::new(now.steady),
            look: 0,
            awaits_look: false,
        }
    }

    /// Gives the machine one input.
    pub(super) fn step(&mut self, voters: &VoterSet, rules: Rules, input: Input) -> Vec<Output> {
        self.digest.take();
        self.machine.process(voters, rules, input)
    }

    /// Its part of `open_digest` (SPEC §10).
    pub(super) fn digest_entry(&self, voters: &VoterSet) -> &[u8] {
        self.digest
            .get_or_init(|| self.machine.digest_entry(voters))
    }

    /// What holds for this instance of what holds for all.
    pub(super) fn rules(&self, all: Rules) -> Rules {
        let automatic = all.automatic.filter(|_| !self.machine.is_epoch_change());
        let signing = if self.may_sign {
            all.signing
        } else {
            Signing::Never
        };
        Rules {
            signing,
            automatic,
            ..all
        }
    }

    /// Forgets a candidate that nobody voted for.
    pub(super) fn forget_candidate(&mut self, choice: Choice) {
        self.digest.take();
        self.machine.forget(choice);
        self.announced.retain(|known, _| *known != choice);
    }

    /// Keeps an operator's decision; the latest of its kind holds. Several candidates may be
    /// refused, and a refusal takes back what was said for the same one before, and the other way
    /// round.
    pub(super) fn note(&mut self, note: OperatorNote) {
        self.notes.retain(|known| {
            let (is_of_kind, is_of_it) = (known.kind == note.kind, known.choice == note.choice);
            match (known.kind, note.kind) {
                (NoteKind::Refuse, _) | (_, NoteKind::Refuse) => !is_of_it,
                _ => !is_of_kind,
            }
        });
        self.notes.push(note);
    }

    /// Whether the operator decided just this.
    pub(super) fn has_note(&self, kind: NoteKind, choice: Choice) -> bool {
        let mut notes = self.notes.iter();
        notes.any(|note| note.kind == kind && note.choice == Some(choice))
    }

    /// What the operator decided of this kind.
    pub(super) fn noted(&self, kind: NoteKind) -> Option<Choice> {
        self.notes.iter().find(|note| note.kind == kind)?.choice
    }

    /// All proofs held, to change.
    pub(super) fn proofs_mut(&mut self) -> impl Iterator<Item = &mut Proof> {
        let votes = self.held.iter_mut().map(|held| &mut held.proof);
        votes
            .chain(
                self.proposals
                    .iter_mut()
                    .map(|proposed| &mut proposed.proof),
            )
            .chain(self.announced.values_mut())
    }

    /// The row that lets a restart know the candidates again; `None` while there is none.
    pub(super) fn row(&self) -> Option<OpenSubject> {
        let candidates = self.machine.candidates().map(|c| {
            (
                c.choice,
                self.announced.get(&c.choice).map(Proof::reference),
            )
        });
        Some(OpenSubject {
            subject: self.subject.clone()?,
            first_seen: self.first_seen,
            candidates: candidates.collect(),
            prompt: self
                .machine
                .candidates()
                .filter(|c| c.prompt)
                .map(|c| c.choice)
                .collect(),
        })
    }

    /// The votes that prove a quorum, or part of one, for `choice` in one round and phase; one a
    /// voter.
    pub(super) fn votes_for(
        &self,
        round: Round,
        phase: Phase,
        choice: Choice,
    ) -> impl Iterator<Item = &Held> {
        self.held
            .iter()
            .filter(move |v| v.round == round && v.phase == phase && v.ballot == Some(choice))
    }

    /// What another node needs to go on from here (rule 9): the votes of the current round and of
    /// round 0, the prevotes behind `locked` and `valid`; and the votes of the round before,
    /// because what made this node leave it may have reached nobody else.
    pub(super) fn offered_votes(&self) -> impl Iterator<Item = &Held> {
        let polkas = [self.machine.locked(), self.machine.valid()];
        self.held.iter().filter(move |vote| {
            vote.round == Round::ZERO
                || vote.round == self.machine.round()
                || vote.round.next() == self.machine.round()
                || vote.phase == Phase::Prevote
                    && polkas
                        .iter()
                        .flatten()
                        .any(|p| p.at.round == vote.round && vote.ballot == Some(p.choice))
        })
    }

    /// The known candidates with their announcements.
    pub(super) fn proven_events(&self) -> impl Iterator<Item = ProvenEvent> {
        self.machine.candidates().map(|candidate| ProvenEvent {
            event: candidate.event.clone(),
            announced: self.announced.get(&candidate.choice).and_then(Proof::proof),
        })
    }
}

#[cfg(test)]
mod tests {
    use ssid_protocol::testing::federation;

    use super::*;

    #[test]
    fn the_digest_follows_what_the_machine_holds() {
        let (_, _, voters, _) = federation(4);
        let rules = Rules {
            me: None,
            signing: Signing::Never,
            automatic: None,
        };
        let mut open = Open::new(
            Instance::new(Epoch(0), SubjectId([1; 32]), false),
            UnixMillis(0).into(),
        );
        for (number, round) in [(0, 0), (1, 0), (1, 0), (2, 1), (3, 9)] {
            let (voter, round) = (VoterIndex(number), Round(round));
            open.step(
                &voters,
                rules,
                Input::Vote {
                    voter,
                    round,
                    phase: Phase::Prevote,
                    ballot: None,
                },
            );
            assert_eq!(
                open.digest_entry(&voters),
                open.machine.digest_entry(&voters)
            );
        }
    }
}
