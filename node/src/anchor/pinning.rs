//! A Pinning Service API: a service that fetches content from whoever has it, and keeps it. Pinata, Filebase and others
//! speak it.

use std::time::Duration;

use cid::Cid;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::error::ProviderError;
use super::http::Endpoint;

/// How soon a pin under way is looked at again, first and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// A pinning service.
#[derive(Clone, Debug)]
pub(super) struct Pinning(pub(super) Endpoint);

/// How far a pin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PinState {
    /// Ordered.
    Queued,
    /// The service is fetching it.
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

#[derive(Deserialize)]
struct PinStatus {
    requestid: String,
    status: PinState,
    #[serde(default)]
    delegates: Vec<String>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    results: Vec<PinStatus>,
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
    pub(super) async fn order(&self, cid: &Cid, name: &str, origins: &[String]) -> Result<Ordered, ProviderError> {
        let query =
            [("cid", cid.to_string()), ("status", "queued,pinning,pinned".to_owned()), ("limit", "1".to_owned())];
        let found: Page = self.ask(self.0.request(Method::GET, &["pins"], &query)).await?;
        if let Some(status) = found.results.into_iter().next() {
            return Ok(status.into());
        }
        // the API's own limit of a name is 255 characters
        let name = name.char_indices().nth(255).map_or(name, |(at, _)| &name[..at]);
        let order = Order { cid: cid.to_string(), name, origins };
        self.ask::<PinStatus>(self.0.request(Method::POST, &["pins"], &[]).json(&order)).await.map(Into::into)
    }

    /// Waits until the service has it, gives up, or the time limit has passed.
    pub(super) async fn wait(&self, mut ordered: Ordered) -> Result<PinState, ProviderError> {
        let until = Instant::now() + self.0.timeout();
        let mut pause = LOOK_AGAIN.0;
        while matches!(ordered.state, PinState::Queued | PinState::Pinning) && Instant::now() < until {
            sleep(pause.min(until - Instant::now())).await;
            pause = (pause * 2).min(LOOK_AGAIN.1);
            let request = self.0.request(Method::GET, &["pins", &ordered.request], &[]);
            ordered = self.ask::<PinStatus>(request).await?.into();
        }
        match ordered.state {
            PinState::Failed => Err(ProviderError::GaveUp { provider: self.0.provider, place: self.0.place() }),
            state => Ok(state),
        }
    }

    async fn ask<T: for<'de> Deserialize<'de>>(&self, request: reqwest::RequestBuilder) -> Result<T, ProviderError> {
        let limit = self.0.timeout();
        let response = self.0.send(request, limit).await?;
        let body = self.0.body(response, limit).await?;
        serde_json::from_slice(&body).map_err(|e| self.0.unusable(format!("it is no pin status: {e}")))
    }
}

impl From<PinStatus> for Ordered {
    fn from(status: PinStatus) -> Self {
        Self { request: status.requestid, state: status.status, delegates: status.delegates }
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
    const PAGE: &str = r#"{"count":1,"results":[{"requestid":"1","status":"queued","delegates":[]}]}"#;

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
