//! Mail over SMTP: STARTTLS that must succeed, or TLS from the first byte, with the system's certificates and an own CA
//! file besides; a password never goes over an unprotected connection.

use std::time::Duration;

use lettre::message::{Mailbox, Mailboxes};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message as Mailed, Tokio1Executor};

use super::Attempt;
use crate::registry::paths::RegistryPaths;
use crate::telemetry::config::{EmailSettings, Security};
use crate::telemetry::message::{Message, plain};
use crate::telemetry::secret::Secrets;

/// How long one attempt may take.
const ATTEMPT_AT_MOST: Duration = Duration::from_secs(30);
/// Bytes of a CA file.
const CA_BYTES: u64 = 1 << 20;
/// Mailboxes that one mail goes to.
const RECIPIENTS: usize = 50;

/// A mail server with sender and recipients.
#[derive(Clone, Debug)]
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    server: String,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Mail {
    pub(super) fn new(settings: &EmailSettings, secrets: &Secrets, paths: &RegistryPaths) -> Result<Self, String> {
        let missing = |key: &str| format!("notifications.email.{key} is not set");
        if settings.smtp_server.is_empty() {
            return Err(missing("smtp_server"));
        }
        if settings.to_addresses.is_empty() {
            return Err(missing("to_addresses"));
        }
        if settings.to_addresses.len() > RECIPIENTS {
            return Err(format!("notifications.email.to_addresses has more than {RECIPIENTS} addresses; use a list's"));
        }
        let from = mailbox(&settings.from_address).map_err(|_| missing("from_address"))?;
        let to = settings.to_addresses.iter().map(|address| mailbox(address)).collect::<Result<_, _>>()?;
        let protection = settings.protection();
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.smtp_server)
            .port(settings.smtp_port)
            .timeout(Some(ATTEMPT_AT_MOST))
            .tls(match protection {
                Security::Starttls => Tls::Required(tls(settings, paths)?),
                Security::Tls => Tls::Wrapper(tls(settings, paths)?),
                Security::None => Tls::None,
            });
        if !settings.username.is_empty() {
            if protection == Security::None {
                let why = "notifications.email: a password is not sent without TLS; set security to starttls or tls";
                return Err(why.to_owned());
            }
            let password = secrets.variable("SSID_SMTP_PASSWORD");
            let password = password.ok_or("notifications.email.username is set; set SSID_SMTP_PASSWORD too")?;
            builder = builder.credentials(Credentials::new(settings.username.clone(), password.reveal().to_owned()));
        }
        let server = format!("{}:{}", settings.smtp_server, settings.smtp_port);
        Ok(Self { transport: builder.build(), server, from, to })
    }

    /// Server and number of recipients; addresses are personal data.
    pub(super) fn place(&self) -> String {
        let count = self.to.len();
        format!("{} ({count} {})", self.server, if count == 1 { "recipient" } else { "recipients" })
    }

    /// The mail. Its id follows from the cause, so that a mail that comes twice can be recognised.
    fn mail(&self, message: &Message) -> Result<Mailed, String> {
        let to: Mailboxes = self.to.iter().cloned().collect();
        let source = message.source.as_ref();
        let source = source.map(|source| format!(" – {}, {}", source.node_name, source.federation_name));
        let subject = format!("[SSID {}] {}{}", message.severity.as_str(), message.title, source.unwrap_or_default());
        let id = format!("<{}@{}>", message.idempotency_key(), self.from.email.domain());
        let at = std::time::UNIX_EPOCH + Duration::from_millis(message.at.0);
        let body = format!("{}\n\n-- \nSSID Governance Telemetry\n", message.text());
        let builder = Mailed::builder().from(self.from.clone()).mailbox(lettre::message::header::To::from(to));
        let builder = builder.subject(plain(&subject, 200)).message_id(Some(id)).date(at);
        builder.header(lettre::message::header::ContentType::TEXT_PLAIN).body(body).map_err(|error| error.to_string())
    }

    pub(super) async fn send(&self, message: &Message) -> Attempt {
        let mail = match self.mail(message) {
            Ok(mail) => mail,
            Err(why) => return Attempt::Refused(format!("the mail cannot be written: {why}")),
        };
        let sending = tokio::time::timeout(ATTEMPT_AT_MOST, self.transport.send(mail));
        match sending.await {
            Ok(Ok(_)) => Attempt::Delivered,
            Ok(Err(error)) => {
                let mut why = format!("{}: {error}", self.server);
                let mut next = std::error::Error::source(&error);
                while let Some(cause) = next {
                    why = format!("{why}: {cause}");
                    next = cause.source();
                }
                let why = plain(&why, 400);
                if error.is_permanent() { Attempt::Refused(why) } else { Attempt::Later { after: None, why } }
            }
            Err(_) => {
                let why = format!("{}: no end within {} s", self.server, ATTEMPT_AT_MOST.as_secs());
                Attempt::Later { after: None, why }
            }
        }
    }
}

fn mailbox(address: &str) -> Result<Mailbox, String> {
    address.parse().map_err(|_| format!("{address:?} is no mail address"))
}

fn tls(settings: &EmailSettings, paths: &RegistryPaths) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(settings.smtp_server.clone());
    if !settings.ca_file.is_empty() {
        let path = paths.at(&settings.ca_file);
        let failed = |why: String| format!("notifications.email.ca_file '{}': {why}", path.display());
        let pem = path.read(CA_BYTES).map_err(|error| failed(error.to_string()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| failed(error.to_string()))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|error| format!("TLS cannot be set up: {error}; are CA certificates installed?"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::telemetry::message::{Severity, Topic};
    use ssid_protocol::id::UnixMillis;

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
        Mail::new(&settings, &Secrets::default(), &nowhere()).err().unwrap_or_default()
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
    fn a_mail_has_an_id_of_its_cause_and_one_subject_line() {
        let mail = Mail::new(&settings(), &Secrets::default(), &nowhere()).unwrap();
        let message =
            Message::new(Topic::Divergence, Severity::Warning, "c", "a\r\nBcc: eve@example.org", UnixMillis(0));
        let text = String::from_utf8(mail.mail(&message).unwrap().formatted()).unwrap();
        assert!(text.contains(&format!("Message-ID: <{}@example.org>", message.idempotency_key())), "{text}");
        assert!(!text.contains("\nBcc:") && text.contains("Subject: [SSID warning] a"), "{text}");
        assert!(text.contains("Date: Thu, 01 Jan 1970 00:00:00"), "{text}");
        assert!(!mail.place().contains("ops@"));
    }
}
