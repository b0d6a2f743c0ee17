//! Model check of changes of members: that no subject is certified twice over all epochs, that
//! whoever enters an epoch is bound to what earlier ones certified, and that nobody is stuck.
//!
//! **The rules**, by the numbers that the code refers to:
//!
//! - R1–R3, R5 propose, approve and get ready. They only decide *when* a change is certified, which
//!   here may be at any time, so they are not modelled.
//! - R4: a change is a subject like any other, voted on by voters that have entered the epoch.
//! - R6: whoever holds its certificate is sealed, and signs one close that names what it holds
//!   certified and its other locks; only who entered the epoch closes it.
//! - R7 (set trees) is about bytes, not modelled.
//! - R8: a voter enters the next epoch by *counted* closes of a quorum, of which each entry is
//!   proved. What only an earlier epoch proves is in force if closes of more than F name it. Of the
//!   locks in force the latest is inherited. That a close is its voter's own, not minted later with
//!   a former key, is what `confirming` is about, and the condition that it needs.
//! - R9: certificates and polkas of earlier epochs certify and release nothing. An inherited lock
//!   is released by a polka of the epoch, or by prevotes of more than F for another choice. Who
//!   holds a subject certified takes part in it as if locked. What a voter holds certified when it
//!   enters counts only if a close by which it enters, its own among them, lists it as certified:
//!   whoever comes late may have been shown certificates of the epoch that it leaves, minted when
//!   that was over. If it is enough that a close names the choice, in either set, two choices come
//!   to be certified (`faults`).
//! - R10: undecided subjects begin again at round 0; R11–R13 (leaving, other epochs, keys) concern
//!   no vote.
//!
//! **What is explored.** Voters A B C, then B C E, then C E G, and with them D, which is Byzantine
//! in every epoch: four of equal weight, F = 1, a quorum is three. D is not a process: it may say
//! anything to anyone, so two honest votes are a quorum, and it can prove or hide anything. There
//! are no messages: whatever was signed may be seen by anyone at any later time, or never. Every
//! voter may skip rounds, precommit nil, restart, close at any time, and enter by any quorum of
//! closes, with any claim of D that it could prove – of epochs that ended before the closed one
//! whatever it likes, since their keys are taken to be stolen. Voters of an epoch go on voting
//! while others are in the next one. An epoch is explored whole from each of its starts, then every
//! way in which the next can start is derived from every boundary.
//!
//! **Several subjects** share the moment of closing and the set of closes by which a voter enters,
//! and nothing else: no rule about one reads another. `two_subjects` explores two of them together
//! and shows that they reach just what they reach apart.
//!
//! **A voter that lost its votes** signs nothing, so it is one of those that are silent; when it may
//! sign again is what `returning` explores.
//!
//! **What is not covered.** More than four voters and weights are not explored but in `confirming`,
//! and drawn at random in `walk`. More than three epochs, more than two choices, and more than two
//! rounds an epoch (three in walks). Liveness beyond this: from every start the honest voters can
//! decide without D. `SSID_MODEL_DEEP=1` explores more rounds, and walks further.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod confirming;
mod entering;
mod explore;
mod faults;
mod group;
mod in_force;
mod returning;
mod rules;
mod start;
mod terms;
mod two_subjects;
mod voting;
mod walk;

use explore::run;
use rules::Rules;

fn is_deep() -> bool {
    std::env::var_os("SSID_MODEL_DEEP").is_some_and(|value| value == "1")
}

fn holds<const K: usize>(name: &str, rules: &Rules) {
    if let Some(violation) = run::<K>(name, rules) {
        panic!("{name}: {violation:#?}");
    }
}

/// The first of `shallow` and, in a deep run, the others.
fn hold(name: &str, shallow: &[Rules], deep: &[Rules]) {
    let deep = if is_deep() { deep } else { &[] };
    for rules in shallow.iter().chain(deep) {
        holds::<1>(&format!("{name}, rounds {:?}", rules.rounds), rules);
    }
}

#[test]
fn changes_of_members_are_safe_with_former_keys_stolen() {
    hold(
        "n, former keys stolen",
        &[Rules::current(&[1, 2]), Rules::current(&[2, 1, 1])],
        &[Rules::current(&[2, 2]), Rules::current(&[1, 2, 1])],
    );
}

#[test]
fn changes_of_members_are_safe_while_keys_are_kept() {
    hold(
        "safe, keys kept",
        &[Rules::keys_kept(&[1, 1, 1])],
        &[Rules::keys_kept(&[2, 1, 1]), Rules::keys_kept(&[2, 2])],
    );
}

#[test]
fn entering_again_with_other_closes_is_safe() {
    let again = |rules: Rules| Rules {
        enters_again: true,
        ..rules
    };
    hold(
        "again, former keys stolen",
        &[again(Rules::current(&[2, 1]))],
        &[again(Rules::current(&[1, 1, 1]))],
    );
    hold(
        "again, keys kept",
        &[again(Rules::keys_kept(&[1, 1]))],
        &[
            again(Rules::keys_kept(&[2, 1])),
            again(Rules::keys_kept(&[1, 1, 1])),
        ],
    );
}
