//! What lists and documents hold, and in which order.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use ssid_engine::{EngineStatus, InstanceView};
use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::id::{MerkleHash, Round, Sha256Hash, SubjectId, UnixMillis};
use ssid_protocol::{merkle, testing};
use ssid_storage::{AnchorRow, Changes, ConflictRow, DivergenceRow};
use std::sync::Arc;
use tokio::sync::watch;

use super::routes::voted_on;
use super::{accept, served, status};
use crate::api::routes::consensus::LOOKED_AT;

#[tokio::test(flavor = "multi_thread")]
async fn divergences_come_page_by_page_in_order_of_subject() {
    let mut served = served(accept, false).await;
    let own = testing::event("blueprint_tagged", "v1");
    let certified = testing::event("blueprint_tagged", "v2").choice();
    let row = |number: u8| {
        let row = DivergenceRow {
            sequence: u64::from(number),
            certified,
            own: own.clone(),
            found_at: UnixMillis(60_000),
        };
        (SubjectId([number; 32]), row)
    };
    let changes = Changes {
        divergences: [3, 1, 5, 2, 4].map(row).to_vec(),
        ..Changes::default()
    };
    served.writer.write(changes).unwrap();

    let mut sequences = Vec::new();
    let mut path = "/v1/divergences?limit=2".to_owned();
    loop {
        let page = served.get(&path).await;
        let items = page["items"].as_array().unwrap().clone();
        assert!(items.len() <= 2, "{page}");
        sequences.extend(items.iter().map(|item| item["sequence"].as_u64().unwrap()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/v1/divergences?limit=2&before={next}");
    }
    assert_eq!(sequences, [1, 2, 3, 4, 5]);

    let item = &served.get("/v1/divergences").await["items"][0];
    assert_eq!(item["certified_hash"], certified.event_hash.to_string());
    assert_eq!(item["own_hash"], own.event_hash().to_string());
    assert_eq!(item["own_commit_hash"], own.commit_hash);
    assert_eq!(item["found_at"], "1970-01-01T00:01:00Z");
}

/// Subjects in conflict since the beginning, as they are stored.
fn in_conflict(ids: impl IntoIterator<Item = SubjectId>) -> Changes {
    let row = ConflictRow {
        since: UnixMillis(0),
        round: Round::ZERO,
    };
    Changes {
        conflicts: ids.into_iter().map(|id| (id, row)).collect(),
        ..Changes::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_are_found_by_the_commit_of_a_candidate_page_by_page() {
    let mut served = served(accept, false).await;
    // 9 was decided meanwhile
    let ids = [1, 2, 3, 9].map(|number| SubjectId([number; 32]));
    served.writer.write(in_conflict(ids)).unwrap();
    for view in [voted_on(1, 2), voted_on(2, 1), voted_on(3, 2)] {
        let mut open = served.open.lock().unwrap();
        open.insert(view.subject_id, view);
    }
    // the third is about a commit of the first, too
    let shared = voted_on(1, 2).candidates[1].clone();
    let mut third = voted_on(3, 2);
    third.candidates.push(shared);
    served.open.lock().unwrap().insert(third.subject_id, third);
    let found = async |query: &str| {
        let page = served.get(&format!("/v1/conflicts?{query}")).await;
        let items = page["items"].as_array().unwrap().iter();
        let id = |item: &Value| item["subject_id"].as_str().unwrap()[..2].to_owned();
        let next = page["next"].as_str().map(|next| next[..2].to_owned());
        (items.map(id).collect::<Vec<_>>(), next)
    };
    assert_eq!(found("").await.0, ["01", "02", "03"]);
    assert_eq!(found("commit=0100001").await.0, ["01", "03"]);
    assert_eq!(found("commit=0200000").await.0, ["02"]);
    assert!(found("commit=0300002").await.0.is_empty());
    let first = found("commit=01&limit=1").await;
    assert_eq!(first, (vec!["01".to_owned()], Some("01".to_owned())));
    let second = format!("commit=01&limit=1&before={}", SubjectId([1; 32]));
    assert_eq!(found(&second).await, (vec!["03".to_owned()], None));
    for wrong in ["commit=xyz", "commit="] {
        let request = format!("GET /v1/conflicts?{wrong}");
        assert_eq!(served.ask(&request, "").await.0, 400, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_looked_for_in_so_many_conflicts_a_request() {
    let mut served = served(accept, false).await;
    let id = |number: usize| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        SubjectId(id)
    };
    served
        .writer
        .write(in_conflict((0..=LOOKED_AT).map(id)))
        .unwrap();
    let last = InstanceView {
        subject_id: id(LOOKED_AT),
        ..voted_on(1, 1)
    };
    served.open.lock().unwrap().insert(last.subject_id, last);
    let first = served.get("/v1/conflicts?commit=01").await;
    let next = id(LOOKED_AT - 1).to_string();
    assert_eq!(
        (&first["items"], &first["next"]),
        (&json!([]), &json!(next))
    );
    let path = format!("/v1/conflicts?commit=01&before={next}");
    let second = served.get(&path).await;
    let found = &second["items"][0]["subject_id"];
    assert_eq!(found, &json!(id(LOOKED_AT).to_string()));
    assert_eq!(second["next"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn anchors_are_listed_newest_first_and_all_of_them() {
    let mut served = served(accept, false).await;
    let row = |number: u8| {
        let row = AnchorRow {
            name: format!("report-{number}.md"),
            cid: format!("bafy{number}"),
            // two of each second, told apart by name
            at: UnixMillis(u64::from(number / 2) * 1000),
            services: vec!["local".into()],
        };
        (Sha256Hash([255 - number; 32]), row)
    };
    let changes = Changes {
        anchors: (0..5).map(row).collect(),
        ..Changes::default()
    };
    served.writer.write(changes).unwrap();
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = served.get("/v1/anchors?limit=3").await;
    assert_eq!(names(&first), ["report-4.md", "report-2.md", "report-3.md"]);
    assert_eq!((&first["total"], &first["next"]), (&json!(5), &json!("3")));
    assert_eq!(first["items"][0]["at"], "1970-01-01T00:00:02Z");
    assert_eq!(first["items"][0]["services"], json!(["local"]));
    let second = served.get("/v1/anchors?limit=3&before=3").await;
    assert_eq!(names(&second), ["report-0.md", "report-1.md"]);
    assert_eq!(second["next"], Value::Null);
    assert_eq!(
        (&second["waiting"], &second["running"]),
        (&json!(0), &Value::Null)
    );
    let beyond = served.get("/v1/anchors?before=99").await;
    assert_eq!((names(&beyond).len(), &beyond["total"]), (0, &json!(5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_counts_what_was_certified_in_its_month_alone() {
    let mut served = served(accept, false).await;
    // certified in the first seconds of 1970, by the fixture's clock
    for event in [
        testing::event("blueprint_tagged", "v1"),
        testing::event("blueprint_tagged", "v2"),
        testing::event("security_review", "v1"),
    ] {
        served.certify(&event);
    }
    let report = served.get("/v1/report?month=1970-01").await;
    assert_eq!(report["month"], "1970-01");
    assert_eq!(
        (&report["from"], &report["until"]),
        (
            &json!("1970-01-01T00:00:00Z"),
            &json!("1970-02-01T00:00:00Z")
        )
    );
    assert_eq!(
        (&report["is_complete"], &report["summary"]["certified"]),
        (&json!(true), &json!(3))
    );
    let lines: BTreeSet<_> = report["consensus"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            (
                line["event_type"].as_str().unwrap(),
                line["certified"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        lines,
        BTreeSet::from([("blueprint_tagged", 2), ("security_review", 1)])
    );
    let later = served.get("/v1/report?month=1970-02").await;
    assert_eq!(later["summary"]["certified"], 0);
    let now = served.get("/v1/report").await;
    assert_eq!(now["is_complete"], false, "without a month it is this one");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_proves_an_event_leads_to_the_heads_root_in_every_size() {
    let mut served = served(accept, false).await;
    let events: Vec<_> = (0..6)
        .map(|n| testing::event("blueprint_tagged", &format!("v{n}")))
        .collect();
    events.iter().for_each(|event| served.certify(event));
    let leaf = merkle::leaf_hash(&events[2].choice().to_bytes());
    let mut roots = BTreeSet::new();
    for size in 3..=6 {
        let hash = events[2].event_hash();
        let proof = served
            .get(&format!("/v1/log/proof?hash={hash}&size={size}"))
            .await;
        let path: Vec<MerkleHash> = serde_json::from_value(proof["path"].clone()).unwrap();
        let root = merkle::root_from_inclusion(leaf, 2, size, &path).unwrap();
        assert_eq!(proof["root"], root.to_string(), "size {size}");
        assert_eq!(
            (&proof["sequence"], &proof["size"]),
            (&json!(2), &json!(size))
        );
        roots.insert(root);
    }
    assert_eq!(roots.len(), 4, "each size has a root of its own");
    let all = served.get("/v1/log/consistency?from=0").await;
    assert_eq!(all["from_root"], merkle::root(&[]).to_string());
    let same = served.get("/v1/log/consistency?from=6").await;
    assert_eq!(
        (&same["from_root"], &same["path"]),
        (&same["root"], &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_head_is_the_heartbeat_that_this_node_signed_last() {
    let served = served(accept, false).await;
    let (_, federation, _, keys) = testing::federation(super::MEMBERS);
    let heartbeat = Statements::Heartbeat(Box::new(testing::heartbeat(9)));
    let batch = VerifiedBatch::sign(&keys[0], &federation, heartbeat).unwrap();
    let as_of_now = EngineStatus {
        heartbeat: Some(Arc::new(batch.clone())),
        ..status(&served.state.known.store)
    };
    let engine = crate::engine::EngineHandle {
        status: watch::channel(Arc::new(as_of_now)).1,
        ..served.state.known.engine.clone()
    };
    let api = served.again(|state| state.known.engine = engine).await;
    let (code, head) = api.ask("GET /v1/log/signed-head", "").await;
    assert_eq!(code, 200, "{head}");
    assert_eq!(head["format"], "ssid-log-head/1");
    assert_eq!(head["node_id"], keys[0].node_id().to_string());
    assert_eq!(head["signature"], batch.batch().signature.to_string());
    assert_eq!(head["heartbeat"]["log_size"], 9);
}
