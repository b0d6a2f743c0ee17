//! What `telemetry_config.json` says, key by key, with the defaults.

use super::{BTreeMap, Deserialize, Serialize};

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

section!(
    /// The whole file.
    TelemetrySettings {
        /// Whether anything is checked at all.
        enabled: bool = true,
        /// Seconds between two checks while watching.
        check_interval_seconds: u64 = 300,
        /// The dashboard, relative to the repository; empty: the known places.
        dashboard_csv: String = String::new(),
        /// When to tell how urgently.
        thresholds: Thresholds = Thresholds::default(),
        /// Where to tell.
        notifications: Channels = Channels::default(),
        /// What to tell.
        event_filters: Filters = Filters::default(),
    }
);

section!(
    /// The section `thresholds`: when is told how urgently.
    Thresholds {
        /// A score below this is a warning.
        compliance_score_min: f64 = 95.0,
        /// A score below this is critical.
        compliance_score_critical: f64 = 90.0,
        /// A fall by so many points is a warning.
        score_drop_warning: f64 = 5.0,
        /// A fall by so many points is critical.
        score_drop_critical: f64 = 10.0,
        /// More violations than this are told.
        max_violations: u64 = 0,
    }
);

section!(
    /// The section `notifications`: the channels.
    Channels {
        /// Slack, by an incoming webhook.
        slack: SlackSettings = SlackSettings::default(),
        /// Discord, by a webhook.
        discord: DiscordSettings = DiscordSettings::default(),
        /// Any webhook that takes JSON.
        webhook: WebhookSettings = WebhookSettings::default(),
        /// Mail over an SMTP server.
        email: EmailSettings = EmailSettings::default(),
    }
);

section!(
    /// The section `notifications.slack`.
    SlackSettings {
        /// Whether it is used.
        enabled: bool = false,
        /// The incoming webhook; `SLACK_WEBHOOK_URL` goes before it.
        webhook_url: String = String::new(),
        /// The channel that old webhooks may choose; new ones have theirs.
        channel: String = String::new(),
        /// The name that old webhooks may choose.
        username: String = String::new(),
        /// The picture that old webhooks may choose.
        icon_emoji: String = String::new(),
    }
);

section!(
    /// The section `notifications.discord`.
    DiscordSettings {
        /// Whether it is used.
        enabled: bool = false,
        /// The webhook; `DISCORD_WEBHOOK_URL` goes before it.
        webhook_url: String = String::new(),
        /// The name it appears under; empty: the webhook's own.
        username: String = String::new(),
        /// The picture it appears with; empty: the webhook's own.
        avatar_url: String = String::new(),
    }
);

section!(
    /// The section `notifications.webhook`.
    WebhookSettings {
        /// Whether it is used.
        enabled: bool = false,
        /// Where; `SSID_WEBHOOK_URL` goes before it.
        url: String = String::new(),
        /// With which HTTP method.
        method: String = "POST".to_owned(),
        /// With which headers besides.
        headers: BTreeMap<String, String> = BTreeMap::new(),
    }
);

section!(
    /// The section `notifications.email`.
    EmailSettings {
        /// Whether it is used.
        enabled: bool = false,
        /// The server's name.
        smtp_server: String = String::new(),
        /// The port of the server.
        smtp_port: u16 = 587,
        /// How the connection is protected; without it `use_tls` and the port say.
        security: Option<Security> = None,
        /// Whether the connection is protected, in files that have no `security`.
        use_tls: bool = true,
        /// Who logs in; empty: nobody. The password is in `SSID_SMTP_PASSWORD`.
        username: String = String::new(),
        /// Certificates in PEM that are trusted besides the system's, relative to the repository;
        /// empty: none.
        ca_file: String = String::new(),
        /// The sender's mail address.
        from_address: String = String::new(),
        /// The recipients' mail addresses.
        to_addresses: Vec<String> = Vec::new(),
    }
);

section!(
    /// The section `event_filters`: what is told, a switch each.
    Filters {
        /// Whether releases are told.
        notify_on_release: bool = true,
        /// Scores that changed.
        notify_on_score_change: bool = true,
        /// Whether violations are told.
        notify_on_violation: bool = true,
        /// Whether quarterly reports are told.
        notify_on_quarterly_report: bool = true,
        /// Blueprints that came into force.
        notify_on_blueprint_update: bool = true,
    }
);

/// How a mail connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Begins in the clear and must change to TLS before anything is said.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// Not at all: only without a password.
    None,
}

impl Security {
    /// Every name, as in the file.
    pub const NAMES: &'static [&'static str] = &["starttls", "tls", "none"];
}

impl EmailSettings {
    /// How the connection is protected.
    pub fn protection(&self) -> Security {
        /// The port on which TLS begins at once (RFC 8314).
        const SUBMISSIONS: u16 = 465;
        match self.security {
            Some(security) => security,
            None if !self.use_tls => Security::None,
            None if self.smtp_port == SUBMISSIONS => Security::Tls,
            None => Security::Starttls,
        }
    }
}
