//! Errors on their way out: every one is a problem document.

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use ssid_engine::{OperatorRefusal, RefusalKind};
use ssid_protocol::event::Inadmissible;

use crate::engine::EngineError;
use crate::view::Problem;

/// A problem as a response.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Box<Problem>);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

/// What a handler answers.
pub(super) type Answer<T> = Result<Json<T>, Failure>;

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, Problem::MEDIA_TYPE)], body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

impl Failure {
    /// 400: the request itself makes no sense.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::from(Problem::new(
            400,
            "bad_request",
            "The request cannot be read",
            detail,
        ))
    }

    /// 404: there is no such thing.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::from(Problem::new(404, "not_found", "Not found", detail))
    }

    /// 409: the name fits several things.
    pub(super) fn ambiguous(what: &str, candidates: Vec<String>) -> Self {
        let detail = format!("{what} fits {} things", candidates.len());
        let problem = Problem::new(409, "ambiguous", "The name fits more than one", detail);
        Self::from(Problem {
            candidates,
            ..problem.hint("give more digits, or the content digest")
        })
    }

    /// 503: a limit is reached; the same request may succeed later.
    pub(super) fn busy(limit: &str, detail: &str) -> Self {
        let problem =
            Problem::new(503, "busy", "A limit is reached", detail).hint("try again in a moment");
        Self::from(Problem {
            limit: Some(limit.to_owned()),
            ..problem
        })
    }

    /// 422: an event the federation cannot vote for.
    pub(super) fn inadmissible(refusal: &Inadmissible) -> Self {
        let problem = Problem::new(
            422,
            "inadmissible",
            "The event is not admissible",
            refusal.to_string(),
        );
        Self::from(Problem {
            field: Some(refusal.field.to_owned()),
            rule: Some(refusal.rule.clone()),
            value: Some(refusal.value.clone()),
            ..problem
        })
    }

    /// An event the engine did not take: 503 for a limit, 422 for a rule.
    pub(super) fn refused(reason: &str, retry: bool) -> Self {
        if retry {
            return Self::busy(limit_name(reason).unwrap_or("engine"), reason);
        }
        Self::from(Problem::new(
            422,
            "refused",
            "The event was not taken",
            reason,
        ))
    }

    /// 409: an operator's decision that cannot be taken as things stand.
    fn not_taken(refusal: OperatorRefusal) -> Self {
        let status = if refusal.kind == RefusalKind::NotOpen {
            404
        } else {
            409
        };
        let problem = Problem::new(
            status,
            refusal.kind.as_str(),
            "The decision is not taken",
            refusal.reason,
        );
        Self::from(Problem {
            hint: refusal.hint,
            ..problem
        })
    }

    /// 500: something of this node's own is broken.
    pub(super) fn internal(detail: impl std::fmt::Display) -> Self {
        tracing::error!(error = %detail, "API request failed");
        let problem = Problem::new(
            500,
            "internal",
            "The node could not do it",
            detail.to_string(),
        );
        Self::from(problem.hint("see the node's log"))
    }
}

/// The limit in a refusal that ends in `name = value`, as all of them do.
fn limit_name(reason: &str) -> Option<&str> {
    let (before, after) = reason.split_once(" = ")?;
    after
        .starts_with(|c: char| c.is_ascii_digit())
        .then(|| before.rsplit(' ').next())
        .flatten()
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Stopped => Self::from(Problem::new(
                503,
                "stopped",
                "The node is stopping",
                error.to_string(),
            )),
            EngineError::Refused(reason) => Self::refused(&reason, true),
            EngineError::NotTaken(refusal) => Self::not_taken(refusal),
            EngineError::OtherReply => Self::from(Problem::new(
                500,
                "internal",
                "The node made a mistake",
                error.to_string(),
            )),
        }
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<BytesRejection> for Failure {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let problem = Problem::new(
                413,
                "too_large",
                "The body is too large",
                rejection.body_text(),
            );
            return Self::from(Problem {
                limit: Some("api_body_bytes".into()),
                ..problem.hint("send it in parts")
            });
        }
        Self::bad_request(rejection.body_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_limit() {
        assert_eq!(
            limit_name("20000 events at once exceed emit_events = 16384; send them"),
            Some("emit_events")
        );
        assert_eq!(limit_name("no limit here"), None);
        let problem = *Failure::refused("open_per_origin = 25000 reached", true).0;
        assert_eq!(
            (problem.status, problem.limit.as_deref()),
            (503, Some("open_per_origin"))
        );
        assert_eq!(
            Failure::refused("already signed another", false).0.status,
            422
        );
    }
}
