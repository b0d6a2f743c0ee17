//! What settings are refused, and what a mail looks like.
#![allow(clippy::unwrap_used, reason = "tests")]

mod conversations;

use ssid_protocol::id::UnixMillis;

use super::*;
use crate::telemetry::message::{Severity, Topic};

fn settings() -> EmailSettings {
    EmailSettings {
        smtp_server: "mail.example.org".into(),
        from_address: "node@example.org".into(),
        to_addresses: vec!["ops@example.org".into()],
        ..EmailSettings::default()
    }
}

fn nowhere() -> RegistryPaths {
    RegistryPaths::in_data_directory("/".as_ref())
}

fn refusal(change: impl FnOnce(&mut EmailSettings)) -> String {
    let mut settings = settings();
    change(&mut settings);
    Mail::new(&settings, &Secrets::default(), &nowhere())
        .err()
        .unwrap_or_default()
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(refusal(|_| {}), "");
    assert!(refusal(|s| s.smtp_server.clear()).contains("smtp_server"));
    assert!(refusal(|s| s.to_addresses.clear()).contains("to_addresses"));
    assert!(refusal(|s| s.from_address.clear()).contains("from_address"));
    assert!(refusal(|s| s.username = "u".into()).contains("SSID_SMTP_PASSWORD"));
    assert!(refusal(|s| s.ca_file = "nowhere.pem".into()).contains("nowhere.pem"));
}

#[test]
fn a_password_never_goes_over_an_unprotected_connection() {
    let refused = refusal(|s| {
        s.username = "u".into();
        s.use_tls = false;
    });
    assert!(refused.contains("not sent without TLS"), "{refused}");
    assert_eq!(refusal(|s| s.use_tls = false), "");
}

#[test]
fn a_password_goes_to_a_repositorys_server_only_if_this_machine_names_it() {
    let settings = EmailSettings {
        username: "u".into(),
        ..settings()
    };
    let mail = |hosts: &str| {
        let set = |name: &str| {
            Some(
                if name.ends_with("_HOST") {
                    hosts
                } else {
                    "s3cret"
                }
                .to_owned(),
            )
        };
        let secrets = Secrets::find(set, std::path::Path::new(""));
        let paths = RegistryPaths::in_repository("/repo".as_ref());
        Mail::new(&settings, &secrets, &paths).map(|_| ())
    };
    assert_eq!(mail("mail.example.org:587"), Ok(()));
    for hosts in ["", "other.example.org", "mail.example.org:25"] {
        let refused = mail(hosts).unwrap_err();
        assert!(
            refused.contains("SSID_SMTP_PASSWORD_HOST=mail.example.org")
                && !refused.contains("s3cret"),
            "{refused}"
        );
    }
}

#[test]
fn a_mail_has_an_id_of_its_cause_and_one_subject_line() {
    let mail = Mail::new(&settings(), &Secrets::default(), &nowhere()).unwrap();
    let message = Message::new(
        Topic::Divergence,
        Severity::Warning,
        "c",
        "a\r\nBcc: eve@example.org",
        UnixMillis(0),
    );
    let text = String::from_utf8(mail.mail(&message).unwrap().formatted()).unwrap();
    assert!(
        text.contains(&format!(
            "Message-ID: <{}@example.org>",
            message.idempotency_key()
        )),
        "{text}"
    );
    assert!(
        !text.contains("\nBcc:") && text.contains("Subject: [SSID warning] a"),
        "{text}"
    );
    assert!(text.contains("Date: Thu, 01 Jan 1970 00:00:00"), "{text}");
    assert!(!mail.place().contains("ops@"));
}
