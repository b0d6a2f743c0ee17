//! A node that was restored from an older copy takes part again in the epoch after the one in which
//! the others said that they have not closed it.

use ssid_protocol::id::UnixMillis;
use ssid_protocol::sync::{EpochStanding, Request};
use ssid_storage::{Journal, JournalRecord};

use super::*;

/// The last of four lost what it signed; its operator said that no other copy runs, or did not.
fn restored(is_alone: bool) -> Net {
    let mut net = Net::new(4);
    net.settle();
    let early = testing::event("release", "early");
    net.emit(0, std::slice::from_ref(&early));
    net.settle();
    net.stop(3);
    let home = net.homes[3].path().to_owned();
    for name in ["votes.journal", "log.head"] {
        std::fs::remove_file(home.join(name)).unwrap();
    }
    std::fs::remove_dir_all(home.join("db")).unwrap();
    let mut journal = Journal::create(&home.join("votes.journal"), net.ids[3]).unwrap();
    let mut records = vec![JournalRecord::Abstain("an older copy".into())];
    if is_alone {
        records.push(JournalRecord::OldCopyGone(UnixMillis(START.0 + 1_000)));
    }
    journal.append(&records).unwrap();
    journal.commit().unwrap();
    drop(journal);
    net.start(3);
    net.settle();
    net.pass(3);
    net
}

fn abstaining(net: &Net) -> Option<String> {
    net.engine(3).status().abstaining
}

#[test]
fn it_votes_again_in_the_next_epoch_and_not_before() {
    let mut net = restored(true);
    let says = abstaining(&net).unwrap();
    assert!(says.contains("from epoch 1 on"), "{says}");
    let manifest = change(&net, 0, |_| {});
    carry_through(&mut net, &manifest, &[1, 2]);
    assert_eq!(epochs(&net), [1, 1, 1, 1]);
    assert_eq!(abstaining(&net), None);
    // without one of the others nothing is decided without it
    net.stop(0);
    let late = testing::event("release", "late");
    net.emit(1, std::slice::from_ref(&late));
    net.settle();
    assert!(net.certified(3).contains(&late.choice()));
    // also after a restart
    net.stop(3);
    net.start(3);
    net.settle();
    assert_eq!(abstaining(&net), None);
    // what the former life may have announced otherwise it does not announce
    let old = testing::event("release", "of the former life");
    net.emit(3, std::slice::from_ref(&old));
    assert!(
        matches!(net.outcomes.last(), Some(EmitOutcome::Refused { reason, .. }) if reason.contains("older copy")),
        "{:?}",
        net.outcomes.last()
    );
}

#[test]
fn it_never_does_by_itself() {
    let mut net = restored(false);
    let manifest = change(&net, 0, |_| {});
    carry_through(&mut net, &manifest, &[1, 2]);
    assert_eq!(epochs(&net)[..3], [1, 1, 1]);
    assert_eq!(abstaining(&net).as_deref(), Some("an older copy"));
    let asked = |(node, _, request): &(usize, _, Request)| {
        *node == 3 && matches!(request, Request::Change(ChangeRequest::Standing))
    };
    assert!(!net.asked.iter().any(asked));
}

#[test]
fn answers_of_who_has_closed_or_is_elsewhere_do_not_count() {
    let mut net = Net::new(4);
    net.settle();
    let engine = net.engines[3].as_mut().unwrap();
    let manifest = engine.epochs().current().manifest().hash();
    let right = EpochStanding {
        epoch: Epoch(0),
        manifest,
        has_closed: false,
    };
    let mut elsewhere = manifest;
    elsewhere.0[0] ^= 1;
    let wrong = [
        EpochStanding {
            has_closed: true,
            ..right
        },
        EpochStanding {
            epoch: Epoch(1),
            ..right
        },
        EpochStanding {
            manifest: elsewhere,
            ..right
        },
    ];
    engine.standing.note_rolled_back("an older copy".into());
    engine.returning.note_alone(START);
    let now = engine.now;
    let mut tick = crate::engine::Tick::new(now);
    for standing in wrong {
        for node in 0..3 {
            engine.take_standing(&mut tick, net.ids[node], &standing);
        }
    }
    // its own word does not count, nor one voter's twice
    for node in [0, 1, 0, 3] {
        engine.take_standing(&mut tick, net.ids[node], &right);
    }
    assert_eq!(engine.returning.after(), None);
    engine.take_standing(&mut tick, net.ids[2], &right);
    assert_eq!(engine.returning.after(), Some(Epoch(0)));
}
