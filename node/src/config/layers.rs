//! What holds where a node serves a repository. Whoever can commit to the repository writes its
//! file, so what is this machine's own – where it listens, which secrets it uses, what it may do to
//! the log – is taken from the data directory's `federation_config.json` and from the environment
//! only. Other keys are the repository's.

use std::collections::BTreeMap;

use super::{Config, ConfigError, Finding, Settings, shown, value_of, variable_of, with};
use crate::home::Home;
use crate::registry::paths::RegistryPaths;

/// Keys that a repository's file does not decide.
pub const OF_THIS_MACHINE: &[&str] = &[
    "api.listen",
    "api.token_env",
    "network.listen",
    "security.allowed_git_protocols",
    "conflict_resolution.auto_apply_consensus",
    "anchoring.remote_token_env",
    "anchoring.pinning_token_env",
];

/// Of these, what a repository decides as long as the data directory has no key: nothing is signed
/// or published then, and a sync of plain logs writes nothing but the repository itself.
const WITHOUT_KEYS: &[&str] = &[
    "security.allowed_git_protocols",
    "conflict_resolution.auto_apply_consensus",
];

/// Addresses that a secret is sent to, and the key that names its variable.
const ADDRESSED: &[(&str, &str)] = &[
    ("anchoring.remote_api", "anchoring.remote_token_env"),
    ("anchoring.pinning_api", "anchoring.pinning_token_env"),
];

impl Config {
    /// What holds for the node of `home`: the file that `paths` name over the defaults, for
    /// [`OF_THIS_MACHINE`] the data directory's where that is another file, and the environment's
    /// `variables` over all of them.
    ///
    /// # Errors
    /// If a file or variable cannot be used, or a Git address with a password stands where others
    /// can read it.
    pub fn effective(
        paths: &RegistryPaths,
        home: &Home,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::load_or_default(&paths.federation_config)?;
        let is_shared = paths.in_shared_repository();
        let is_readable = || {
            paths
                .federation_config
                .mode()
                .is_ok_and(|mode| mode & 0o077 != 0)
        };
        // whoever can read the file, or clone the repository, could push in this organisation's
        // name
        if has_password(&config.settings.local_node.git_remote) && (is_shared || is_readable()) {
            return Err(ConfigError::Invalid(vec![
                config.password_in_file(is_shared),
            ]));
        }
        // the file comes from whoever can commit: what is this machine's own is taken from
        // elsewhere
        if is_shared {
            let is_there = paths.federation_config.is_file();
            config.take_from(home, is_there)?;
        } else {
            // it is the operator's own file: hosts that it names may have this machine's secrets
            config.own = ADDRESSED.iter().map(|(address, _)| *address).collect();
        }
        // last: the environment overrides every file
        config.apply_env(variables)?;
        Ok(config)
    }

    /// Puts what is this machine's own in the place of what the repository's file says of it.
    fn take_from(&mut self, home: &Home, has_file: bool) -> Result<(), ConfigError> {
        let path = home.config();
        let local = if path.exists() {
            Some(Self::load(&path)?)
        } else {
            None
        };
        let has_keys = home.voting_key().exists();
        let defaults = Settings::default();
        let mut changes = Vec::new();
        // without keys a deployment is run from the repository alone, as the scripts did
        for key in OF_THIS_MACHINE
            .iter()
            .filter(|key| has_keys || !WITHOUT_KEYS.contains(key))
        {
            let (Some(there), Some(default)) =
                (value_of(&self.settings, key), value_of(&defaults, key))
            else {
                continue;
            };
            // that it stands there counts, not its value: a default may be set on purpose
            let named = local
                .as_ref()
                .filter(|local| local.document.find(key).is_some());
            let holds = named
                .and_then(|local| value_of(&local.settings, key))
                .unwrap_or_else(|| default.clone());
            // told, or an operator would wonder why a setting does nothing
            if has_file && there != default && there != holds {
                self.not_taken.push(Finding {
                    file: self.file.clone(),
                    line: self.document.find(key).map(|member| member.line),
                    key: (*key).to_owned(),
                    value: shown(key, &there),
                    allowed: format!(
                        "nothing here, and it has no effect: a repository does not decide it; set it in {}, or {}",
                        path.display(),
                        variable_of(key)
                    ),
                });
            }
            changes.push((*key, holds));
        }
        // addresses may come from the repository, but a secret is sent only where this machine says
        for (address, _) in ADDRESSED {
            let own = local
                .as_ref()
                .and_then(|local| value_of(&local.settings, address));
            if let Some(own) = own.filter(|own| Some(own) != value_of(&defaults, address).as_ref())
            {
                changes.push((*address, own));
                self.own.insert(*address);
            }
        }
        self.settings = with(&self.settings, &changes)?;
        self.baseline = with(&self.baseline, &changes)?;
        Ok(())
    }

    /// The hosts that this machine names itself for its secrets: by the variable that would name
    /// them otherwise, `SSID_PINNING_TOKEN_HOST` for the token in `SSID_PINNING_TOKEN`.
    pub fn secret_hosts(&self) -> BTreeMap<String, String> {
        let host = |(address, variable): &(&str, &str)| {
            let text = |key: &str| Some(value_of(&self.settings, key)?.as_str()?.to_owned());
            let url: reqwest::Url = text(address)
                .filter(|_| self.own.contains(address))?
                .parse()
                .ok()?;
            let named = format!("{}:{}", url.host_str()?, url.port_or_known_default()?);
            Some((format!("{}_HOST", text(variable)?), named))
        };
        ADDRESSED.iter().filter_map(host).collect()
    }

    fn password_in_file(&self, is_shared: bool) -> Finding {
        let key = "local_node.git_remote";
        let instead = "set SSID_LOCAL_NODE_GIT_REMOTE, or use Git's credential helper";
        Finding {
            file: self.file.clone(),
            line: self.document.find(key).map(|member| member.line),
            key: key.to_owned(),
            value: shown(key, &self.settings.local_node.git_remote.clone().into()),
            allowed: if is_shared {
                format!(
                    "an address without user and password: others read a repository's file; {instead}"
                )
            } else {
                format!(
                    "an address without user and password, or a file of mode 0600: chmod 600 {}",
                    self.file
                )
            },
        }
    }
}

/// The environment's variables, as far as they are Unicode.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Whether an address of a Git repository has a password or token in it.
pub(super) fn has_password(address: &str) -> bool {
    let Ok(url) = address.parse::<reqwest::Url>() else {
        return false;
    };
    url.password().is_some()
        || matches!(url.scheme(), "http" | "https") && !url.username().is_empty()
}

/// Whether `list`, hosts with commas between, names this one: `mail.example.org` for any port, or
/// `127.0.0.1:8080`.
pub fn names_host(list: &str, host: &str, port: u16) -> bool {
    let bare = |text: &str| text.trim_matches(['[', ']']).to_ascii_lowercase();
    let host = bare(host);
    list.split(',').map(str::trim).any(|named| {
        let with_port = named
            .rsplit_once(':')
            .and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?)));
        match with_port {
            // an IPv6 address without a port has colons too
            Some((name, of)) if !name.contains(':') || name.ends_with(']') => {
                bare(name) == host && of == port
            }
            _ => !host.is_empty() && bare(named) == host,
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::config::GitProtocol;

    /// A repository whose file says `repository`, and a data directory whose file says `own`, with
    /// a key or without.
    fn effective(
        repository: &str,
        own: Option<&str>,
        has_key: bool,
    ) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let (repo, home) = (dir.path().join("repo"), Home::new(dir.path().join("data")));
        home.create().unwrap();
        fs::create_dir_all(repo.join("07_governance_legal")).unwrap();
        fs::write(
            repo.join("07_governance_legal/federation_config.json"),
            repository,
        )
        .unwrap();
        if has_key {
            fs::write(home.voting_key(), "").unwrap();
        }
        if let Some(text) = own {
            fs::write(home.config(), text).unwrap();
        }
        let variable = ("SSID_ANCHORING_CID_VERSION".to_owned(), "1".to_owned());
        Config::effective(
            &RegistryPaths::choose(Some(&repo), home.root()),
            &home,
            [variable],
        )
    }

    const HOSTILE: &str = r#"{
        "api": {"listen": "0.0.0.0:80", "token_env": "SSID_OTHER_TOKEN"},
        "network": {"listen": ["/ip4/0.0.0.0/tcp/1"]},
        "security": {"allowed_git_protocols": ["file", "http", "git"], "max_event_age_days": 7},
        "conflict_resolution": {"auto_apply_consensus": true},
        "anchoring": {"remote_api": "https://evil.example", "remote_token_env": "SSID_API_TOKEN",
            "pinning_token_env": "SSID_IPFS_TOKEN"}
    }"#;

    #[test]
    fn a_repository_does_not_decide_what_is_this_machines() {
        let config = effective(HOSTILE, None, true).unwrap();
        let mut expected = Settings::default();
        expected.security.max_event_age_days = 7;
        expected.anchoring.remote_api = "https://evil.example".to_owned();
        expected.anchoring.cid_version = 1;
        assert_eq!(config.settings, expected);
        let said: Vec<_> = config
            .check()
            .into_iter()
            .filter(|f| f.allowed.contains("does not decide"))
            .collect();
        assert_eq!(
            said.iter().map(|f| f.key.as_str()).collect::<Vec<_>>(),
            OF_THIS_MACHINE
        );
        assert!(
            said[0].allowed.contains("SSID_API_LISTEN") && said[0].line == Some(2),
            "{}",
            said[0]
        );
        assert!(
            config.secret_hosts().is_empty(),
            "an address of the repository's names no host for a secret"
        );
    }

    #[test]
    fn the_data_directory_decides_it_and_names_hosts() {
        let own = r#"{"network": {"listen": ["/ip4/127.0.0.1/tcp/2"]}, "local_node": {"node_name": "not taken"},
            "security": {"allowed_git_protocols": ["file"]}, "anchoring": {"pinning_api": "https://pin.example/psa"}}"#;
        let config = effective(HOSTILE, Some(own), true).unwrap();
        assert_eq!(config.settings.network.listen, ["/ip4/127.0.0.1/tcp/2"]);
        assert_eq!(
            config.settings.security.allowed_git_protocols,
            [GitProtocol::File]
        );
        assert_eq!(
            (
                config.settings.local_node.node_name.as_str(),
                config.settings.api.listen.as_ref()
            ),
            ("", None)
        );
        let hosts = config.secret_hosts();
        assert_eq!(
            hosts.get("SSID_PINNING_TOKEN_HOST").map(String::as_str),
            Some("pin.example:443")
        );
        assert_eq!(hosts.len(), 1, "{hosts:?}");
    }

    #[test]
    fn without_a_key_a_sync_of_plain_logs_is_the_repositorys() {
        let config = effective(HOSTILE, None, false).unwrap();
        assert!(config.settings.conflict_resolution.auto_apply_consensus);
        assert_eq!(config.settings.security.allowed_git_protocols.len(), 3);
        assert_eq!(
            (
                &config.settings.api.listen,
                &config.settings.anchoring.remote_token_env
            ),
            (&None, &"SSID_IPFS_TOKEN".to_owned())
        );
    }

    #[test]
    fn passwords_in_addresses_are_for_files_of_their_owner() {
        let text = r#"{"local_node": {"git_remote": "https://ada:s3cret@example.org/r.git"}}"#;
        let refused = effective(text, None, true).unwrap_err().to_string();
        assert!(
            refused.contains("SSID_LOCAL_NODE_GIT_REMOTE") && !refused.contains("s3cret"),
            "{refused}"
        );
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().join("data"));
        home.create().unwrap();
        let load = || Config::effective(&RegistryPaths::choose(None, home.root()), &home, []);
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        fs::write(home.config(), text).unwrap();
        mode(&home.config(), 0o644);
        assert!(load().unwrap_err().to_string().contains("chmod 600"));
        mode(&home.config(), 0o600);
        let mut config = load().unwrap();
        assert_eq!(
            config.to_show().local_node.git_remote,
            "https://…@example.org/r.git"
        );
        // and written so that it stays so
        fs::remove_file(home.config()).unwrap();
        config.settings.local_node.node_name = "A".into();
        config.save_atomic(home.config()).unwrap();
        assert_eq!(
            fs::metadata(home.config()).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn hosts_are_named_with_or_without_a_port() {
        for (list, host, port, is_named) in [
            ("a.example", "A.example", 443, true),
            ("b.example, a.example:443", "a.example", 443, true),
            ("a.example:444", "a.example", 443, false),
            ("a.example", "evil.a.example", 443, false),
            ("[::1]:5001", "[::1]", 5001, true),
            ("::1", "[::1]", 5001, true),
            ("", "", 1, false),
        ] {
            assert_eq!(names_host(list, host, port), is_named, "{list} {host}");
        }
    }
}
