//! Secrets: a webhook's URL is as good as a password. They have no `Serialize`, and neither `Debug`
//! nor `Display` shows more of them than the host.

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Url;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The address of a webhook.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(Url);

impl SecretUrl {
    /// Takes an address: https, or http on this machine.
    pub fn parse(text: &str) -> Option<Self> {
        let is_allowed = crate::config::Rule::WebAddress.allows(&serde_json::Value::from(text));
        (is_allowed && !text.is_empty())
            .then(|| text.parse().ok().map(Self))
            .flatten()
    }

    /// The address itself, to be handed to the HTTP client and to nothing else.
    pub(super) fn reveal(&self) -> &Url {
        &self.0
    }

    /// Eight bytes of a hash in hex: tells two addresses apart without showing them.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::new()
            .chain_update("ssid-telemetry/url/1\0")
            .chain_update(self.0.as_str())
            .finalize();
        hex::encode(&digest[..8])
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}/…",
            self.0.scheme(),
            self.0.host_str().unwrap_or_default()
        )
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({self})")
    }
}

/// A password or key.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes it; `None` if it is empty.
    pub fn new(text: String) -> Option<Self> {
        (!text.is_empty()).then(|| Self(Zeroizing::new(text)))
    }

    /// The secret itself.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whether others than its owner can read a file; `None` if that cannot be told.
pub fn others_can_read(path: &Path) -> Option<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    Some(mode & 0o077 != 0)
}

/// Where secrets come from: the environment first, then the configuration file if only its owner
/// can read it.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    variables: std::collections::BTreeMap<String, Secret>,
    shared_file: Option<PathBuf>,
}

/// The variables that are looked at.
pub const VARIABLES: [&str; 6] = [
    "SLACK_WEBHOOK_URL",
    "DISCORD_WEBHOOK_URL",
    "SSID_WEBHOOK_URL",
    "SSID_WEBHOOK_SECRET",
    "SSID_SMTP_PASSWORD",
    "SSID_SMTP_PASSWORD_HOST",
];

impl Secrets {
    /// Looks the variables up, and whether secrets may stand in the file.
    pub fn find(variable: impl Fn(&str) -> Option<String>, config_file: &Path) -> Self {
        let set = |name: &&str| Some(((*name).to_owned(), Secret::new(variable(name)?)?));
        let shared_file = others_can_read(config_file)
            .unwrap_or(false)
            .then(|| config_file.to_owned());
        Self {
            variables: VARIABLES.iter().filter_map(set).collect(),
            shared_file,
        }
    }

    /// Only the environment's.
    pub fn in_environment() -> Self {
        Self::find(|name| std::env::var(name).ok(), Path::new(""))
    }

    /// The secret in this variable.
    pub fn variable(&self, name: &str) -> Option<&Secret> {
        self.variables.get(name)
    }

    /// The address in `variable`, else the one that the configuration file has under `key`.
    ///
    /// # Errors
    /// If there is none, if it is none, or if it stands in a file that others can read: what to do,
    /// without showing it.
    pub fn address(&self, variable: &str, key: &str, in_file: &str) -> Result<SecretUrl, String> {
        let (text, place) = match self.variable(variable) {
            Some(secret) => (secret.reveal(), format!("the variable {variable}")),
            None if in_file.is_empty() => {
                return Err(format!("its address is not set; set {variable}, or {key}"));
            }
            None => (in_file, key.to_owned()),
        };
        if let (None, Some(file)) = (self.variable(variable), &self.shared_file) {
            let file = file.display();
            return Err(format!(
                "{key} is a secret, and others can read '{file}'; set {variable} instead, or run: chmod 600 {file}"
            ));
        }
        SecretUrl::parse(text)
            .ok_or_else(|| format!("{place} is no https address (http only on this machine)"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const URL: &str = "https://hooks.slack.com/services/T0/B0/hidden";

    #[test]
    fn nothing_shows_the_path() {
        let url = SecretUrl::parse(URL).unwrap();
        for shown in [
            format!("{url}"),
            format!("{url:?}"),
            format!("{:?}", Secret::new("hidden".into())),
        ] {
            assert!(
                !shown.contains("hidden") && !shown.contains("T0"),
                "{shown}"
            );
        }
        assert_eq!(url.fingerprint().len(), 16);
        assert_ne!(
            url.fingerprint(),
            SecretUrl::parse("https://hooks.slack.com/services/T0/B0/x")
                .unwrap()
                .fingerprint()
        );
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        assert!(SecretUrl::parse("http://127.0.0.1:8090/slack/x").is_some());
        assert!(SecretUrl::parse("http://localhost/x").is_some());
        for refused in ["http://example.org/x", "ftp://localhost/", "hidden", ""] {
            assert!(SecretUrl::parse(refused).is_none(), "{refused}");
        }
    }

    #[test]
    fn the_environment_comes_first_and_a_shared_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("telemetry_config.json");
        std::fs::write(&file, "{}").unwrap();
        let mode =
            |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let ask = |variable: Option<&str>| {
            let secrets = Secrets::find(
                |name| {
                    variable
                        .filter(|_| name == "SLACK_WEBHOOK_URL")
                        .map(str::to_owned)
                },
                &file,
            );
            secrets.address("SLACK_WEBHOOK_URL", "notifications.slack.webhook_url", URL)
        };
        mode(0o644);
        let refused = ask(None).unwrap_err();
        assert!(
            refused.contains("chmod 600") && !refused.contains("hidden"),
            "{refused}"
        );
        assert_eq!(
            ask(Some("https://example.org/a")).unwrap().to_string(),
            "https://example.org/…"
        );
        mode(0o600);
        assert_eq!(ask(None).unwrap().to_string(), "https://hooks.slack.com/…");
        assert_eq!(
            ask(Some("")).unwrap().to_string(),
            "https://hooks.slack.com/…",
            "an empty one is not set"
        );
        assert!(
            ask(Some("no address hidden"))
                .unwrap_err()
                .starts_with("the variable SLACK_WEBHOOK_URL is no https")
        );
    }
}
