//! Statements a voter signs about a subject: votes, proposals, epoch closes, and their signed
//! layouts (SPEC §4, §5).
//!
//! The layouts are the specification's, big-endian and fixed; the wire encoding of the same structs
//! is never signed.

use serde::{Deserialize, Serialize};

use crate::id::{Choice, ContentDigest, Epoch, EventHash, ManifestHash, Round, SetHash, SubjectId};

/// The two phases of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The first: what a node would certify.
    Prevote,
    /// The second: what it saw a quorum of prevotes for.
    Precommit,
}

impl Phase {
    /// The byte that is signed: 1 or 2.
    pub fn byte(self) -> u8 {
        match self {
            Self::Prevote => 1,
            Self::Precommit => 2,
        }
    }
}

/// A voter's ballot: a choice, or nil (`None`).
pub type Ballot = Option<Choice>;

/// One vote of one voter. Who cast it is said by the batch that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vote {
    /// The epoch whose voters count it.
    pub epoch: Epoch,
    /// What is voted on.
    pub subject: SubjectId,
    /// The round within the subject's instance.
    pub round: Round,
    /// Whether it is a prevote or a precommit.
    pub phase: Phase,
    /// What is voted for: a choice, observed or not, or nil.
    pub ballot: Ballot,
    /// Whether the voter's own registry has it: an observation. Only of a round-0 prevote for a
    /// choice; see [`Vote::is_well_formed`]. Towards tallies, polkas and equivocation it makes no
    /// difference.
    pub observed: bool,
}

impl Vote {
    /// Whether a node may sign it: `observed` belongs to round-0 prevotes for a choice and to
    /// nothing else.
    ///
    /// ```
    /// use ssid_protocol::id::{Epoch, Round, SubjectId};
    /// use ssid_protocol::vote::{Phase, Vote};
    ///
    /// let mut nil = Vote {
    ///     epoch: Epoch::ZERO,
    ///     subject: SubjectId([7; 32]),
    ///     round: Round::ZERO,
    ///     phase: Phase::Prevote,
    ///     ballot: None,
    ///     observed: false,
    /// };
    /// assert!(nil.is_well_formed());
    /// nil.observed = true;
    /// assert!(!nil.is_well_formed(), "nothing was observed");
    /// ```
    pub fn is_well_formed(&self) -> bool {
        let may_observe =
            self.round == Round::ZERO && self.phase == Phase::Prevote && self.ballot.is_some();
        may_observe || !self.observed
    }

    /// `epoch u64 ‖ subject_id ‖ round u32 ‖ phase u8 ‖ ballot`; ballot `0x00` nil,
    /// `0x01 ‖ choice`, or `0x02 ‖ choice` where it is observed.
    ///
    /// ```
    /// use ssid_protocol::id::{Epoch, Round, SubjectId};
    /// use ssid_protocol::testing::event;
    /// use ssid_protocol::vote::{Phase, Vote};
    ///
    /// let vote = Vote {
    ///     epoch: Epoch::ZERO,
    ///     subject: SubjectId([7; 32]),
    ///     round: Round::ZERO,
    ///     phase: Phase::Prevote,
    ///     ballot: Some(event("release", "v1").choice()),
    ///     observed: true,
    /// };
    /// assert_eq!(vote.leaf_bytes().len(), 110);
    /// assert_eq!(Vote::from_leaf_bytes(&vote.leaf_bytes()), Some(vote));
    /// ```
    pub fn leaf_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(110);
        bytes.extend_from_slice(&self.epoch.0.to_be_bytes());
        bytes.extend_from_slice(&self.subject.0);
        bytes.extend_from_slice(&self.round.0.to_be_bytes());
        bytes.push(self.phase.byte());
        match &self.ballot {
            None => bytes.push(0),
            Some(choice) => {
                bytes.push(if self.observed { 2 } else { 1 });
                bytes.extend_from_slice(&choice.to_bytes());
            }
        }
        bytes
    }

    /// The vote with these leaf bytes; `None` if they are no vote's.
    pub fn from_leaf_bytes(bytes: &[u8]) -> Option<Self> {
        let mut leaf = Leaf(bytes);
        let (epoch, subject, round) = (leaf.epoch()?, SubjectId(leaf.take()?), leaf.round()?);
        let phase = match leaf.take()? {
            [1] => Phase::Prevote,
            [2] => Phase::Precommit,
            _ => return None,
        };
        let (ballot, observed) = match leaf.take()? {
            [0] => (None, false),
            [1] => (Some(leaf.choice()?), false),
            [2] => (Some(leaf.choice()?), true),
            _ => return None,
        };
        let vote = Self {
            epoch,
            subject,
            round,
            phase,
            ballot,
            observed,
        };
        leaf.end(vote).filter(Self::is_well_formed)
    }
}

/// Takes fixed-width fields from the front of leaf bytes.
struct Leaf<'a>(&'a [u8]);

impl Leaf<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn epoch(&mut self) -> Option<Epoch> {
        Some(Epoch(u64::from_be_bytes(self.take()?)))
    }

    fn round(&mut self) -> Option<Round> {
        Some(Round(u32::from_be_bytes(self.take()?)))
    }

    fn choice(&mut self) -> Option<Choice> {
        Some(Choice {
            event_hash: EventHash(self.take()?),
            content_digest: ContentDigest(self.take()?),
        })
    }

    /// A byte that says whether something follows.
    fn flag(&mut self) -> Option<bool> {
        match self.take()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

/// A point in an instance's history: rounds are ordered by epoch first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoundId {
    /// The epoch whose voters count.
    pub epoch: Epoch,
    /// The round in it.
    pub round: Round,
}

/// The proposal that opens an automatic round (SPEC §7 rule 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Proposal {
    /// The epoch whose voters count.
    pub epoch: Epoch,
    /// What is voted on.
    pub subject: SubjectId,
    /// The round it opens.
    pub round: Round,
    /// What it proposes.
    pub choice: Choice,
    /// Where the proposer saw a polka for it, if it did.
    pub valid: Option<RoundId>,
}

impl Proposal {
    /// `epoch u64 ‖ subject_id ‖ round u32 ‖ choice ‖ (0x00 | 0x01 ‖ valid_epoch u64 ‖ valid_round u32)`.
    pub fn leaf_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(121);
        bytes.extend_from_slice(&self.epoch.0.to_be_bytes());
        bytes.extend_from_slice(&self.subject.0);
        bytes.extend_from_slice(&self.round.0.to_be_bytes());
        bytes.extend_from_slice(&self.choice.to_bytes());
        match &self.valid {
            None => bytes.push(0),
            Some(at) => {
                bytes.push(1);
                bytes.extend_from_slice(&at.epoch.0.to_be_bytes());
                bytes.extend_from_slice(&at.round.0.to_be_bytes());
            }
        }
        bytes
    }

    /// The proposal with these leaf bytes; `None` if they are no proposal's.
    pub fn from_leaf_bytes(bytes: &[u8]) -> Option<Self> {
        let mut leaf = Leaf(bytes);
        let (epoch, subject, round) = (leaf.epoch()?, SubjectId(leaf.take()?), leaf.round()?);
        let choice = leaf.choice()?;
        let valid = if leaf.flag()? {
            Some(RoundId {
                epoch: leaf.epoch()?,
                round: leaf.round()?,
            })
        } else {
            None
        };
        leaf.end(Self {
            epoch,
            subject,
            round,
            choice,
            valid,
        })
    }
}

/// A voter's last word in an epoch (SPEC §4, *Change of members*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EpochClose {
    /// The epoch it closes.
    pub epoch: Epoch,
    /// The next epoch's manifest.
    pub next: ManifestHash,
    /// How many subjects the voter holds certificates for.
    pub certified_count: u64,
    /// Root of the set tree over `subject_id ‖ choice` of those.
    pub certified_root: SetHash,
    /// How many uncertified subjects it is locked on.
    pub locks_count: u64,
    /// Root of the set tree over `subject_id ‖ epoch ‖ round ‖ choice` of those.
    pub locks_root: SetHash,
}

impl EpochClose {
    /// `epoch u64 ‖ next ‖ certified_count u64 ‖ certified_root ‖ locks_count u64 ‖ locks_root`.
    pub fn leaf_bytes(&self) -> Vec<u8> {
        [
            &self.epoch.0.to_be_bytes()[..],
            &self.next.0,
            &self.certified_count.to_be_bytes(),
            &self.certified_root.0,
            &self.locks_count.to_be_bytes(),
            &self.locks_root.0,
        ]
        .concat()
    }
}
