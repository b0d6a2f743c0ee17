//! Trust and evidence as the API shows them, and what operators do to a score.

use serde_json::json;
use ssid_protocol::evidence::{Evidence, Signed};
use ssid_protocol::id::NodeId;
use ssid_protocol::trust::TrustNote;
use ssid_storage::{EvidenceRow, RewrittenRow};

use super::*;

fn row(member: NodeId, reason: TrustReason, note: Option<TrustNote>) -> TrustChange {
    let (points, reference) = (reason.points(), "about".to_owned());
    TrustChange {
        member,
        reason,
        points,
        at: UnixMillis(1_000),
        origin: None,
        reference,
        note,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_shown_with_running_sums_and_what_its_band_changes() {
    let mut served = served(accept, false).await;
    let member = testing::key(1).node_id();
    let note = Some(TrustNote {
        by: "ada".into(),
        words: "audited".into(),
    });
    let rows = [
        row(member, TrustReason::Disagreement, None),
        row(member, TrustReason::ManualPenalty, None),
        row(member, TrustReason::SyncFailed, None),
        row(member, TrustReason::ManualBoost, note),
    ];
    served
        .writer
        .write(Changes {
            trust: rows[..3].to_vec(),
            ..Changes::default()
        })
        .unwrap();
    let shown = served.get("/v1/trust/Node-1").await;
    assert_eq!(
        (
            &shown["trust_score"],
            &shown["trust_label"],
            &shown["needs_review"]
        ),
        (&json!(22), &json!("very_low"), &json!(true))
    );
    assert_eq!(
        shown["effects"].as_array().map(Vec::len),
        Some(3),
        "{shown}"
    );
    served
        .writer
        .write(Changes {
            trust: rows[3..].to_vec(),
            ..Changes::default()
        })
        .unwrap();
    let shown = served.get("/v1/trust/Node-1").await;
    let sums: Vec<_> = shown["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["trust_score"].clone())
        .collect();
    assert_eq!(sums, [45, 25, 22, 32]);
    assert_eq!(
        shown["changes"][3]["note"],
        json!({ "by": "ada", "words": "audited" })
    );
    assert_eq!(
        (&shown["trust_label"], &shown["effects"]),
        (&json!("low"), &json!(["flagged for review"]))
    );
    let node = served.get("/v1/nodes/Node-1").await;
    assert_eq!(
        (&node["trust_score"], &node["needs_review"]),
        (&json!(32), &json!(true))
    );
    assert_eq!(
        served.get("/v1/nodes/Node-2").await["needs_review"],
        json!(false)
    );
    assert_eq!(
        served.get("/v1/status").await["members"]["flagged"][0]["node_name"],
        "Node-3",
        "as the engine says"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_hand_has_a_reason_and_says_who_made_it() {
    let served = served(accept, true).await;
    let body = |change: &str, reason: &str| {
        json!({ "change": change, "reason": reason, "by": null }).to_string()
    };
    let (status, shown) = served
        .ask("POST /v1/trust/Node-1", &body("boost", " audited on site "))
        .await;
    assert_eq!((status, &shown["node_name"]), (200, &json!("Node-1")));
    let named = json!({ "change": "penalize", "reason": "why", "by": "Ada" }).to_string();
    assert_eq!(served.ask("POST /v1/trust/Node-2", &named).await.0, 200);
    let stream = tokio::net::TcpStream::connect(served.tcp.unwrap())
        .await
        .unwrap();
    let request = "POST /v1/trust/Node-2 HTTP/1.0\r\nauthorization: Bearer 0123456789abcdef\r\nx: ";
    let (status, ..) = ask(stream, request, &body("boost", "over TCP")).await;
    assert_eq!(status, 200);

    let asked = served.adjusted.lock().unwrap().clone();
    let user = asked[0].note.by.clone();
    assert!(
        !user.is_empty() && user != "API token" && user != "unknown user",
        "{user}"
    );
    assert_eq!(
        (asked[0].boost, asked[0].note.words.as_str()),
        (true, "audited on site")
    );
    assert_eq!(asked[0].member, testing::key(1).node_id());
    assert_eq!(
        (asked[1].boost, asked[1].note.by.clone()),
        (false, format!("Ada ({user})"))
    );
    assert_eq!(asked[2].note.by, "API token");

    let long = "x".repeat(501);
    for (path, body) in [
        ("Node-1", body("boost", "")),
        ("Node-1", body("boost", "   ")),
        ("Node-1", body("boost", "two\nlines")),
        ("Node-1", body("boost", &long)),
        ("Node-1", body("raise", "why")),
        ("Node-1", "{\"change\":\"boost\"}".to_owned()),
        (
            "Node-1",
            "{\"change\":\"boost\",\"reason\":\"r\",\"points\":50}".to_owned(),
        ),
    ] {
        assert_eq!(
            served.ask(&format!("POST /v1/trust/{path}"), &body).await.0,
            400,
            "{body}"
        );
    }
    assert_eq!(
        served
            .ask("POST /v1/trust/nobody", &body("boost", "why"))
            .await
            .0,
        404
    );
    assert_eq!(served.adjusted.lock().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_no_line_is_refused_for_what_is_wrong_with_it() {
    let served = served(accept, false).await;
    let hash = testing::event("blueprint_tagged", "v1").event_hash();
    let (of_500, of_100) = (
        "it has to be one line of 1 to 500 characters",
        "it has to be one line of 1 to 100 characters",
    );
    let refused = async |path: &str, field: &str, text: &str| {
        let body = match path {
            "trust/Node-1" => json!({ "change": "boost", "reason": "why", field: text }),
            _ => json!({ field: text }),
        };
        let request = format!("POST /v1/{path}");
        let (status, problem) = served.ask(&request, &body.to_string()).await;
        assert_eq!(status, 400, "{request} {body}");
        problem["detail"].as_str().unwrap().to_owned()
    };
    let (endorse, refuse) = (
        format!("events/{hash}/endorse"),
        format!("events/{hash}/refuse"),
    );
    for path in ["trust/Node-1", &endorse, &refuse] {
        for (text, found) in [
            ("two\nlines", "has a line break (U+000A) as character 4"),
            ("a\tb", "has a tab (U+0009) as character 2"),
            (
                "a\u{1b}[31m",
                "has a control character (U+001B) as character 2",
            ),
            (
                "ab\u{202e}c",
                "has a character that nobody sees (U+202E) as character 3",
            ),
            (" ", "is empty"),
            (&"x".repeat(501), "has 501 characters"),
        ] {
            let why = refused(path, "reason", text).await;
            assert_eq!(why, format!("reason {found}; {of_500}"), "{path}");
        }
        let why = refused(path, "by", "A\u{7}da").await;
        let found = "by has a control character (U+0007) as character 2";
        assert_eq!(why, format!("{found}; {of_100}"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_listed_and_shown_with_its_document() {
    let mut served = served(accept, false).await;
    let (_, federation, _, keys) = testing::federation(MEMBERS);
    let signed = |commit: &str| {
        let event = Event {
            commit_hash: commit.into(),
            ..testing::event("blueprint_tagged", "v1")
        };
        let batch =
            VerifiedBatch::sign(&keys[2], &federation, Statements::Events(vec![event])).unwrap();
        Signed::of(&batch, 0).unwrap()
    };
    let evidence = Evidence::of_statements(federation, signed("3dd05d9"), signed("fffffff"));
    let row = EvidenceRow {
        evidence: evidence.clone(),
        at: UnixMillis(1_000),
        from: Some(keys[1].node_id()),
    };
    assert_eq!(
        served.get("/v1/evidence").await,
        json!({ "items": [], "next": null })
    );
    served
        .writer
        .write(Changes {
            evidence: vec![(evidence.slot(), row)],
            ..Changes::default()
        })
        .unwrap();
    let list = served.get("/v1/evidence").await["items"].clone();
    assert_eq!(
        (&list[0]["kind"], &list[0]["document"]),
        (&json!("event"), &Value::Null)
    );
    assert_eq!(list[0]["member"]["node_name"], "Node-2");
    assert_eq!(list[0]["told_by"]["node_name"], "Node-1");
    let id = evidence.id().to_string();
    let shown = served.get(&format!("/v1/evidence/{}", &id[..8])).await;
    assert_eq!(
        (shown["evidence_id"].as_str(), &shown["epoch"]),
        (Some(id.as_str()), &Value::Null)
    );
    assert_eq!(
        Evidence::parse(shown["document"].to_string().as_bytes()).unwrap(),
        evidence
    );
    assert_eq!(served.ask("GET /v1/evidence/ffff", "").await.0, 404);
    // a rewritten history stands beside it, by when it was seen, and is called observed
    let row = |seen_at| RewrittenRow {
        seen_at: UnixMillis(seen_at),
        remote: "r".into(),
        was: "a".into(),
        now: "b".into(),
    };
    let rewritten = vec![(keys[3].node_id(), vec![row(500), row(2_000)])];
    served
        .writer
        .write(Changes {
            rewritten,
            ..Changes::default()
        })
        .unwrap();
    let list = served.get("/v1/evidence").await["items"].clone();
    let kinds: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["kind"], &one["proven"]))
        .collect();
    let (observed, no, yes) = (json!("rewritten_history"), json!(false), json!(true));
    assert_eq!(
        kinds,
        [(&observed, &no), (&json!("event"), &yes), (&observed, &no)]
    );
    let shown = served
        .get(&format!(
            "/v1/evidence/{}",
            list[2]["evidence_id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(
        (&shown["document"]["was"], &shown["document"]["seen_at"]),
        (&json!("a"), &json!("1970-01-01T00:00:02Z"))
    );
    assert_eq!(shown["member"]["node_name"], "Node-3");
}
