//! What programs that this one starts get of its environment: none of its secrets.

use std::ffi::OsStr;
use std::process::Command;

/// Secrets of a node whose names do not begin with `SSID_`.
const WEBHOOKS: [&str; 2] = ["SLACK_WEBHOOK_URL", "DISCORD_WEBHOOK_URL"];
/// What the name of a variable with a secret, or with the place of one, has in it.
const SECRET_WORDS: [&str; 6] = [
    "PASSPHRASE",
    "PASSWORD",
    "SECRET",
    "TOKEN",
    "WEBHOOK",
    // an address may have a password in it
    "GIT_REMOTE",
];

/// Returns whether a variable is a node's own: its settings, places and secrets. Programs that are
/// no nodes get none of them.
pub fn is_own(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("SSID_") || WEBHOOKS.contains(&name.as_ref())
}

/// Returns whether a variable holds a secret of one node, or says where one is. Not even another
/// node gets it.
pub fn is_secret(name: &OsStr) -> bool {
    is_own(name) && {
        let name = name.to_string_lossy();
        SECRET_WORDS.iter().any(|word| name.contains(word))
    }
}

/// Takes from the environment of `command` what [`is_own`]: for programs that are no nodes.
pub fn forget_own(command: &mut Command) {
    forget(command, is_own);
}

/// Takes from the environment of `command` what [`is_secret`]: for other nodes, which keep their
/// own in their data directories.
pub fn forget_secrets(command: &mut Command) {
    forget(command, is_secret);
}

fn forget(command: &mut Command, is_forgotten: fn(&OsStr) -> bool) {
    for (name, _) in std::env::vars_os() {
        if is_forgotten(&name) {
            command.env_remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_their_places_are_known_by_their_names() {
        for name in [
            "SSID_KEY_PASSPHRASE",
            "SSID_API_TOKEN",
            "SSID_API_TOKEN_FILE",
            "SSID_PINNING_TOKEN",
            "SSID_MY_2_TOKEN_HOST",
            "SSID_SMTP_PASSWORD",
            "SSID_WEBHOOK_SECRET",
            "SSID_WEBHOOK_URL",
            "SSID_ADVANCED_WEBHOOK_ON_CONSENSUS",
            "SSID_LOCAL_NODE_GIT_REMOTE",
            "SLACK_WEBHOOK_URL",
            "DISCORD_WEBHOOK_URL",
        ] {
            assert!(
                is_secret(OsStr::new(name)) && is_own(OsStr::new(name)),
                "{name}"
            );
        }
        for name in ["SSID_DEBUG", "SSID_DATA", "SSID_NETWORK_MDNS"] {
            assert!(
                !is_secret(OsStr::new(name)) && is_own(OsStr::new(name)),
                "{name}"
            );
        }
        for name in ["PATH", "HOME", "GITHUB_TOKEN", "SSH_AUTH_SOCK"] {
            assert!(!is_own(OsStr::new(name)), "{name}");
        }
    }
}
