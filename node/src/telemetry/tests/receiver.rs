//! From the dashboard to receivers on this machine that answer 200, 429, 404, 500, slowly, never.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use ssid_protocol::id::UnixMillis;
use tempfile::TempDir;

use crate::clock;
use crate::config::{Channel, Notifications};
use crate::place::Place;
use crate::registry::paths::RegistryPaths;
use crate::telemetry::channels::{Attempt, Http, Senders};
use crate::telemetry::config::TelemetryConfig;
use crate::telemetry::look::Places;
use crate::telemetry::message::{Message, Names, Severity, Topic};
use crate::telemetry::outbox_store::{FileRows, OutboxStore};
use crate::telemetry::secret::Secrets;
use crate::telemetry::service::TelemetryService;
use crate::telemetry::trial::try_out;
use crate::telemetry::view::{CheckView, EntryView};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What a receiver computes of a signed request.
pub(crate) fn hmac_of(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// A receiver: what it answers to its n-th request, and what it got.
#[derive(Clone)]
pub(crate) struct Receiver {
    answer: fn(usize) -> Answer,
    got: Arc<Mutex<Vec<Got>>>,
    pub(crate) place: String,
}

pub(crate) enum Answer {
    Now(StatusCode, &'static str, &'static str),
    /// The same, so long after the question.
    After(Duration),
    Never,
}

pub(crate) fn ok(_: usize) -> Answer {
    Answer::Now(StatusCode::OK, "ok", "")
}

impl Receiver {
    pub(crate) async fn start(answer: fn(usize) -> Answer) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = format!("http://{}", listener.local_addr().unwrap());
        let receiver = Self {
            answer,
            got: Arc::default(),
            place,
        };
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

async fn take(
    State(receiver): State<Receiver>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let n = {
        let mut got = receiver.got.lock().unwrap();
        got.push(Got {
            uri: uri.to_string(),
            headers,
            body,
        });
        got.len() - 1
    };
    match (receiver.answer)(n) {
        Answer::Now(status, body, "") => (status, body).into_response(),
        Answer::Now(status, body, retry_after) => {
            (status, [("retry-after", retry_after)], body).into_response()
        }
        Answer::After(pause) => {
            tokio::time::sleep(pause).await;
            StatusCode::OK.into_response()
        }
        Answer::Never => std::future::pending().await,
    }
}

/// A registry in a directory whose three webhooks lead to `receiver`.
struct Site {
    directory: TempDir,
    receiver: Receiver,
}

const CHANNELS: [(Channel, &str); 3] = [
    (Channel::Slack, "/slack/topsecret"),
    (Channel::Discord, "/discord/topsecret"),
    (Channel::Webhook, "/any/topsecret"),
];

impl Site {
    async fn new(answer: fn(usize) -> Answer) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            receiver: Receiver::start(answer).await,
        }
    }

    fn secrets(&self) -> Secrets {
        let address = |channel: Channel| {
            let (_, path) = CHANNELS
                .iter()
                .find(|(named, _)| *named == channel)
                .unwrap();
            Some(format!("{}{path}", self.receiver.place))
        };
        let variable = |name: &str| match name {
            "SLACK_WEBHOOK_URL" => address(Channel::Slack),
            "DISCORD_WEBHOOK_URL" => address(Channel::Discord),
            "SSID_WEBHOOK_URL" => address(Channel::Webhook),
            "SSID_WEBHOOK_SECRET" => Some("key".to_owned()),
            _ => None,
        };
        Secrets::find(variable, Path::new("/nowhere"))
    }

    fn places(&self, channels: &[Channel]) -> Places {
        let paths = RegistryPaths::in_data_directory(self.directory.path());
        let mut config = TelemetryConfig::load_or_default(&paths.telemetry_config).unwrap();
        let notifications = &mut config.settings.notifications;
        notifications.slack.enabled = channels.contains(&Channel::Slack);
        notifications.discord.enabled = channels.contains(&Channel::Discord);
        notifications.webhook.enabled = channels.contains(&Channel::Webhook);
        Places { config, paths }
    }

    fn senders(&self, channels: &[Channel]) -> Senders {
        let places = self.places(channels);
        Senders::configured(&places.config, &self.secrets(), &places.paths)
    }

    fn service(&self, channels: &[Channel]) -> TelemetryService {
        TelemetryService::without_node(
            self.places(channels),
            Notifications::default(),
            &self.secrets(),
        )
        .unwrap()
    }

    fn scores(&self, scores: &[u32]) {
        let rows = scores
            .iter()
            .enumerate()
            .map(|(n, score)| format!("2026-01-{:02},{score},0\n", n + 1));
        let text = "date,compliance_score,violations\n".to_owned() + &rows.collect::<String>();
        std::fs::write(self.directory.path().join("dashboard_data.csv"), text).unwrap();
    }
}

async fn check(service: &mut TelemetryService, deliver: Duration) -> CheckView {
    let view = service
        .check(None, Names::default(), clock::now())
        .await
        .unwrap();
    service.deliver(clock::now().after(deliver)).await;
    view
}

fn message() -> Message {
    Message::new(Topic::Test, Severity::Info, "cause", "title", UnixMillis(0))
}

const ALL: [Channel; 3] = [Channel::Slack, Channel::Discord, Channel::Webhook];
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_score_drop_from_100_to_89_is_one_critical_message_a_channel_and_then_none() {
    let site = Site::new(ok).await;
    site.scores(&[100]);
    let mut service = site.service(&ALL);
    assert!(check(&mut service, SOON).await.messages.is_empty());
    site.scores(&[100, 89]);
    assert_eq!(
        check(&mut service, SOON).await.messages[0].severity,
        Severity::Critical
    );
    let got = site.receiver.got();
    let mut paths: Vec<_> = got.iter().map(|got| got.uri.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "/any/topsecret",
            "/discord/topsecret?wait=true",
            "/slack/topsecret"
        ]
    );
    assert!(check(&mut service, SOON).await.messages.is_empty());
    // after a restart too
    assert!(
        check(&mut site.service(&ALL), SOON)
            .await
            .messages
            .is_empty()
    );
    assert_eq!(site.receiver.got().len(), 3);
    let signed = got.iter().find(|got| got.uri.starts_with("/any")).unwrap();
    let document: Value = serde_json::from_slice(&signed.body).unwrap();
    assert_eq!(
        (&document["severity"], &document["topic"]),
        (&json!("critical"), &json!("score_change"))
    );
    let header = |name: &str| signed.headers[name].to_str().unwrap().to_owned();
    assert_eq!(
        header("x-ssid-signature"),
        hmac_of("key", &header("x-ssid-timestamp"), &signed.body)
    );
    assert_eq!(document["id"], json!(header("idempotency-key")));
}

#[tokio::test]
async fn a_429_is_waited_out() {
    let busy = |n| match n {
        0 => Answer::Now(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "1"),
        _ => ok(n),
    };
    let site = Site::new(busy).await;
    let begun = Instant::now();
    let trials = try_out(
        &site.senders(&[Channel::Slack]).usable,
        None,
        SOON,
        UnixMillis(0),
    )
    .await;
    assert_eq!(
        (trials[0].delivered, trials[0].attempts),
        (true, 2),
        "{trials:?}"
    );
    assert!(begun.elapsed() >= Duration::from_secs(1));

    // the same through the outbox, in Discord's form
    let busy = |n| match n {
        0 => Answer::Now(
            StatusCode::TOO_MANY_REQUESTS,
            r#"{"retry_after": 1.2, "global": false}"#,
            "2",
        ),
        _ => ok(n),
    };
    let site = Site::new(busy).await;
    site.scores(&[100, 89]);
    let mut service = site.service(&[Channel::Discord]);
    let begun = Instant::now();
    check(&mut service, Duration::from_secs(20)).await;
    assert_eq!(site.receiver.got().len(), 2);
    assert!(begun.elapsed() >= Duration::from_millis(1200));
    assert_eq!(service.delivery().queue().rows().count(), 0);
}

#[tokio::test]
async fn what_fails_waits_over_a_restart_and_goes_out_later() {
    let failing = |n| {
        if n == 0 {
            Answer::Now(StatusCode::INTERNAL_SERVER_ERROR, "oops", "")
        } else {
            ok(n)
        }
    };
    let site = Site::new(failing).await;
    site.scores(&[100, 89]);
    check(
        &mut site.service(&[Channel::Slack]),
        Duration::from_millis(1500),
    )
    .await;
    let mut service = site.service(&[Channel::Slack]);
    let rows = EntryView::all(service.delivery().queue());
    assert_eq!(
        (rows.len(), rows[0].attempts, rows[0].state.as_str()),
        (1, 1, "waiting")
    );
    assert_eq!(
        rows[0].last_error.as_deref(),
        Some("slack answered 500: oops")
    );
    assert!(!serde_json::to_string(&rows).unwrap().contains("topsecret"));
    assert!(service.delivery().retry(rows[0].id, clock::now()).await);
    service.deliver(clock::now().after(SOON)).await;
    assert_eq!(
        (
            site.receiver.got().len(),
            service.delivery().queue().rows().count()
        ),
        (2, 0)
    );
}

#[tokio::test]
async fn a_discord_webhook_that_answers_404_is_never_used_again() {
    let site = Site::new(|_| Answer::Now(StatusCode::NOT_FOUND, r#"{"code": 10015}"#, "")).await;
    site.scores(&[100, 89]);
    let mut service = site.service(&[Channel::Discord]);
    check(&mut service, SOON).await;
    assert_eq!(EntryView::all(service.delivery().queue())[0].state, "dead");
    site.scores(&[100, 89, 70]);
    check(&mut service, SOON).await;
    let mut restarted = site.service(&[Channel::Discord]);
    site.scores(&[100, 89, 70, 50]);
    check(&mut restarted, SOON).await;
    assert_eq!(site.receiver.got().len(), 1);
    assert!(restarted.delivery().channels().is_empty());
}

#[tokio::test]
async fn who_answers_slowly_is_waited_for() {
    let slow = Site::new(|_| Answer::After(Duration::from_millis(300))).await;
    for sender in &slow.senders(&ALL).usable {
        assert_eq!(
            sender.send(&Http::default(), &message(), &[]).await,
            Attempt::Delivered
        );
        let hasty = sender
            .send(&Http::within(Duration::from_millis(50)), &message(), &[])
            .await;
        assert!(matches!(hasty, Attempt::Later { .. }), "{hasty:?}");
    }
}

#[tokio::test]
async fn who_never_answers_or_is_not_there_is_tried_later_and_no_error_shows_the_address() {
    let silent = Site::new(|_| Answer::Never).await;
    let http = Http::within(Duration::from_millis(300));
    for sender in &silent.senders(&ALL).usable {
        let attempt = sender.send(&http, &message(), &[]).await;
        assert!(
            matches!(&attempt, Attempt::Later { why, .. } if why.contains("no answer within 300ms")),
            "{attempt:?}"
        );
    }
    let mut gone = Site::new(ok).await;
    // a port that was just free
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    gone.receiver.place = format!("http://{port}");
    for sender in &gone.senders(&ALL).usable {
        let attempt = sender.send(&http, &message(), &[]).await;
        assert!(
            matches!(&attempt, Attempt::Later { why, .. } if why.contains("cannot be reached")),
            "{attempt:?}"
        );
        assert!(
            !format!("{attempt:?} {sender:?}").contains("topsecret"),
            "{attempt:?}"
        );
    }
}

#[tokio::test]
async fn redirects_are_not_followed_and_long_answers_not_read() {
    let site = Site::new(|_| Answer::Now(StatusCode::TEMPORARY_REDIRECT, "", "")).await;
    let attempt = site.senders(&[Channel::Webhook]).usable[0]
        .send(&Http::default(), &message(), &[])
        .await;
    assert!(
        matches!(&attempt, Attempt::Refused(why) if why.contains("redirects")),
        "{attempt:?}"
    );
    let long = Site::new(|_| Answer::Now(StatusCode::BAD_REQUEST, LONG, "")).await;
    let attempt = long.senders(&[Channel::Slack]).usable[0]
        .send(&Http::default(), &message(), &[])
        .await;
    assert!(
        matches!(&attempt, Attempt::Refused(why) if why.len() < 300),
        "{attempt:?}"
    );
}

#[tokio::test]
async fn what_was_for_one_receiver_is_taken_to_no_other_by_a_redirect() {
    let other = Receiver::start(ok).await;
    for status in [301, 302, 303, 307, 308] {
        let away = other.place.replace("127.0.0.1", "localhost") + "/elsewhere";
        let status = StatusCode::from_u16(status).unwrap();
        let router = Router::new().fallback(async move || (status, [("location", away)]));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut site = Site::new(ok).await;
        site.receiver.place = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let senders = site.senders(&ALL).usable;
        assert_eq!(senders.len(), ALL.len());
        for sender in &senders {
            let attempt = sender.send(&Http::default(), &message(), &[]).await;
            assert!(
                matches!(&attempt, Attempt::Refused(why) if why.contains("redirects")),
                "{status}: {attempt:?}"
            );
        }
    }
    assert_eq!(other.got().len(), 0);
}

/// Longer than what is read of an answer.
const LONG: &str = match std::str::from_utf8(&[b'x'; 100_000]) {
    Ok(text) => text,
    Err(_) => "",
};

/// Answers every request with `answer`, byte by byte as it stands, then closes or waits: how often
/// it was asked.
async fn raw(answer: &'static str, closes: bool) -> (String, Arc<Mutex<usize>>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<usize>> = Arc::default();
    let count = asked.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 64 * 1024];
            let mut length = 0;
            // the documents are small, and end with a brace
            while !request[..length].ends_with(b"}") {
                length += stream.read(&mut request[length..]).await.unwrap();
            }
            *count.lock().unwrap() += 1;
            stream.write_all(answer.as_bytes()).await.unwrap();
            if !closes {
                held.push(stream);
            }
        }
    });
    (place, asked)
}

/// The message was taken: sending it again would show it twice.
#[tokio::test]
async fn what_is_answered_with_2xx_is_delivered_however_the_body_ends() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok", true),
        (
            "HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nok",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n",
            true,
        ),
        (chunked, true),
        (chunked, false),
    ];
    for (answer, closes) in cases {
        let (place, asked) = raw(answer, closes).await;
        let mut site = Site::new(ok).await;
        site.receiver.place = place;
        let trials = try_out(
            &site.senders(&[Channel::Slack]).usable,
            None,
            SOON,
            UnixMillis(0),
        )
        .await;
        assert_eq!(
            (trials[0].delivered, trials[0].attempts),
            (true, 1),
            "{answer:?}: {trials:?}"
        );
        assert_eq!(*asked.lock().unwrap(), 1);
    }
    // a refusal is one too, with the words that came
    let (place, _) = raw(
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\nno_service",
        true,
    )
    .await;
    let mut site = Site::new(ok).await;
    site.receiver.place = place;
    let attempt = site.senders(&[Channel::Slack]).usable[0]
        .send(&Http::default(), &message(), &[])
        .await;
    assert!(
        matches!(&attempt, Attempt::Refused(why) if why.contains("no_service")),
        "{attempt:?}"
    );
}

#[tokio::test]
async fn what_a_command_left_is_taken_over_for_the_channels_that_can_be_used() {
    let site = Site::new(ok).await;
    let mut command = site.service(&[Channel::Slack, Channel::Webhook]);
    let both = vec![Channel::Slack, Channel::Webhook];
    let messages = [(message(), both)];
    assert!(command.delivery().enqueue(&messages, clock::now()).await);
    drop(command);
    let left = || {
        let rows = FileRows::open(&FileRows::path(&site.places(&[]).state())).unwrap();
        let channels = rows.rows().iter().map(|(_, entry)| entry.channel);
        channels.collect::<Vec<_>>()
    };
    assert_eq!(left(), [Channel::Slack, Channel::Webhook]);
    let node = |channels: &[Channel]| {
        // a node keeps its rows elsewhere
        let kept = Place::from(site.directory.path().join("node.json"));
        let store = OutboxStore::File(FileRows::open(&kept).unwrap());
        let places = site.places(channels);
        TelemetryService::open(places, Notifications::default(), &site.secrets(), store).unwrap()
    };
    let mut with_one = node(&[Channel::Webhook]);
    with_one.adopt(clock::now()).await.unwrap();
    assert_eq!(left(), [Channel::Slack], "it waits for its channel");
    with_one.adopt(clock::now()).await.unwrap();
    drop(with_one);
    let mut with_both = node(&[Channel::Slack, Channel::Webhook]);
    with_both.adopt(clock::now()).await.unwrap();
    assert_eq!(left(), []);
    with_both
        .deliver(clock::now().after(Duration::from_secs(10)))
        .await;
    let mut got: Vec<_> = site.receiver.got().into_iter().map(|got| got.uri).collect();
    got.sort_unstable();
    assert_eq!(got, ["/any/topsecret", "/slack/topsecret"], "each once");
}
