//! An instance that begins with a lock of the epoch before.

use super::*;

/// An instance of epoch 1 that begins locked on `choice`, and how it goes on after prevotes of
/// others in round 0.
fn inheriting(choice: Choice, prevotes: &[(u16, Option<Choice>)]) -> Instance {
    let (_, _, voters, _) = testing::federation(4);
    let at = RoundId {
        epoch: Epoch(0),
        round: Round(2),
    };
    let inherited = Polka { at, choice };
    let mut instance = Instance::inheriting(Epoch(1), SUBJECT, false, Some(inherited));
    let rules = Rules {
        me: None,
        signing: Signing::Never,
        automatic: None,
    };
    for (voter, ballot) in prevotes {
        let input = Input::Vote {
            voter: VoterIndex(*voter),
            round: Round::ZERO,
            phase: Phase::Prevote,
            ballot: *ballot,
        };
        instance.process(&voters, rules, input);
    }
    instance
}

#[test]
fn an_inherited_lock_gives_way_to_more_than_f_that_prevote_otherwise_and_to_no_nil() {
    let [locked, other] =
        ["v1", "v2"].map(|version| testing::event("blueprint_tagged", version).choice());
    let is_locked = |prevotes: &[_]| inheriting(locked, prevotes).locked().is_some();
    assert!(is_locked(&[]));
    assert!(
        is_locked(&[(1, Some(other)), (1, Some(other))]),
        "one of four"
    );
    assert!(is_locked(&[(1, Some(other)), (2, None), (3, None)]));
    assert!(is_locked(&[(1, Some(other)), (2, Some(locked))]));
    assert!(!is_locked(&[(1, Some(other)), (2, Some(other))]));
}

#[test]
fn who_inherits_a_lock_prevotes_it_in_round_0_whatever_its_own_registry_has() {
    let (_, _, voters, _) = testing::federation(4);
    let [locked, own] = ["v1", "v2"].map(|version| testing::event("blueprint_tagged", version));
    let mut instance = inheriting(locked.choice(), &[]);
    let rules = Rules {
        me: Some(VoterIndex(0)),
        signing: Signing::Now,
        automatic: None,
    };
    let candidate = Candidate {
        choice: own.choice(),
        event: own,
        announced_by: Some(VoterIndex(0)),
        prompt: true,
        own: true,
        endorsed: false,
    };
    let outputs = instance.process(&voters, rules, Input::Candidate(candidate));
    let said = outputs.iter().find_map(|output| match output {
        Output::Sign(vote) => Some((vote.phase, vote.ballot, vote.observed)),
        _ => None,
    });
    assert_eq!(said, Some((Phase::Prevote, Some(locked.choice()), false)));
}
