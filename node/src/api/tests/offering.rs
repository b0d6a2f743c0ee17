//! What is said to who offers an event or a log, and who waits for the decision.

use std::sync::Arc;

use serde_json::{Value, json};
use ssid_engine::{EmitOutcome, NodeEvent};
use ssid_protocol::event::Event;
use ssid_protocol::id::{Round, UnixMillis};
use ssid_protocol::testing;
use tokio::net::UnixStream;

use super::{accept, ask, at_limit, served};
use crate::api::SOCKET_NAME;
use crate::clock;

const DRAFT: &str = r#"{"event":"blueprint_tagged","version":"v4.4.0","commit_hash":"3dd05d9"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn events_are_taken_refused_by_rule_or_by_limit() {
    let open = served(accept, false).await;
    let (status, view) = open.ask("POST /v1/events", DRAFT).await;
    assert_eq!(
        (status, &view["outcome"], &view["state"]),
        (202, &json!("accepted"), &json!("open"))
    );
    let (status, views) = open
        .ask("POST /v1/events", &format!("{DRAFT}\n{DRAFT}"))
        .await;
    assert_eq!(
        (status, views["items"].as_array().map(Vec::len)),
        (200, Some(2))
    );
    let (status, problem) = open
        .ask("POST /v1/events", &DRAFT.replace("blueprint", "Blueprint"))
        .await;
    assert_eq!((status, &problem["field"]), (422, &json!("event")));
    assert!(problem["rule"].as_str().unwrap().contains("[a-z0-9_.-]"));
    assert_eq!(open.ask("POST /v1/events", "{").await.0, 400);
    assert_eq!(open.ask("POST /v1/events?wait=forever", DRAFT).await.0, 400);

    let full = served(at_limit, false).await;
    let stream = UnixStream::connect(full.dir.path().join(SOCKET_NAME))
        .await
        .unwrap();
    let (status, head, problem) = ask(stream, "POST /v1/events", DRAFT).await;
    assert_eq!(
        (status, &problem["limit"]),
        (503, &json!("open_per_origin"))
    );
    assert!(head.contains("retry-after: 1"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_offers_an_event_is_told_that_its_time_is_not_now() {
    let served = served(accept, false).await;
    let at = |timestamp: &str| Event {
        timestamp: timestamp.to_owned(),
        ..testing::event("audit", timestamp.get(..4).unwrap())
    };
    let cases = [
        ("1999-01-01T00:00:00Z", json!("old")),
        ("2999-01-01T00:00:00Z", json!("ahead")),
        ("9999-12-31T23:59:59Z", json!("ahead")),
        (&clock::now().iso(), Value::Null),
    ];
    let events: Vec<_> = cases.iter().map(|(time, _)| at(time)).collect();
    for (event, (time, untimely)) in events.iter().zip(&cases) {
        let body = serde_json::to_string(event).unwrap();
        let (status, view) = served.ask("POST /v1/events", &body).await;
        assert_eq!((status, &view["untimely"]), (202, untimely), "{time}");
    }
    let body = serde_json::to_string(&events).unwrap();
    let (_, many) = served.ask("POST /v1/events", &body).await;
    let told: Vec<_> = (0..4)
        .map(|i| many["items"][i]["untimely"].clone())
        .collect();
    assert_eq!(told, cases.map(|(_, untimely)| untimely));
    let log: Vec<_> = events
        .iter()
        .map(|event| serde_json::to_string(event).unwrap())
        .collect();
    let (_, view) = served.ask("POST /v1/events/import", &log.join("\n")).await;
    assert_eq!((&view["old"], &view["ahead"]), (&json!(1), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_with_the_decision() {
    let mut served = served(accept, false).await;
    let event = testing::event("blueprint_tagged", "v4.4.0");
    let body = serde_json::to_string(&event).unwrap();
    let path = served.dir.path().join(SOCKET_NAME);
    let waiting = tokio::spawn(async move {
        let stream = UnixStream::connect(path).await.unwrap();
        ask(
            stream,
            "POST /v1/events?wait=certified&timeout_seconds=30",
            &body,
        )
        .await
    });
    while served.events.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    served.certify(&event);
    let EmitOutcome::Accepted { subject_id, choice } = accept(&event) else {
        unreachable!()
    };
    let certified = NodeEvent::Certified {
        sequence: 0,
        subject_id,
        choice,
        event: event.event.clone(),
        version: event.version.clone(),
        round: Round::ZERO,
        at: UnixMillis(0),
    };
    // the waiter may have looked it up already, and gone
    served.events.send(Arc::new(certified)).ok();
    let (status, _, view) = waiting.await.unwrap();
    assert_eq!(
        (status, &view["state"], &view["record"]["sequence"]),
        (200, &json!("certified"), &json!(0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_log_is_accounted_for() {
    let served = served(accept, false).await;
    let event = serde_json::to_string_pretty(&testing::event("a", "1")).unwrap();
    let log =
        format!("Registry events initialized.\n{event}\r\n{event}\n{{\"timestamp\": \"broken\n");
    let (status, view) = served.ask("POST /v1/events/import", &log).await;
    assert_eq!(
        (status, &view["events"], &view["accepted"], &view["old"]),
        (200, &json!(2), &json!(2), &json!(2))
    );
    assert_eq!(view["ahead"], 0);
    assert_eq!(
        view["notes"][0],
        json!({ "line": 1, "last_line": 1, "reason": "text between the objects" })
    );
    assert_eq!(
        view["skipped"].as_u64(),
        view["notes"].as_array().map(|notes| notes.len() as u64)
    );
}
