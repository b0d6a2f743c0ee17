//! A Pinning Service API: a service that fetches content from whoever has it, and keeps it. Pinata,
//! Filebase and others speak it.

use std::time::Duration;

use cid::Cid;
use reqwest::Method;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use ssid_protocol::backoff::Backoff;
use tokio::time::{Instant, sleep};

use super::error::ProviderError;
use super::http::Endpoint;

/// How soon a pin under way is looked at again, first and at most.
const LOOK_AGAIN: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));

/// A pinning service.
#[derive(Clone, Debug)]
pub(super) struct Pinning(pub(super) Endpoint);

/// How far a pin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(super) enum PinState {
    /// The service has the order and has not begun.
    Queued,
    /// The service is fetching it, or does something that only it has a word for.
    Pinning,
    /// The service has it and keeps it.
    Pinned,
    /// The service gave up.
    Failed,
}

#[derive(Serialize)]
struct Order<'a> {
    cid: String,
    name: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    origins: &'a [String],
}

impl From<String> for PinState {
    fn from(word: String) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "queued" => Self::Queued,
            "pinned" => Self::Pinned,
            "failed" => Self::Failed,
            _ => Self::Pinning,
        }
    }
}

/// What services send, which is not always what the specification says.
#[derive(Deserialize)]
struct PinStatus {
    #[serde(
        alias = "requestId",
        alias = "request_id",
        deserialize_with = "text_or_number"
    )]
    requestid: String,
    status: PinState,
    #[serde(default, deserialize_with = "list_or_null")]
    delegates: Vec<String>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default, deserialize_with = "list_or_null")]
    results: Vec<PinStatus>,
}

fn text_or_number<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match Value::deserialize(from)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(D::Error::custom("its name is neither text nor a number")),
    }
}

fn list_or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    Option::<Vec<T>>::deserialize(from).map(Option::unwrap_or_default)
}

/// What became of an order.
#[derive(Clone, Debug)]
pub(super) struct Ordered {
    request: String,
    /// How far it is.
    pub(super) state: PinState,
    /// The service's own nodes, for whoever has the content to connect to.
    pub(super) delegates: Vec<String>,
}

impl Pinning {
    /// Orders a pin, unless the service has one of it: an order is never given twice.
    pub(super) async fn order(
        &self,
        cid: &Cid,
        name: &str,
        origins: &[String],
    ) -> Result<Ordered, ProviderError> {
        // asked first: services count orders, and an order whose answer was lost may be there
        if let Some(ordered) = self.find(cid, "queued,pinning,pinned").await? {
            return Ok(ordered);
        }
        // the API's own limit of a name is 255 characters
        let name = name
            .char_indices()
            .nth(255)
            .map_or(name, |(at, _)| &name[..at]);
        let order = Order {
            cid: cid.to_string(),
            name,
            origins,
        };
        match self
            .ask::<PinStatus>(self.0.request(Method::POST, &["pins"], &[]).json(&order))
            .await
        {
            Err(ProviderError::Refused {
                status: 400 | 409,
                reason,
                ..
            }) if says_duplicate(&reason) => {
                // it has it, under whatever name; one that does not list it has said that it keeps
                // it
                let kept = Ordered {
                    request: String::new(),
                    state: PinState::Pinned,
                    delegates: Vec::new(),
                };
                Ok(self
                    .find(cid, "queued,pinning,pinned,failed")
                    .await?
                    .unwrap_or(kept))
            }
            answer => answer.map(Into::into),
        }
    }

    /// The furthest of the service's pins of some content in these states.
    async fn find(&self, cid: &Cid, states: &str) -> Result<Option<Ordered>, ProviderError> {
        let query = [
            ("cid", cid.to_string()),
            ("status", states.to_owned()),
            ("limit", "10".to_owned()),
        ];
        let found: Page = self
            .ask(self.0.request(Method::GET, &["pins"], &query))
            .await?;
        let rank = |status: &PinStatus| match status.status {
            PinState::Pinned => 3,
            PinState::Pinning => 2,
            PinState::Queued => 1,
            PinState::Failed => 0,
        };
        Ok(found.results.into_iter().max_by_key(rank).map(Into::into))
    }

    /// Waits until the service has it, gives up, or the time limit has passed.
    pub(super) async fn wait(&self, mut ordered: Ordered) -> Result<PinState, ProviderError> {
        let until = Instant::now() + self.0.timeout();
        let mut looks = 0;
        while matches!(ordered.state, PinState::Queued | PinState::Pinning)
            && Instant::now() < until
        {
            let left = until - Instant::now();
            sleep(LOOK_AGAIN.pause(looks).min(left)).await;
            looks += 1;
            let request = self
                .0
                .request(Method::GET, &["pins", &ordered.request], &[]);
            ordered = self.ask::<PinStatus>(request).await?.into();
        }
        match ordered.state {
            PinState::Failed => Err(ProviderError::GaveUp {
                provider: self.0.provider,
                place: self.0.place(),
            }),
            state => Ok(state),
        }
    }

    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, ProviderError> {
        let limit = self.0.timeout();
        let response = self.0.send(request, limit).await?;
        let body = self.0.body(response, limit).await?;
        serde_json::from_slice(&body)
            .map_err(|e| self.0.unusable(format!("it is no pin status: {e}")))
    }
}

/// Whether a service refuses an order because it has one like it.
fn says_duplicate(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["duplicate", "already pinned", "already exists"]
        .iter()
        .any(|words| reason.contains(words))
}

impl From<PinStatus> for Ordered {
    fn from(status: PinStatus) -> Self {
        Self {
            request: status.requestid,
            state: status.status,
            delegates: status.delegates,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::wild;

    const STATUS: &str = r#"{"requestid":"ab/../c?d#e","status":"pinned","created":"2025-10-11T20:00:00Z",
        "pin":{"cid":"QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"},"delegates":["/dnsaddr/a.example"],"info":{}}"#;
    const PAGE: &str =
        r#"{"count":1,"results":[{"requestid":"1","status":"queued","delegates":[]}]}"#;

    #[test]
    fn statuses_are_read_as_services_write_them() {
        let state = |text: &str| {
            serde_json::from_str::<PinStatus>(text).map(|status| (status.requestid, status.status))
        };
        for (text, expected) in [
            (
                r#"{"requestid":"a","status":"pinned","delegates":null}"#,
                ("a", PinState::Pinned),
            ),
            (
                r#"{"requestId":"a","status":"PINNED"}"#,
                ("a", PinState::Pinned),
            ),
            (
                r#"{"requestid":17,"status":"Queued","delegates":[],"info":null}"#,
                ("17", PinState::Queued),
            ),
            (
                r#"{"request_id":"a","status":"backing-up-to-filecoin"}"#,
                ("a", PinState::Pinning),
            ),
        ] {
            let (name, status) = state(text).unwrap();
            assert_eq!((name.as_str(), status), expected, "{text}");
        }
        assert!(state(r#"{"requestid":{},"status":"pinned"}"#).is_err());
        assert!(
            serde_json::from_str::<Page>(r#"{"count":0,"results":null}"#)
                .unwrap()
                .results
                .is_empty()
        );
    }

    proptest! {
        #[test]
        fn any_answer_is_a_status_or_refused_and_its_name_stays_one_part_of_an_address(
            body in wild::bytes(&[STATUS, PAGE]),
        ) {
            let page = serde_json::from_slice::<Page>(&body).map(|page| page.results).unwrap_or_default();
            for status in serde_json::from_slice::<PinStatus>(&body).into_iter().chain(page) {
                let endpoint = Endpoint::new("pinning", "https://pins.example/psa", None, Duration::from_secs(1)).unwrap();
                let asked = Ordered::from(status).request;
                let request = endpoint.request(Method::GET, &["pins", &asked], &[]).build().unwrap();
                let url = request.url();
                // a name of dots alone is left out: that asks for the list, which is no status
                prop_assert!(url.as_str().starts_with("https://pins.example/psa/pins"), "{url}");
                prop_assert!(url.path_segments().is_some_and(|parts| parts.count() <= 3), "{url}");
                prop_assert!(url.query().is_none() && url.fragment().is_none(), "{url}");
            }
        }
    }
}
