//! Mail over SMTP: STARTTLS that must succeed, or TLS from the first byte, with the system's
//! certificates and an own CA file besides; a password never goes over an unprotected connection.
//! Recipients that the server takes get the mail whatever it says of the others, which are named.

use std::sync::Arc;
use std::time::Duration;

use lettre::message::{Mailbox, Mailboxes};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail as From, Rcpt};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter};
use lettre::{Address, Message as Mailed};
use tokio_rustls::rustls::ClientConfig;

use super::attempt::Attempt;
use super::smtp::{Failure, Protection, Server, connect, tls};
use crate::config::names_host;
use crate::registry::paths::RegistryPaths;
use crate::telemetry::config::{EmailSettings, Security};
use crate::telemetry::message::{Message, plain};
use crate::telemetry::secret::{Secret, Secrets};

/// How long one attempt may take.
const ATTEMPT_AT_MOST: Duration = Duration::from_secs(30);
/// How long the server is listened to after the mail is its own.
const FAREWELL: Duration = Duration::from_secs(1);
/// The code of a server that takes no more recipients in one mail, and of one that is full.
const TOO_MANY: &str = "452";
/// Bytes of a CA file.
const CA_BYTES: u64 = 1 << 20;
/// Characters of what a server says.
const WHY_CHARS: usize = 800;
/// Mailboxes that one mail goes to.
const RECIPIENTS: usize = 50;

/// A mail server with sender and recipients.
#[derive(Clone, Debug)]
pub struct Mail {
    server: Server,
    credentials: Option<Credentials>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

/// What the server said of each recipient, as far as the conversation came.
#[derive(Debug, Default)]
struct Told {
    taken: Vec<Address>,
    refused: Vec<(Address, String)>,
    later: Vec<(Address, String)>,
}

impl Mail {
    pub(super) fn new(
        settings: &EmailSettings,
        secrets: &Secrets,
        paths: &RegistryPaths,
    ) -> Result<Self, String> {
        let missing = |key: &str| format!("notifications.email.{key} is not set");
        // asked at the start, in words: else each mail would wait for an answer that no server
        // gives
        if settings.smtp_server.is_empty() {
            return Err(missing("smtp_server"));
        }
        if settings.to_addresses.is_empty() {
            return Err(missing("to_addresses"));
        }
        if settings.to_addresses.len() > RECIPIENTS {
            return Err(format!(
                "notifications.email.to_addresses has more than {RECIPIENTS} addresses; use a list's"
            ));
        }
        let from = mailbox(&settings.from_address).map_err(|_| missing("from_address"))?;
        let to = settings
            .to_addresses
            .iter()
            .map(|address| mailbox(address))
            .collect::<Result<_, _>>()?;
        let protection = settings.protection();
        // only where it is needed: certificates that are not there must not stop a server without
        // TLS
        let secured = || tls_for(settings, paths);
        let kind = match protection {
            Security::Starttls => Protection::Starttls(secured()?),
            Security::Tls => Protection::Tls(secured()?),
            Security::None => Protection::None,
        };
        let mut credentials = None;
        // without a name the server takes mail by address: then there is no password to protect
        if !settings.username.is_empty() {
            if protection == Security::None {
                let why = "notifications.email: a password is not sent without TLS; set security to starttls or tls";
                return Err(why.to_owned());
            }
            let hosts = secrets
                .variable("SSID_SMTP_PASSWORD_HOST")
                .map(Secret::reveal)
                .unwrap_or_default();
            let server = &settings.smtp_server;
            // whoever can commit to a repository names the server in its file
            if paths.in_shared_repository() && !names_host(hosts, server, settings.smtp_port) {
                return Err(format!(
                    "notifications.email: the password is not sent to {server}, which the repository names; if it is right, \
                     set SSID_SMTP_PASSWORD_HOST={server}"
                ));
            }
            let password = secrets.variable("SSID_SMTP_PASSWORD");
            let password = password
                .ok_or("notifications.email.username is set; set SSID_SMTP_PASSWORD too")?;
            credentials = Some(Credentials::new(
                settings.username.clone(),
                password.reveal().to_owned(),
            ));
        }
        let server = Server {
            host: settings.smtp_server.clone(),
            port: settings.smtp_port,
            protection: kind,
        };
        Ok(Self {
            server,
            credentials,
            from,
            to,
        })
    }

    /// Server and number of recipients; addresses are personal data.
    pub(super) fn place(&self) -> String {
        let count = self.to.len();
        format!(
            "{} ({count} {})",
            self.address(),
            if count == 1 {
                "recipient"
            } else {
                "recipients"
            }
        )
    }

    /// The mail. Its id follows from the cause, so that a mail that comes twice can be recognised.
    fn mail(&self, message: &Message) -> Result<Mailed, String> {
        let to: Mailboxes = self.to.iter().cloned().collect();
        let source = message.source.as_ref();
        // whose node it is: one mailbox may have mail of several
        let source =
            source.map(|source| format!(" – {}, {}", source.node_name, source.federation_name));
        let subject = format!(
            "[SSID {}] {}{}",
            message.severity.as_str(),
            message.title,
            source.unwrap_or_default()
        );
        // the same message keeps its id in every attempt: mail programs then show it once
        let id = format!(
            "<{}@{}>",
            message.idempotency_key(),
            self.from.email.domain()
        );
        let at = std::time::UNIX_EPOCH + Duration::from_millis(message.at.0);
        let body = format!("{}\n\n-- \nSSID Governance Telemetry\n", message.text());
        let builder = Mailed::builder()
            .from(self.from.clone())
            .mailbox(lettre::message::header::To::from(to));
        // a title may hold what members wrote: no line break may begin a header of theirs
        let builder = builder
            .subject(plain(&subject, 200))
            .message_id(Some(id))
            .date(at);
        builder
            .header(lettre::message::header::ContentType::TEXT_PLAIN)
            .body(body)
            .map_err(|error| error.to_string())
    }

    fn address(&self) -> String {
        format!("{}:{}", self.server.host, self.server.port)
    }

    /// Sends to those of the recipients that are in `only`; to all if that is empty.
    pub(super) async fn send(&self, message: &Message, only: &[String]) -> Attempt {
        let mail = match self.mail(message) {
            Ok(mail) => mail.formatted(),
            Err(why) => return Attempt::Refused(format!("the mail cannot be written: {why}")),
        };
        let addresses = self.to.iter().map(|mailbox| &mailbox.email);
        // after some have taken it: only for the others, who would else get it again and again
        let to: Vec<Address> = addresses
            .filter(|to| only.is_empty() || only.iter().any(|one| one == text(to)))
            .cloned()
            .collect();
        // the configuration changed while the row waited
        if to.is_empty() {
            return Attempt::Refused(
                "whom this waits for is not among the recipients any more".to_owned(),
            );
        }
        // outside the conversation: what servers said before it broke off is kept
        let mut told = Told::default();
        let conversation = self.converse(&mail, to.clone(), &mut told);
        let ended = tokio::time::timeout(ATTEMPT_AT_MOST, conversation)
            .await
            .unwrap_or_else(|_| {
                let why = format!("no end within {} s", ATTEMPT_AT_MOST.as_secs());
                Err(Failure {
                    is_permanent: false,
                    why,
                })
            });
        // nothing was said of these: they are tried again, or given up with the conversation
        let rest: Vec<Address> = to
            .into_iter()
            .filter(|address| !told.names(address))
            .collect();
        attempt(&self.address(), &told, &rest, ended.err())
    }

    async fn converse(
        &self,
        mail: &[u8],
        to: Vec<Address>,
        told: &mut Told,
    ) -> Result<(), Failure> {
        let mut connection = connect(&self.server).await?;
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        let mut left = to;
        while !left.is_empty() {
            left = self.transaction(&mut connection, mail, left, told).await?;
        }
        // it has all it is to have, whether it says goodbye or not
        let _ = tokio::time::timeout(FAREWELL, connection.quit()).await;
        Ok(())
    }

    /// One mail to as many as the server takes at once; the others of `to`.
    async fn transaction(
        &self,
        connection: &mut AsyncSmtpConnection,
        mail: &[u8],
        to: Vec<Address>,
        told: &mut Told,
    ) -> Result<Vec<Address>, Failure> {
        connection
            .command(From::new(
                Some(self.from.email.clone()),
                options(connection, mail, &to),
            ))
            .await?;
        let mut accepted = Vec::new();
        let mut left = Vec::new();
        // each on its own: one wrong address must not keep the mail from the others
        for address in to {
            let Err(error) = connection
                .command(Rcpt::new(address.clone(), Vec::new()))
                .await
            else {
                accepted.push(address);
                continue;
            };
            let is_full = error
                .status()
                .is_some_and(|code| code.to_string() == TOO_MANY);
            // with none accepted it would go round for ever: then it is that server's temporary
            // refusal
            if is_full && !accepted.is_empty() {
                left.push(address);
            } else if error.is_permanent() {
                told.refused.push((address, Failure::from(error).why));
            } else if error.is_transient() {
                told.later.push((address, Failure::from(error).why));
            } else {
                // no answer of the server, but the end of the connection
                return Err(error.into());
            }
        }
        if !accepted.is_empty() {
            // only now is it the server's: before this a break leaves all of them untold
            connection.command(Data).await?;
            connection.message(mail).await?;
            told.taken.extend(accepted);
        }
        Ok(left)
    }
}

impl Told {
    fn names(&self, address: &Address) -> bool {
        let mut others = self.refused.iter().chain(&self.later);
        self.taken.contains(address) || others.any(|(other, _)| other == address)
    }
}

/// What became of a conversation: `rest` are recipients of whom nothing was said before it failed.
fn attempt(server: &str, told: &Told, rest: &[Address], failure: Option<Failure>) -> Attempt {
    let is_permanent = failure.as_ref().is_some_and(|failure| failure.is_permanent);
    let names = |told: &[(Address, String)]| {
        told.iter()
            .map(|(address, _)| address.to_string())
            .collect::<Vec<_>>()
    };
    // both lists by address: what is left of the row is for exactly these
    let mut refused = names(&told.refused);
    let mut later = names(&told.later);
    if is_permanent {
        &mut refused
    } else {
        &mut later
    }
    .extend(rest.iter().map(ToString::to_string));
    // each server's own words: they say what the operator has to change
    let said = told
        .refused
        .iter()
        .chain(&told.later)
        .map(|(address, why)| format!("{address}: {why}"));
    let why = said
        .chain(failure.map(|failure| failure.why))
        .collect::<Vec<_>>()
        .join("; ");
    let why = plain(&format!("{server}: {why}"), WHY_CHARS);
    // a row is settled as a whole where all had one fate, else split by recipients
    match (told.taken.is_empty(), refused.is_empty(), later.is_empty()) {
        (_, true, true) => Attempt::Delivered,
        (true, false, true) => Attempt::Refused(why),
        (true, true, false) => Attempt::Later { after: None, why },
        _ => Attempt::Partly {
            later,
            refused,
            why,
        },
    }
}

/// What a mail asks of the server: bytes past ASCII in it, or in addresses. A server that offers
/// neither refuses what it cannot take.
fn options(connection: &AsyncSmtpConnection, mail: &[u8], to: &[Address]) -> Vec<MailParameter> {
    let offers = |extension| connection.server_info().supports_feature(extension);
    let mut options = Vec::new();
    if !to.iter().all(|address| text(address).is_ascii()) && offers(Extension::SmtpUtfEight) {
        options.push(MailParameter::SmtpUtfEight);
    }
    if !mail.is_ascii() && offers(Extension::EightBitMime) {
        options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    options
}

fn text(address: &Address) -> &str {
    address.as_ref()
}

fn mailbox(address: &str) -> Result<Mailbox, String> {
    address
        .parse()
        .map_err(|_| format!("{address:?} is no mail address"))
}

fn tls_for(settings: &EmailSettings, paths: &RegistryPaths) -> Result<Arc<ClientConfig>, String> {
    if !settings.ca_file.is_empty() {
        let path = paths.at(&settings.ca_file);
        let failed =
            |why: String| format!("notifications.email.ca_file '{}': {why}", path.display());
        let pem = path
            .read(CA_BYTES)
            .map_err(|error| failed(error.to_string()))?;
        return tls(Some(&pem)).map_err(failed);
    }
    tls(None).map_err(|why| format!("TLS cannot be set up: {why}; are CA certificates installed?"))
}

#[cfg(test)]
mod tests;
