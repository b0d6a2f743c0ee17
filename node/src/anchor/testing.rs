//! A small IPFS node, gateway and pinning service in this process, which does what a test asks: it
//! works, refuses, names other content, or never answers.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::cid::{CidVersion, Import, of_reader};
use crate::config::{Anchoring, IpfsProvider};

/// How a server behaves.
#[derive(Clone, Debug, Default)]
pub(super) enum Mood {
    #[default]
    Works,
    Refuses(u16, &'static str),
    NamesOther,
    NeverAnswers,
    Garbage,
}

/// What it was asked, and what it holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) mood: Mood,
    /// Content by CID.
    pub(super) content: BTreeMap<String, Vec<u8>>,
    /// Options of each `add`, in order.
    pub(super) adds: Vec<BTreeMap<String, String>>,
    /// `Authorization` headers seen.
    pub(super) tokens: Vec<String>,
    /// Bodies of pin orders.
    pub(super) pins: Vec<Value>,
    /// What the service says of a pin: first, and when asked again.
    pub(super) pin_states: (&'static str, &'static str),
    /// Whether the service writes `null` for an empty list.
    pub(super) nulls: bool,
    /// With which status and reason the service refuses orders, because it has the content already.
    pub(super) duplicate: Option<(u16, &'static str)>,
    /// Whether it lists what it then says that it has.
    pub(super) lists_duplicates: bool,
    /// Delegates that the node was connected to.
    pub(super) connected: Vec<String>,
    under_way: usize,
    /// Uploads under way at once, at most.
    pub(super) at_once: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Server {
    held: Arc<Mutex<Held>>,
    pub(super) address: String,
}

type Shared = State<Arc<Mutex<Held>>>;
type Options = Query<BTreeMap<String, String>>;
type Reply = (StatusCode, String);

impl Server {
    /// Starts one on a free port of this machine; it ends with the test's runtime.
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        Self::on(listener)
    }

    pub(super) fn on(listener: tokio::net::TcpListener) -> Self {
        let held = Arc::new(Mutex::new(Held {
            pin_states: ("queued", "pinned"),
            ..Held::default()
        }));
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/api/v0/add", post(add))
            .route("/api/v0/cat", post(cat))
            .route("/api/v0/id", post(id))
            .route("/api/v0/swarm/connect", post(connect))
            .route("/ipfs/{cid}", get(gateway))
            .route("/psa/pins", get(find_pin).post(order_pin))
            .route("/psa/pins/{id}", get(pin_status))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(held.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { held, address }
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    pub(super) fn mood(&self, mood: Mood) {
        self.held().mood = mood;
    }

    /// A configuration with this server as the local node and the only gateway.
    pub(super) fn settings(&self) -> Anchoring {
        Anchoring {
            providers: vec![IpfsProvider::Local],
            local_api: self.address.clone(),
            gateways: vec![format!("{}/ipfs/", self.address)],
            timeout_seconds: 2,
            ..Anchoring::default()
        }
    }
}

fn note_token(held: &mut Held, headers: &HeaderMap) {
    held.tokens.extend(
        headers
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned()),
    );
}

async fn add(
    State(held): Shared,
    Query(options): Options,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let mood = {
        let mut held = held.lock().unwrap();
        note_token(&mut held, &headers);
        held.adds.push(options.clone());
        held.under_way += 1;
        held.at_once = held.at_once.max(held.under_way);
        held.mood.clone()
    };
    // uploads that are sent together are together here
    tokio::time::sleep(Duration::from_millis(20)).await;
    let reply = match mood {
        Mood::NeverAnswers => std::future::pending().await,
        Mood::Refuses(status, body) => (StatusCode::from_u16(status).unwrap(), body.to_owned()),
        Mood::Garbage => (StatusCode::OK, "<html>a gateway</html>".to_owned()),
        Mood::Works | Mood::NamesOther => {
            let content = part_in(&body);
            let version = if options["cid-version"] == "1" {
                CidVersion::V1
            } else {
                CidVersion::V0
            };
            let named = if matches!(mood, Mood::NamesOther) {
                &b"other"[..]
            } else {
                content
            };
            let cid = of_reader(named, &[Import::of(version)]).unwrap().cids[0].to_string();
            held.lock()
                .unwrap()
                .content
                .insert(cid.clone(), content.to_vec());
            // the entry comes before the progress, and its size as text, as some servers do
            (
                StatusCode::OK,
                format!("{{\"Hash\":\"{cid}\",\"Size\":\"7\"}}\n{{\"Bytes\":7}}\n"),
            )
        }
    };
    held.lock().unwrap().under_way -= 1;
    reply
}

/// The content of a body's only part.
fn part_in(body: &[u8]) -> &[u8] {
    let find = |needle: &[u8], from: usize| {
        from + body[from..]
            .windows(needle.len())
            .position(|w| w == needle)
            .unwrap()
    };
    let boundary = &body[..find(b"\r\n", 0)];
    let head_end = find(b"\r\n\r\n", 0);
    assert!(
        body[..head_end]
            .windows(12)
            .any(|w| w.eq_ignore_ascii_case(b"content-type")),
        "js-ipfs wants a type"
    );
    let end = body.len() - boundary.len() - b"\r\n--\r\n".len();
    &body[head_end + 4..end]
}

fn deliver(held: &Mutex<Held>, cid: &str) -> (StatusCode, Vec<u8>) {
    match held.lock().unwrap().content.get(cid) {
        Some(content) => (StatusCode::OK, content.clone()),
        None => (
            StatusCode::INTERNAL_SERVER_ERROR,
            br#"{"Message":"request timed out"}"#.to_vec(),
        ),
    }
}

async fn cat(State(held): Shared, Query(options): Options) -> (StatusCode, Vec<u8>) {
    assert!(
        options["timeout"].ends_with('s'),
        "absent content waits for ever without a limit"
    );
    let mood = held.lock().unwrap().mood.clone();
    match mood {
        Mood::NeverAnswers => std::future::pending().await,
        _ => deliver(&held, &options["arg"]),
    }
}

async fn gateway(State(held): Shared, Path(cid): Path<String>) -> (StatusCode, Vec<u8>) {
    deliver(&held, &cid)
}

async fn id() -> Json<Value> {
    Json(json!({ "ID": "12D3", "Addresses": ["/ip4/192.0.2.1/tcp/4001/p2p/12D3"] }))
}

async fn connect(State(held): Shared, Query(options): Options) -> Json<Value> {
    held.lock().unwrap().connected.push(options["arg"].clone());
    Json(json!({}))
}

async fn find_pin(
    State(held): Shared,
    Query(options): Options,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    let mut held = held.lock().unwrap();
    note_token(&mut held, &headers);
    if let Mood::Refuses(status, _) = held.mood {
        let error =
            json!({ "error": { "reason": "INSUFFICIENT_FUNDS", "details": "the plan is full" } });
        return (StatusCode::from_u16(status).unwrap(), Json(error));
    }
    let is_listed = held.duplicate.is_none() || held.lists_duplicates;
    let ordered = is_listed
        && held
            .pins
            .iter()
            .any(|pin| pin["cid"] == options["cid"].as_str());
    let results = match (ordered, held.nulls) {
        (true, nulls) => json!([status("pinned", nulls)]),
        (false, true) => Value::Null,
        (false, false) => json!([]),
    };
    (
        StatusCode::OK,
        Json(json!({ "count": u8::from(ordered), "results": results })),
    )
}

async fn order_pin(State(held): Shared, Json(order): Json<Value>) -> (StatusCode, Json<Value>) {
    let mut held = held.lock().unwrap();
    held.pins.push(order);
    if let Some((code, reason)) = held.duplicate {
        let error = json!({ "error": { "reason": reason, "details": "see the list" } });
        return (StatusCode::from_u16(code).unwrap(), Json(error));
    }
    (
        StatusCode::ACCEPTED,
        Json(status(held.pin_states.0, held.nulls)),
    )
}

async fn pin_status(State(held): Shared, Path(id): Path<String>) -> Json<Value> {
    assert_eq!(id, "order-1");
    let held = held.lock().unwrap();
    Json(status(held.pin_states.1, held.nulls))
}

fn status(state: &str, nulls: bool) -> Value {
    let delegates = if nulls {
        Value::Null
    } else {
        json!(["/ip4/192.0.2.9/tcp/4001/p2p/12D9"])
    };
    json!({
        "requestid": "order-1", "status": state, "created": "2025-10-11T20:00:00Z", "pin": {}, "delegates": delegates,
    })
}
