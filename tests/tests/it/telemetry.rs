//! Telemetry through the command and through a running node, to a receiver on this machine.

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use ssid_tests::{Cluster, LONG, Shape, eventually, ssid_in, ssid_with};

/// A real SMTP server that demands STARTTLS and a login; its end is the end of its standard input.
struct MailServer {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    port: u64,
    ca: String,
}

impl MailServer {
    /// Starts one; `None`, with the reason on standard error, where there is no Python for it.
    fn start(dir: &std::path::Path) -> Option<Self> {
        let Some(python) = std::env::var_os("SSID_TEST_SMTP_PYTHON") else {
            // not through the macro: what that writes is shown of failed tests only
            let why = "SSID_TEST_SMTP_PYTHON names no Python with aiosmtpd, so there is no SMTP server to mail to";
            let _ = writeln!(std::io::stderr(), "SKIPPED: telemetry: {why}");
            return None;
        };
        // relative names are meant from the root of the project, where `.ci/run` runs
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut command = Command::new(root.join(python));
        command
            .arg(root.join("tests/peers/smtp_server.py"))
            .arg("--dir")
            .arg(dir);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let (port, ca) = (
            ready["port"].as_u64().unwrap(),
            ready["ca"].as_str().unwrap().to_owned(),
        );
        Some(Self {
            input: child.stdin.take(),
            child,
            lines,
            port,
            ca,
        })
    }

    /// The next mail that it takes.
    fn mail(&mut self) -> Value {
        let mut told = self
            .lines
            .by_ref()
            .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        told.find(|told| told["event"] == "mail")
            .expect("a mail comes")
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.input.take());
        self.child.wait().ok();
    }
}

/// How long a message may take.
const PATIENCE: Duration = Duration::from_mins(1);

const TAKEN: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
const BUSY: &str = "HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
const BROKEN: &str =
    "HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A webhook that takes everything: its address, and the documents as they come.
fn webhook() -> (String, Receiver<Value>) {
    webhook_that(&[TAKEN])
}

/// A webhook that answers one after the other with these, then with the last again and again.
fn webhook_that(answers: &'static [&'static str]) -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/topsecret", listener.local_addr().unwrap());
    let (sender, documents) = channel();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(bytes) = line.to_lowercase().strip_prefix("content-length:") {
                    length = bytes.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            reader
                .get_mut()
                .write_all(answers[n.min(answers.len() - 1)].as_bytes())
                .unwrap();
            if sender.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (address, documents)
}

fn configure(dir: &std::path::Path, address: &str) {
    write_config(
        dir,
        &json!({"notifications": {"webhook": {"enabled": true, "url": address}}}),
    );
}

/// A telemetry configuration that only its owner can read.
fn write_config(dir: &std::path::Path, config: &Value) {
    let file = dir.join("telemetry_config.json");
    std::fs::write(&file, config.to_string()).unwrap();
    only_for_its_owner(&file);
}

fn only_for_its_owner(file: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn scores(dir: &std::path::Path, scores: &[u32]) {
    let rows = scores
        .iter()
        .enumerate()
        .map(|(n, score)| format!("2026-01-{:02},{score},0\n", n + 1));
    let text = "date,compliance_score,violations\n".to_owned() + &rows.collect::<String>();
    std::fs::write(dir.join("dashboard_data.csv"), text).unwrap();
}

#[test]
fn the_command_tells_a_score_drop_once_without_a_node() {
    let dir = tempfile::tempdir().unwrap();
    let (address, documents) = webhook();
    configure(dir.path(), &address);
    scores(dir.path(), &[100, 89]);
    let check = || ssid_in(dir.path(), &["--data", ".", "--json", "telemetry", "check"]).well();
    let first = check();
    assert_eq!(first.json()["messages"][0]["severity"], "critical");
    assert!(!format!("{}{}", first.stdout, first.stderr).contains("topsecret"));
    assert_eq!(
        documents.recv_timeout(PATIENCE).unwrap()["topic"],
        "score_change"
    );
    assert_eq!(check().json()["messages"], json!([]));
    assert!(documents.try_recv().is_err());

    let tried = ssid_in(dir.path(), &["--data", ".", "--json", "telemetry", "test"])
        .well()
        .json();
    assert_eq!(
        (
            &tried["items"][0]["channel"],
            &tried["items"][0]["delivered"]
        ),
        (&json!("webhook"), &json!(true))
    );
    assert_eq!(documents.recv_timeout(PATIENCE).unwrap()["topic"], "test");
    let history = ssid_in(
        dir.path(),
        &[
            "--data",
            ".",
            "--json",
            "telemetry",
            "history",
            "--svg",
            "a.svg",
        ],
    )
    .well()
    .json();
    assert_eq!(
        (
            &history["items"][1]["score"],
            &history["items"][1]["change"]
        ),
        (&json!(89.0), &json!(-11.0))
    );
    assert!(
        std::fs::read_to_string(dir.path().join("a.svg"))
            .unwrap()
            .starts_with("<svg")
    );
}

#[test]
fn all_four_channels_are_tried_and_get_one_critical_message_of_a_drop() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut mail) = MailServer::start(dir.path()) else {
        return;
    };
    let (slack, to_slack) = webhook_that(&[BUSY, OK]);
    let (discord, to_discord) = webhook();
    let (other, to_other) = webhook_that(&[BROKEN, TAKEN]);
    let email = json!({
        "enabled": true, "smtp_server": "localhost", "smtp_port": mail.port, "security": "starttls", "ca_file": mail.ca,
        "username": "node", "from_address": "node@example.org", "to_addresses": ["ops@example.org"],
    });
    let on = json!({ "enabled": true });
    write_config(
        dir.path(),
        &json!({"notifications": {"slack": on, "discord": on, "webhook": on, "email": email}}),
    );
    let secrets = [
        ("SLACK_WEBHOOK_URL", slack.as_str()),
        ("DISCORD_WEBHOOK_URL", &discord),
        ("SSID_WEBHOOK_URL", &other),
        ("SSID_SMTP_PASSWORD", "secret"),
    ];
    let ssid = |args: &[&str]| {
        let outcome = ssid_with(
            dir.path(),
            &secrets,
            &[&["--data", ".", "--json", "telemetry"], args].concat(),
        )
        .well();
        let shown = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(
            !shown.contains("topsecret") && !shown.contains("\"secret"),
            "{shown}"
        );
        outcome.json()
    };
    let tried = ssid(&["test"]);
    let attempts: Vec<_> = tried["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| (&t["channel"], &t["delivered"], &t["attempts"]))
        .collect();
    let expected = [("slack", 2), ("discord", 1), ("webhook", 2), ("email", 1)];
    for ((channel, delivered, attempts), (name, count)) in attempts.into_iter().zip(expected) {
        assert_eq!(
            (channel, delivered, attempts),
            (&json!(name), &json!(true), &json!(count)),
            "{tried}"
        );
    }
    assert!(
        tried["items"][0]["seconds"].as_f64().unwrap() >= 1.0,
        "the 429 is waited out: {tried}"
    );
    let receivers = [(&to_slack, 2), (&to_discord, 1), (&to_other, 2)];
    for (receiver, count) in receivers {
        (0..count).for_each(|_| {
            assert!(
                receiver
                    .recv_timeout(PATIENCE)
                    .unwrap()
                    .to_string()
                    .contains("Telemetry Test")
            );
        });
    }
    let first = mail.mail();
    assert_eq!(
        (&first["authenticated"], &first["tls"]),
        (&json!(true), &json!("TLSv1.3")),
        "{first}"
    );

    scores(dir.path(), &[100, 89]);
    let check = ssid(&["check"]);
    assert_eq!(
        (&check["messages"][0]["severity"], &check["messages"][1]),
        (&json!("critical"), &Value::Null)
    );
    for (receiver, _) in receivers {
        assert!(
            receiver
                .recv_timeout(PATIENCE)
                .unwrap()
                .to_string()
                .contains("89")
        );
    }
    assert!(
        mail.mail()["subject"]
            .as_str()
            .unwrap()
            .starts_with("[SSID critical]")
    );
    assert_eq!(ssid(&["check"])["messages"], json!([]));
    assert!(
        receivers
            .iter()
            .all(|(receiver, _)| receiver.try_recv().is_err()),
        "once is enough"
    );
    assert_eq!(
        ssid(&["outbox", "list"])["items"],
        json!([]),
        "nothing waits"
    );
}

#[test]
fn what_cannot_be_delivered_waits_and_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    configure(dir.path(), &format!("http://{port}/topsecret"));
    scores(dir.path(), &[100, 89]);
    let check = ssid_in(
        dir.path(),
        &["--data", ".", "telemetry", "check", "--wait", "1"],
    )
    .exits(1);
    assert!(!check.stderr.contains("topsecret"), "{check:?}");
    let list = || {
        ssid_in(
            dir.path(),
            &["--data", ".", "--json", "telemetry", "outbox", "list"],
        )
        .well()
        .json()
    };
    let rows = list();
    assert_eq!(
        (&rows["items"][0]["state"], &rows["items"][0]["channel"]),
        (&json!("waiting"), &json!("webhook"))
    );
    let id = rows["items"][0]["id"].to_string();
    let _ = ssid_in(
        dir.path(),
        &["--data", ".", "telemetry", "outbox", "drop", &id],
    )
    .well();
    assert_eq!(list()["items"], json!([]));
    let _ = ssid_in(
        dir.path(),
        &["--data", ".", "telemetry", "outbox", "drop", &id],
    )
    .exits(1)
    .says(&["no notification"]);
}

#[test]
fn a_running_node_watches_tells_what_is_new_and_reports() {
    let mut cluster = Cluster::make(Shape::of(2));
    let (address, documents) = webhook();
    let home = std::path::PathBuf::from(cluster.node(0).data());
    // sooner than anybody would want, and far sooner than unless it is set
    let webhook = json!({"enabled": true, "url": address});
    write_config(
        &home,
        &json!({"check_interval_seconds": 1, "notifications": {"webhook": webhook}}),
    );
    scores(&home, &[100, 89]);
    cluster.start_all();
    // its first check is at once
    let told = documents.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        (&told["topic"], &told["severity"]),
        (&json!("score_change"), &json!("critical"))
    );
    scores(&home, &[100, 89, 99]);
    assert_eq!(
        documents.recv_timeout(PATIENCE).unwrap()["severity"],
        "info",
        "nobody asked for the check"
    );
    let view = cluster
        .node(0)
        .ssid(&["--json", "telemetry", "check"])
        .well()
        .json();
    assert_eq!(
        (&view["score"], &view["trend"], &view["messages"]),
        (&json!(99.0), &json!("improving"), &json!([]))
    );
    let report = cluster
        .node(0)
        .ssid(&["--json", "report", "--month", "2026-01"])
        .well()
        .json();
    assert_eq!(report["summary"]["compliance_score"], json!(99.0));
    assert_eq!(report["summary"]["agreement_percent"], Value::Null);
}

#[test]
fn the_webhook_of_the_federation_is_told_of_what_is_certified_and_only_where_it_is_set() {
    let mut cluster = Cluster::make(Shape::of(4));
    let (address, documents) = webhook_that(&[BROKEN, TAKEN]);
    let data = std::path::PathBuf::from(cluster.node(0).data());
    cluster
        .node(0)
        .org
        .configure(|config| config["advanced"]["webhook_on_consensus"] = json!(address));
    only_for_its_owner(&data.join("federation_config.json"));
    cluster.start_all();
    let emit = [
        "events",
        "emit",
        "--event",
        "blueprint_tagged",
        "--version",
        "v1",
        "--commit",
        "3dd05d9",
        "--wait",
    ];
    let hash = cluster
        .node(1)
        .ssid(&[&["--json"], &emit[..]].concat())
        .well()
        .json()["event_hash"]
        .clone();
    let told = documents.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        (&told["format"], &told["records"][0]["event_hash"]),
        (&json!("ssid-consensus/1"), &hash),
        "{told}"
    );
    assert_eq!(
        documents.recv_timeout(PATIENCE).unwrap(),
        told,
        "a receiver that fails is told again"
    );
    eventually("nothing waits to leave", LONG, || {
        let outbox = cluster.node(0).status()["outbox"].clone();
        let idle = json!({ "anchors": 0, "notifications": 0, "certified_untold": 0 });
        if outbox == idle { Ok(()) } else { Err(outbox) }
    });
    let shown = cluster.node(0).ssid(&["config", "show"]).well().stdout;
    assert!(
        shown.contains("(hidden)") && !shown.contains("topsecret"),
        "{shown}"
    );
    let log = cluster.node(0).log();
    assert!(
        log.contains("advanced.webhook_on_consensus") && !log.contains("topsecret"),
        "{log}"
    );
}
