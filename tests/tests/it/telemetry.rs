//! Telemetry through the command and through a running node, to a receiver on this machine.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use ssid_tests::{Cluster, Shape, ssid_in};

/// How long a message may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A webhook that takes everything: its address, and the documents as they come.
fn webhook() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/topsecret", listener.local_addr().unwrap());
    let (sender, documents) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
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
            reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
            if sender.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (address, documents)
}

/// A telemetry configuration that only its owner can read.
fn configure(dir: &std::path::Path, address: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let file = dir.join("telemetry_config.json");
    let config = json!({"notifications": {"webhook": {"enabled": true, "url": address}}});
    std::fs::write(&file, config.to_string()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn scores(dir: &std::path::Path, scores: &[u32]) {
    let rows = scores.iter().enumerate().map(|(n, score)| format!("2026-01-{:02},{score},0\n", n + 1));
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
    assert_eq!(documents.recv_timeout(PATIENCE).unwrap()["topic"], "score_change");
    assert_eq!(check().json()["messages"], json!([]));
    assert!(documents.try_recv().is_err());

    let tried = ssid_in(dir.path(), &["--data", ".", "--json", "telemetry", "test"]).well().json();
    assert_eq!((&tried[0]["channel"], &tried[0]["delivered"]), (&json!("webhook"), &json!(true)));
    assert_eq!(documents.recv_timeout(PATIENCE).unwrap()["topic"], "test");
    let history =
        ssid_in(dir.path(), &["--data", ".", "--json", "telemetry", "history", "--svg", "a.svg"]).well().json();
    assert_eq!((&history[1]["score"], &history[1]["change"]), (&json!(89.0), &json!(-11.0)));
    assert!(std::fs::read_to_string(dir.path().join("a.svg")).unwrap().starts_with("<svg"));
}

#[test]
fn what_cannot_be_delivered_waits_and_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    configure(dir.path(), &format!("http://{port}/topsecret"));
    scores(dir.path(), &[100, 89]);
    let check = ssid_in(dir.path(), &["--data", ".", "telemetry", "check", "--wait", "1"]).exits(1);
    assert!(!check.stderr.contains("topsecret"), "{check:?}");
    let list = || ssid_in(dir.path(), &["--data", ".", "--json", "telemetry", "outbox", "list"]).well().json();
    let rows = list();
    assert_eq!((&rows[0]["state"], &rows[0]["channel"]), (&json!("waiting"), &json!("webhook")));
    let id = rows[0]["id"].to_string();
    let _ = ssid_in(dir.path(), &["--data", ".", "telemetry", "outbox", "drop", &id]).well();
    assert_eq!(list(), json!([]));
    let _ =
        ssid_in(dir.path(), &["--data", ".", "telemetry", "outbox", "drop", &id]).exits(1).says(&["no notification"]);
}

#[test]
fn a_running_node_tells_what_was_left_and_what_is_new_and_reports() {
    let mut cluster = Cluster::make(Shape::of(2));
    let (address, documents) = webhook();
    let home = std::path::PathBuf::from(cluster.node(0).data());
    configure(&home, &address);
    scores(&home, &[100, 89]);
    cluster.start_all();
    // its first check is at once
    let told = documents.recv_timeout(PATIENCE).unwrap();
    assert_eq!((&told["topic"], &told["severity"]), (&json!("score_change"), &json!("critical")));
    scores(&home, &[100, 89, 99]);
    let view = cluster.node(0).ssid(&["--json", "telemetry", "check"]).well().json();
    assert_eq!((&view["score"], &view["trend"]), (&json!(99.0), &json!("improving")));
    assert_eq!(documents.recv_timeout(PATIENCE).unwrap()["severity"], "info");
    let report = cluster.node(0).ssid(&["--json", "report", "--month", "2026-01"]).well().json();
    assert_eq!(report["summary"]["compliance_score"], json!(99.0));
    assert_eq!(report["summary"]["agreement_percent"], Value::Null);
}
