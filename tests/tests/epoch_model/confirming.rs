//! R8's second condition: that what others say of a close keeps out one that was minted later with
//! a former key, when the epoch that it closes is long over, and still lets everybody enter.
//!
//! A close that says nothing needs no proof, so once the keys of an epoch are stolen anybody can
//! make one, for a voter whose own close some other has not seen. They count as stolen from when
//! voters of a quorum of the next epoch, the Byzantine ones among them, have entered it.
//!
//! **The condition as it was first written** – a voter says which closes it has counted, before it
//! enters and after; who enters needs more than F others to say so of each – is broken: an honest
//! voter that has entered has no reason to refuse a late close that says nothing, and with D that
//! is more than F of four. Of seven, two honest voters that are both late are enough without that.
//!
//! **What closes it** is the double echo of reliable broadcast (Bracha 1987), of each close among
//! the next epoch's voters:
//!
//! 1. A voter that has not entered yet says of a close that it has *counted* it. It never does
//!    after it has entered once, also not if it has lost its database since.
//! 2. It says that it has *confirmed* a close once voters of a quorum of the next epoch, itself
//!    included, say that they counted it, or once voters of more than F say that they confirmed it;
//!    before it enters and after.
//! 3. It enters by counted closes of a quorum that voters of a quorum of the next epoch confirmed.
//!
//! Why no minted close is confirmed: the first honest voter to confirm one saw a quorum count it,
//! honest ones of at least q − F among them, none of whom had entered when the first of them did
//! so. Voters of at most W − (q − F), so of less than a quorum (2q − W > F), had entered then, and
//! the keys were not stolen. Why everybody can enter: who entered saw honest voters of q − F > F
//! confirm each of its closes, so every honest voter comes to confirm them too.

mod cases;
mod search;

use crate::group::Group;

/// How closes come to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// None: whoever holds the proofs enters.
    Nothing,
    /// More than F others say that they counted it, before they enter or after.
    CountedByMoreThanF,
    /// More than F others say that they counted it before they entered.
    CountedBeforeEntering,
    /// A quorum says that they counted it before they entered.
    CountedByQuorum,
    /// Counted, then confirmed.
    Confirmed,
    /// The same, but a voter enters by what it has confirmed itself.
    ConfirmedByOneself,
    /// The same, but who entered goes on saying that it counted closes.
    ConfirmedCountingAfter,
    /// The same, but who lost its database after it entered counts closes again.
    ConfirmedCountingAgain,
    /// The same, but more than F that counted it are enough to confirm.
    ConfirmedByFewer,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Stage {
    #[default]
    Outside,
    Entered,
    /// It had entered, and has lost its database: it has to enter again.
    Lost,
}

/// One honest voter of the next epoch; closes are bits of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Voter {
    pub(crate) stage: Stage,
    /// It says that it has counted them.
    pub(crate) counted: u8,
    /// It says that it has confirmed them.
    pub(crate) confirmed: u8,
    /// It entered by a minted close.
    pub(crate) deceived: bool,
}

/// What an honest voter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Counts { voter: usize, close: usize },
    Confirms { voter: usize, close: usize },
    Enters { voter: usize },
    EntersByMinted { voter: usize },
    LosesItsDatabase { voter: usize },
}

/// Which closes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closes {
    /// One minted close. By closes that are their voters' own anybody may enter at any time: more
    /// than any condition allows, so this explores safety only.
    Minted,
    /// Those of A, B, C and D, each its voter's own; three are a quorum.
    OfFour,
}

/// The honest voters of the next epoch while they enter it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) group: Group,
    pub(crate) condition: Condition,
    pub(crate) closes: Closes,
    pub(crate) databases_get_lost: bool,
}

pub(crate) type State = Vec<Voter>;

/// The number of closes in [`Closes::OfFour`], and that of D's.
const FOUR: usize = 4;
const OF_D: usize = 3;
const MINTED: usize = 0;

impl Model {
    pub(crate) fn new(group: Group, condition: Condition, closes: Closes) -> Self {
        Self {
            group,
            condition,
            closes,
            databases_get_lost: false,
        }
    }

    fn close_count(&self) -> usize {
        match self.closes {
            Closes::Minted => 1,
            Closes::OfFour => FOUR,
        }
    }

    /// Whether voters of a quorum, the Byzantine ones among them, have entered: from then on keys
    /// of the epoch that was closed may be anybody's.
    fn are_keys_stolen(&self, state: &State) -> bool {
        let entered = self
            .group
            .weight(|voter| state[voter].stage != Stage::Outside);
        entered + self.group.byzantine >= self.group.quorum
    }

    /// The weight that says it counted the close; `helps`: the Byzantine voters say so too.
    fn counted(&self, state: &State, close: usize, helps: bool) -> u64 {
        let lies = if helps { self.group.byzantine } else { 0 };
        lies + self.group.weight(|voter| has(state[voter].counted, close))
    }

    fn confirmed(&self, state: &State, close: usize, helps: bool) -> u64 {
        let lies = if helps { self.group.byzantine } else { 0 };
        lies + self
            .group
            .weight(|voter| has(state[voter].confirmed, close))
    }

    /// Whether `voter` may say that it counted a close, if it is shown it.
    pub(crate) fn may_count(&self, state: &State, voter: usize) -> bool {
        match state[voter].stage {
            Stage::Outside => true,
            Stage::Entered => matches!(
                self.condition,
                Condition::CountedByMoreThanF | Condition::ConfirmedCountingAfter
            ),
            Stage::Lost => matches!(
                self.condition,
                Condition::CountedByMoreThanF
                    | Condition::ConfirmedCountingAfter
                    | Condition::ConfirmedCountingAgain
            ),
        }
    }

    pub(crate) fn may_confirm(&self, state: &State, close: usize, helps: bool) -> bool {
        let counted = self.counted(state, close, helps);
        let enough = match self.condition {
            Condition::ConfirmedByFewer => counted > self.group.faults,
            Condition::Confirmed
            | Condition::ConfirmedByOneself
            | Condition::ConfirmedCountingAfter
            | Condition::ConfirmedCountingAgain => counted >= self.group.quorum,
            _ => return false,
        };
        enough || self.confirmed(state, close, helps) > self.group.faults
    }

    /// Whether `voter` may enter by this close, among others.
    pub(crate) fn may_enter_by(
        &self,
        state: &State,
        voter: usize,
        close: usize,
        helps: bool,
    ) -> bool {
        let counted = self.counted(state, close, helps);
        match self.condition {
            Condition::Nothing => true,
            Condition::CountedByMoreThanF | Condition::CountedBeforeEntering => {
                let own = if has(state[voter].counted, close) {
                    self.group.honest[voter]
                } else {
                    0
                };
                counted - own > self.group.faults
            }
            Condition::CountedByQuorum => counted >= self.group.quorum,
            Condition::ConfirmedByOneself => has(state[voter].confirmed, close),
            _ => self.confirmed(state, close, helps) >= self.group.quorum,
        }
    }

    /// Whether closes of a quorum of four are enough for it to enter.
    fn may_enter(&self, state: &State, voter: usize, helps: bool) -> bool {
        self.closes == Closes::Minted
            || (0..FOUR)
                .filter(|close| self.may_enter_by(state, voter, *close, helps))
                .count()
                >= 3
    }

    /// All that an honest voter can do, the Byzantine ones saying whatever helps.
    pub(crate) fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        let exists = self.closes == Closes::OfFour || self.are_keys_stolen(state);
        for voter in 0..state.len() {
            for close in 0..self.close_count() {
                let can = exists && !has(state[voter].counted, close);
                if can && self.may_count(state, voter) {
                    steps.push(Step::Counts { voter, close });
                }
                let can = exists && !has(state[voter].confirmed, close);
                if can && self.may_confirm(state, close, true) {
                    steps.push(Step::Confirms { voter, close });
                }
            }
            if state[voter].stage == Stage::Entered {
                if self.databases_get_lost {
                    steps.push(Step::LosesItsDatabase { voter });
                }
                continue;
            }
            if self.may_enter(state, voter, true) {
                steps.push(Step::Enters { voter });
            }
            let minted = self.closes == Closes::Minted && exists;
            if minted && self.may_enter_by(state, voter, MINTED, true) {
                steps.push(Step::EntersByMinted { voter });
            }
        }
        steps
    }

    pub(crate) fn after(state: &State, step: Step) -> State {
        let mut state = state.clone();
        match step {
            Step::Counts { voter, close } => state[voter].counted |= 1 << close,
            Step::Confirms { voter, close } => state[voter].confirmed |= 1 << close,
            Step::Enters { voter } => state[voter].stage = Stage::Entered,
            Step::EntersByMinted { voter } => {
                state[voter].stage = Stage::Entered;
                state[voter].deceived = true;
            }
            Step::LosesItsDatabase { voter } => state[voter].stage = Stage::Lost,
        }
        state
    }

    /// Whether all honest voters can enter when D is silent from now on. Its own close is there
    /// only if an honest voter, who serves it, has counted it.
    pub(crate) fn all_can_enter(&self, state: &State) -> bool {
        let mut state = state.clone();
        let of_d = state.iter().any(|voter| has(voter.counted, OF_D));
        loop {
            let before = state.clone();
            for voter in 0..state.len() {
                for close in (0..FOUR).filter(|close| *close != OF_D || of_d) {
                    if self.may_count(&state, voter) {
                        state[voter].counted |= 1 << close;
                    }
                    if self.may_confirm(&state, close, false) {
                        state[voter].confirmed |= 1 << close;
                    }
                }
            }
            // all that can be said is said before the next one enters
            if state == before {
                let next = (0..state.len()).find(|voter| {
                    state[*voter].stage != Stage::Entered && self.may_enter(&state, *voter, false)
                });
                match next {
                    Some(voter) => state[voter].stage = Stage::Entered,
                    None => return state.iter().all(|voter| voter.stage == Stage::Entered),
                }
            }
        }
    }
}

fn has(set: u8, close: usize) -> bool {
    set >> close & 1 == 1
}
