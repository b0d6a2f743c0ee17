//! The four channels. Each renders a message within the limits that the real service has, as a pure
//! function, and says what an answer means; sending is one function for the three webhooks, and one
//! for mail.

mod attempt;
mod discord;
mod http;
mod mail;
mod slack;
mod smtp;
mod webhook;

use super::config::TelemetryConfig;
use super::message::Message;
use super::secret::Secrets;
use crate::clock;
use crate::config::Channel;
use crate::registry::paths::RegistryPaths;

pub use attempt::Attempt;
pub use http::Http;
pub use webhook::ConsensusWebhook;

/// A channel that can be used.
#[derive(Clone, Debug)]
pub enum Sender {
    /// Slack, by an incoming webhook.
    Slack(slack::Slack),
    /// Discord, by a webhook.
    Discord(discord::Discord),
    /// Any webhook that takes JSON.
    Webhook(webhook::Webhook),
    /// Mail over an SMTP server.
    Mail(Box<mail::Mail>),
}

/// Every channel, in the order in which they are listed.
pub const ALL: [Channel; 4] = [
    Channel::Slack,
    Channel::Discord,
    Channel::Webhook,
    Channel::Email,
];

/// The channels that the configuration switches on, and what is wrong with those that cannot be
/// used.
#[derive(Clone, Debug, Default)]
pub struct Senders {
    /// Those that can be used.
    pub usable: Vec<Sender>,
    /// Those that cannot, and why, without secrets.
    pub unusable: Vec<(Channel, String)>,
}

impl Senders {
    /// Reads the configuration; `paths` say where files that it names are.
    pub fn configured(config: &TelemetryConfig, secrets: &Secrets, paths: &RegistryPaths) -> Self {
        let settings = &config.settings.notifications;
        let mut senders = Self::default();
        let mut add = |channel, enabled: bool, make: &dyn Fn() -> Result<Sender, String>| {
            if !enabled {
                return;
            }
            match make() {
                Ok(sender) => senders.usable.push(sender),
                // kept with its reason: a channel that is switched on and silent has to be shown as
                // that
                Err(why) => senders.unusable.push((channel, why)),
            }
        };
        add(Channel::Slack, settings.slack.enabled, &|| {
            slack::Slack::new(&settings.slack, secrets).map(Sender::Slack)
        });
        add(Channel::Discord, settings.discord.enabled, &|| {
            discord::Discord::new(&settings.discord, secrets).map(Sender::Discord)
        });
        add(Channel::Webhook, settings.webhook.enabled, &|| {
            webhook::Webhook::new(&settings.webhook, secrets).map(Sender::Webhook)
        });
        add(Channel::Email, settings.email.enabled, &|| {
            mail::Mail::new(&settings.email, secrets, paths)
                .map(|mail| Sender::Mail(Box::new(mail)))
        });
        senders
    }

    /// The names of those that can be used.
    pub fn channels(&self) -> Vec<Channel> {
        self.usable.iter().map(Sender::channel).collect()
    }
}

impl Sender {
    /// Returns which channel it is.
    pub fn channel(&self) -> Channel {
        match self {
            Self::Slack(_) => Channel::Slack,
            Self::Discord(_) => Channel::Discord,
            Self::Webhook(_) => Channel::Webhook,
            Self::Mail(_) => Channel::Email,
        }
    }

    /// Where it leads, without secrets.
    pub fn place(&self) -> String {
        match self {
            Self::Slack(slack) => slack.url.to_string(),
            Self::Discord(discord) => discord.url.to_string(),
            Self::Webhook(webhook) => webhook.url.to_string(),
            Self::Mail(mail) => mail.place(),
        }
    }

    /// What tells its address from another one, without showing it.
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Slack(slack) => slack.url.fingerprint(),
            Self::Discord(discord) => discord.url.fingerprint(),
            Self::Webhook(webhook) => webhook.url.fingerprint(),
            Self::Mail(mail) => mail.place(),
        }
    }

    /// Tries once: of mail, only the recipients named, all if none is. Takes at most as long as the
    /// time limits of [`Http`] and mail.
    pub async fn send(&self, http: &Http, message: &Message, only: &[String]) -> Attempt {
        match self {
            Self::Slack(slack) => http.send(slack.request(message), slack::meaning).await,
            Self::Discord(discord) => http.send(discord.request(message), discord::meaning).await,
            Self::Webhook(webhook) => {
                http.send(webhook.request(message, clock::now()), webhook::meaning)
                    .await
            }
            Self::Mail(mail) => mail.send(message, only).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::message::{Severity, Topic};
    use ssid_protocol::id::UnixMillis;

    /// A message larger than any channel takes, with everything that has a meaning somewhere.
    pub(super) fn monster() -> Message {
        let hostile = "<!channel> @everyone [x](http://e) & \u{202e} ";
        let mut message = Message::new(
            Topic::Digest,
            Severity::Critical,
            "cause",
            &hostile.repeat(9),
            UnixMillis(1),
        );
        for n in 0..200 {
            message = message
                .line(&format!("{n} {}", hostile.repeat(40)))
                .fact(&format!("fact {n}"), hostile.repeat(30));
        }
        message
    }

    #[test]
    fn only_what_is_switched_on_and_complete_can_be_used() {
        let mut config = TelemetryConfig::load_or_default(std::path::Path::new("/nowhere"))
            .unwrap_or_else(|e| panic!("{e}"));
        let make = |config: &TelemetryConfig| {
            Senders::configured(
                config,
                &Secrets::default(),
                &RegistryPaths::in_data_directory("/".as_ref()),
            )
        };
        assert!(make(&config).usable.is_empty() && make(&config).unusable.is_empty());
        let channels = &mut config.settings.notifications;
        channels.slack.enabled = true;
        channels.discord.enabled = true;
        channels.webhook.enabled = true;
        channels.email.enabled = true;
        let none = make(&config);
        assert!(none.usable.is_empty());
        let unusable: Vec<_> = none.unusable.iter().map(|(channel, _)| *channel).collect();
        assert_eq!(unusable, ALL);
        let channels = &mut config.settings.notifications;
        channels.slack.webhook_url = "https://example.org/s".into();
        channels.discord.webhook_url = "https://example.org/d".into();
        channels.webhook.url = "https://example.org/w".into();
        channels.email.smtp_server = "localhost".into();
        channels.email.from_address = "a@example.org".into();
        channels.email.to_addresses = vec!["b@example.org".into()];
        assert_eq!(
            make(&config).channels(),
            ALL,
            "{:?}",
            make(&config).unusable
        );
    }
}
