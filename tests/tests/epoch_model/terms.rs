//! What the model speaks of: choices, locks, what a voter has signed, and a whole state.

/// Honest voters of an epoch; the fourth, D, is Byzantine in every epoch and has no state.
pub(crate) const HONEST: usize = 3;
/// Rounds of an epoch at most.
pub(crate) const ROUNDS: usize = 2;
/// Weight that is more than F, of four equal voters of whom F = 1 may lie.
pub(crate) const MORE_THAN_F: usize = 2;

/// A choice of a subject, 1 or 2; in what a voter signed, also [`NONE`] and [`NIL`].
pub(crate) type Choice = u8;
pub(crate) const CHOICES: [Choice; 2] = [1, 2];
/// Nothing signed, or nothing held.
pub(crate) const NONE: Choice = 0;
/// A precommit of nil.
pub(crate) const NIL: Choice = 3;

pub(crate) fn other(choice: Choice) -> Choice {
    3 - choice
}

/// A set of choices, bit 0 for choice 1.
pub(crate) type Choices = u8;

pub(crate) fn bit(choice: Choice) -> Choices {
    choice
}

/// Where and on what a voter is locked. Locks are ordered by (epoch, round).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lock {
    pub(crate) epoch: u8,
    pub(crate) round: u8,
    pub(crate) choice: Choice,
}

impl Lock {
    pub(crate) fn new(epoch: usize, round: usize, choice: Choice) -> Self {
        Self {
            epoch: epoch as u8,
            round: round as u8,
            choice,
        }
    }

    pub(crate) fn place(self) -> (u8, u8) {
        (self.epoch, self.round)
    }

    pub(crate) fn is_before(self, epoch: usize) -> bool {
        usize::from(self.epoch) < epoch
    }

    /// 1 to 12 in three epochs of two rounds.
    pub(crate) fn code(self) -> u8 {
        1 + (2 * self.epoch + self.round) * 2 + (self.choice - 1)
    }

    fn of_code(code: u8) -> Option<Self> {
        let place = code.checked_sub(1)? / 2;
        Some(Self {
            epoch: place / 2,
            round: place % 2,
            choice: (code - 1) % 2 + 1,
        })
    }

    /// The locks that epochs before `epoch` can give.
    pub(crate) fn all_before(epoch: usize) -> impl Iterator<Item = Self> {
        (1..=4 * epoch as u8).filter_map(Self::of_code)
    }
}

/// A set of locks, by their code; also of polkas, which are named alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Locks(u16);

impl Locks {
    pub(crate) fn add(&mut self, lock: Lock) {
        self.0 |= 1 << lock.code();
    }

    pub(crate) fn has(self, lock: Lock) -> bool {
        self.0 >> lock.code() & 1 == 1
    }

    pub(crate) fn is_within(self, others: Self) -> bool {
        self.0 & others.0 == self.0
    }
}

/// How a voter stands on one subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Standing {
    pub(crate) round: u8,
    /// By round; [`NONE`] is also a prevote of nil, which moves nothing in the model.
    pub(crate) prevotes: [Choice; ROUNDS],
    pub(crate) precommits: [Choice; ROUNDS],
    pub(crate) lock: Option<Lock>,
    /// What it inherited on entering; once it has closed, the lock that its close lists.
    pub(crate) inherited: Option<Lock>,
    /// The choice of which it holds a certificate, or [`NONE`].
    pub(crate) certified: Choice,
}

/// Where a voter is in an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It has entered, and votes.
    #[default]
    Active,
    /// It has not entered this epoch.
    Absent,
    /// It has signed its close, and votes no more.
    Closed,
}

/// A voter, on all `K` subjects. The stage is one for all of them: that is what couples them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Voter<const K: usize> {
    pub(crate) stage: Stage,
    pub(crate) on: [Standing; K],
}

/// The honest voters of one epoch. There are no messages: what one has signed may be seen by any
/// other at any later time, or never.
pub(crate) type State<const K: usize> = [Voter<K>; HONEST];

const STANDING_BITS: u32 = 1 + 2 * 4 + 4 + 4 + 2;

/// A state as a number; below 2⁶⁴ for one subject.
pub(crate) fn pack<const K: usize>(state: &State<K>) -> u128 {
    let mut packed = 0;
    for voter in state {
        packed = packed << 2 | voter.stage as u128;
        for on in &voter.on {
            packed = packed << STANDING_BITS | pack_standing(on);
        }
    }
    packed
}

fn pack_standing(on: &Standing) -> u128 {
    let code = |lock: Option<Lock>| lock.map_or(0, Lock::code);
    let mut packed = u128::from(on.round);
    for signed in on.prevotes.into_iter().chain(on.precommits) {
        packed = packed << 2 | u128::from(signed);
    }
    packed = packed << 4 | u128::from(code(on.lock));
    packed = packed << 4 | u128::from(code(on.inherited));
    packed << 2 | u128::from(on.certified)
}

pub(crate) fn unpack<const K: usize>(mut packed: u128) -> State<K> {
    let mut state = [Voter {
        stage: Stage::Active,
        on: [Standing::default(); K],
    }; HONEST];
    for voter in state.iter_mut().rev() {
        for on in voter.on.iter_mut().rev() {
            *on = unpack_standing(packed & ((1 << STANDING_BITS) - 1));
            packed >>= STANDING_BITS;
        }
        voter.stage = match packed & 3 {
            0 => Stage::Active,
            1 => Stage::Absent,
            _ => Stage::Closed,
        };
        packed >>= 2;
    }
    state
}

fn unpack_standing(packed: u128) -> Standing {
    let field = |from: u32, bits: u32| (packed >> from) as u8 & ((1 << bits) - 1);
    Standing {
        round: field(18, 1),
        prevotes: [field(16, 2), field(14, 2)],
        precommits: [field(12, 2), field(10, 2)],
        lock: Lock::of_code(field(6, 4)),
        inherited: Lock::of_code(field(2, 4)),
        certified: field(0, 2),
    }
}
