//! Who may ask, and how much at once: the bearer token of the TCP listener, limits on requests, a
//! time limit on each.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;

use super::error::Failure;
use crate::view::Problem;

/// Requests under way at once, streams not counted.
const REQUESTS: usize = 256;

/// The same router, answering only requests that carry the token.
pub(super) fn require_token(router: Router, token: &str) -> Router {
    let expected: Arc<[u8]> = format!("Bearer {token}").into_bytes().into();
    router.layer(from_fn_with_state(expected, check_token))
}

async fn check_token(State(expected): State<Arc<[u8]>>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes);
    if given.is_some_and(|given| equal_in_constant_time(given, &expected)) {
        return next.run(request).await;
    }
    let problem = Problem::new(
        401,
        "unauthorized",
        "A bearer token is needed",
        "the request carries no valid token",
    )
    .hint("send the token of api.token_env as: Authorization: Bearer …");
    (
        [(header::WWW_AUTHENTICATE, "Bearer")],
        Failure::from(problem),
    )
        .into_response()
}

/// Takes as long for a wrong first byte as for a wrong last one; only the length can be told from
/// outside.
fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && std::hint::black_box(a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b))) == 0
}

/// Answers 503 past [`REQUESTS`] at once, and after `limit` for each request.
pub(super) fn bounded<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    limit: Duration,
) -> Router<S> {
    let permits = Arc::new(Semaphore::new(REQUESTS));
    router.layer(from_fn(move |request: Request, next: Next| {
        let permits = permits.clone();
        async move {
            // no queue: who waits in one costs memory, and is told nothing
            let Ok(_permit) = permits.try_acquire() else {
                return Failure::busy(
                    "api_requests",
                    &format!("more than {REQUESTS} requests are under way"),
                )
                .into_response();
            };
            // the permit is given back then, whatever the handler still waits for
            match tokio::time::timeout(limit, next.run(request)).await {
                Ok(response) => response,
                Err(_) => Failure::busy(
                    "api_seconds",
                    &format!("no answer within {} s", limit.as_secs()),
                )
                .into_response(),
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_compared_whole() {
        assert!(equal_in_constant_time(b"Bearer abc", b"Bearer abc"));
        assert!(!equal_in_constant_time(b"Bearer abd", b"Bearer abc"));
        assert!(!equal_in_constant_time(b"Bearer ab", b"Bearer abc"));
        assert!(!equal_in_constant_time(b"", b"Bearer abc"));
    }
}
