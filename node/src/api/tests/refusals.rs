//! What endpoints answer when what they need is not there, or does not do what it is asked.

use serde_json::{Value, json};
use ssid_protocol::testing;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::{accept, served};
use crate::anchor::task::{AnchorHandle, AnchorRequest};
use crate::api::SOCKET_NAME;
use crate::registry::task::ApplyRequest;
use crate::telemetry::task::Request;
use crate::view::AppliedView;

/// A problem's kind, from its URN.
fn kind(problem: &Value) -> &str {
    let urn = problem["type"].as_str().unwrap();
    urn.strip_prefix("urn:ssid:problem:").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_telemetry_anchoring_or_git_says_so() {
    let served = served(accept, false).await;
    for request in [
        "POST /v1/telemetry/check",
        "GET /v1/telemetry/outbox",
        "POST /v1/telemetry/outbox/7/retry",
        "POST /v1/telemetry/outbox/7/drop",
    ] {
        let (status, problem) = served.ask(request, "").await;
        assert_eq!((status, kind(&problem)), (404, "not_found"), "{request}");
        let hint = problem["hint"].as_str().unwrap();
        assert!(hint.contains("ssid config check"), "{request}: {hint}");
    }
    let (status, problem) = served.ask("POST /v1/anchors", "").await;
    assert_eq!((status, kind(&problem)), (409, "not_anchored"));
    assert_eq!(problem["detail"], "this node anchors nothing");
    // the task behind the handle has ended, as it does when the node stops
    let (status, problem) = served.ask("POST /v1/sync", "").await;
    assert_eq!((status, kind(&problem)), (503, "stopped"));
    assert_eq!(served.get("/v1/sync").await["uses_git"], false);
    assert_eq!(served.get("/v1/nodes/observed").await["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry_answers_through_its_task_and_a_failure_is_told() {
    let served = served(accept, false).await;
    let (requests, mut inbox) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(request) = inbox.recv().await {
            match request {
                Request::Check(reply) => drop(reply.send(Err("no dashboard".into()))),
                Request::Outbox(reply) => drop(reply.send(Vec::new())),
                // of the rows only number 7 is there
                Request::Retry(id, reply) | Request::Drop(id, reply) => drop(reply.send(id == 7)),
            }
        }
    });
    let api = served.again(|state| state.telemetry = Some(requests)).await;
    let (status, problem) = api.ask("POST /v1/telemetry/check", "").await;
    assert_eq!((status, kind(&problem)), (500, "internal"));
    assert!(
        problem["detail"].as_str().unwrap().contains("no dashboard"),
        "{problem}"
    );
    let (status, page) = api.ask("GET /v1/telemetry/outbox", "").await;
    assert_eq!((status, page), (200, json!({ "items": [], "next": null })));
    for verb in ["retry", "drop"] {
        let of = |id: u64| format!("POST /v1/telemetry/outbox/{id}/{verb}");
        assert_eq!(api.ask(&of(7), "").await, (200, json!({ "id": 7 })));
        let (status, problem) = api.ask(&of(8), "").await;
        assert_eq!((status, kind(&problem)), (404, "not_found"), "{verb}");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("notification 8")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registrys_writer_says_what_it_wrote_or_why_not() {
    let served = served(accept, false).await;
    let (applier, mut inbox) = mpsc::channel::<ApplyRequest>(1);
    tokio::spawn(async move {
        let done = AppliedView {
            applied: 3,
            present: 4,
            file: "registry_events.log".into(),
        };
        let first = inbox.recv().await.unwrap();
        first.reply.send(Ok(done)).unwrap();
        let second = inbox.recv().await.unwrap();
        second.reply.send(Err("the disk is full".into())).unwrap();
        // taken and never answered; then the writer is gone
        drop(inbox.recv().await.unwrap());
    });
    let api = served.again(|state| state.applier = Some(applier)).await;
    let apply = async || api.ask("POST /v1/events/apply", "").await;
    let (status, view) = apply().await;
    assert_eq!(status, 200, "{view}");
    assert_eq!((&view["applied"], &view["present"]), (&json!(3), &json!(4)));
    assert_eq!(view["file"], "registry_events.log");
    let (status, problem) = apply().await;
    assert_eq!((status, kind(&problem)), (500, "apply"));
    assert_eq!(problem["detail"], "the disk is full");
    for _ in 0..2 {
        let (status, problem) = apply().await;
        assert_eq!((status, kind(&problem)), (503, "stopped"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn why_nothing_was_anchored_is_split_into_reason_and_hint() {
    let served = served(accept, false).await;
    let (requests, mut inbox) = mpsc::channel::<AnchorRequest>(1);
    tokio::spawn(async move {
        let first = inbox.recv().await.unwrap();
        let why = "no token for `pinata`\n  set PINATA_TOKEN";
        first.reply.send(Err(why.into())).unwrap();
    });
    let handle = AnchorHandle {
        requests,
        state: tokio::sync::watch::channel(crate::anchor::task::AnchorState::default()).1,
    };
    let api = served.again(|state| state.anchors = Some(handle)).await;
    let (status, problem) = api.ask("POST /v1/anchors", "").await;
    assert_eq!((status, kind(&problem)), (409, "not_anchored"));
    assert_eq!(problem["detail"], "no token for `pinata`");
    assert_eq!(problem["hint"], "set PINATA_TOKEN");
    let (status, problem) = api.ask("POST /v1/anchors", "").await;
    assert_eq!((status, kind(&problem)), (503, "stopped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_its_endpoints_limit_is_refused_unread() {
    let served = served(accept, false).await;
    // none of the body is sent: its length alone decides
    let mut stream = UnixStream::connect(served.dir.path().join(SOCKET_NAME))
        .await
        .unwrap();
    let head = format!(
        "POST /v1/trust/Node-1 HTTP/1.0\r\ncontent-length: {}\r\n\r\n",
        257 << 10
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, problem) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 413"), "{head}");
    let problem: Value = serde_json::from_str(problem).unwrap();
    assert_eq!(kind(&problem), "too_large");
    assert_eq!(problem["limit"], "api_body");
    // what is offered may be longer: this is refused for what it is, not for its length
    let body = "x".repeat(257 << 10);
    assert_eq!(served.ask("POST /v1/events", &body).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_that_the_log_cannot_give_are_refused_with_a_way_on() {
    let mut served = served(accept, false).await;
    let (status, problem) = served.ask("GET /v1/log/signed-head", "").await;
    assert_eq!((status, kind(&problem)), (404, "not_found"));
    assert_eq!(problem["hint"], "try again in some seconds");

    let events = ["v0", "v1", "v2"].map(|version| testing::event("blueprint_tagged", version));
    events.iter().for_each(|event| served.certify(event));
    let last = events[2].event_hash();
    for size in [0, 1, 2, 4] {
        // entry 2 is in no smaller log, and there is no longer one
        let request = format!("GET /v1/log/proof?hash={last}&size={size}");
        let (status, problem) = served.ask(&request, "").await;
        assert_eq!((status, kind(&problem)), (404, "not_certified"), "{size}");
        assert!(
            problem["hint"]
                .as_str()
                .unwrap()
                .contains("ssid log head --signed"),
            "{problem}"
        );
    }
    let known = testing::event("blueprint_tagged", "v9");
    let changes = ssid_storage::Changes {
        events: vec![known.clone()],
        ..Default::default()
    };
    served.writer.write(changes).unwrap();
    let request = format!("GET /v1/log/proof?hash={}", known.event_hash());
    let (status, problem) = served.ask(&request, "").await;
    assert_eq!((status, kind(&problem)), (404, "not_certified"));
    let hint = problem["hint"].as_str().unwrap();
    assert!(hint.contains("ssid consensus check"), "{hint}");
    // it is known and nobody votes on it
    let request = format!("GET /v1/consensus/{}", known.event_hash());
    let (status, problem) = served.ask(&request, "").await;
    assert_eq!((status, kind(&problem)), (404, "not_found"));

    let (status, problem) = served.ask("GET /v1/log/consistency?from=4", "").await;
    assert_eq!((status, kind(&problem)), (400, "bad_request"));
    assert!(problem["detail"].as_str().unwrap().contains("has 3 events"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_or_cursor_that_is_none_is_refused_before_anything_is_read() {
    let served = served(accept, false).await;
    for request in [
        "GET /v1/report?month=2025-13",
        "GET /v1/report?month=october",
        "GET /v1/divergences?before=7",
        "GET /v1/anchors?before=x",
        "GET /v1/consensus?before=-1",
    ] {
        let (status, problem) = served.ask(request, "").await;
        assert_eq!((status, kind(&problem)), (400, "bad_request"), "{request}");
    }
    assert_eq!(served.ask("GET /v1/evidence/ff", "").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_hash_or_id_at_all_is_refused_in_the_same_words_everywhere() {
    let served = served(accept, false).await;
    for (request, body, what) in [
        ("GET /v1/events/{}", "", "event hash"),
        ("GET /v1/consensus/{}", "", "event hash"),
        ("GET /v1/certificates/{}", "", "event hash"),
        ("GET /v1/log/proof?hash={}", "", "event hash"),
        ("POST /v1/events/{}/endorse", "", "event hash"),
        ("POST /v1/events/{}/refuse", "", "event hash"),
        ("GET /v1/events/ab:{}", "", "content digest"),
        ("GET /v1/conflicts/{}", "", "subject id"),
        (
            "POST /v1/conflicts/{}/resolution",
            r#"{"choice":"ab"}"#,
            "subject id",
        ),
        ("GET /v1/evidence/{}", "", "evidence id"),
    ] {
        for bad in ["nothex", &"a".repeat(65)] {
            let (status, problem) = served.ask(&request.replace("{}", bad), body).await;
            assert_eq!((status, kind(&problem)), (400, "bad_request"), "{request}");
            let words = format!("{bad:?} is no {what}: 1 to 64 hex digits are");
            assert_eq!(problem["detail"], words.as_str(), "{request}");
        }
        // hex, and of nothing that is there
        let (status, problem) = served.ask(&request.replace("{}", "AB12"), body).await;
        assert_eq!((status, kind(&problem)), (404, "not_found"), "{request}");
    }
}
