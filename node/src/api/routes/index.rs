//! `GET /v1`: every endpoint with the parameters it takes; and the refusal of those that it does
//! not take.

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Query, Request};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::api::error::Failure;
use crate::view::{Page, Problem};

/// Bytes of a refusal of the HTTP library that are kept as its words.
const REFUSAL_BYTES: usize = 4096;
/// Characters of an unknown parameter that are repeated.
const SHOWN: usize = 80;

/// One endpoint of the API, as `GET /v1` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Endpoint {
    /// The HTTP method.
    method: &'static str,
    /// The path; `{…}` stands for a name, an id or a hash.
    path: &'static str,
    /// The query parameters it takes, none of which is needed unless `what` says so.
    parameters: &'static [&'static str],
    /// What it answers or does.
    what: &'static str,
}

const PAGING: &[&str] = &["limit", "before"];
const WAITING: &[&str] = &["wait", "timeout_seconds"];
const NONE: &[&str] = &[];
const EVENTS: &[&str] = &[
    "state",
    "review",
    "event_type",
    "event_version",
    "commit",
    "member",
    "since",
    "until",
    "limit",
    "before",
];

const fn get(
    path: &'static str,
    parameters: &'static [&'static str],
    what: &'static str,
) -> Endpoint {
    Endpoint {
        method: "GET",
        path,
        parameters,
        what,
    }
}

const fn post(
    path: &'static str,
    parameters: &'static [&'static str],
    what: &'static str,
) -> Endpoint {
    Endpoint {
        method: "POST",
        path,
        parameters,
        what,
    }
}

/// Every endpoint of the router.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/", NONE, "this list"),
    get("/v1", NONE, "this list"),
    get("/healthz", NONE, "200 while the process runs"),
    get(
        "/readyz",
        &["federation"],
        "200 if this node serves and signs, with federation=true also if a quorum can; else 503",
    ),
    get(
        "/metrics",
        NONE,
        "counters in OpenMetrics text, for Prometheus",
    ),
    get(
        "/v1/status",
        NONE,
        "this node and its federation: voting, connections, log, what waits",
    ),
    get("/v1/nodes", NONE, "the members as this node sees them"),
    get(
        "/v1/nodes/observed",
        NONE,
        "nodes without a key, which are observed only",
    ),
    get(
        "/v1/nodes/{id}",
        NONE,
        "one member, by name or the beginning of its id",
    ),
    get(
        "/v1/events",
        EVENTS,
        "events, open ones first, then the latest certified",
    ),
    post(
        "/v1/events",
        WAITING,
        "offer one event, an array of them, or one after another",
    ),
    post(
        "/v1/events/import",
        WAITING,
        "offer a whole registry log, as it is found",
    ),
    post(
        "/v1/events/apply",
        NONE,
        "write certified events to the registry's log",
    ),
    get(
        "/v1/events/{hash}",
        NONE,
        "one event, by the beginning of its hash",
    ),
    post(
        "/v1/events/{hash}/endorse",
        NONE,
        "the operator confirms an event of others",
    ),
    post("/v1/events/{hash}/refuse", NONE, "the operator refuses it"),
    get(
        "/v1/consensus",
        PAGING,
        "consensus records, the latest first",
    ),
    get(
        "/v1/consensus/verify",
        NONE,
        "every certificate and the log's tree, verified again; takes long",
    ),
    get(
        "/v1/consensus/verify/progress",
        NONE,
        "how far a verification under way is",
    ),
    get(
        "/v1/consensus/{hash}",
        NONE,
        "how an event's subject was decided, or how far it is",
    ),
    get(
        "/v1/certificates/{hash}",
        NONE,
        "an event's certificate, which verifies offline",
    ),
    get(
        "/v1/conflicts",
        &["commit", "limit", "before"],
        "subjects that wait for people",
    ),
    get(
        "/v1/divergences",
        PAGING,
        "decisions that this node's registry contradicts",
    ),
    get(
        "/v1/conflicts/{subject}",
        NONE,
        "one open subject with its candidates and votes",
    ),
    post(
        "/v1/conflicts/{subject}/resolution",
        NONE,
        "the operator chooses: {\"choice\": \"HASH\"}",
    ),
    get(
        "/v1/trust",
        NONE,
        "every member's trust in this node's ledger",
    ),
    get(
        "/v1/trust/{id}",
        NONE,
        "one member's trust, with every change",
    ),
    post(
        "/v1/trust/{id}",
        NONE,
        "change it: {\"change\": \"boost\" or \"penalize\", \"reason\": \"…\"}",
    ),
    get(
        "/v1/membership",
        NONE,
        "who counts now, what is proposed, and how far a change of members is",
    ),
    get(
        "/v1/membership/draft",
        NONE,
        "the next epoch's manifest with nothing changed, to be edited and proposed",
    ),
    get(
        "/v1/membership/invite",
        &["proposal"],
        "what a newcomer joins with; with proposal the beginning of the hash of what admits it",
    ),
    post(
        "/v1/membership/proposals",
        &["dry_run", "by"],
        "proposes a manifest and approves it here; with dry_run=true only says what would follow",
    ),
    get(
        "/v1/membership/proposals/{hash}",
        NONE,
        "one proposal with its manifest, by the beginning of its hash",
    ),
    post(
        "/v1/membership/proposals/{hash}/approve",
        NONE,
        "the operator approves a proposal; {\"confirm\": [\"…\"]} says the first digits of keys that replace lost ones",
    ),
    post(
        "/v1/membership/proposals/{hash}/reject",
        NONE,
        "the operator refuses what is proposed",
    ),
    get(
        "/v1/epochs",
        NONE,
        "the epochs from genesis on, and what changed with each",
    ),
    get(
        "/v1/epochs/{epoch}",
        NONE,
        "one epoch with its manifest, by its number",
    ),
    get(
        "/v1/epochs/export",
        NONE,
        "the chain file, with which certificates of later epochs verify offline",
    ),
    get(
        "/v1/evidence",
        NONE,
        "proven equivocations, and rewritten Git histories that were seen",
    ),
    get(
        "/v1/evidence/{id}",
        NONE,
        "one piece of evidence with its document",
    ),
    get("/v1/log/head", NONE, "size and root of the certified log"),
    get(
        "/v1/log/signed-head",
        NONE,
        "the same as this node signed it last, for third parties",
    ),
    get(
        "/v1/log/proof",
        &["hash", "size"],
        "that an event (hash=, needed) is in the log, or in its first size= entries",
    ),
    get(
        "/v1/log/consistency",
        &["from"],
        "that the log extends its first from= (needed) entries",
    ),
    get(
        "/v1/anchors",
        PAGING,
        "what is anchored on IPFS, and what waits",
    ),
    post("/v1/anchors", NONE, "anchor now"),
    get("/v1/sync", NONE, "how syncs over Git stand"),
    post("/v1/sync", &["force", "transport"], "sync now"),
    get(
        "/v1/report",
        &["month"],
        "the compliance report of a month, YYYY-MM",
    ),
    post(
        "/v1/telemetry/check",
        NONE,
        "check dashboard and registry now",
    ),
    get(
        "/v1/telemetry/outbox",
        NONE,
        "notifications that wait, or were given up",
    ),
    post("/v1/telemetry/outbox/{id}/retry", NONE, "send one again"),
    post("/v1/telemetry/outbox/{id}/drop", NONE, "forget one"),
    get(
        "/v1/stream",
        NONE,
        "what happens from now on, as server-sent events",
    ),
];

pub(super) async fn index() -> Json<Page<Endpoint>> {
    Json(Page::whole(ENDPOINTS.to_vec()))
}

/// Answers 400 to a query parameter that the endpoint does not take: whoever filters by it would
/// get wrong data.
pub(super) async fn known_parameters(path: MatchedPath, request: Request, next: Next) -> Response {
    let method = if request.method() == Method::HEAD {
        &Method::GET
    } else {
        request.method()
    };
    let is_it = |e: &&Endpoint| e.method == method.as_str() && e.path == path.as_str();
    if let Some(endpoint) = ENDPOINTS.iter().find(is_it)
        && let Some(name) = unknown_parameter(request.uri(), endpoint.parameters)
    {
        return refused(&name, endpoint).into_response();
    }
    next.run(request).await
}

/// The first name in a query that is not among those that are known.
fn unknown_parameter(uri: &Uri, known: &[&str]) -> Option<String> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    pairs
        .into_iter()
        .map(|(name, _)| name)
        .find(|name| !known.contains(&name.as_str()))
}

fn refused(name: &str, endpoint: &Endpoint) -> Failure {
    let shown: String = name.chars().take(SHOWN).collect();
    let detail = format!(
        "{} {} has no parameter {shown:?}",
        endpoint.method, endpoint.path
    );
    let hint = match endpoint.parameters {
        [] => "it has none; every endpoint and what it takes: GET /v1".to_owned(),
        known => format!(
            "it has: {}; every endpoint and what it takes: GET /v1",
            known.join(", ")
        ),
    };
    Failure::from(
        Problem::new(400, "unknown_parameter", "A parameter is not known", detail).hint(hint),
    )
}

/// Makes a problem document of a refusal that the HTTP library wrote as plain text.
pub(super) async fn as_problem(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    // a problem document has a type of its own; what a handler says as text with 200 is its answer
    let is_text = |value: &HeaderValue| value.as_bytes().starts_with(b"text/plain");
    let is_plain = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_none_or(is_text);
    if !(status.is_client_error() || status.is_server_error()) || !is_plain {
        return response;
    }
    // it may hold what a caller sent: read only so far
    let words = to_bytes(Body::new(response.into_body()), REFUSAL_BYTES)
        .await
        .unwrap_or_default();
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    let detail = if words.is_empty() {
        "the request cannot be answered".to_owned()
    } else {
        words
    };
    let kind = if status == StatusCode::BAD_REQUEST {
        "bad_request"
    } else {
        "http"
    };
    let title = status
        .canonical_reason()
        .unwrap_or("The request cannot be answered");
    Failure::from(Problem::new(status.as_u16(), kind, title, detail)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths that the router's source has, each once.
    fn routed() -> Vec<String> {
        let source = include_str!("../routes.rs");
        let calls = source.split(".route(").skip(1);
        let mut paths: Vec<_> = calls
            .filter_map(|rest| rest.split('"').nth(1))
            .map(str::to_owned)
            .collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    #[test]
    fn the_list_is_the_routers() {
        let mut listed: Vec<_> = ENDPOINTS
            .iter()
            .map(|endpoint| endpoint.path.to_owned())
            .collect();
        listed.sort_unstable();
        listed.dedup();
        assert_eq!(listed, routed());
    }

    #[test]
    fn the_documentation_has_every_path_and_parameter() {
        let document = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/http-api.md"));
        let words: Vec<_> = document.split('`').skip(1).step_by(2).collect();
        for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.path != "/") {
            let names_it = |word: &&str| word.rsplit(' ').next() == Some(endpoint.path);
            assert!(words.iter().any(names_it), "{}", endpoint.path);
            if endpoint.method == "POST" {
                let call = format!("POST {}", endpoint.path);
                assert!(words.contains(&call.as_str()), "{call}");
            }
            for parameter in endpoint.parameters {
                assert!(words.contains(parameter), "{parameter}");
            }
        }
    }

    #[test]
    fn unknown_parameters_are_found() {
        let of = |uri| unknown_parameter(&Uri::from_static(uri), PAGING);
        assert_eq!(
            (of("/v1"), of("/v1?"), of("/v1?limit=2&before=7")),
            (None, None, None)
        );
        assert_eq!(of("/v1?limit=2&event=x").as_deref(), Some("event"));
        assert_eq!(of("/v1?lim%69t=2&%65vent=x").as_deref(), Some("event"));
        assert_eq!(of("/v1?=").as_deref(), Some(""));
    }
}
