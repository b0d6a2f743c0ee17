//! What the endpoints answer.

use serde_json::{Value, json};
use ssid_engine::{CandidateView, EmitOutcome, InstanceView};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::event::Event;
use ssid_protocol::id::{Epoch, Round, SubjectId, UnixMillis};
use ssid_protocol::testing;
use ssid_storage::Changes;

use super::{MEMBERS, accept, served};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_certified_is_shown_in_the_registrys_words_and_proven() {
    let mut served = served(accept, false).await;
    let events: Vec<_> = (0..5)
        .map(|i| testing::event("blueprint_tagged", &format!("v{i}")))
        .collect();
    events.iter().for_each(|event| served.certify(event));
    let hash = events[1].event_hash().to_string();

    let history = served.get("/v1/consensus?limit=2").await;
    assert_eq!(
        (
            history["items"][0]["sequence"].as_u64(),
            history["next"].as_str()
        ),
        (Some(4), Some("3"))
    );
    let history = served.get("/v1/consensus?limit=2&before=1").await;
    assert_eq!(
        (history["items"][0]["sequence"].as_u64(), &history["next"]),
        (Some(0), &Value::Null)
    );
    let record = &served.get(&format!("/v1/consensus/{}", &hash[..20])).await["record"];
    assert_eq!(record["consensus_hash"], hash);
    assert_eq!(record["agreement_percentage"], json!(66.66));
    assert_eq!(record["initiated_at"], "1970-01-01T00:00:01Z");
    assert_eq!(
        (&record["resolution"], &record["transport"]),
        (&json!("consensus_achieved"), &json!("live"))
    );

    let certificate = served.get(&format!("/v1/certificates/{hash}")).await;
    let certificate = Certificate::parse(certificate.to_string().as_bytes()).unwrap();
    let epoch = served.state.known.epoch();
    certificate.verify(&mut epoch.certificates()).unwrap();

    let verified = served.get("/v1/consensus/verify").await;
    assert_eq!(
        (&verified["ok"], &verified["certificates"]),
        (&json!(true), &json!(5))
    );
    let proof = served.get(&format!("/v1/log/proof?hash={hash}")).await;
    assert_eq!((&proof["sequence"], &proof["size"]), (&json!(1), &json!(5)));
    assert_eq!(
        served.get("/v1/log/consistency?from=3").await["root"],
        served.get("/v1/log/head").await["root"]
    );
    let event = served.get(&format!("/v1/events/{hash}")).await;
    assert_eq!(
        (&event["state"], &event["event_version"], &event["sequence"]),
        (&json!("certified"), &json!("v1"), &json!(1))
    );
    assert_eq!(
        served.get("/v1/events?limit=3").await["items"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
}

/// What is voted on for a subject whose id is all that number, with so many candidates.
pub(super) fn voted_on(number: u8, candidates: usize) -> InstanceView {
    let candidate = |n| {
        let event = Event {
            commit_hash: format!("{number:02x}{n:05x}"),
            ..testing::event("audit", &format!("open-{number}"))
        };
        CandidateView {
            choice: event.choice(),
            event: Some(event),
            announced_by: None,
            own: false,
        }
    };
    InstanceView {
        subject_id: SubjectId([number; 32]),
        subject: None,
        epoch: Epoch::ZERO,
        round: Round::ZERO,
        since: UnixMillis(0),
        in_conflict: number == 2,
        awaiting_review: number == 6,
        review: None,
        locked: None,
        standing: None,
        endorsed: None,
        no_choice_because: None,
        quorum: 3,
        candidates: (0..candidates).map(candidate).collect(),
        votes: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_events_come_page_by_page_too_and_then_the_certified_ones() {
    let mut served = served(accept, false).await;
    for version in ["v0", "v1", "v2"] {
        served.certify(&testing::event("audit", version));
    }
    let open = [(1, 1), (2, 4), (3, 1), (4, 0), (5, 2), (6, 1)];
    for (number, candidates) in open {
        let view = voted_on(number, candidates);
        let mut open = served.open.lock().unwrap();
        open.insert(view.subject_id, view);
    }
    let walk = async |query: &str| {
        let (mut pages, mut versions, mut before) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = served.get(&format!("/v1/events?{query}{before}")).await;
            let items = page["items"].as_array().unwrap();
            pages.push(items.len());
            let version = |item: &Value| item["event_version"].as_str().unwrap().to_owned();
            versions.extend(items.iter().map(version));
            match page["next"].as_str() {
                Some(next) => before = format!("&before={next}"),
                None => return (pages, versions),
            }
        }
    };
    let (_, all) = walk("limit=1000").await;
    let of = |versions: &[&str]| versions.iter().map(ToString::to_string).collect::<Vec<_>>();
    let certified = of(&["v2", "v1", "v0"]);
    assert_eq!((all.len(), &all[9..]), (12, &certified[..]));
    for limit in 1..13 {
        let (pages, found) = walk(&format!("limit={limit}")).await;
        assert_eq!(
            found, all,
            "nothing twice and nothing left out, limit {limit}"
        );
        // the four that contradict each other stand together
        assert!(pages.iter().all(|page| *page <= limit.max(4)), "{pages:?}");
    }
    let only = |state| format!("limit=1&state={state}");
    assert_eq!(walk(&only("conflict")).await.1, vec!["open-2"; 4]);
    assert_eq!(
        walk(&only("open")).await.1,
        of(&["open-1", "open-3", "open-5", "open-5", "open-6"])
    );
    assert_eq!(walk(&only("certified")).await.1, certified);
    assert_eq!(walk("limit=1&review=true").await.1, ["open-6"]);
    let (status, _) = served.ask("GET /v1/events?before=open-1", "").await;
    assert_eq!(status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_by_type_version_commit_member_and_time_page_by_page() {
    let mut served = served(accept, false).await;
    for i in 0..7 {
        let kind = if i % 2 == 0 { "audit" } else { "release" };
        let at = format!("2025-10-{:02}T20:00:00Z", 10 + i);
        let commit_hash = format!("{i}bcdef0");
        let event = Event {
            timestamp: at,
            commit_hash,
            ..testing::event(kind, &format!("v{i}"))
        };
        served.certify(&event);
    }
    let found = async |query: &str| {
        let page = served.get(&format!("/v1/events?{query}")).await;
        let items = page["items"].as_array().unwrap().iter();
        let sequences = items
            .map(|item| item["sequence"].as_u64().unwrap())
            .collect::<Vec<_>>();
        (sequences, page["next"].as_str().map(str::to_owned))
    };
    assert_eq!(found("event_type=audit").await, (vec![6, 4, 2, 0], None));
    assert_eq!(found("event_type=release&event_version=v3").await.0, [3]);
    assert_eq!(found("commit=4BCD").await.0, [4]);
    assert_eq!(
        found("since=2025-10-12&until=2025-10-14T20:00:00Z").await.0,
        [3, 2]
    );
    assert_eq!(
        (
            found("member=Node-1").await.0.len(),
            found("member=Node-3").await.0.len()
        ),
        (7, 0)
    );
    // page by page, nothing twice and nothing left out
    let (first, next) = found("event_type=audit&limit=3").await;
    assert_eq!((&first[..], next.as_deref()), (&[6, 4, 2][..], Some("2")));
    assert_eq!(
        found("event_type=audit&limit=3&before=2").await,
        (vec![0], None)
    );
    for wrong in [
        "since=yesterday",
        "commit=xyz",
        "commit=",
        "event=audit",
        "state=well",
    ] {
        assert_eq!(
            served.ask(&format!("GET /v1/events?{wrong}"), "").await.0,
            400,
            "{wrong}"
        );
    }
    assert_eq!(served.ask("GET /v1/events?member=nobody", "").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_hash_with_two_contents_is_asked_for_its_digest() {
    let mut served = served(accept, false).await;
    let one = testing::event("blueprint_tagged", "v1");
    let other = Event {
        emitted_by: "another.sh".into(),
        ..one.clone()
    };
    served.certify(&one);
    served
        .writer
        .write(Changes {
            events: vec![other.clone()],
            ..Changes::default()
        })
        .unwrap();
    let (hash, digest) = (one.event_hash(), other.content_digest());
    let (status, problem) = served.ask(&format!("GET /v1/events/{hash}"), "").await;
    assert_eq!(
        (status, problem["candidates"].as_array().map(Vec::len)),
        (409, Some(2))
    );
    assert_eq!(
        served.get(&format!("/v1/events/{hash}:{digest}")).await["state"],
        "outvoted"
    );
    let (status, problem) = served
        .ask(&format!("GET /v1/certificates/{hash}:{digest}"), "")
        .await;
    assert_eq!(
        (status, problem["type"].as_str()),
        (409, Some("urn:ssid:problem:certified_differently"))
    );
    assert_eq!(served.ask("GET /v1/events/ffff", "").await.0, 404);
    assert_eq!(served.ask("GET /v1/events/nothex", "").await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_what_the_node_waits_for() {
    let served = served(accept, false).await;
    let status = served.get("/v1/status").await;
    assert_eq!(
        (
            &status["voting"]["has_quorum"],
            &status["federation"]["quorum"]
        ),
        (&json!(false), &json!(3))
    );
    assert_eq!(served.ask("GET /readyz", "").await.0, 200);
    let (code, ready) = served.ask("GET /readyz?federation=true", "").await;
    assert_eq!(code, 503);
    let reason = ready["reasons"][0].as_str().unwrap();
    assert!(
        reason.contains("2 of 4 voters") && reason.contains("Node-3"),
        "{reason}"
    );
    assert_eq!(
        served.get("/v1/nodes").await["items"]
            .as_array()
            .map(Vec::len),
        Some(MEMBERS)
    );
    assert_eq!(
        served.get("/v1/nodes/Node-1").await["trust_label"],
        "medium"
    );
    assert_eq!(served.get("/v1/trust/Node-1").await["trust_score"], 50);
    assert_eq!(served.get("/healthz").await, "ok\n");
    assert!(
        served
            .get("/metrics")
            .await
            .as_str()
            .unwrap()
            .contains("# EOF")
    );
    for path in ["/nothing", "/v1/nodes/nobody", "/v1/conflicts/aa"] {
        assert_eq!(
            served.ask(&format!("GET {path}"), "").await.0,
            404,
            "{path}"
        );
    }
    assert_eq!(served.ask("DELETE /v1/status", "").await.0, 405);
    assert_eq!(served.ask("GET /v1/consensus?limit=many", "").await.0, 400);
    assert_eq!(served.ask("POST /v1/events/apply", "").await.0, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_endpoint_does_not_take_is_refused_and_every_path_is_listed() {
    let served = served(accept, false).await;
    for request in [
        "GET /v1/events?event=security_review&limit=2",
        "GET /v1/status?x",
        "GET /v1/consensus?Limit=2",
        "GET /v1/nodes/Node-1?limit=2",
        "POST /v1/sync?transprt=git",
        "GET /healthz?verbose=1",
    ] {
        let (status, problem) = served.ask(request, "").await;
        assert_eq!(
            (status, &problem["type"]),
            (400, &json!("urn:ssid:problem:unknown_parameter")),
            "{request}"
        );
        assert!(
            problem["hint"].as_str().unwrap().contains("GET /v1"),
            "{problem}"
        );
    }
    // what the HTTP library refuses is a problem document, too: `ask` looks at the media type
    for request in [
        "GET /v1/events/%ff",
        "POST /v1/telemetry/outbox/abc/retry",
        "POST /v1/sync?transport=zzz",
        "GET /v1/log/proof",
    ] {
        assert_eq!(served.ask(request, "").await.0, 400, "{request}");
    }
    let list = served.get("/v1").await;
    assert_eq!(list, served.get("/").await);
    for endpoint in list["items"].as_array().unwrap() {
        let path = endpoint["path"].as_str().unwrap();
        let named = path
            .replace("{id}", "7")
            .replace("{hash}", "ff")
            .replace("{subject}", "ff");
        let other = if endpoint["method"] == "GET" {
            "DELETE"
        } else {
            "PUT"
        };
        // another method: the path is there, and nothing is done
        assert_eq!(
            served.ask(&format!("{other} {named}"), "").await.0,
            405,
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_decide_and_are_told_why_not() {
    let mut served = served(accept, false).await;
    let event = testing::event("blueprint_tagged", "v1");
    let hash = event.event_hash();
    served
        .writer
        .write(Changes {
            events: vec![event.clone()],
            ..Changes::default()
        })
        .unwrap();
    let (status, done) = served
        .ask(&format!("POST /v1/events/{hash}/endorse"), "")
        .await;
    assert_eq!(
        (status, &done["explanation"]),
        (200, &json!("this node prevoted it"))
    );
    assert_eq!(
        done["choice"]["content_digest"],
        event.content_digest().to_string()
    );
    let said = json!({ "reason": " never heard of it ", "by": "Ada" }).to_string();
    let (status, problem) = served
        .ask(&format!("POST /v1/events/{hash}/refuse"), &said)
        .await;
    let decided = served.decided.lock().unwrap().clone();
    assert!(
        !decided[0].by.is_empty() && decided[0].reason.is_empty(),
        "{decided:?}"
    );
    assert_eq!(
        (
            decided[1].reason.as_str(),
            decided[1].by.starts_with("Ada (")
        ),
        ("never heard of it", true)
    );
    for wrong in [
        "{\"reason\":\"\"}",
        "{\"reason\":\"two\\nlines\"}",
        "{\"why\":\"x\"}",
        "nothing",
    ] {
        assert_eq!(
            served
                .ask(&format!("POST /v1/events/{hash}/endorse"), wrong)
                .await
                .0,
            400,
            "{wrong}"
        );
    }
    assert_eq!(
        (status, &problem["type"]),
        (409, &json!("urn:ssid:problem:round_unfailed"))
    );
    assert_eq!(
        (&problem["detail"], &problem["hint"]),
        (&json!("round 0 has not failed yet"), &json!("wait"))
    );
    assert_eq!(served.ask("POST /v1/events/ffff/endorse", "").await.0, 404);

    let EmitOutcome::Accepted { subject_id, .. } = accept(&event) else {
        unreachable!()
    };
    let path = format!("POST /v1/conflicts/{subject_id}/resolution");
    let body = json!({ "choice": hash.to_string() }).to_string();
    assert_eq!(served.ask(&path, &body).await.0, 404, "nothing is open");
    assert_eq!(served.ask(&path, "{}").await.0, 400);
    // who is a member is approved by nobody who was not shown the manifest
    let change = served.state.known.epochs.borrow().current().change();
    let of_change = format!("POST /v1/conflicts/{change}/resolution");
    let (status, problem) = served.ask(&of_change, &body).await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        status == 400 && detail.contains("a change of members"),
        "{problem}"
    );
    served.certify(&event);
    let (status, problem) = served.ask(&path, &body).await;
    assert_eq!(
        (status, &problem["type"]),
        (409, &json!("urn:ssid:problem:decided"))
    );
    assert_eq!(
        served.get("/v1/events?review=true").await["items"],
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn status_counts_syncs() {
    let status = served(accept, false).await.get("/v1/status").await;
    assert_eq!(status["transport"]["last_sync"], "1970-01-01T00:00:03Z");
    let counts = &status["statistics"];
    assert_eq!(
        (
            &counts["total_syncs"],
            &counts["successful_syncs"],
            &counts["failed_syncs"]
        ),
        (&json!(9), &json!(7), &json!(2))
    );
}
