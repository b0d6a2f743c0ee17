//! Sending over HTTP: one client without redirects, cookies or proxies of its own choosing, a time
//! limit, a limit on what is read of the answer, and errors that never show an address.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::attempt::Attempt;
use crate::SOFTWARE;
use crate::client;
use crate::config::Channel;
use crate::telemetry::message::plain;
use crate::telemetry::secret::SecretUrl;

/// How long one attempt may take, from looking up the name to the answer's head.
const ATTEMPT_AT_MOST: Duration = Duration::from_secs(10);
/// How long an answer's body is read, for the receiver's words: what it means, its status says.
const BODY_AT_MOST: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 16 * 1024;
/// The longest pause a receiver may ask for.
const PAUSE_AT_MOST: Duration = Duration::from_hours(24);

/// The HTTP clients, made when they are first needed: without the system's certificates they cannot
/// be made.
#[derive(Clone, Debug)]
pub struct Http {
    clients: std::sync::Arc<Clients>,
    limit: Duration,
}

/// One for this machine, which no proxy is asked for, and one for elsewhere.
#[derive(Debug, Default)]
struct Clients {
    here: OnceCell<Client>,
    elsewhere: OnceCell<Client>,
}

impl Default for Http {
    fn default() -> Self {
        Self::within(ATTEMPT_AT_MOST)
    }
}

/// What is sent.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) url: SecretUrl,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    query: Option<(&'static str, &'static str)>,
}

impl Request {
    /// `POST` of a JSON document.
    pub(super) fn json(url: SecretUrl, document: &Value) -> Self {
        Self::json_bytes(url, document.to_string().into_bytes())
    }

    /// `POST` of a JSON document as it is written.
    pub(super) fn json_bytes(url: SecretUrl, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(SOFTWARE));
        Self {
            url,
            method: Method::POST,
            headers,
            body,
            query: None,
        }
    }

    /// With a parameter in the address.
    pub(super) fn query(mut self, name: &'static str, value: &'static str) -> Self {
        self.query = Some((name, value));
        self
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: String,
}

impl Answer {
    /// Reads an answer: of its body what comes whole or not, in time, within the limit.
    async fn read(mut response: Response) -> Self {
        let status = response.status();
        let header = retry_after(response.headers());
        let mut body = Vec::new();
        let reading = async {
            // an answer may go on for ever: only a pause and a reason are looked for in it
            while let Ok(Some(chunk)) = response.chunk().await {
                let room = ANSWER_BYTES - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if body.len() == ANSWER_BYTES {
                    break;
                }
            }
        };
        // what is there by then is enough
        let _ = tokio::time::timeout(BODY_AT_MOST, reading).await;
        let body = String::from_utf8_lossy(&body).into_owned();
        // the body's is what Discord and Slack mean; no answer may silence a channel for days
        let retry_after = in_body(&body)
            .or(header)
            .map(|pause| pause.min(PAUSE_AT_MOST));
        Self {
            status,
            retry_after,
            body,
        }
    }

    /// What most services mean: 2xx delivered, 429 and 5xx later, `gone` never again, the rest
    /// refused.
    pub(super) fn usual_meaning(&self, channel: Channel, gone: &[u16]) -> Attempt {
        let code = self.status.as_u16();
        let said = if self.body.is_empty() {
            String::new()
        } else {
            format!(": {}", plain(&self.body, 200))
        };
        let why = format!("{} answered {code}{said}", channel.as_str());
        match code {
            200..=299 => Attempt::Delivered,
            408 | 425 | 429 | 500..=599 => Attempt::Later {
                after: self.retry_after,
                why,
            },
            _ if gone.contains(&code) => {
                Attempt::Gone(format!("{why}; its address is not used again"))
            }
            300..=399 => Attempt::Refused(format!(
                "{why}; redirects are not followed: set the address itself"
            )),
            _ => Attempt::Refused(why),
        }
    }
}

impl Http {
    /// A client whose attempts take at most `limit`.
    pub fn within(limit: Duration) -> Self {
        Self {
            clients: std::sync::Arc::default(),
            limit,
        }
    }

    /// Sends, and says what the answer means.
    pub(super) async fn send(&self, request: Request, meaning: fn(&Answer) -> Attempt) -> Attempt {
        let url = request.url.reveal();
        let clients = &self.clients;
        // a proxy that the environment names is asked for what is elsewhere, not for this machine
        let kept = if client::is_loopback(url) {
            &clients.here
        } else {
            &clients.elsewhere
        };
        // at first use, as it may fail: then it is tried again with the next message
        let client = match kept.get_or_try_init(|| async { made_for(url) }).await {
            Ok(client) => client,
            Err(why) => {
                // not given up: certificates and proxies may be put right while the row waits
                return Attempt::Later {
                    after: None,
                    why: why.clone(),
                };
            }
        };
        match tokio::time::timeout(self.limit, exchange(client, request)).await {
            Ok(Ok(response)) => meaning(&Answer::read(response).await),
            Ok(Err(why)) => Attempt::Later { after: None, why },
            Err(_) => Attempt::Later {
                after: None,
                why: format!("no answer within {:?}", self.limit),
            },
        }
    }
}

fn made_for(url: &Url) -> Result<Client, String> {
    let builder = client::to(url)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false);
    builder.build().map_err(|error| {
        let error = error.without_url();
        format!(
            "HTTPS cannot be set up ({}); are the system's CA certificates installed (ca-certificates)?",
            causes(&error)
        )
    })
}

async fn exchange(client: &Client, request: Request) -> Result<Response, String> {
    let mut url = request.url.reveal().clone();
    if let Some((name, value)) = request.query {
        url.query_pairs_mut().append_pair(name, value);
    }
    let sending = client
        .request(request.method, url)
        .headers(request.headers)
        .body(request.body);
    // the address is a secret: it stands in every error of the client unless it is taken out
    let failed = |error: reqwest::Error| {
        let error = error.without_url();
        format!("{} cannot be reached: {}", request.url, causes(&error))
    };
    sending.send().await.map_err(failed)
}

/// `Retry-After` in seconds; the form with a date counts as none.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

/// Discord's `retry_after`, which is finer than its header.
fn in_body(body: &str) -> Option<Duration> {
    let document: Value = serde_json::from_str(body).ok()?;
    let seconds = document.get("retry_after")?.as_f64()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// An error with what caused it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    plain(&text, 300)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wild;

    const BUSY: &[&str] = &[
        r#"{"message": "rate limited", "retry_after": 0.65, "global": false}"#,
        "120",
        "1e300",
    ];

    proptest! {
        #[test]
        fn any_answer_asks_for_a_pause_or_for_none(body in wild::text(BUSY)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = body.parse() {
                headers.insert(RETRY_AFTER, value);
            }
            let object = serde_json::from_str::<serde_json::Map<String, Value>>(&body).unwrap_or_default();
            let named = object.get("retry_after").and_then(Value::as_f64);
            prop_assert!(in_body(&body).is_none() || named.is_some_and(|seconds| seconds >= 0.0));
            let digits = body.trim().trim_start_matches('+').bytes().all(|byte| byte.is_ascii_digit());
            prop_assert!(retry_after(&headers).is_none() || digits);
        }
    }

    fn attempt(status: u16, retry_after: Option<u64>, gone: &[u16]) -> Attempt {
        let status = StatusCode::from_u16(status).unwrap_or_default();
        let answer = Answer {
            status,
            retry_after: retry_after.map(Duration::from_secs),
            body: "word\r\n".into(),
        };
        answer.usual_meaning(Channel::Slack, gone)
    }

    #[test]
    fn answers_mean_what_they_say() {
        assert_eq!(attempt(204, None, &[]), Attempt::Delivered);
        let later = Attempt::Later {
            after: Some(Duration::from_secs(7)),
            why: "slack answered 429: word  ".into(),
        };
        assert_eq!(attempt(429, Some(7), &[]), later);
        assert!(matches!(
            attempt(503, None, &[]),
            Attempt::Later { after: None, .. }
        ));
        assert!(matches!(attempt(404, None, &[404]), Attempt::Gone(_)));
        assert!(matches!(attempt(404, None, &[]), Attempt::Refused(_)));
        assert!(
            matches!(attempt(307, None, &[]), Attempt::Refused(why) if why.contains("redirects are not followed"))
        );
    }

    #[test]
    fn pauses_are_read_from_header_and_body() {
        let headers = |value: &'static str| {
            HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))])
        };
        assert_eq!(retry_after(&headers("30")), Some(Duration::from_secs(30)));
        assert_eq!(retry_after(&headers("Wed, 21 Oct 2026 07:28:00 GMT")), None);
        assert_eq!(
            in_body(r#"{"retry_after": 0.5}"#),
            Some(Duration::from_millis(500))
        );
        assert_eq!(in_body(r#"{"retry_after": -1}"#), None);
        assert_eq!(in_body("rate_limited"), None);
    }
}
