//! Tokens of services: from the environment, or from a file that only its owner can read. Never
//! from the configuration, never in a message.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use reqwest::Url;
use reqwest::header::HeaderValue;
use ssid_storage::regular;
use zeroize::Zeroizing;

use super::error::ProviderError;
use crate::config::{is_variable, names_host};

/// Bytes of the longest token; the longest seen are JWTs of about 1 KiB.
const TOKEN_BYTES: u64 = 16 * 1024;

/// A bearer token.
#[derive(Clone)]
pub(super) struct Token(Zeroizing<String>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl Token {
    /// The token that `variable` holds, or that stands in the file which `variable` + `_FILE`
    /// names, for the server at `base`; `variable` + `_HOST` must name it, or a repository could
    /// have the token sent anywhere.
    ///
    /// # Errors
    /// If neither is set, if the file cannot be used or can be read by others, or if the token is
    /// for another server.
    pub(super) fn find(
        provider: &'static str,
        variable: &str,
        base: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ProviderError> {
        // the configuration names it, and a repository may be the configuration: no other secret is
        // to be read by that name
        if !is_variable(variable) {
            return Err(ProviderError::TokenVariable {
                variable: variable.to_owned(),
            });
        }
        let token = Self::set(provider, variable, lookup)?;
        let url = Url::parse(base).map_err(|e| ProviderError::Client(format!("{base}: {e}")))?;
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        let named = lookup(&format!("{variable}_HOST")).unwrap_or_default();
        // the port too: another program of that host may be anybody's
        if !names_host(&named, host, port) {
            let host = format!("{host}:{port}");
            return Err(ProviderError::TokenHost {
                provider,
                variable: variable.to_owned(),
                host,
            });
        }
        Ok(token)
    }

    fn set(
        provider: &'static str,
        variable: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ProviderError> {
        let set = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        if let Some(token) = set(variable) {
            return Ok(Self(Zeroizing::new(token.trim().to_owned())));
        }
        match set(&format!("{variable}_FILE")) {
            Some(path) => Self::from_file(Path::new(&path)),
            None => Err(ProviderError::NoToken {
                provider,
                variable: variable.to_owned(),
            }),
        }
    }

    fn from_file(path: &Path) -> Result<Self, ProviderError> {
        let refused = |reason: String| ProviderError::TokenFile {
            path: PathBuf::from(path),
            reason,
        };
        let file = regular::open(OpenOptions::new().read(true), path)
            .map_err(|e| refused(e.to_string()))?;
        let meta = file.metadata().map_err(|e| refused(e.to_string()))?;
        let mode = meta.permissions().mode() & 0o7777;
        if !meta.is_file() || mode & 0o077 != 0 {
            return Err(refused(format!("mode {mode:04o}")));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(TOKEN_BYTES)
            .read_to_string(&mut text)
            .map_err(|e| refused(e.to_string()))?;
        if text.trim().is_empty() {
            return Err(refused("it is empty".to_owned()));
        }
        Ok(Self(Zeroizing::new(text.trim().to_owned())))
    }

    /// The `Authorization` header, marked so that no log shows it.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0.as_str())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use super::*;

    #[test]
    fn it_comes_from_the_environment_or_a_private_file_and_is_never_shown() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("token");
        fs::write(&path, "s3cret\n").unwrap();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let file = path.display().to_string();
        let lookup = |name: &str| (name == "SSID_T_TOKEN_FILE").then(|| file.clone());
        mode(0o640);
        let refused = Token::set("remote", "SSID_T_TOKEN", &lookup)
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("0640")
                && refused.contains("chmod 600")
                && !refused.contains("s3cret"),
            "{refused}"
        );
        mode(0o600);
        let token = Token::set("remote", "SSID_T_TOKEN", &lookup).unwrap();
        assert_eq!(token.header().unwrap(), "Bearer s3cret");
        assert!(!format!("{token:?} {:?}", token.header()).contains("s3cret"));
        let direct = Token::set("remote", "SSID_T_TOKEN", &|name| {
            (name == "SSID_T_TOKEN").then(|| "other".to_owned())
        })
        .unwrap();
        assert_eq!(direct.header().unwrap(), "Bearer other");
        let empty = |name: &str| {
            if name == "SSID_T_TOKEN" {
                Some(String::new())
            } else {
                lookup(name)
            }
        };
        let token = Token::set("remote", "SSID_T_TOKEN", &empty).unwrap();
        assert_eq!(
            token.header().unwrap(),
            "Bearer s3cret",
            "an empty variable is not set"
        );
        let missing = Token::set("remote", "SSID_T_TOKEN", &|_| None)
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains("SSID_T_TOKEN_FILE") && missing.contains("`remote`"),
            "{missing}"
        );
    }

    #[test]
    fn it_is_for_the_servers_that_are_named_for_it() {
        let ask = |variable: &str, base: &str, host: Option<&str>| {
            let lookup = |name: &str| match name {
                "SSID_T_TOKEN_HOST" => host.map(str::to_owned),
                _ => Some("s3cret".to_owned()),
            };
            Token::find("remote", variable, base, &lookup)
                .map(|_| ())
                .map_err(|e| e.to_string())
        };
        let named = Some("ipfs.example, 127.0.0.1:5001");
        assert_eq!(ask("SSID_T_TOKEN", "https://ipfs.example/x", named), Ok(()));
        assert_eq!(ask("SSID_T_TOKEN", "http://127.0.0.1:5001", named), Ok(()));
        for (base, named) in [
            ("https://evil.example", named),
            ("http://127.0.0.1:5002", named),
            ("https://a.example", None),
        ] {
            let refused = ask("SSID_T_TOKEN", base, named).unwrap_err();
            assert!(
                refused.contains("SSID_T_TOKEN_HOST") && !refused.contains("s3cret"),
                "{refused}"
            );
        }
        let refused = ask("SSID_KEY_PASSPHRASE", "https://ipfs.example", named).unwrap_err();
        assert!(refused.contains("SSID_…_TOKEN"), "{refused}");
    }
}
