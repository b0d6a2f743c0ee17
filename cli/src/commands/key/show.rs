//! `ssid key show`: which keys this node has, as others know them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use ssid_node::identity::peer_id_of;
use ssid_node::keyfile;
use ssid_protocol::id::NodeId;

use crate::context::Context;
use crate::error::OrCode as _;

/// Show this node's keys as others know them, where they lie, and which wait to follow them
///
/// The key is also shown in eight groups of four digits, its first half: that is what one
/// organisation reads to another over the telephone. No passphrase is needed.
///
/// Example:
///   ssid key show
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ShowArgs {}

/// A key file, as far as it speaks openly.
struct KeyFile {
    path: PathBuf,
    public: NodeId,
    encrypted: bool,
}

impl KeyFile {
    fn read(path: PathBuf) -> Result<Self> {
        Ok(Self {
            public: keyfile::public(&path).or_usage()?,
            encrypted: keyfile::needs_passphrase(&path).or_usage()?,
            path,
        })
    }

    /// One that need not be there.
    fn waiting(path: PathBuf) -> Result<Option<Self>> {
        Ok(if path.exists() {
            Some(Self::read(path)?)
        } else {
            None
        })
    }

    fn protection(&self) -> &'static str {
        if self.encrypted {
            "encrypted"
        } else {
            "not encrypted"
        }
    }
}

pub(super) fn run(_: &ShowArgs, context: &Context) -> Result<()> {
    let home = &context.home;
    home.check().or_usage()?;
    let voting = KeyFile::read(home.voting_key())?;
    let network = KeyFile::read(home.network_key())?;
    let next_voting = KeyFile::waiting(home.next_voting_key())?;
    let next_network = KeyFile::waiting(home.next_network_key())?;
    let answer = json!({
        "voting": voting_view(&voting),
        "network": network_view(&network)?,
        "next_voting": next_voting.as_ref().map(voting_view),
        "next_network": next_network.as_ref().map(network_view).transpose()?,
    });
    let mut lines = vec![
        ("voting key", voting.public.to_string()),
        ("to read aloud", in_groups(&voting.public)),
        ("", place(&voting)),
        ("network key", peer(&network)?),
        ("", place(&network)),
    ];
    if let Some(next) = &next_voting {
        lines.push(("next voting key", next.public.to_string()));
        lines.push(("to read aloud", in_groups(&next.public)));
        lines.push(("", place(next)));
    }
    if let Some(next) = &next_network {
        lines.push(("next network key", peer(next)?));
        lines.push(("", place(next)));
    }
    if next_voting.is_some() || next_network.is_some() {
        let how =
            "it is used once a change of members is in force that names it: ssid membership list";
        lines.push(("", how.to_owned()));
    }
    context.out.show(&answer, |_| context.out.fields(&lines))?;
    Ok(())
}

fn voting_view(key: &KeyFile) -> Value {
    json!({
        "node_id": key.public,
        "read_aloud": in_groups(&key.public),
        "path": path_text(&key.path),
        "encrypted": key.encrypted,
    })
}

fn network_view(key: &KeyFile) -> Result<Value> {
    Ok(json!({
        "peer_id": peer(key)?,
        "path": path_text(&key.path),
        "encrypted": key.encrypted,
    }))
}

fn peer(key: &KeyFile) -> Result<String> {
    Ok(peer_id_of(&key.public).or_usage()?.to_string())
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

fn place(key: &KeyFile) -> String {
    format!("{} ({})", path_text(&key.path), key.protection())
}

/// The first half of a key in 8 groups of 4 hex digits: enough that nobody makes another that
/// begins so, and few enough to be read aloud.
fn in_groups(node: &NodeId) -> String {
    let digits = node.to_string();
    let groups = digits.as_bytes().chunks(4).take(8);
    let groups = groups.map(|group| String::from_utf8_lossy(group).into_owned());
    groups.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_aloud_by_its_first_half() {
        let mut node = NodeId([0xab; 32]);
        (node.0[0], node.0[15], node.0[16]) = (0x12, 0x34, 0x56);
        assert_eq!(in_groups(&node), "12ab abab abab abab abab abab abab ab34");
    }
}
