//! The address that is told of certified events, beside an engine that has certified some.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;

use axum::http::StatusCode;
use ssid_engine::settings::EngineSettings;
use ssid_protocol::testing::event;
use tempfile::TempDir;

use super::*;
use crate::engine::testing::{Late, certified, certified_without_the_last, served, shared};
use crate::telemetry::tests::receiver::{Answer, Got, Receiver, hmac_of, ok};

const QUICK: Pace = Pace {
    settle: Duration::from_millis(5),
    first_retry: Duration::from_millis(10),
    last_retry: Duration::from_millis(40),
};

/// A node that has certified `count` events, of which none is told.
async fn node(count: usize) -> (TempDir, EngineHandle, Store) {
    let events: Vec<_> = (0..count)
        .map(|n| event("blueprint_tagged", &format!("v{n}")))
        .collect();
    let (home, engine, store) = certified(EngineSettings::default(), &events);
    let engine = served(engine);
    begin(&engine).await;
    (home, engine, store)
}

/// The same, of which the last vote is not heard yet: with it every record changes.
async fn late_node(count: usize) -> (TempDir, EngineHandle, Late) {
    let settings = EngineSettings {
        changed_outbox: vec![HOOK_CHANGED],
        ..EngineSettings::default()
    };
    let events: Vec<_> = (0..count)
        .map(|n| event("blueprint_tagged", &format!("v{n}")))
        .collect();
    let (home, late) = certified_without_the_last(settings, &events);
    let engine = shared(late.engine.clone(), late.now);
    begin(&engine).await;
    (home, engine, late)
}

/// The first certified event is the next to be told.
async fn begin(engine: &EngineHandle) {
    engine
        .outbox(OutboxChange {
            add: vec![row_for(HOOK, 0..0)],
            ..OutboxChange::default()
        })
        .await
        .unwrap();
}

fn hook(receiver: &Receiver, engine: &EngineHandle, store: &Store, secret: Option<&str>) -> Hook {
    Hook {
        url: SecretUrl::parse(&format!("{}/hook", receiver.place)).unwrap(),
        secret: secret.and_then(|text| Secret::new(text.to_owned())),
        federation: FederationId([1; 32]),
        node: NodeId([2; 32]),
        engine: engine.clone(),
        store: store.clone(),
        pace: QUICK,
    }
}

/// Which entry is next.
fn next(store: &Store) -> Vec<u64> {
    store
        .outbox(HOOK, 10)
        .unwrap()
        .into_iter()
        .map(|(_, row)| entries_of(&row).unwrap().start)
        .collect()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .unwrap_or_else(|_| panic!("{what} does not come true"));
}

/// Lets a hook tell what it has to until something holds.
async fn tell(hook: Hook, what: &str, holds: impl Fn() -> bool) {
    let end = CancellationToken::new();
    let task = tokio::spawn(hook.follow(end.clone()));
    until(what, holds).await;
    end.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn every_certified_event_is_told_once_in_order_and_signed() {
    let (_home, engine, store) = node(230).await;
    let receiver = Receiver::start(ok).await;
    let hook = hook(&receiver, &engine, &store, Some("key"));
    tell(hook, "all is told", || next(&store) == [230]).await;
    let got = receiver.got();
    let mut sequences = Vec::new();
    for request in &got {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(
            (body["format"].as_str(), request.uri.as_str()),
            (Some("ssid-consensus/1"), "/hook")
        );
        let records = body["records"].as_array().unwrap();
        assert!(records.len() <= RECORDS && request.body.len() < RECORD_BYTES + 1000);
        assert!(
            records
                .iter()
                .all(|record| record["consensus_achieved"] == true
                    && record["event_hash"].is_string())
        );
        sequences.extend(
            records
                .iter()
                .map(|record| record["sequence"].as_u64().unwrap()),
        );
        let header = |name: &str| request.headers[name].to_str().unwrap();
        assert_eq!(
            header("x-ssid-signature"),
            hmac_of("key", header("x-ssid-timestamp"), &request.body)
        );
    }
    assert_eq!(sequences, (0..230).collect::<Vec<_>>());
    assert!(
        (3..=10).contains(&got.len()),
        "a storm is a handful of requests, not {}",
        got.len()
    );
}

#[tokio::test]
async fn what_a_receiver_does_not_take_waits_and_is_told_when_it_does() {
    let (_home, engine, store) = node(3).await;
    let receiver = Receiver::start(|n| match n {
        0 => Answer::Now(StatusCode::INTERNAL_SERVER_ERROR, "", ""),
        1 => Answer::Now(StatusCode::NOT_FOUND, "", ""),
        n => ok(n),
    })
    .await;
    let hook = hook(&receiver, &engine, &store, None);
    tell(hook, "all is told", || next(&store) == [3]).await;
    let got = receiver.got();
    assert_eq!(got.len(), 3);
    assert!(
        got.iter().all(|request| request.body == got[0].body),
        "the same again"
    );
    assert!(
        got.iter()
            .all(|request| request.headers["idempotency-key"] == got[0].headers["idempotency-key"])
    );
    assert!(!got[0].headers.contains_key("x-ssid-signature"));
}

/// A receiver that got something and answers an error, and a node that is killed: what comes again
/// is what came.
#[tokio::test]
async fn what_is_sent_again_is_the_same_bytes_and_what_changed_meanwhile_a_delivery_of_its_own() {
    let (_home, engine, mut late) = late_node(3).await;
    let store = late.store.clone();
    let receiver = Receiver::start(|n| match n {
        0 | 1 => Answer::Now(StatusCode::INTERNAL_SERVER_ERROR, "", ""),
        n => ok(n),
    })
    .await;
    let hook = || hook(&receiver, &engine, &store, None);
    tell(hook(), "it is sent", || !receiver.got().is_empty()).await;
    let before = receiver.got().len();
    late.hear();
    let is_told = || next(&store) == [3] && store.outbox(HOOK_CHANGED, 1).unwrap().is_empty();
    tell(hook(), "all is told", || {
        is_told() && store.outbox(HOOK_BODY, 1).unwrap().is_empty()
    })
    .await;

    let got = receiver.got();
    let (correction, first) = got.split_last().unwrap();
    assert!(
        first.len() > before && first.len() >= 2,
        "{} requests",
        got.len()
    );
    let key = |request: &Got| request.headers["idempotency-key"].clone();
    assert!(
        first
            .iter()
            .all(|request| request.body == first[0].body && key(request) == key(&first[0]))
    );
    assert_ne!(key(correction), key(&first[0]));
    let observed = |request: &Got| -> (Value, Vec<(u64, usize)>) {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let of = |record: &Value| {
            (
                record["sequence"].as_u64().unwrap(),
                record["participating_nodes"].as_array().unwrap().len(),
            )
        };
        (
            body["corrected"].clone(),
            body["records"].as_array().unwrap().iter().map(of).collect(),
        )
    };
    assert_eq!(
        observed(&first[0]),
        (json!(false), vec![(0, 3), (1, 3), (2, 3)])
    );
    assert_eq!(
        observed(correction),
        (json!(true), vec![(0, 4), (1, 4), (2, 4)])
    );
}

#[tokio::test]
async fn what_changed_before_it_was_told_is_told_once() {
    let (_home, engine, mut late) = late_node(1).await;
    let store = late.store.clone();
    late.hear();
    let receiver = Receiver::start(ok).await;
    let hook = hook(&receiver, &engine, &store, None);
    tell(hook, "all is told", || {
        next(&store) == [1] && store.outbox(HOOK_CHANGED, 1).unwrap().is_empty()
    })
    .await;
    assert_eq!(receiver.got().len(), 1);
}

#[tokio::test]
async fn an_address_that_is_gone_is_left_alone_and_the_rest_is_kept() {
    let (_home, engine, store) = node(3).await;
    let receiver = Receiver::start(|_| Answer::Now(StatusCode::GONE, "", "")).await;
    hook(&receiver, &engine, &store, None)
        .follow(CancellationToken::new())
        .await;
    assert_eq!(receiver.got().len(), 1);
    assert_eq!(next(&store), [0]);
    forget(&engine, &store).await.unwrap();
    assert!(next(&store).is_empty());
    // set again: what was certified meanwhile is history
    let hook = hook(&receiver, &engine, &store, None);
    tell(hook, "it begins at the end", || next(&store) == [3]).await;
    assert_eq!(receiver.got().len(), 1);
}

#[test]
fn the_key_is_used_only_where_it_is_set_and_hidden() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("federation_config.json");
    std::fs::write(&file, "{}").unwrap();
    let mode =
        |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    let mut settings = Settings::default();
    assert_eq!(address(&settings, &file, false), Ok(None));
    settings.advanced.webhook_on_consensus = Some("https://example.org/hidden".into());
    mode(0o600);
    assert!(address(&settings, &file, false).unwrap().is_some());
    mode(0o644);
    let refused = address(&settings, &file, false).unwrap_err();
    assert!(
        refused.contains("chmod 600") && refused.contains(VARIABLE) && !refused.contains("hidden"),
        "{refused}"
    );
    assert!(
        address(&settings, &file, true).unwrap().is_some(),
        "the environment's"
    );
}
