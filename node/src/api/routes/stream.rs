//! `/v1/stream`: node events as server-sent events.

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures::{Stream, StreamExt as _};
use ssid_engine::NodeEvent;
use tokio::sync::Semaphore;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_util::sync::CancellationToken;

use crate::api::ApiState;
use crate::api::error::Failure;

/// Streams open at once.
const STREAMS: usize = 64;
static PERMITS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(STREAMS)));

/// Everything that happens from now on. A subscriber that falls behind is told how many events it
/// missed: `lagged`.
pub(super) async fn stream(
    State(state): State<ApiState>,
    Extension(shutdown): Extension<CancellationToken>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let permit = PERMITS.clone().try_acquire_owned();
    let permit =
        permit.map_err(|_| Failure::busy("api_streams", &format!("{STREAMS} streams are open")))?;
    let events = BroadcastStream::new(state.known.engine.subscribe()).map(move |item| {
        let _held_while_streaming = &permit;
        Ok(match item {
            Ok(event) => as_sse(&event),
            Err(BroadcastStreamRecvError::Lagged(missed)) => Event::default()
                .event("lagged")
                .data(format!("{{\"type\":\"lagged\",\"missed\":{missed}}}")),
        })
    });
    let until_shutdown = events.take_until(shutdown.cancelled_owned());
    Ok(Sse::new(until_shutdown).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

fn as_sse(event: &NodeEvent) -> Event {
    let name = match event {
        NodeEvent::Opened { .. } => "opened",
        NodeEvent::Certified { .. } => "certified",
        NodeEvent::Conflict { .. } => "conflict",
        NodeEvent::Decided { .. } => "decided",
        NodeEvent::Connected { .. } => "connected",
        NodeEvent::Disconnected { .. } => "disconnected",
        NodeEvent::Drift { .. } => "drift",
        NodeEvent::Divergence { .. } => "divergence",
        NodeEvent::Abstaining { .. } => "abstaining",
        NodeEvent::EpochDecided { .. } => "epoch_decided",
        NodeEvent::EpochEntered { .. } => "epoch_entered",
        NodeEvent::Evidence { .. } => "evidence",
        NodeEvent::LowTrust { .. } => "low_trust",
        NodeEvent::ReadOnly { .. } => "read_only",
        NodeEvent::Transport { .. } => "transport",
        NodeEvent::HistoryRewritten { .. } => "history_rewritten",
    };
    // plain structs of text and numbers: there is nothing in them that could not be written
    Event::default()
        .event(name)
        .data(serde_json::to_string(event).unwrap_or_default())
}
