//! Any webhook: the message as JSON, with an idempotency key, and signed where
//! `SSID_WEBHOOK_SECRET` is set. The receiver computes HMAC-SHA256 with the secret over
//! `<timestamp>.<body>`, compares it with `X-SSID-Signature: v1=<hex>`, and refuses timestamps
//! (seconds since 1970, `X-SSID-Timestamp`) that are more than five minutes off.

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use sha2::Sha256;
use ssid_protocol::id::UnixMillis;

use super::attempt::Attempt;
use super::http::{Answer, Http, Request};
use crate::clock;
use crate::config::Channel;
use crate::telemetry::config::WebhookSettings;
use crate::telemetry::message::Message;
use crate::telemetry::secret::{Secret, SecretUrl, Secrets};

/// Headers that are this node's to set.
const RESERVED: [&str; 5] = [
    "content-length",
    "host",
    "idempotency-key",
    "x-ssid-timestamp",
    "x-ssid-signature",
];

/// Any webhook that takes JSON, signed if there is a secret.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub(super) url: SecretUrl,
    method: Method,
    headers: HeaderMap,
    secret: Option<Secret>,
}

impl Webhook {
    pub(super) fn new(settings: &WebhookSettings, secrets: &Secrets) -> Result<Self, String> {
        // the variable before the file: an address with a token does not belong into a repository
        let url = secrets.address(
            "SSID_WEBHOOK_URL",
            "notifications.webhook.url",
            &settings.url,
        )?;
        let method = settings
            .method
            .parse()
            .map_err(|_| format!("{:?} is no HTTP method", settings.method))?;
        let mut headers = HeaderMap::new();
        // signature, key and type are what receivers rely on: a file must not replace them
        for (name, value) in &settings.headers {
            if RESERVED.contains(&name.to_lowercase().as_str()) {
                return Err(format!(
                    "notifications.webhook.headers: {name:?} is set by this node"
                ));
            }
            // the value is not shown: it may be a token
            let wrong = || {
                format!(
                    "notifications.webhook.headers: {name:?} is no header, or its value cannot be sent"
                )
            };
            let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            headers.insert(
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?,
                value,
            );
        }
        Ok(Self {
            url,
            method,
            headers,
            secret: secrets.variable("SSID_WEBHOOK_SECRET").cloned(),
        })
    }

    pub(super) fn request(&self, message: &Message, now: UnixMillis) -> Request {
        let mut request = Request::json(self.url.clone(), &render(message));
        request.method = self.method.clone();
        request.headers.extend(self.headers.clone());
        seal(
            &mut request,
            message.idempotency_key(),
            self.secret.as_ref(),
            now,
        );
        request
    }
}

/// The address that is told of certified events: the same rules, another document.
#[derive(Clone, Debug)]
pub struct ConsensusWebhook {
    url: SecretUrl,
    secret: Option<Secret>,
}

impl ConsensusWebhook {
    /// Signed where there is a `secret`.
    pub fn new(url: SecretUrl, secret: Option<Secret>) -> Self {
        Self { url, secret }
    }

    /// Tries once to send a JSON document; the same one has the same `key`.
    pub async fn send(&self, http: &Http, document: Vec<u8>, key: String) -> Attempt {
        let mut request = Request::json_bytes(self.url.clone(), document);
        seal(&mut request, key, self.secret.as_ref(), clock::now());
        http.send(request, meaning).await
    }
}

/// Key, time and signature, which nothing that was configured replaces.
fn seal(request: &mut Request, key: String, secret: Option<&Secret>, now: UnixMillis) {
    let seconds = now.0 / 1000;
    let mut own = vec![
        ("idempotency-key", key),
        ("x-ssid-timestamp", seconds.to_string()),
    ];
    own.extend(secret.map(|secret| {
        (
            "x-ssid-signature",
            signature(secret, seconds, &request.body),
        )
    }));
    for (name, value) in own {
        if let Ok(value) = HeaderValue::from_str(&value) {
            request.headers.insert(name, value);
        }
    }
}

/// The document that is sent.
fn render(message: &Message) -> serde_json::Value {
    let facts: serde_json::Map<_, _> = message
        .facts
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    json!({
        "format": "ssid-telemetry/1",
        "id": message.idempotency_key(),
        "topic": message.topic,
        "severity": message.severity,
        "title": message.title,
        "lines": message.lines,
        "facts": facts,
        "count": message.count,
        "at": message.at.iso(),
        "source": message.source,
    })
}

/// `v1=` and 64 hex digits.
fn signature(secret: &Secret, seconds: u64, body: &[u8]) -> String {
    // cannot fail: HMAC takes keys of every length
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    format!("v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// What an answer means.
pub(super) fn meaning(answer: &Answer) -> Attempt {
    answer.usual_meaning(Channel::Webhook, &[410])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::telemetry::message::{Severity, Topic};

    fn webhook(settings: &WebhookSettings, secret: Option<&str>) -> Result<Webhook, String> {
        let secrets = Secrets::find(
            |name| match name {
                "SSID_WEBHOOK_URL" => Some("http://127.0.0.1:1/x".to_owned()),
                "SSID_WEBHOOK_SECRET" => secret.map(str::to_owned),
                _ => None,
            },
            "/nowhere".as_ref(),
        );
        Webhook::new(settings, &secrets)
    }

    fn message() -> Message {
        Message::new(Topic::Test, Severity::Info, "c", "t", UnixMillis(0)).fact("a", "b")
    }

    /// The value is from Python's `hmac`, the receiver's side.
    #[test]
    fn the_signature_is_what_a_receiver_computes() {
        let secret = Secret::new("key".into()).unwrap();
        let expected = "v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae";
        assert_eq!(signature(&secret, 1_700_000_000, b"{}"), expected);
        assert_ne!(signature(&secret, 1_700_000_001, b"{}"), expected);
    }

    #[test]
    fn method_headers_and_secret_follow_the_settings() {
        let mut settings = WebhookSettings::default();
        let plain = webhook(&settings, None)
            .unwrap()
            .request(&message(), UnixMillis(5_999));
        assert_eq!(
            (plain.method.as_str(), &plain.headers["x-ssid-timestamp"]),
            ("POST", &HeaderValue::from_static("5"))
        );
        assert!(
            !plain.headers.contains_key("x-ssid-signature")
                && !plain.headers.contains_key("x-team")
        );
        assert_eq!(
            plain.headers["idempotency-key"],
            message().idempotency_key()
        );
        settings.method = "PUT".into();
        settings.headers.insert("X-Team".into(), "ops".into());
        let other = webhook(&settings, Some("s"))
            .unwrap()
            .request(&message(), UnixMillis(0));
        assert_eq!(
            (other.method.as_str(), &other.headers["x-team"]),
            ("PUT", &HeaderValue::from_static("ops"))
        );
        assert!(
            other.headers["x-ssid-signature"]
                .to_str()
                .unwrap()
                .starts_with("v1=")
        );
        settings
            .headers
            .insert("X-SSID-Signature".into(), "v1=forged".into());
        assert!(
            webhook(&settings, None)
                .unwrap_err()
                .contains("set by this node")
        );
    }
}
