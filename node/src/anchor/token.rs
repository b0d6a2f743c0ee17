//! Tokens of services: from the environment, or from a file that only its owner can read. Never from the configuration,
//! never in a message.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use reqwest::header::HeaderValue;
use ssid_storage::regular;
use zeroize::Zeroizing;

use super::error::ProviderError;

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
    /// The token that `variable` holds, or that stands in the file which `variable` + `_FILE` names.
    ///
    /// # Errors
    /// If neither is set, or the file cannot be used or can be read by others.
    pub(super) fn find(
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
            None => Err(ProviderError::NoToken { provider, variable: variable.to_owned() }),
        }
    }

    fn from_file(path: &Path) -> Result<Self, ProviderError> {
        let refused = |reason: String| ProviderError::TokenFile { path: PathBuf::from(path), reason };
        let file = regular::open(OpenOptions::new().read(true), path).map_err(|e| refused(e.to_string()))?;
        let meta = file.metadata().map_err(|e| refused(e.to_string()))?;
        let mode = meta.permissions().mode() & 0o7777;
        if !meta.is_file() || mode & 0o077 != 0 {
            return Err(refused(format!("mode {mode:04o}")));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(TOKEN_BYTES).read_to_string(&mut text).map_err(|e| refused(e.to_string()))?;
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
        let lookup = |name: &str| (name == "T_FILE").then(|| file.clone());
        mode(0o640);
        let refused = Token::find("remote", "T", &lookup).unwrap_err().to_string();
        assert!(refused.contains("0640") && refused.contains("chmod 600") && !refused.contains("s3cret"), "{refused}");
        mode(0o600);
        let token = Token::find("remote", "T", &lookup).unwrap();
        assert_eq!(token.header().unwrap(), "Bearer s3cret");
        assert!(!format!("{token:?} {:?}", token.header()).contains("s3cret"));
        let direct = Token::find("remote", "T", &|name| (name == "T").then(|| "other".to_owned())).unwrap();
        assert_eq!(direct.header().unwrap(), "Bearer other");
        let empty = |name: &str| if name == "T" { Some(String::new()) } else { lookup(name) };
        let token = Token::find("remote", "T", &empty).unwrap();
        assert_eq!(token.header().unwrap(), "Bearer s3cret", "an empty variable is not set");
        let missing = Token::find("remote", "T", &|_| None).unwrap_err().to_string();
        assert!(missing.contains("T_FILE") && missing.contains("`remote`"), "{missing}");
    }
}
