//! The three properties.

use std::collections::BTreeSet;

use super::search;
use crate::rules::{Fault, Keys, Rules};
use crate::start::{Begin, Bound, Start};
use crate::terms::{CHOICES, Choice, Lock, Locks, NONE, State, bit};
use crate::voting::{Byzantine, Epoch};

/// Property 1: one choice of a subject is certified, over all epochs.
pub(super) fn certifies_two<const K: usize>(epoch: &Epoch<'_, K>, state: &State<K>) -> bool {
    (0..K).any(|subject| {
        let mut certified = epoch.certified(state, subject) | epoch.start.certified[subject];
        if epoch.rules.has(Fault::StolenCertificatesCertify) {
            let believed = state.iter().map(|voter| voter.on[subject].certified);
            certified |= believed.fold(0, |all, choice| all | choice);
        }
        certified == bit(CHOICES[0]) | bit(CHOICES[1])
    })
}

/// Property 2: whoever entered is bound to all that was or will be certified before. A choice to
/// which somebody is not.
pub(super) fn unbound<const K: usize>(start: &Start<K>, rules: &Rules) -> Option<Choice> {
    for begin in &start.voters {
        let Begin::Entered(way) = begin else { continue };
        for (bound, certified) in way.iter().zip(start.certified) {
            let is_bound = |choice: Choice| match bound {
                Bound::Free => false,
                Bound::Locked(_, locked) => {
                    *locked == choice && !rules.has(Fault::LateOnlyIfCertified)
                }
                Bound::Certified(held) => *held == choice,
            };
            let missed = CHOICES
                .into_iter()
                .find(|choice| certified & bit(*choice) != 0 && !is_bound(*choice));
            if missed.is_some() {
                return missed;
            }
        }
    }
    None
}

/// Whether all honest voters entered. Who holds a certificate shows it while keys are kept, and
/// that ends the matter; once old ones count for nothing, all must be able to certify again.
pub(super) fn is_asked_for_progress<const K: usize>(start: &Start<K>, rules: &Rules) -> bool {
    let shown = rules.keys == Keys::Kept;
    start.voters.iter().all(|begin| match begin {
        Begin::Entered(way) => {
            !shown || !way.iter().any(|bound| matches!(bound, Bound::Certified(_)))
        }
        Begin::Absent(_) => false,
    })
}

pub(super) fn has_opposite_locks<const K: usize>(start: &Start<K>) -> bool {
    (0..K).any(|subject| {
        let locked: BTreeSet<_> = start
            .voters
            .iter()
            .filter_map(|begin| match begin {
                Begin::Entered(way) => match way[subject] {
                    Bound::Locked(_, choice) => Some(choice),
                    _ => None,
                },
                Begin::Absent(_) => None,
            })
            .collect();
        locked.len() == 2
    })
}

/// Property 3: with D silent, and no proofs of earlier epochs but those that their closes brought,
/// the three certify each subject.
pub(super) fn can_decide<const K: usize>(number: usize, start: &Start<K>, rules: &Rules) -> bool {
    (0..K)
        .filter(|subject| rules.change != Some(*subject))
        .all(|subject| {
            let alone = on_one_subject(start, subject);
            let rules = Rules {
                rounds: &rules.rounds[..=number],
                enters_again: false,
                change: None,
                ..*rules
            };
            let epoch = Epoch {
                number,
                start: &alone,
                rules: &rules,
                byzantine: Byzantine::IsSilent,
            };
            let (_, never) = search(&epoch, |state| epoch.certified(state, 0) == NONE);
            !never
        })
}

/// Subjects share nothing within an epoch but the moment of closing, which is not reached here.
fn on_one_subject<const K: usize>(start: &Start<K>, subject: usize) -> Start<1> {
    let mut polkas = Locks::default();
    let voters = start.voters.map(|begin| match begin {
        Begin::Entered(way) => {
            if let Bound::Locked((epoch, round), choice) = way[subject] {
                polkas.add(Lock {
                    epoch,
                    round,
                    choice,
                });
            }
            Begin::Entered([way[subject]])
        }
        Begin::Absent(way) => Begin::Absent([way[subject]]),
    });
    Start {
        voters,
        ways: BTreeSet::new(),
        polkas: [polkas],
        certified: [0],
    }
}
