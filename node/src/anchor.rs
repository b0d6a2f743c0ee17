//! Anchoring: copies of registry files, certificates and consensus records on IPFS, where anybody
//! can fetch them by what they contain (blueprint v4.3; ARCHITECTURE, *Anchoring task*).
//!
//! [`select`] says which files an event calls for, [`cid`] names their content, [`provider`] holds
//! the places they are put, [`run`] puts them there, [`manifest`] and storage remember it,
//! [`verify`] fetches them back, and [`task`] does all of it inside a running node, from the
//! outbox.

pub mod cid;
mod documents;
pub mod error;
mod http;
mod kubo;
pub mod manifest;
mod pinning;
pub mod provider;
pub mod run;
pub mod select;
pub mod task;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod token;
pub mod verify;

use std::collections::BTreeMap;

use crate::config::Anchoring;

/// Bytes of the largest file that is anchored or fetched back.
pub const FILE_BYTES: u64 = 4 << 30;

/// The environment, as [`provider::Providers::configured`] wants it. `hosts` are
/// [`Config::secret_hosts`]: servers that this machine's configuration names for a token are added
/// to those that the variables name.
///
/// [`Config::secret_hosts`]: crate::config::Config::secret_hosts
pub fn environment(hosts: &BTreeMap<String, String>) -> impl Fn(&str) -> Option<String> {
    |name| match (std::env::var(name).ok(), hosts.get(name)) {
        (Some(set), Some(own)) => Some(format!("{set},{own}")),
        (set, own) => set.or_else(|| own.cloned()),
    }
}

/// The gateway that the manifest names.
pub fn manifest_gateway(settings: &Anchoring) -> Option<&str> {
    settings.gateways.first().map(String::as_str)
}
