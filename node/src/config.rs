//! The node's configuration, `federation_config.json`: typed settings over a file that people also
//! edit. Whatever the file holds besides survives a rewrite, in its place and as it was written.

mod atomic;
mod choices;
mod finding;
mod keys;
mod layers;
mod settings;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

pub use atomic::write_atomic;
pub use choices::*;
pub use finding::Finding;
use finding::{contradictions, shown, without_effect};
pub(crate) use finding::{finding, refusal, unknown};
use keys::{FOR_PEOPLE, KEYS, names_in, variable_of};
pub(crate) use keys::{Keys, Rule, is_variable};
pub use layers::{OF_THIS_MACHINE, environment, names_host};
pub use settings::*;
use ssid_storage::{PathContext as _, PathError};

use crate::document::{Document, Unreadable};
use crate::git::GitRemote;
use crate::place::Place;

/// Bytes of the largest configuration file that is read.
pub const FILE_BYTES: u64 = 1024 * 1024;

/// Variables that begin like an override and are none: secrets.
const OTHER_VARIABLES: &[&str] = &["SSID_API_TOKEN"];

/// The configuration of a node.
#[derive(Clone, Debug)]
pub struct Config {
    /// What holds: the file's values over the defaults, with the environment's over both.
    pub settings: Settings,
    /// `settings` without what the program has changed: only differences are saved.
    baseline: Settings,
    /// The text that the settings were read from.
    document: Document,
    /// Where it was read from, for findings.
    file: String,
    /// What was found in the environment.
    in_environment: Vec<Finding>,
    /// What a repository's file says of keys that it does not decide.
    not_taken: Vec<Finding>,
    /// Addresses for secrets that the data directory or the environment names.
    own: BTreeSet<&'static str>,
}

/// Why a configuration cannot be used. All but `Io` are the user's to mend (exit code 2).
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is none.
    #[error("there is no configuration {}\n  make one with: ssid init", .0.display())]
    Missing(PathBuf),
    /// It is no JSON object.
    #[error("{}: {what}\n  mend the file, then run: ssid config check", path.display())]
    Syntax {
        /// The file that cannot be read.
        path: PathBuf,
        /// What is wrong, with line and column.
        what: String,
    },
    /// Keys have values that are not allowed.
    #[error("{}\n  mend what is named, then run: ssid config check", lines(.0))]
    Invalid(Vec<Finding>),
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] PathError),
}

fn lines(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

impl Default for Config {
    /// Works on a laptop.
    fn default() -> Self {
        Self::of(
            Document::of(&Settings::default()),
            "federation_config.json",
            Settings::default(),
        )
    }
}

impl Config {
    fn of(document: Document, file: &str, settings: Settings) -> Self {
        Self {
            baseline: settings.clone(),
            settings,
            document,
            file: file.to_owned(),
            in_environment: Vec::new(),
            not_taken: Vec::new(),
            own: BTreeSet::new(),
        }
    }

    /// Reads the configuration at `path`.
    ///
    /// # Errors
    /// If it is missing, no JSON object, or sets a key to what is not allowed: then every such key
    /// is named.
    pub fn load(place: impl Into<Place>) -> Result<Self, ConfigError> {
        let path = &place.into();
        let document = read(path)?;
        Self::from_document(document, &path.display().to_string())
    }

    /// Reads the configuration at `path`, or takes the defaults if there is none.
    ///
    /// # Errors
    /// As [`load`](Self::load), but not if it is missing.
    pub fn load_or_default(place: impl Into<Place>) -> Result<Self, ConfigError> {
        let path = &place.into();
        match Self::load(path) {
            Err(ConfigError::Missing(_)) => Ok(Self {
                file: path.display().to_string(),
                ..Self::default()
            }),
            result => result,
        }
    }

    fn from_document(document: Document, file: &str) -> Result<Self, ConfigError> {
        let wrong: Vec<Finding> = document
            .members()
            .iter()
            .filter_map(|member| Some((member, refusal(KEYS, &document, member)?)))
            .map(|(member, allowed)| finding(&document, file, member, allowed))
            .collect();
        if !wrong.is_empty() {
            return Err(ConfigError::Invalid(wrong));
        }
        let syntax = |e: serde_json::Error| ConfigError::Syntax {
            path: file.into(),
            what: e.to_string(),
        };
        // by way of a value, which takes the last of keys that stand twice, as the document does
        let value: Value = serde_json::from_str(document.text()).map_err(syntax)?;
        let settings = serde_json::from_value(value).map_err(syntax)?;
        Ok(Self::of(document, file, settings))
    }

    /// Sets keys from environment variables: `sync_settings.timeout_seconds` from
    /// `SSID_SYNC_SETTINGS_TIMEOUT_SECONDS`. Lists are separated by commas. What is set like this
    /// is not saved. Other variables are passed over; such as begin like a section's and fit no key
    /// are named by [`check`](Self::check).
    ///
    /// # Errors
    /// If variables have values that are not allowed: then every such variable is named, and
    /// nothing is set.
    pub fn apply_env(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        // all that is wrong is named at once, and nothing is set before that is known
        let mut wrong = Vec::new();
        let mut unknown = Vec::new();
        let mut chosen = Vec::new();
        for (name, text) in variables {
            let found = |allowed: String| Finding {
                file: "environment".to_owned(),
                line: None,
                key: name.clone(),
                value: shown(&name, &Value::from(text.as_str())),
                allowed,
            };
            match KEYS.iter().find(|(key, _)| variable_of(key) == name) {
                Some((key, rule)) => {
                    let value = rule.read(&text);
                    if rule.allows(&value) {
                        chosen.push((*key, value));
                    } else {
                        wrong.push(found(rule.allowed()));
                    }
                }
                // a slip in a variable's name would else be silent: the node would run with what it
                // was to override
                None if is_like_an_override(&name) => unknown.push(found("no such key".to_owned())),
                None => {}
            }
        }
        // half of an environment is nobody's intention
        if !wrong.is_empty() {
            return Err(ConfigError::Invalid(wrong));
        }
        self.settings = with(&self.settings, &chosen)?;
        // so that it is no change, and a save does not write it into the file
        self.baseline = with(&self.baseline, &chosen)?;
        self.own.extend(chosen.iter().map(|(key, _)| *key));
        self.in_environment = unknown;
        Ok(())
    }

    /// What deserves a look though the node can run with it: keys it does not know, keys that stand
    /// twice, settings that contradict each other or have no effect, variables of the environment
    /// that set nothing.
    pub fn check(&self) -> Vec<Finding> {
        let members = self.document.members();
        let mut findings = Vec::new();
        for (index, member) in members.iter().enumerate() {
            if let Some(allowed) = unknown(KEYS, FOR_PEOPLE, &member.path) {
                findings.push(finding(&self.document, &self.file, member, allowed));
            } else if members[..index].iter().any(|m| m.path == member.path) {
                // JSON lets a key stand twice, and people change the first of the two
                let allowed = "to stand once; the last one counts".to_owned();
                findings.push(finding(&self.document, &self.file, member, allowed));
            }
        }
        // each is allowed by itself: they are asked about together
        let remarks = contradictions(&self.settings)
            .into_iter()
            .chain(without_effect(&self.settings));
        findings.extend(remarks.map(|remark| Finding {
            file: self.file.clone(),
            line: self.document.find(remark.key).map(|m| m.line),
            key: remark.key.to_owned(),
            value: remark.value,
            allowed: remark.allowed,
        }));
        // what this machine leaves out of the repository's file, and why
        findings.extend(self.not_taken.iter().cloned());
        findings.extend(self.in_environment.iter().cloned());
        findings
    }

    /// The settings, for people to read: secrets left out.
    pub fn to_show(&self) -> Settings {
        let mut settings = self.settings.clone();
        if let Some(url) = settings
            .advanced
            .webhook_on_consensus
            .as_mut()
            .filter(|url| !url.is_empty())
        {
            "(hidden)".clone_into(url);
        }
        let remote = &mut settings.local_node.git_remote;
        *remote = GitRemote::shown(remote);
        settings
    }

    /// Writes what has been changed in `settings` since they were read to the file at `path`, whole
    /// or not at all. The rest of the file stays as it is now; a file that is missing is made, with
    /// every key.
    ///
    /// # Errors
    /// If settings were changed to what is not allowed, or the file cannot be read as JSON, or not
    /// written.
    pub fn save_atomic(&mut self, place: impl Into<Place>) -> Result<(), ConfigError> {
        let path = &place.into();
        // as the file is now: people edit it while a node runs
        let mut document = match read(path) {
            Err(ConfigError::Missing(_)) => self.document.clone(),
            result => result?,
        };
        let mut wrong = Vec::new();
        for (key, rule) in KEYS {
            let (Some(now), before) =
                (value_of(&self.settings, key), value_of(&self.baseline, key))
            else {
                continue;
            };
            // only what was changed here: all else stays as it is written, also what is not known
            if before.as_ref() == Some(&now) {
                continue;
            }
            document.set(key, &now);
            let member = document.find(key).filter(|_| !rule.allows(&now));
            wrong.extend(
                member.map(|m| finding(&document, &path.display().to_string(), m, rule.allowed())),
            );
        }
        if !wrong.is_empty() {
            return Err(ConfigError::Invalid(wrong));
        }
        let text = document.text().as_bytes();
        let is_secret = layers::has_password(&self.settings.local_node.git_remote);
        // a password in an address: nobody else may read the file, whatever its mode was
        let written = if is_secret {
            path.replace_secret(text)
        } else {
            path.replace(text)
        };
        written.context("write", path)?;
        // from now on this is what a change is compared with
        self.document = document;
        self.baseline = self.settings.clone();
        self.file = path.display().to_string();
        Ok(())
    }
}

/// The text of a configuration file, which has to be a JSON object of at most [`FILE_BYTES`].
pub(crate) fn read(path: &Place) -> Result<Document, ConfigError> {
    Document::read(path, FILE_BYTES).map_err(|unreadable| match unreadable {
        Unreadable::Missing => ConfigError::Missing(path.to_path_buf()),
        Unreadable::Syntax(what) => ConfigError::Syntax {
            path: path.to_path_buf(),
            what,
        },
        Unreadable::Io(error) => ConfigError::Io(error),
    })
}

fn is_like_an_override(name: &str) -> bool {
    names_in(KEYS, "")
        .iter()
        .any(|section| name.starts_with(&(variable_of(section) + "_")))
        && !OTHER_VARIABLES.contains(&name)
}

fn value_of(settings: &Settings, key: &str) -> Option<Value> {
    let value = serde_json::to_value(settings).ok()?;
    value
        .pointer(&format!("/{}", key.replace('.', "/")))
        .cloned()
}

fn with(settings: &Settings, changes: &[(&str, Value)]) -> Result<Settings, ConfigError> {
    let syntax = |e: serde_json::Error| ConfigError::Syntax {
        path: "environment".into(),
        what: e.to_string(),
    };
    let mut value = serde_json::to_value(settings).map_err(syntax)?;
    for (key, change) in changes {
        if let Some(place) = value.pointer_mut(&format!("/{}", key.replace('.', "/"))) {
            *place = change.clone();
        }
    }
    serde_json::from_value(value).map_err(syntax)
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
