//! What a Git child gets of this process's environment, and the settings that it runs with: the
//! user's way to a remote, nothing of which this node's secrets are a part, and a bound on what one
//! object may make it allocate.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::process::Command;
use std::time::Duration;

use super::orphans;
use super::remote::Login;
use crate::child;
use crate::config::GitProtocol;

/// Bytes that a Git child may allocate at once. What a delta in a small pack unpacks to is bounded
/// by nothing else. A registry log, the largest object that is read, has at most 64 MiB.
pub(super) const ALLOC_BYTES: u64 = 80 << 20;
/// Bytes of memory of its own that each process of a command may have, beside files that it maps.
/// One object may take [`ALLOC_BYTES`](environment::ALLOC_BYTES) of them.
pub(super) const DATA_BYTES: u64 = 1 << 30;

/// Variables that begin with `GIT_` and are the user's way to a remote. All others are taken out of
/// the environment, because they change which repository is used, or what is run.
const KEPT: &[&str] = &[
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "GIT_PROXY_COMMAND",
    "GIT_PROXY_SSL_CAINFO",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
];

/// Settings of every command; the protocols come besides.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.bigFileThreshold=8m",
    // beside the objects of one step, which ALLOC_BYTES bounds
    "core.deltaBaseCacheLimit=16m",
    "credential.interactive=false",
    "fetch.fsckObjects=true",
    "fetch.recurseSubmodules=false",
    "fetch.unpackLimit=1",
    "fetch.writeCommitGraph=false",
    "gc.auto=0",
    "http.followRedirects=initial",
    "http.lowSpeedLimit=1",
    // what the user, or a newer Git, makes of new repositories is not what is read here
    "init.defaultObjectFormat=sha1",
    "init.defaultRefFormat=files",
    "maintenance.auto=false",
    // each thread holds objects of its own
    "pack.threads=1",
    // files of lines are a MiB each: to look for the best base among ten costs three times the push
    "pack.window=2",
    "push.gpgSign=false",
    "push.recurseSubmodules=no",
    "submodule.recurse=false",
    "transfer.bundleURI=false",
    "transfer.fsckObjects=true",
];

/// A credential helper that answers with [`USER`] and [`PASSWORD`]. It is a program text without a
/// secret in it.
const HELPER: &str = concat!(
    r#"!f() { test "$1" = get && "#,
    r#"printf 'username=%s\npassword=%s\n' "$SSID_GIT_USER" "$SSID_GIT_PASSWORD"; }; f"#
);
const USER: &str = "SSID_GIT_USER";
const PASSWORD: &str = "SSID_GIT_PASSWORD";

/// Takes out of a command's environment what could change what it does or is a secret of this node,
/// and sets what holds for every command.
pub(super) fn harden(command: &mut Command, allowed: &[GitProtocol], ssh: Option<&OsStr>) {
    let interactive = io::stdin().is_terminal();
    for (name, _) in std::env::vars_os() {
        if !is_kept(&name, interactive) {
            command.env_remove(&name);
        }
    }
    let names: Vec<_> = allowed.iter().map(|protocol| protocol.as_str()).collect();
    command
        .env("GIT_ALLOW_PROTOCOL", names.join(":"))
        .env("GIT_ALLOC_LIMIT", ALLOC_BYTES.to_string())
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env(orphans::MARK, orphans::mark())
        .env("LC_ALL", "C");
    if let Some(ssh) = ssh {
        command.env("GIT_SSH_COMMAND", ssh);
    }
}

fn is_kept(variable: &OsStr, interactive: bool) -> bool {
    let name = variable.to_string_lossy();
    match name.as_ref() {
        // a helper that asks would wait for a person who is at this terminal for something else
        "GIT_ASKPASS" | "SSH_ASKPASS" => !interactive,
        _ if child::is_own(variable) => false,
        _ => !name.starts_with("GIT_") || KEPT.contains(&name.as_ref()),
    }
}

/// Hands over who asks. Other users can read a command's arguments, and not its environment.
pub(super) fn log_in(command: &mut Command, login: &Login) {
    let key = |name: &str| format!("credential.{}.{name}", login.context);
    let settings = match &login.password {
        None => vec![(key("username"), login.user.clone())],
        Some(password) => {
            command.env(USER, &login.user).env(PASSWORD, password);
            // the user's own helpers are neither asked, nor told what to remember
            vec![
                (key("helper"), String::new()),
                (key("helper"), HELPER.to_owned()),
            ]
        }
    };
    command.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (number, (key, value)) in settings.into_iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{number}"), key);
        command.env(format!("GIT_CONFIG_VALUE_{number}"), value);
    }
}

/// The settings of every command, as arguments.
pub(super) fn settings(allowed: &[GitProtocol], timeout: Duration) -> Vec<OsString> {
    let mut settings: Vec<String> = SETTINGS.iter().map(ToString::to_string).collect();
    settings.push(format!("http.lowSpeedTime={}", timeout.as_secs().max(1)));
    settings.push("protocol.allow=never".to_owned());
    for name in ["ext", "fd"]
        .into_iter()
        .chain(GitProtocol::NAMES.iter().copied())
    {
        let is_allowed = allowed.iter().any(|protocol| protocol.as_str() == name);
        let word = if is_allowed { "always" } else { "never" };
        settings.push(format!("protocol.{name}.allow={word}"));
    }
    let options = settings
        .into_iter()
        .flat_map(|setting| ["-c".to_owned(), setting]);
    options.map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_what_a_hook_was_given_are_kept_from_git() {
        let dropped = [
            "SSID_KEY_PASSPHRASE",
            "SSID_SMTP_PASSWORD",
            "SSID_PINNING_TOKEN",
            "SLACK_WEBHOOK_URL",
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_CONFIG_COUNT",
            "GIT_CONFIG_PARAMETERS",
            "GIT_DEFAULT_HASH",
            "GIT_DEFAULT_REF_FORMAT",
        ];
        for name in dropped {
            assert!(!is_kept(OsStr::new(name), false), "{name}");
        }
        for name in [
            "HOME",
            "PATH",
            "SSH_AUTH_SOCK",
            "https_proxy",
            "GIT_SSH_COMMAND",
            "GIT_CONFIG_GLOBAL",
        ] {
            assert!(is_kept(OsStr::new(name), false), "{name}");
        }
        let askpass = OsStr::new("GIT_ASKPASS");
        assert!(is_kept(askpass, false) && !is_kept(askpass, true));
    }

    #[test]
    fn no_protocol_is_allowed_but_those_that_are_named() {
        let settings = settings(&[GitProtocol::Https], Duration::from_secs(5));
        let has = |text: &str| settings.iter().any(|setting| setting == text);
        for expected in [
            "protocol.allow=never",
            "protocol.https.allow=always",
            "protocol.ext.allow=never",
            "protocol.file.allow=never",
        ] {
            assert!(has(expected), "{expected}");
        }
    }

    #[test]
    fn a_password_is_in_the_environment_and_nowhere_else() {
        let mut command = Command::new("git");
        let login = Login {
            context: "https://git.example".to_owned(),
            user: "ada".to_owned(),
            password: Some("s3cret".to_owned()),
        };
        log_in(&mut command, &login);
        let variable = |name: &str| {
            let mut all = command.get_envs();
            let found = all.find(|(known, _)| *known == OsStr::new(name));
            found
                .and_then(|(_, value)| value)
                .map(|value| value.to_string_lossy().into_owned())
        };
        assert_eq!(variable("GIT_CONFIG_COUNT").as_deref(), Some("2"));
        assert_eq!(
            variable("GIT_CONFIG_KEY_1").as_deref(),
            Some("credential.https://git.example.helper")
        );
        assert_eq!(
            variable("GIT_CONFIG_VALUE_0").as_deref(),
            Some(""),
            "the user's helpers are passed over"
        );
        assert_eq!(variable(PASSWORD).as_deref(), Some("s3cret"));
        assert!(!format!("{:?}", command.get_args()).contains("s3cret"));
        assert!(!format!("{:?}", variable("GIT_CONFIG_VALUE_1")).contains("s3cret"));
    }
}
