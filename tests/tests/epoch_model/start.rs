//! How an epoch begins: how each honest voter entered it, and what earlier epochs left behind.

use std::collections::{BTreeMap, BTreeSet};

use crate::terms::{Choices, HONEST, Lock, Locks, NONE, Stage, Standing, State, Voter};

pub(crate) use crate::in_force::Bound;

/// How a voter stands on all subjects when it enters.
pub(crate) type Way<const K: usize> = [Bound; K];

/// One voter at the start of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Begin<const K: usize> {
    Entered(Way<K>),
    /// It does not enter, and holds this from the epoch before.
    Absent(Way<K>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Start<const K: usize> {
    pub(crate) voters: [Begin<K>; HONEST],
    /// The ways in which a voter can enter again; empty if none does.
    pub(crate) ways: BTreeSet<Way<K>>,
    /// Polkas of earlier epochs, which D can show.
    pub(crate) polkas: [Locks; K],
    /// What was certified in earlier epochs, up to their very end.
    pub(crate) certified: [Choices; K],
}

impl<const K: usize> Start<K> {
    /// Epoch 0: nobody is bound to anything.
    pub(crate) fn genesis() -> Self {
        Self {
            voters: [Begin::Entered([Bound::Free; K]); HONEST],
            ways: BTreeSet::new(),
            polkas: [Locks::default(); K],
            certified: [0; K],
        }
    }

    pub(crate) fn entered(&self, seat: usize) -> bool {
        matches!(self.voters[seat], Begin::Entered(_))
    }

    pub(crate) fn state(&self) -> State<K> {
        self.voters.map(|begin| {
            let (stage, way) = match begin {
                Begin::Entered(way) => (Stage::Active, way),
                Begin::Absent(way) => (Stage::Absent, way),
            };
            let on = way.map(|bound| standing(bound, stage));
            Voter { stage, on }
        })
    }
}

fn standing(bound: Bound, stage: Stage) -> Standing {
    let mut on = Standing::default();
    match bound {
        Bound::Free => {}
        Bound::Locked((epoch, round), choice) => {
            on.lock = Some(Lock {
                epoch,
                round,
                choice,
            });
            on.inherited = on.lock.filter(|_| stage == Stage::Active);
        }
        Bound::Certified(choice) => on.certified = choice,
    }
    on
}

/// What a voter that neither closes nor enters goes on holding.
pub(crate) fn held(on: &Standing) -> Bound {
    match on.lock {
        _ if on.certified != NONE => Bound::Certified(on.certified),
        Some(lock) => Bound::Locked(lock.place(), lock.choice),
        None => Bound::Free,
    }
}

/// Of starts that differ only in what earlier epochs left behind, those suffice that have most of
/// it: they allow all that the others allow.
pub(crate) fn maximal<const K: usize>(all: BTreeSet<Start<K>>) -> Vec<Start<K>> {
    let mut alike: BTreeMap<_, Vec<Start<K>>> = BTreeMap::new();
    for start in all {
        alike
            .entry((start.voters, start.ways.clone()))
            .or_default()
            .push(start);
    }
    let is_covered = |start: &Start<K>, by: &Start<K>| {
        (0..K).all(|subject| {
            start.polkas[subject].is_within(by.polkas[subject])
                && start.certified[subject] & by.certified[subject] == start.certified[subject]
        })
    };
    let largest = |group: Vec<Start<K>>| {
        let keep: Vec<_> = group
            .iter()
            .filter(|start| !group.iter().any(|by| by != *start && is_covered(start, by)))
            .cloned()
            .collect();
        keep
    };
    alike.into_values().flat_map(largest).collect()
}
