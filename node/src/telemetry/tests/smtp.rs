//! Mail to a real SMTP server with STARTTLS, TLS and a login: `tests/peers/smtp_server.py`. Needs a
//! Python that has aiosmtpd, named by `SSID_TEST_SMTP_PYTHON`; `.ci/run` makes one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use ssid_protocol::id::UnixMillis;
use tempfile::TempDir;

use crate::telemetry::channels::{Attempt, Http, Senders};
use crate::telemetry::config::{Security, TelemetryConfig};
use crate::telemetry::message::{Message, Severity, Topic};
use crate::telemetry::secret::Secrets;

/// A running server; its end is the end of its standard input.
struct Server {
    child: Child,
    input: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    port: u16,
    ca: String,
    _directory: TempDir,
}

impl Server {
    /// Starts one; `None`, with the reason printed, where there is no Python for it.
    fn start(arguments: &[&str]) -> Option<Self> {
        let Some(python) = std::env::var_os("SSID_TEST_SMTP_PYTHON") else {
            // not through the macro: what that writes is shown of failed tests only
            let why = "SSID_TEST_SMTP_PYTHON names no Python with aiosmtpd, so there is no SMTP server to mail to";
            let _ = writeln!(std::io::stderr(), "SKIPPED: telemetry::tests::smtp: {why}");
            return None;
        };
        // relative names are meant from the root of the project, where `.ci/run` runs
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(root.join(PathBuf::from(python)))
            .arg(root.join("tests/peers/smtp_server.py"))
            .arg("--dir")
            .arg(directory.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready: Value = serde_json::from_str(
            &lines
                .next()
                .expect("the server says that it is ready")
                .unwrap(),
        )
        .unwrap();
        let port = u16::try_from(ready["port"].as_u64().unwrap()).unwrap();
        let ca = ready["ca"].as_str().unwrap().to_owned();
        Some(Self {
            input: child.stdin.take(),
            child,
            lines,
            port,
            ca,
            _directory: directory,
        })
    }

    /// The next thing that happens.
    fn next(&mut self) -> Value {
        serde_json::from_str(
            &self
                .lines
                .next()
                .expect("the server tells what happens")
                .unwrap(),
        )
        .unwrap()
    }

    fn attempt(&self, security: Security, with_ca: bool, password: &str) -> Attempt {
        let mut config = TelemetryConfig::load_or_default(Path::new("/nowhere")).unwrap();
        let email = &mut config.settings.notifications.email;
        email.enabled = true;
        email.smtp_server = "localhost".into();
        email.smtp_port = self.port;
        email.security = Some(security);
        email.username = "node".into();
        email.from_address = "node@example.org".into();
        email.to_addresses = vec!["ops@example.org".into(), "board@example.org".into()];
        if with_ca {
            email.ca_file.clone_from(&self.ca);
        }
        let secrets = Secrets::find(
            |name| (name == "SSID_SMTP_PASSWORD").then(|| password.to_owned()),
            Path::new("/nowhere"),
        );
        let senders = Senders::configured(
            &config,
            &secrets,
            &crate::registry::paths::RegistryPaths::in_data_directory("/".as_ref()),
        );
        assert_eq!(senders.unusable, []);
        let message = Message::new(
            Topic::ScoreChange,
            Severity::Critical,
            "c",
            "Übergang: score 89",
            UnixMillis(0),
        );
        let message = message.line(".a line that begins with a dot");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(senders.usable[0].send(&Http::default(), &message, &[]))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        self.child.wait().ok();
    }
}

#[test]
fn the_mail_arrives_with_starttls_and_authentication() {
    let Some(mut server) = Server::start(&[]) else {
        return;
    };
    assert_eq!(
        server.attempt(Security::Starttls, true, "secret"),
        Attempt::Delivered
    );
    assert_eq!(server.next()["right"], true);
    let mail = server.next();
    assert_eq!(
        (&mail["authenticated"], &mail["tls"]),
        (&Value::Bool(true), &Value::from("TLSv1.3")),
        "{mail}"
    );
    assert_eq!(
        mail["recipients"],
        serde_json::json!(["ops@example.org", "board@example.org"])
    );
    assert_eq!(mail["subject"], "[SSID critical] Übergang: score 89");
    assert!(
        mail["text"]
            .as_str()
            .unwrap()
            .contains("\n.a line that begins with a dot"),
        "{mail}"
    );
}

#[test]
fn the_mail_arrives_with_tls_from_the_first_byte() {
    let Some(mut server) = Server::start(&["--mode", "tls"]) else {
        return;
    };
    assert_eq!(
        server.attempt(Security::Tls, true, "secret"),
        Attempt::Delivered
    );
    assert_eq!(server.next()["event"], "login");
    assert_eq!(server.next()["tls"], "TLSv1.3");
}

#[test]
fn a_server_that_nobody_vouches_for_gets_nothing() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let attempt = server.attempt(Security::Starttls, false, "secret");
    assert!(
        matches!(&attempt, Attempt::Later { why, .. } if why.contains("certificate")),
        "{attempt:?}"
    );
}

#[test]
fn a_wrong_password_is_given_up_and_a_busy_server_tried_again() {
    let Some(server) = Server::start(&["--tempfail", "1"]) else {
        return;
    };
    let wrong = server.attempt(Security::Starttls, true, "topsecret");
    assert!(
        matches!(&wrong, Attempt::Refused(why) if why.contains("535") && !why.contains("topsecret")),
        "{wrong:?}"
    );
    let busy = server.attempt(Security::Starttls, true, "secret");
    assert!(
        matches!(&busy, Attempt::Later { why, .. } if why.contains("451")),
        "{busy:?}"
    );
    assert_eq!(
        server.attempt(Security::Starttls, true, "secret"),
        Attempt::Delivered
    );
}

#[test]
fn a_recipient_that_does_not_exist_is_given_up_and_the_others_get_the_mail() {
    let Some(mut server) = Server::start(&["--reject", "board@example.org"]) else {
        return;
    };
    let attempt = server.attempt(Security::Starttls, true, "secret");
    let Attempt::Partly {
        later,
        refused,
        why,
    } = &attempt
    else {
        panic!("{attempt:?}")
    };
    assert_eq!(
        (later.len(), refused.as_slice()),
        (0, &["board@example.org".to_owned()][..])
    );
    assert!(
        why.contains("550") && why.contains("board@example.org"),
        "{why}"
    );
    assert_eq!(server.next()["right"], true);
    assert_eq!(
        server.next()["recipients"],
        serde_json::json!(["ops@example.org"])
    );
}
