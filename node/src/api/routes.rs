//! What is asked where. Handlers read a snapshot and answer; they hold nothing between requests.

mod anchors;
pub(super) mod consensus;
mod count;
mod decide;
mod divergences;
mod emit;
mod epochs;
mod events;
mod evidence;
mod import;
mod index;
mod log;
mod membership;
mod nodes;
mod paging;
mod proposing;
mod report;
mod search;
mod status;
mod stream;
mod sync;
mod telemetry;
mod trust;
mod verify;

use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::Uri;
use axum::middleware::{Next, from_fn};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tokio_util::sync::CancellationToken;

use super::ApiState;
use super::access::bounded;
use super::body;
use super::error::Failure;
use crate::view::Problem;

/// Bytes of offered events in one request.
const EVENTS_BYTES: usize = 16 << 20;
/// Bytes of other bodies.
const BODY_BYTES: usize = 256 << 10;
/// Bytes of an imported log.
const IMPORT_BYTES: usize = 128 << 20;
/// Bytes of a manifest, white space included.
const MANIFEST_BYTES: usize = 4 << 20;
/// How long an ordinary request may take.
const QUICK: Duration = Duration::from_secs(30);
/// How long one may take that waits, or verifies the whole log.
const SLOW: Duration = Duration::from_hours(1);

/// Returns the router of every endpoint.
pub(super) fn router(state: ApiState, shutdown: CancellationToken) -> Router {
    let bodies_of =
        |most| from_fn(move |request: Request, next: Next| body::whole(most, request, next));
    // what an answer takes is known: these must not wait behind what does not
    let quick = Router::new()
        .route("/v1/status", get(status::status))
        .route("/v1/nodes", get(nodes::list))
        .route("/v1/nodes/observed", get(nodes::observed))
        .route("/v1/nodes/{id}", get(nodes::show))
        .route("/v1/events", get(events::list))
        .route("/v1/events/{hash}", get(events::show))
        .route("/v1/consensus", get(consensus::history))
        .route("/v1/consensus/verify/progress", get(verify::progress))
        .route("/v1/consensus/{hash}", get(consensus::check))
        .route("/v1/certificates/{hash}", get(consensus::certificate))
        .route("/v1/conflicts", get(consensus::conflicts))
        .route("/v1/conflicts/{subject}", get(consensus::conflict))
        .route("/v1/conflicts/{subject}/resolution", post(decide::resolve))
        .route("/v1/events/{hash}/endorse", post(decide::endorse))
        .route("/v1/events/{hash}/refuse", post(decide::refuse))
        .route("/v1/trust", get(trust::list))
        .route("/v1/trust/{id}", get(trust::show).post(trust::adjust))
        .route("/v1/evidence", get(evidence::list))
        .route("/v1/evidence/{id}", get(evidence::show))
        .route("/v1/report", get(report::report))
        .route("/v1/telemetry/check", post(telemetry::check))
        .route("/v1/telemetry/outbox", get(telemetry::outbox))
        .route("/v1/telemetry/outbox/{id}/retry", post(telemetry::retry))
        .route("/v1/telemetry/outbox/{id}/drop", post(telemetry::forget))
        .route("/v1/membership", get(membership::show))
        .route("/v1/membership/draft", get(membership::draft))
        .route("/v1/membership/invite", get(membership::invite))
        .route("/v1/membership/proposals/{hash}", get(membership::proposal))
        .route(
            "/v1/membership/proposals/{hash}/approve",
            post(membership::approve),
        )
        .route(
            "/v1/membership/proposals/{hash}/reject",
            post(membership::reject),
        )
        .route("/v1/epochs", get(epochs::list))
        .route("/v1/epochs/export", get(epochs::chain_file))
        .route("/v1/epochs/{epoch}", get(epochs::show))
        .route("/v1/divergences", get(divergences::list))
        .route("/v1/log/head", get(log::head))
        .route("/v1/log/signed-head", get(log::signed_head))
        .route("/v1/log/proof", get(log::proof))
        .route("/v1/log/consistency", get(log::consistency))
        .route("/", get(index::index))
        .route("/v1", get(index::index))
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz))
        .route("/metrics", get(status::metrics))
        .route("/v1/events/apply", post(events::apply));
    // may have to wait for votes, disks or other members
    let slow = Router::new()
        .route(
            "/v1/events",
            post(emit::emit).layer(bodies_of(EVENTS_BYTES)),
        )
        // the permit first: nobody else's body is read meanwhile
        .route(
            "/v1/events/import",
            post(import::import)
                .layer(bodies_of(IMPORT_BYTES))
                .layer(from_fn(import::alone)),
        )
        // a manifest of a thousand members has a megabyte
        .route(
            "/v1/membership/proposals",
            post(membership::propose).layer(bodies_of(MANIFEST_BYTES)),
        )
        .route("/v1/anchors", get(anchors::list).post(anchors::run))
        .route("/v1/sync", get(sync::show).post(sync::start))
        .route("/v1/consensus/verify", get(verify::verify));
    bounded(quick.layer(bodies_of(BODY_BYTES)), QUICK)
        .merge(bounded(slow, SLOW))
        // neither permit nor time limit: it lasts as long as its reader, and has limits of its own
        .route("/v1/stream", get(stream::stream))
        // a filter with a slip in it must not answer with everything
        .route_layer(from_fn(index::known_parameters))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        // bodies are read before, within limits of their own
        .layer(DefaultBodyLimit::disable())
        // outside all of them: their refusals are made documents, too
        .layer(from_fn(index::as_problem))
        .layer(Extension(shutdown))
        .with_state(state)
}

async fn unknown(uri: Uri) -> Failure {
    let detail: String = uri.path().chars().take(200).collect();
    let problem = *Failure::not_found(format!("there is nothing at {detail}")).0;
    Failure::from(problem.hint("every path: GET /v1"))
}

async fn wrong_method(uri: Uri) -> Failure {
    let path: String = uri.path().chars().take(200).collect();
    Failure::from(Problem::new(
        405,
        "method",
        "Another method is needed",
        format!("{path} does not take this method"),
    ))
}
