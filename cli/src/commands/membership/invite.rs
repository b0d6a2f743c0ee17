//! What a newcomer is handed: `ssid membership invite`, and what `propose add` writes.

use anyhow::Result;
use serde_json::Value;
use ssid_node::view::MembershipView;
use ssid_protocol::invite::Invite;

use crate::client::Client;
use crate::error::{Code, OrCode as _};

/// Characters of a file's name before its ending.
const NAME_CHARS: usize = 60;

/// The invite that a node writes, with the proposal that `hash` begins; with the only one if there
/// is one and none is named.
pub(super) async fn text(client: &Client, hash: Option<String>) -> Result<String> {
    let hash = match hash {
        Some(hash) => Some(hash),
        None => only_proposal(client).await?,
    };
    let query: Vec<_> = hash.map(|hash| ("proposal", hash)).into_iter().collect();
    let invite: Value = client.get(&["v1", "membership", "invite"], &query).await?;
    // as it will be read: what a newcomer could not take is not written
    let invite = Invite::parse(invite.to_string().as_bytes()).or_code(Code::Failed)?;
    Ok(invite.to_pretty())
}

async fn only_proposal(client: &Client) -> Result<Option<String>> {
    let view: MembershipView = client.get(&["v1", "membership"], &[]).await?;
    Ok(match &view.proposals[..] {
        [only] => Some(only.manifest_hash.to_string()),
        _ => None,
    })
}

/// The file of the invite for a node of this name: `oslo.invite.json`. The name is a stranger's.
pub(super) fn file_name(node_name: &str) -> String {
    let name = node_name.to_lowercase();
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let name: String = name.trim_matches('-').chars().take(NAME_CHARS).collect();
    let name = if name.is_empty() { "newcomer" } else { &name };
    format!("{name}.invite.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_file_here() {
        assert_eq!(file_name("Oslo"), "oslo.invite.json");
        assert_eq!(file_name("../Åre 2"), "re-2.invite.json");
        assert_eq!(file_name("../.."), "newcomer.invite.json");
        assert_eq!(file_name(&"a".repeat(300)).len(), 60 + ".invite.json".len());
    }
}
