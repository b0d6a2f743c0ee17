//! `telemetry_config.json`: thresholds, filters and channels. Read only, so that every key it holds
//! besides survives; keys that are not known are named with their line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{self, ConfigError, Finding, Keys, Rule};
use crate::document::{Document, Member};
use crate::place::Place;
use crate::registry::paths::RegistryPaths;

mod settings;

pub use settings::*;

/// The keys, by section.
const KEYS: &Keys = &[
    ("enabled", Rule::Flag),
    ("check_interval_seconds", Rule::Whole(1, 24 * 60 * 60)),
    ("dashboard_csv", Rule::Text),
    ("thresholds.compliance_score_min", SCORE),
    ("thresholds.compliance_score_critical", SCORE),
    ("thresholds.score_drop_warning", SCORE),
    ("thresholds.score_drop_critical", SCORE),
    ("thresholds.max_violations", Rule::Whole(0, 1_000_000)),
    ("notifications.slack.enabled", Rule::Flag),
    ("notifications.slack.webhook_url", Rule::WebAddress),
    ("notifications.slack.channel", Rule::Text),
    ("notifications.slack.username", Rule::Text),
    ("notifications.slack.icon_emoji", Rule::Text),
    ("notifications.discord.enabled", Rule::Flag),
    ("notifications.discord.webhook_url", Rule::WebAddress),
    ("notifications.discord.username", Rule::Text),
    ("notifications.discord.avatar_url", Rule::WebAddress),
    ("notifications.webhook.enabled", Rule::Flag),
    ("notifications.webhook.url", Rule::WebAddress),
    (
        "notifications.webhook.method",
        Rule::Word(&["POST", "PUT", "PATCH"]),
    ),
    ("notifications.webhook.headers", Rule::Headers),
    ("notifications.email.enabled", Rule::Flag),
    ("notifications.email.smtp_server", Rule::Text),
    ("notifications.email.smtp_port", Rule::Whole(1, 65_535)),
    ("notifications.email.security", Rule::Word(Security::NAMES)),
    ("notifications.email.use_tls", Rule::Flag),
    ("notifications.email.username", Rule::Text),
    ("notifications.email.ca_file", Rule::Text),
    ("notifications.email.from_address", Rule::Mailbox),
    ("notifications.email.to_addresses", Rule::Mailboxes),
    ("event_filters.notify_on_release", Rule::Flag),
    ("event_filters.notify_on_score_change", Rule::Flag),
    ("event_filters.notify_on_violation", Rule::Flag),
    ("event_filters.notify_on_quarterly_report", Rule::Flag),
    ("event_filters.notify_on_blueprint_update", Rule::Flag),
];

/// A score or a difference of scores.
const SCORE: Rule = Rule::Share(0, 100_000);

/// Keys at the top that say something to people only.
const FOR_PEOPLE: &[&str] = &[
    "blueprint_version",
    "config_version",
    "description",
    "compliance",
    "documentation",
    "examples",
];

/// The configuration of telemetry.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// What holds: the file's values over the defaults.
    pub settings: TelemetrySettings,
    /// Where it was read from, or would be.
    pub file: PathBuf,
    /// Keys that are not known: what deserves a look.
    pub findings: Vec<Finding>,
}

impl TelemetryConfig {
    /// Reads the file at `path`, or takes the defaults if there is none.
    ///
    /// # Errors
    /// If it is no JSON object, or sets keys to what is not allowed: then every such key is named.
    pub fn load_or_default(place: impl Into<Place>) -> Result<Self, ConfigError> {
        let path = &place.into();
        let document = match config::read(path) {
            Err(ConfigError::Missing(_)) => {
                return Ok(Self {
                    settings: TelemetrySettings::default(),
                    file: path.to_path_buf(),
                    findings: Vec::new(),
                });
            }
            result => result?,
        };
        let file = path.display().to_string();
        let told = |judge: &dyn Fn(&str, &Member) -> Option<String>| -> Vec<Finding> {
            let judged = document
                .members()
                .iter()
                .filter_map(|member| Some((member, judge(&member.path, member)?)));
            judged
                .map(|(member, allowed)| config::finding(&document, &file, member, allowed))
                .collect()
        };
        // all of them at once: whoever mends a file one error at a time gives up
        let wrong = told(&|_, member| config::refusal(KEYS, &document, member));
        if !wrong.is_empty() {
            return Err(ConfigError::Invalid(wrong));
        }
        // an unknown key is told and kept: a later version may know it
        let findings = told(&|key, _| config::unknown(KEYS, FOR_PEOPLE, key));
        Ok(Self {
            settings: parse(&document, path)?,
            file: path.to_path_buf(),
            findings,
        })
    }

    /// Where the dashboard is looked for, in order: where `dashboard_csv` says, or the two places
    /// that deployments and the blueprint name.
    pub fn dashboard_places(&self, paths: &RegistryPaths) -> Vec<Place> {
        if !self.settings.dashboard_csv.is_empty() {
            return vec![paths.at(&self.settings.dashboard_csv)];
        }
        let beside = paths.telemetry_config.with_file_name("dashboard_data.csv");
        let mut places = vec![paths.dashboard_csv.clone(), beside];
        places.dedup();
        places
    }
}

fn parse(document: &Document, path: &Path) -> Result<TelemetrySettings, ConfigError> {
    let syntax = |e: serde_json::Error| ConfigError::Syntax {
        path: path.to_owned(),
        what: e.to_string(),
    };
    // by way of a value, which takes the last of keys that stand twice, as the document does
    let value: Value = serde_json::from_str(document.text()).map_err(syntax)?;
    serde_json::from_value(value).map_err(syntax)
}

#[cfg(test)]
mod tests;
