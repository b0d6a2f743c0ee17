#![allow(clippy::unwrap_used, reason = "tests")]

use ssid_protocol::event::Event;
use ssid_protocol::id::LogId;
use ssid_protocol::testing;
use ssid_storage::Owner;
use tokio::sync::oneshot;

use super::*;
use crate::registry::fixtures;

/// Types of the events that a node with these settings takes from a file of two, both of its own
/// registry.
async fn taken(change: impl FnOnce(&mut Settings)) -> Vec<String> {
    let mut settings = Settings::default();
    change(&mut settings);
    let dir = tempfile::tempdir().unwrap();
    let (_, federation, _, keys) = testing::federation(4);
    let owner = Owner {
        federation,
        node: keys[0].node_id(),
    };
    let (store, _writer) = Store::open(dir.path(), owner, LogId([1; 32])).unwrap();
    let path = dir.path().join("registry_events.log");
    let other = Event {
        event: "telemetry_notification".into(),
        ..fixtures::event(2)
    };
    std::fs::write(
        &path,
        [fixtures::event(1), other]
            .map(|event| fixtures::pretty(&event))
            .join("\n"),
    )
    .unwrap();
    let (inputs, mut taken) = mpsc::channel(8);
    let (_looks, looks) = watch::channel(1);
    let (applier, apply) = mpsc::channel(1);
    let shutdown = CancellationToken::new();
    let filters = settings.event_filters.clone();
    let context = Context {
        store,
        inputs,
        looks,
        filters,
        apply,
        shutdown: shutdown.clone(),
    };
    let following = tokio::spawn(follow(
        RegistryFile::open(path).unwrap(),
        Appends::of(&settings, false),
        context,
    ));
    // it has read the file by the time that it has appended
    let (reply, applied) = oneshot::channel();
    applier.send(ApplyRequest { reply }).await.unwrap();
    applied.await.unwrap().unwrap();
    shutdown.cancel();
    following.await.unwrap();
    let mut types = Vec::new();
    while let Some(input) = taken.recv().await {
        match input {
            Inbound::Registry(RegistryNews::Lines(lines)) => {
                let announced = lines.into_iter().filter(|line| line.announce);
                types.extend(announced.map(|line| line.event.event));
            }
            Inbound::Registry(RegistryNews::Read { look: 1 }) => {}
            other => panic!("nothing is certified, and the file is well: {other:?}"),
        }
    }
    types
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_node_takes_from_its_registry_is_configured() {
    let (plain, other) = (
        fixtures::event(1).event,
        "telemetry_notification".to_owned(),
    );
    assert_eq!(taken(|_| {}).await, std::slice::from_ref(&plain));
    assert!(
        taken(|settings| settings.federation.auto_consensus = false)
            .await
            .is_empty()
    );
    let types = taken(|settings| settings.event_filters.exclude_event_types.clear()).await;
    assert_eq!(types, [plain, other.clone()]);
    let only = |settings: &mut Settings| {
        settings.event_filters.exclude_event_types.clear();
        settings.event_filters.sync_event_types = vec![other.clone()];
    };
    assert_eq!(taken(only).await, std::slice::from_ref(&other));
}
