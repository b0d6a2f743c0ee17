//! Changes of members, told while they wait and once they are in force.

use ssid_protocol::manifest::Succession;
use ssid_protocol::member::Status;

use super::*;

#[tokio::test]
async fn a_change_of_members_is_told_while_it_waits_and_once_when_it_is_in_force() {
    let mut stage = Stage::new();
    let mut next = testing::successor(&stage.manifest);
    next.members[3].status = Status::Suspended;
    stage.propose(&next);
    let mut follower = stage.follower(NotifiedEvents::default());
    assert!(stage.told(&mut follower, 0..=9).await.is_empty());
    let told = stage.told(&mut follower, 10..=100).await;
    assert_eq!(
        titles(&told),
        ["A change of members is proposed and waits for you"]
    );
    let hash = &next.hash().to_string()[..12];
    let text = told[0].text();
    for part in [
        "Node-3 is suspended",
        &format!("ssid membership approve {hash}"),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    stage.wait_for(vec![]);
    assert_eq!(
        titles(&stage.told(&mut follower, 101..=110).await),
        ["No change of members waits for you any more"]
    );
    // decided and, 2 s later, in force
    let decided = NodeEvent::EpochDecided {
        epoch: next.epoch,
        manifest: next.hash(),
    };
    let entered = NodeEvent::EpochEntered {
        epoch: next.epoch,
        manifest: next.hash(),
    };
    follower.pause.time(&decided, stage.begun);
    follower
        .pause
        .time(&entered, stage.begun + Duration::from_secs(2));
    stage.enter(next);
    let told = stage.told(&mut follower, 111..=200).await;
    assert_eq!(titles(&told), ["Epoch 1: the members changed"]);
    assert!(told[0].text().contains("2.0 s"), "{}", told[0].text());
}

#[tokio::test]
async fn what_was_in_force_before_a_restart_is_not_told_again_and_what_began_meanwhile_is() {
    let stage = Stage::new();
    let first = testing::successor(&stage.manifest);
    let mut follower = stage.follower(NotifiedEvents::default());
    assert!(stage.told(&mut follower, 0..=1).await.is_empty());
    stage.enter(first.clone());
    follower.gathered.messages = stage.told(&mut follower, 2..=3).await;
    assert_eq!(follower.gathered.messages.len(), 1);
    follower.tell_gathered().await;
    drop(follower);
    let mut restarted = stage.follower(NotifiedEvents::default());
    assert!(stage.told(&mut restarted, 4..=5).await.is_empty());
    stage.enter(testing::successor(&first));
    let told = stage.told(&mut restarted, 6..=7).await;
    assert_eq!(titles(&told), ["Epoch 2: the members changed"]);
}

#[tokio::test]
async fn who_has_another_key_neither_left_nor_joined() {
    let stage = Stage::new();
    let mut follower = stage.follower(NotifiedEvents::default());
    let _ = follower.check().await.unwrap();
    let mut next = testing::successor(&stage.manifest);
    let (member, former) = (testing::key(9).node_id(), next.members[3].node_id);
    next.members[3].node_id = member;
    next.change.as_mut().unwrap().succeeds = vec![Succession { member, former }];
    assert!(stage.told(&mut follower, 0..=0).await.is_empty());
    stage.enter(next);
    let told = stage.told(&mut follower, 1..=2).await;
    assert_eq!(titles(&told), ["Epoch 1: the members changed"]);
    assert!(told[0].text().contains("Node-3 has another key"));
    let _ = follower.check().await.unwrap();
    let rows = follower.service.delivery().queue().rows();
    let told: Vec<_> = rows.map(|(_, entry)| entry.message.title.clone()).collect();
    assert_eq!(told, Vec::<String>::new(), "who left, or joined");
}
