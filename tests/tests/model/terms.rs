//! Small words for what nodes say, so that a whole node fits in a few bytes, and the federation
//! they stand for.

use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, Epoch, Round, SubjectId};
use ssid_protocol::manifest::TieBreak;
use ssid_protocol::quorum::{VoterIndex, VoterSet};
use ssid_protocol::testing;
use ssid_protocol::vote::{Ballot, Phase, Proposal, RoundId};
use ssid_protocol::voting::{Candidate, Input, Rules, Signing, Step, Timer};

pub(crate) const SUBJECT: SubjectId = SubjectId([3; 32]);
pub(crate) const EPOCH: Epoch = Epoch(0);
pub(crate) const VOTERS: u8 = 4;
/// How many rounds are represented: a federation that needs more is one that does not decide.
const ROUNDS: u8 = 12;
/// The honest nodes of a global state.
pub(crate) const HONEST: usize = 3;

/// A ballot: nil or one of the two choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Pick {
    Nil,
    A,
    B,
}

pub(crate) const PICKS: [Pick; 3] = [Pick::Nil, Pick::A, Pick::B];
pub(crate) const CHOICES: [Pick; 2] = [Pick::A, Pick::B];
pub(crate) const PHASES: [Phase; 2] = [Phase::Prevote, Phase::Precommit];

/// A vote without its voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cast {
    pub(crate) round: u8,
    pub(crate) phase: Phase,
    pub(crate) pick: Pick,
}

/// A proposal without its voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bid {
    pub(crate) round: u8,
    pub(crate) pick: Pick,
    pub(crate) valid: Option<u8>,
}

/// Everything a node has ever signed, as a set: one bit a vote, one bit a proposal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Said {
    votes: u128,
    bids: u128,
}

impl Cast {
    fn bit(self) -> u128 {
        1 << ((u32::from(self.round) * 2 + u32::from(self.phase.byte() - 1)) * 3 + self.pick as u32)
    }
}

impl Bid {
    fn bit(self) -> u128 {
        let valid = self.valid.map_or(0, |round| u32::from(round.min(3)) + 1);
        1 << (u32::from(self.round) * 10 + (self.pick as u32 - 1) * 5 + valid)
    }
}

impl Said {
    pub(crate) fn has(self, cast: Cast) -> bool {
        self.votes & cast.bit() != 0
    }

    pub(crate) fn add(&mut self, cast: Cast) {
        self.votes |= cast.bit();
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self {
            votes: self.votes & !other.votes,
            bids: self.bids & !other.bids,
        }
    }

    pub(crate) fn add_bid(&mut self, bid: Bid) {
        self.bids |= bid.bit();
    }

    /// In order of round and phase.
    pub(crate) fn votes(self) -> impl Iterator<Item = Cast> {
        (0..ROUNDS).flat_map(move |round| self.votes_in(round))
    }

    pub(crate) fn votes_in(self, round: u8) -> impl Iterator<Item = Cast> {
        PHASES
            .into_iter()
            .flat_map(move |phase| self.votes_of(round, phase))
    }

    pub(crate) fn votes_of(self, round: u8, phase: Phase) -> impl Iterator<Item = Cast> {
        PICKS
            .into_iter()
            .map(move |pick| Cast { round, phase, pick })
            .filter(move |cast| self.has(*cast))
    }

    pub(crate) fn bids(self) -> impl Iterator<Item = Bid> {
        (1..ROUNDS)
            .flat_map(bids_of)
            .filter(move |bid| self.bids & bid.bit() != 0)
    }

    /// The votes of one round and phase.
    pub(crate) fn only(self, round: u8, phase: Phase) -> Self {
        self.votes_of(round, phase).collect()
    }

    /// With `bid`, if `other` has it.
    pub(crate) fn with_bid_of(self, other: Self, bid: Bid) -> Self {
        Self {
            bids: self.bids | other.bids & bid.bit(),
            ..self
        }
    }

    /// The first vote of each later round.
    pub(crate) fn one_a_round_after(self, round: u8) -> Self {
        (round + 1..ROUNDS)
            .filter_map(|round| self.votes_in(round).next())
            .collect()
    }

    pub(crate) fn is_empty(self) -> bool {
        self.votes == 0 && self.bids == 0
    }

    /// The highest round in which anything was said.
    pub(crate) fn highest(self) -> u8 {
        self.votes()
            .map(|c| c.round)
            .chain(self.bids().map(|b| b.round))
            .max()
            .unwrap_or(0)
    }
}

impl FromIterator<Cast> for Said {
    fn from_iter<I: IntoIterator<Item = Cast>>(casts: I) -> Self {
        Self {
            votes: casts.into_iter().fold(0, |votes, cast| votes | cast.bit()),
            bids: 0,
        }
    }
}

/// Every proposal that is possible in a round.
pub(crate) fn bids_of(round: u8) -> impl Iterator<Item = Bid> {
    let valids = std::iter::once(None).chain((0..round.min(4)).map(Some));
    CHOICES
        .into_iter()
        .flat_map(move |pick| valids.clone().map(move |valid| Bid { round, pick, valid }))
}

/// What happens at one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Told {
    /// A vote arrives.
    Vote(u8, Cast),
    /// A proposal arrives.
    Bid(u8, Bid),
    /// A timer that was scheduled runs out.
    Timeout(Timer),
    /// The node's own registry records this event; `Nil`: its operator refuses.
    Observe(Pick),
    /// The operator chooses.
    Choose(Pick),
    /// The node loses everything but its journal.
    Restart,
    /// Mutation only: a vote in a round that was left, as an unlocked node would give it.
    Late(Cast),
}

/// The federation: four voters, one of them Byzantine, and two events for one subject.
pub(crate) struct Federation {
    pub(crate) voters: VoterSet,
    pub(crate) byzantine: u8,
    pub(crate) automatic: Option<TieBreak>,
    events: [Event; 2],
    choices: [Choice; 2],
}

impl Federation {
    /// `low_quorum`: two of the four voters decide, where the rule says three.
    pub(crate) fn new(byzantine: u8, automatic: Option<TieBreak>, low_quorum: bool) -> Self {
        let (_, _, voters, _) = testing::federation(VOTERS.into());
        let voters = if low_quorum {
            testing::with_lower_quorum(voters)
        } else {
            voters
        };
        let event = |commit: &str| Event {
            commit_hash: commit.into(),
            ..testing::event("blueprint_tagged", "v4.4.0")
        };
        let events = [event("aaaaaaa"), event("bbbbbbb")];
        let choices = [events[0].choice(), events[1].choice()];
        Self {
            voters,
            byzantine,
            automatic,
            events,
            choices,
        }
    }

    /// The voter that honest node `node` (0 to 2) is.
    pub(crate) fn voter(&self, node: usize) -> u8 {
        (0..VOTERS)
            .filter(|voter| *voter != self.byzantine)
            .nth(node)
            .unwrap()
    }

    pub(crate) fn rules(&self, me: u8) -> Rules {
        Rules {
            me: Some(VoterIndex(me.into())),
            signing: Signing::Now,
            automatic: self.automatic,
        }
    }

    pub(crate) fn is_automatic(&self, round: u8) -> bool {
        self.rules(0).is_automatic(Round(round.into()))
    }

    pub(crate) fn ballot(&self, pick: Pick) -> Ballot {
        match pick {
            Pick::Nil => None,
            Pick::A => Some(self.choices[0]),
            Pick::B => Some(self.choices[1]),
        }
    }

    pub(crate) fn pick(&self, ballot: Ballot) -> Pick {
        PICKS
            .into_iter()
            .find(|pick| self.ballot(*pick) == ballot)
            .unwrap()
    }

    pub(crate) fn proposal(&self, bid: Bid) -> Proposal {
        let valid = bid.valid.map(|round| RoundId {
            epoch: EPOCH,
            round: Round(round.into()),
        });
        let choice = self.ballot(bid.pick).unwrap();
        Proposal {
            epoch: EPOCH,
            subject: SUBJECT,
            round: Round(bid.round.into()),
            choice,
            valid,
        }
    }

    pub(crate) fn bid(&self, proposal: &Proposal) -> Bid {
        let valid = proposal.valid.map(|at| at.round.0 as u8);
        Bid {
            round: proposal.round.0 as u8,
            pick: self.pick(Some(proposal.choice)),
            valid,
        }
    }

    /// The event of `pick` as a candidate; `own`: from the node's own registry.
    pub(crate) fn candidate(&self, pick: Pick, own: bool) -> Input {
        let event = self.events[pick as usize - 1].clone();
        let choice = event.choice();
        Input::Candidate(Candidate {
            choice,
            event,
            announced_by: None,
            prompt: true,
            own,
            endorsed: false,
        })
    }

    /// What the instance is given. A restart is none: it makes a new instance.
    pub(crate) fn input(&self, told: Told) -> Input {
        match told {
            Told::Vote(voter, cast) => Input::Vote {
                voter: VoterIndex(voter.into()),
                round: Round(cast.round.into()),
                phase: cast.phase,
                ballot: self.ballot(cast.pick),
            },
            Told::Bid(voter, bid) => Input::Proposal {
                voter: VoterIndex(voter.into()),
                proposal: self.proposal(bid),
            },
            Told::Timeout(timer) => Input::Timeout(timer),
            Told::Observe(Pick::Nil) => Input::Refuse,
            Told::Observe(pick) => self.candidate(pick, true),
            Told::Choose(pick) => Input::Choose(self.ballot(pick).unwrap()),
            Told::Restart | Told::Late(_) => unreachable!("not an input of the machine"),
        }
    }
}

pub(crate) fn timer(round: u8, step: Step) -> Timer {
    Timer {
        round: Round(round.into()),
        step,
    }
}
