//! Each fault is found: a rule left out or done wrong breaks one of the properties.

use crate::explore::{Violation, run};
use crate::rules::{Fault, Rules};

const TWO_EPOCHS: &[usize] = &[1, 1];
const THREE_EPOCHS: &[usize] = &[1, 1, 1];

/// Which of the three properties a fault is to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    OneChoice,
    Bound,
    Progress,
}

fn caught(fault: Fault, rules: Rules, broken: Broken) {
    let name = format!("{fault:?}, rounds {:?}", rules.rounds);
    let Some(violation) = run::<1>(&name, &rules.with(fault)) else {
        panic!("{name}: nothing is found");
    };
    println!("  {violation:?}");
    let found = match violation {
        Violation::TwoCertified { .. } => Broken::OneChoice,
        Violation::Unbound { .. } => Broken::Bound,
        Violation::Stuck { .. } => Broken::Progress,
    };
    assert_eq!(found, broken, "{name}");
}

/// One test a fault: `name: fault, rules, the property that breaks;`
macro_rules! caught {
    ($($name:ident: $fault:ident, $rules:expr, $broken:ident;)+) => {
        $(
            #[test]
            fn $name() {
                caught(Fault::$fault, $rules, Broken::$broken);
            }
        )+
    };
}

caught! {
    votes_after_a_close_are_caught:
        VotesAfterClose, Rules::current(TWO_EPOCHS), Bound;
    votes_on_what_a_close_lacks_are_caught:
        VotesOnWhatItsCloseLacks, Rules::current(TWO_EPOCHS), Bound;
    a_close_drawn_up_before_the_last_vote_is_caught:
        CloseBeforeLastVote, Rules::current(TWO_EPOCHS), Bound;
    a_close_that_lost_its_lock_is_caught:
        CloseLosesLock, Rules::current(TWO_EPOCHS), Bound;
    certified_subjects_left_out_of_a_close_are_caught:
        CertifiedLeftOut, Rules::current(TWO_EPOCHS), Bound;
    inherited_locks_that_are_not_passed_on_are_caught:
        InheritedNotPassedOn, Rules::current(THREE_EPOCHS), Bound;
    a_close_by_who_did_not_enter_is_caught:
        AbsentCloses, Rules::current(THREE_EPOCHS), Bound;
    // with R6 only who entered closes, which is enough by itself
    a_change_by_voters_that_did_not_enter_is_caught:
        AbsentDecidesTheChange, Rules::keys_kept(THREE_EPOCHS), Bound;
    nothing_inherited_is_caught:
        NothingInherited, Rules::current(TWO_EPOCHS), Bound;
    the_earliest_lock_inherited_is_caught:
        EarliestInherited, Rules::current(THREE_EPOCHS), Bound;
    locks_compared_by_round_only_are_caught:
        ComparedByRoundOnly, Rules::current(THREE_EPOCHS), Bound;
    half_of_the_closes_are_caught:
        FewCloses, Rules::current(TWO_EPOCHS), Bound;
    a_lock_without_its_polka_is_caught:
        LockWithoutPolka, Rules::current(TWO_EPOCHS), Bound;
    a_certified_entry_without_its_certificate_is_caught:
        CertifiedUnproven, Rules::current(TWO_EPOCHS), Progress;
    one_close_that_names_what_is_old_is_caught:
        OneNamesWhatIsOld, Rules::current(THREE_EPOCHS), Progress;
    late_certificates_only_for_what_is_certified_are_caught:
        LateOnlyIfCertified, Rules::keys_kept(TWO_EPOCHS), Bound;
    a_newcomer_that_enters_without_closes_is_caught:
        NewcomerEntersFree, Rules::current(TWO_EPOCHS), Bound;
    a_late_voter_that_enters_by_a_minted_close_is_caught:
        LateEntersByMinted, Rules::current(TWO_EPOCHS), OneChoice;
    a_late_voter_that_keeps_a_minted_certificate_is_caught:
        LateKeepsWhatItHolds, Rules::current(THREE_EPOCHS), OneChoice;
    stolen_claims_under_the_rules_for_kept_keys_are_caught:
        StolenClaims, Rules::keys_kept(THREE_EPOCHS), Progress;
    a_polka_by_stolen_keys_that_releases_is_caught:
        StolenPolkasRelease, Rules::current(TWO_EPOCHS), OneChoice;
    a_certificate_by_stolen_keys_that_certifies_is_caught:
        StolenCertificatesCertify, Rules::current(TWO_EPOCHS), OneChoice;
    inherited_locks_that_nothing_releases_are_caught:
        NobodyReleased, Rules::current(THREE_EPOCHS), Progress;
    inherited_locks_that_one_vote_releases_are_caught:
        OneReleases, Rules::current(TWO_EPOCHS), OneChoice;
    who_holds_it_certified_and_does_not_vote_is_caught:
        CertifiedDoNotVote, Rules::current(TWO_EPOCHS), Progress;
    earlier_polkas_that_release_nothing_are_caught:
        EarlierPolkaReleasesNothing, Rules::keys_kept(THREE_EPOCHS), Progress;
    round_0_that_ignores_the_lock_is_caught:
        Round0Ungated, Rules::current(TWO_EPOCHS), OneChoice;
    a_restart_in_round_0_is_caught:
        RestartInRound0, Rules::current(&[1, 2]), OneChoice;
    a_restart_that_forgets_its_precommit_is_caught:
        RestartForgetsPrecommit, Rules::current(TWO_EPOCHS), Bound;
    a_restart_that_forgets_the_inherited_lock_is_caught:
        RestartForgetsInherited, Rules::current(TWO_EPOCHS), OneChoice;
}
