//! One server that is asked over HTTP: its address, its token, how long it may take, and its
//! failures in words.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use serde_json::Value;

use super::error::ProviderError;
use super::token::Token;
use crate::SOFTWARE;
use crate::client;
use crate::text::is_unseen;

/// How long one fetch may take in all; between two parts of it no more than the configured time may
/// pass.
pub(super) const LONGEST: Duration = Duration::from_hours(1);

/// Bytes of an answer that is not content.
const ANSWER_BYTES: usize = 256 * 1024;
/// Characters of a server's own words in an error.
const REASON_CHARS: usize = 200;
/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(10);
/// Redirects followed by gateways; servers with tokens are not followed anywhere.
const GATEWAY_REDIRECTS: usize = 5;

/// One server, its address and how it is asked.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) provider: &'static str,
    base: Url,
    token: Option<Token>,
    http: Client,
    timeout: Duration,
}

impl Endpoint {
    /// The server at `base`, which the configuration has checked to be an HTTP address.
    pub(super) fn new(
        provider: &'static str,
        base: &str,
        token: Option<Token>,
        timeout: Duration,
    ) -> Result<Self, ProviderError> {
        let base = Url::parse(base).map_err(|e| ProviderError::Client(format!("{base}: {e}")))?;
        if token.is_some() && base.scheme() == "http" && !client::is_loopback(&base) {
            return Err(ProviderError::TokenInClear {
                provider,
                place: base.to_string(),
            });
        }
        let builder = client::to(&base)
            .connect_timeout(CONNECT)
            .redirect(Policy::none());
        Ok(Self {
            provider,
            base,
            token,
            http: built(builder)?,
            timeout,
        })
    }

    /// Where it is, for messages.
    pub(super) fn place(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// How long it may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A request to `path` below its address.
    pub(super) fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
    ) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let request = self.http.request(method, url).query(query);
        match self.token.as_ref().and_then(Token::header) {
            Some(header) => request.header(AUTHORIZATION, header),
            None => request,
        }
    }

    /// Sends a request that may take `limit`; what is not 2xx is an error.
    pub(super) async fn send(
        &self,
        request: RequestBuilder,
        limit: Duration,
    ) -> Result<Response, ProviderError> {
        let response = request
            .timeout(limit)
            .send()
            .await
            .map_err(|e| self.failed(&e, limit))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.body(response, limit).await.unwrap_or_default();
        let reason = reason_in(&body)
            .unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason").to_owned());
        Err(ProviderError::Refused {
            provider: self.provider,
            place: self.place(),
            status: status.as_u16(),
            reason,
        })
    }

    /// The whole of a short answer.
    pub(super) async fn body(
        &self,
        mut response: Response,
        limit: Duration,
    ) -> Result<Vec<u8>, ProviderError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.failed(&e, limit))? {
            if body.len() + chunk.len() > ANSWER_BYTES {
                return Err(
                    self.unusable(format!("it is longer than answer_bytes = {ANSWER_BYTES}"))
                );
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// An answer that makes no sense.
    pub(super) fn unusable(&self, what: impl Into<String>) -> ProviderError {
        ProviderError::Unusable {
            provider: self.provider,
            place: self.place(),
            what: what.into(),
        }
    }

    /// A request that came to nothing.
    pub(super) fn failed(&self, error: &reqwest::Error, limit: Duration) -> ProviderError {
        let provider = self.provider;
        let place = self.place();
        if error.is_timeout() && !error.is_connect() {
            return ProviderError::TimedOut {
                provider,
                place,
                seconds: limit.as_secs(),
            };
        }
        ProviderError::Unreachable {
            provider,
            place,
            reason: root_cause(error),
        }
    }
}

/// A client of gateways: without a token, following their redirects.
pub(super) fn gateway_client() -> Result<Client, ProviderError> {
    built(
        Client::builder()
            .connect_timeout(CONNECT)
            .redirect(Policy::limited(GATEWAY_REDIRECTS)),
    )
}

fn built(builder: reqwest::ClientBuilder) -> Result<Client, ProviderError> {
    builder
        .user_agent(SOFTWARE)
        .build()
        .map_err(|e| ProviderError::Client(root_cause(&e)))
}

/// The innermost cause, which names what happened and no address.
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    cause.map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}

/// A server's own words: Kubo's `Message`, the Pinning Service's `error.reason` and
/// `error.details`, or its text.
fn reason_in(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let json: Option<Value> = serde_json::from_str(text).ok();
    let pointed = |at: &str| Some(json.as_ref()?.pointer(at)?.as_str()?.to_owned());
    let of_service = || {
        let parts: Vec<String> = ["/error/reason", "/error/details"]
            .into_iter()
            .filter_map(pointed)
            .collect();
        (!parts.is_empty()).then(|| parts.join(": "))
    };
    let words = pointed("/Message")
        .or_else(of_service)
        .unwrap_or_else(|| text.to_owned());
    let words: String = words
        .trim()
        .chars()
        .take(REASON_CHARS)
        .map(|c| if is_unseen(c) { ' ' } else { c })
        .collect();
    Some(words).filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::wild;

    const REASONS: &[&str] = &[
        r#"{"Message":"no such pin","Code":0}"#,
        r#"{"error":{"reason":"UNAUTHORIZED","details":"tok\u0000en"}}"#,
        "gateway\r\n\u{1b}[31mtimed out",
    ];

    proptest! {
        #[test]
        fn any_reason_is_short_and_printable(body in wild::bytes(REASONS)) {
            let reason = reason_in(&body).unwrap_or_default();
            prop_assert!(reason.chars().count() <= REASON_CHARS && !reason.chars().any(char::is_control), "{reason:?}");
        }
    }

    #[test]
    fn a_token_is_never_sent_in_the_clear() {
        let set = |name: &str| {
            Some(
                if name.ends_with("_HOST") {
                    "a.example"
                } else {
                    "s3cret"
                }
                .to_owned(),
            )
        };
        let token = Token::find("remote", "SSID_T_TOKEN", "https://a.example", &set).unwrap();
        let second = Duration::from_secs(1);
        let made = |base: &str| Endpoint::new("remote", base, Some(token.clone()), second);
        let refused = made("http://ipfs.example:5001").unwrap_err().to_string();
        assert!(
            refused.contains("in the clear") && !refused.contains("s3cret"),
            "{refused}"
        );
        assert!(made("http://127.0.0.1:5001").is_ok() && made("http://[::1]:5001").is_ok());
        assert!(made("https://ipfs.example/x").is_ok());
    }

    #[test]
    fn servers_words_are_found_and_cut() {
        assert_eq!(
            reason_in(br#"{"Message":"not pinned","Code":0}"#).unwrap(),
            "not pinned"
        );
        assert_eq!(
            reason_in(br#"{"error":{"reason":"FULL","details":"no space"}}"#).unwrap(),
            "FULL: no space"
        );
        assert_eq!(
            reason_in(b"plain\n\x1b[2Jwords").unwrap(),
            "plain  [2Jwords"
        );
        assert_eq!(reason_in(&[b'x'; 9999]).unwrap().len(), REASON_CHARS);
        assert_eq!(reason_in(b" "), None);
    }
}
