//! Bodies of requests: read whole before a handler sees them, within a size, a time and a budget
//! that all of them share.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::Failure;
use crate::view::Problem;

/// KiB of bodies that are held at once. The largest body there is fits beside many usual ones.
const BUDGET_KIB: usize = 192 << 10;
/// How long a body may take.
const PATIENCE: Patience = Patience {
    pause: Duration::from_secs(10),
    whole: Duration::from_mins(2),
};

static BUDGET: Semaphore = Semaphore::const_new(BUDGET_KIB);

/// How long a body may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// Between two pieces of it.
    pause: Duration,
    /// All of it.
    whole: Duration,
}

/// Hands the request on with its whole body, of at most `most` bytes; what it holds counts until
/// the answer is there.
pub(super) async fn whole(most: usize, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let declared = if body.is_end_stream() {
        Some(0)
    } else {
        body.size_hint().exact()
    };
    let declared = declared.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    match read(body, declared, most, PATIENCE, &BUDGET).await {
        Ok((bytes, _held)) => {
            next.run(Request::from_parts(parts, Body::from(bytes)))
                .await
        }
        Err(failure) => failure.into_response(),
    }
}

async fn read(
    body: Body,
    declared: Option<usize>,
    most: usize,
    patience: Patience,
    budget: &'static Semaphore,
) -> Result<(Bytes, SemaphorePermit<'static>), Failure> {
    let too_large = || {
        let problem = Problem::new(
            413,
            "too_large",
            "The body is too large",
            format!("more than {most} bytes"),
        );
        Failure::from(Problem {
            limit: Some("api_body".to_owned()),
            ..problem
        })
    };
    // a body that does not say its length may have any
    let expected = declared.unwrap_or(most);
    if expected > most {
        return Err(too_large());
    }
    let busy = |_| {
        Failure::busy(
            "api_bodies",
            &format!("bodies of more than {BUDGET_KIB} KiB are on their way"),
        )
    };
    // before the first byte: of many slow senders only so much is ever held
    let held = budget
        .try_acquire_many(u32::try_from(expected.div_ceil(1024)).unwrap_or(u32::MAX))
        .map_err(busy)?;
    // both: a pause finds who has gone, the whole who sends a byte at a time
    let deadline = Instant::now() + patience.whole;
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    loop {
        let late = |_| {
            let detail = format!(
                "it paused for {:?}, or took {:?}",
                patience.pause, patience.whole
            );
            Failure::from(Problem::new(
                408,
                "body_timeout",
                "The body did not come",
                detail,
            ))
        };
        let next = timeout_at(deadline, timeout(patience.pause, stream.next()))
            .await
            .and_then(|inner| inner)
            .map_err(late)?;
        let Some(chunk) = next else { break };
        let chunk =
            chunk.map_err(|error| Failure::bad_request(format!("the body broke off: {error}")))?;
        // what was declared is what was set aside of the budget
        if bytes.len() + chunk.len() > expected {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes.into(), held))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures::stream;

    use super::*;

    /// Not the process's: other tests' requests hold of that.
    static OWN: Semaphore = Semaphore::const_new(BUDGET_KIB);

    fn chunks(sizes: &[usize]) -> Body {
        let chunks: Vec<_> = sizes
            .iter()
            .map(|size| Ok::<_, std::io::Error>(vec![b'x'; *size]))
            .collect();
        Body::from_stream(stream::iter(chunks))
    }

    #[tokio::test]
    async fn bodies_stay_within_their_size_and_the_budget_of_all() {
        let read_of =
            |sizes: &'static [usize], declared| read(chunks(sizes), declared, 100, PATIENCE, &OWN);
        assert_eq!(read_of(&[60, 40], None).await.unwrap().0.len(), 100);
        for (sizes, declared) in [
            (&[60, 41][..], None),
            (&[1][..], Some(101)),
            (&[2][..], Some(1)),
        ] {
            assert_eq!(
                read_of(sizes, declared).await.unwrap_err().0.status,
                413,
                "{sizes:?}"
            );
        }
        let most = BUDGET_KIB * 1024;
        let held = read(chunks(&[1]), Some(most), most, PATIENCE, &OWN)
            .await
            .unwrap();
        let refused = read(chunks(&[1]), Some(1), most, PATIENCE, &OWN)
            .await
            .unwrap_err()
            .0;
        assert_eq!(
            (refused.status, refused.limit.as_deref()),
            (503, Some("api_bodies"))
        );
        drop(held);
        assert!(
            read(chunks(&[1]), Some(1), most, PATIENCE, &OWN)
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_body_that_pauses_or_never_ends_is_given_up() {
        let given_up = async |body: Body, pause, whole| {
            let patience = Patience {
                pause: Duration::from_millis(pause),
                whole: Duration::from_millis(whole),
            };
            let refused = read(body, None, usize::MAX >> 40, patience, &BUDGET)
                .await
                .unwrap_err()
                .0;
            assert_eq!(
                (refused.status, refused.kind.as_str()),
                (408, "urn:ssid:problem:body_timeout")
            );
        };
        let begun = stream::iter([Ok::<_, std::io::Error>("begun")]).chain(stream::pending());
        given_up(Body::from_stream(begun), 50, 600_000).await;
        let drop_by_drop =
            stream::repeat_with(|| Ok::<_, std::io::Error>("x")).then(|item| async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                item
            });
        given_up(Body::from_stream(drop_by_drop), 600_000, 50).await;
    }
}
