//! What is wrong or odd in a configuration, and where.

use std::fmt;

use serde_json::Value;

use super::choices::Channel;
use super::keys::{Keys, WITHOUT_EFFECT, is_section, names_in, rule_of};
use super::settings::{EventFilters, Settings, TrustSettings};
use super::value_of;
use crate::document::{Document, Member, split_path};

/// Something in the configuration that should be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, or `environment`.
    pub file: String,
    /// The line of the key, from 1; none in the environment.
    pub line: Option<usize>,
    /// The key, with the sections it is in, or the environment variable.
    pub key: String,
    /// What it is set to, as JSON, cut to 80 characters.
    pub value: String,
    /// What would be allowed.
    pub allowed: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(
            f,
            ": `{}` is {}; allowed: {}",
            self.key, self.value, self.allowed
        )
    }
}

/// What is allowed for a member that is set to something else.
pub(crate) fn refusal(keys: &Keys, document: &Document, member: &Member) -> Option<String> {
    if is_section(keys, &member.path) {
        let keys = names_in(keys, &member.path).join(", ");
        return (!member.is_object).then(|| format!("an object with the keys {keys}"));
    }
    let rule = rule_of(keys, &member.path)?;
    (!rule.allows(&document.value(member))).then(|| rule.allowed())
}

/// What is allowed instead of a key that is not known. What stands under `for_people` is left
/// alone.
pub(crate) fn unknown(keys: &Keys, for_people: &[&str], path: &str) -> Option<String> {
    let (section, name) = split_path(path);
    let top = path.split('.').next().unwrap_or_default();
    let known = is_section(keys, path) || rule_of(keys, path).is_some();
    let told_with_its_section = !section.is_empty() && !is_section(keys, section);
    if known || told_with_its_section || for_people.contains(&top) || name == "description" {
        return None;
    }
    Some(format!(
        "no such key; known here are {}",
        names_in(keys, section).join(", ")
    ))
}

pub(crate) fn finding(
    document: &Document,
    file: &str,
    member: &Member,
    allowed: String,
) -> Finding {
    Finding {
        file: file.to_owned(),
        line: Some(member.line),
        key: member.path.clone(),
        value: shown(&member.path, &document.value(member)),
        allowed,
    }
}

/// What may be shown of a value: nothing of one that is a secret or may hold one, and of every
/// other web address only where it leads, in case it stands under a name that was mistyped.
pub(super) fn shown(key: &str, value: &Value) -> String {
    let text = value.to_string();
    if is_secret(key) && !value.is_null() {
        return "(hidden)".to_owned();
    }
    shorten(&without_paths(&text))
}

/// Whether a key's value is a secret, or holds some.
pub(super) fn is_secret(key: &str) -> bool {
    key.to_ascii_lowercase().contains("webhook")
        && !key.ends_with(".enabled")
        && !key.ends_with(".method")
}

/// `https://host/…` for every web address in a text.
fn without_paths(text: &str) -> String {
    let mut parts = text.split("://");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['"', ',', ' ', '\\']).unwrap_or(part.len());
        let (address, rest) = part.split_at(end);
        let host = address.split(['/', '?', '#']).next().unwrap_or_default();
        // a name and password before the host are secrets as well
        let bare = host.rsplit_once('@').map_or(host, |(_, bare)| bare);
        let cut = if address.len() > bare.len() {
            "/…"
        } else {
            ""
        };
        masked = format!("{masked}://{bare}{cut}{rest}");
    }
    masked
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Keys that are set to something and do nothing, with what holds instead.
pub(super) fn without_effect(settings: &Settings) -> Vec<Remark> {
    let defaults = Settings::default();
    let told = |(key, instead): &(&'static str, &str)| {
        let value = value_of(settings, key)?;
        let default = value_of(&defaults, key)?;
        (value != default).then(|| Remark {
            key,
            value: shown(key, &value),
            allowed: format!("anything, but it has no effect: {instead}"),
        })
    };
    WITHOUT_EFFECT.iter().filter_map(told).collect()
}

/// What is odd about a setting that is allowed by itself.
pub(super) struct Remark {
    /// The key, with the sections it is in.
    pub(super) key: &'static str,
    /// What it is set to, as it is shown.
    pub(super) value: String,
    /// What would do.
    pub(super) allowed: String,
}

/// Settings that do not go together.
pub(super) fn contradictions(settings: &Settings) -> Vec<Remark> {
    let mut found = Vec::new();
    found.extend(of_trust(&settings.trust_settings));
    found.extend(of_filters(&settings.event_filters));
    // messages that go nowhere look like a quiet federation
    if settings.notifications.enabled && settings.notifications.channels.is_empty() {
        let names = Channel::NAMES.join(", ");
        let allowed = format!("some of {names} while notifications are enabled");
        found.push(Remark {
            key: "notifications.channels",
            value: "[]".to_owned(),
            allowed,
        });
    }
    // the registry's schema has these keys: kept, and said to do nothing
    let unsupported = [
        (
            "advanced.custom_consensus_algorithm",
            &settings.advanced.custom_consensus_algorithm,
        ),
        (
            "advanced.external_validator_api",
            &settings.advanced.external_validator_api,
        ),
    ];
    for (key, value) in unsupported {
        if let Some(value) = value {
            found.push(Remark {
                key,
                value: shorten(&format!("{value:?}")),
                allowed: "null; this node has no such thing".to_owned(),
            });
        }
    }
    found
}

/// One slip is told once: where a score may begin is asked only if the range itself makes sense.
fn of_trust(trust: &TrustSettings) -> Option<Remark> {
    let (least, most) = (trust.min_trust_score, trust.max_trust_score);
    if least > most {
        return Some(Remark {
            key: "trust_settings.min_trust_score",
            value: least.to_string(),
            allowed: format!("at most max_trust_score, which is {most}"),
        });
    }
    let initial = trust.initial_trust_score;
    (!(least..=most).contains(&initial)).then(|| Remark {
        key: "trust_settings.initial_trust_score",
        value: initial.to_string(),
        allowed: format!("a whole number from {least} to {most}"),
    })
}

/// Types in both lists: whoever named one twice should know which of the lists counts.
fn of_filters(filters: &EventFilters) -> impl Iterator<Item = Remark> {
    let both = filters
        .sync_event_types
        .iter()
        .filter(|t| filters.exclude_event_types.contains(t));
    both.map(|both| Remark {
        key: "event_filters.exclude_event_types",
        value: format!("{both:?}"),
        allowed: "types that sync_event_types does not name; exclusion holds".to_owned(),
    })
}
