//! Voting on one subject in one epoch (SPEC §7): Tendermint's rounds with a first round that needs
//! no proposer.
//!
//! [`Instance`] is a pure state machine: [`Instance::process`] takes one [`Input`] and gives
//! [`Output`]s. It knows no signatures, clock or disk: who may vote is the caller's check, timers
//! leave as outputs and come back as inputs, and a vote that leaves as [`Output::Sign`] is already
//! counted, because the caller stops for good if it cannot be kept.
//!
//! [`tally`](Tally) counts, and `ahead` who is in later rounds; `instance` acts on what was counted
//! (rules 1–5 and 8); `rounds` holds what differs after round 0 (rules 6 and 7); `tiebreak` orders
//! candidates; `digest` sums the instance up for heartbeats. Rule 9 is the caller's: it needs
//! proofs, which it keeps.

mod ahead;
mod digest;
mod instance;
mod rounds;
mod tally;
#[cfg(test)]
mod tests;
mod tiebreak;
mod view;

pub use instance::{Candidate, Instance, OwnHistory};
pub use tally::Tally;

use crate::id::{Choice, Round};
use crate::manifest::TieBreak;
use crate::quorum::VoterIndex;
use crate::vote::{Ballot, Phase, Proposal, RoundId, Vote};

/// A choice and the round in which a quorum of prevotes for it was seen: a lock, or the latest
/// valid choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Polka {
    /// The epoch and round of its prevotes.
    pub at: RoundId,
    /// The choice that they are for.
    pub choice: Choice,
}

/// What holds for all instances of an epoch, besides its voters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// This node's place among the voters; `None` for observers.
    pub me: Option<VoterIndex>,
    /// Whether it signs.
    pub signing: Signing,
    /// The strategy of automatic rounds; `None` where every later round is an operator's.
    pub automatic: Option<TieBreak>,
}

/// Whether a node signs what an instance wants signed (SPEC §7 State).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signing {
    /// It signs as soon as something is wanted.
    Now,
    /// Not before it has heard what it signed in an earlier life: [`Input::MaySign`] comes then.
    /// Until then it stays in a failed round, because others may wait in it for its nil.
    Later,
    /// Never here: its vote history is incomplete, or it only watches.
    Never,
}

/// Which step of a round a timer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Waiting for the proposal of an automatic round.
    Propose,
    /// A quorum has prevoted, not for one thing (in round 0: *observe*).
    Prevote,
    /// A quorum has precommitted, not for one thing.
    Precommit,
}

/// Names one timer of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// The round that it belongs to.
    pub round: Round,
    /// The step of the round that it ends.
    pub step: Step,
}

/// What an instance reacts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An admissible event for the subject became known, or more became known about it.
    Candidate(Candidate),
    /// A candidate that was taken before a restart: there was room for it then, whatever made it.
    Remembered(Candidate),
    /// The node's policy or a person stands behind a known candidate (rule 1).
    Endorse(Choice),
    /// A person refused, or the review timed out: a nil prevote (rule 1).
    Refuse,
    /// A verified vote of this epoch and subject. One's own come back from the journal only,
    /// through [`Instance::resume`].
    Vote {
        /// The voter that signed it.
        voter: VoterIndex,
        /// The round that it is of.
        round: Round,
        /// Whether it is a prevote or a precommit.
        phase: Phase,
        /// What it votes for.
        ballot: Ballot,
    },
    /// A verified proposal of this epoch and subject (rule 6).
    Proposal {
        /// The voter that signed it.
        voter: VoterIndex,
        /// The proposal as it was signed.
        proposal: Proposal,
    },
    /// A timer that was scheduled has run out.
    Timeout(Timer),
    /// An operator's standing choice (rule 7). The caller has asked [`Instance::may_choose`]. Its
    /// event need not be known.
    Choose(Choice),
    /// An operator's approval of a change of members holds no more: it was taken back, or the
    /// proposal is too old (SPEC §4, *Approving*). A prevote that was given for it in this round is
    /// followed by a nil precommit, if there was none.
    Withdraw,
    /// Signing was to come later, and may be done from now on: nothing else is new.
    MaySign,
    /// A certificate was verified by the caller (rule 3).
    Certified {
        /// The round of the certificate's precommits.
        round: Round,
        /// The choice that it certifies.
        choice: Choice,
    },
}

/// What an instance wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Keep this vote on disk, then send it. A non-nil precommit is kept with its polka's prevotes.
    Sign(Vote),
    /// Keep this proposal on disk, then send it.
    Propose(Proposal),
    /// Come back with [`Input::Timeout`] after the timer's time.
    Schedule(Timer),
    /// Votes name this choice, and its event is not known: ask for it.
    Want(Choice),
    /// Certified, final. Comes once, and nothing after it.
    Decided {
        /// The round of the precommits.
        round: Round,
        /// The choice that is decided.
        choice: Choice,
    },
    /// The current round failed, or is left for a later one, and the next is an operator's (rule 5).
    /// Comes before this node has any part in an operator's round.
    Conflict(Round),
    /// Several candidates that do not agree are known and none is preferred: people are asked (rule
    /// 1).
    Review,
    /// Two different votes of one voter for one round and phase: evidence.
    Equivocation {
        /// The voter that signed both.
        voter: VoterIndex,
        /// In which round.
        round: Round,
        /// In which phase.
        phase: Phase,
        /// What it voted first.
        first: Ballot,
        /// What it voted then.
        second: Ballot,
    },
}
