//! Keys that take the place of others. Where the former key did not sign that, because it is lost,
//! people confirm the new one by what its organisation says of it on another channel.

use std::collections::BTreeSet;

use ssid_protocol::handover::Handover;
use ssid_protocol::id::NodeId;
use ssid_protocol::manifest::{Manifest, Succession};
use ssid_storage::ProposalRow;

use crate::view::ReplacedKeyView;

/// Hex digits of a new key that have to be confirmed.
pub(crate) const CONFIRMED_DIGITS: usize = 8;

/// The hand-overs that were kept with a proposal; each was verified before.
pub(crate) fn handovers_of(row: &ProposalRow) -> Vec<Handover> {
    let texts = row.handovers.iter();
    texts
        .filter_map(|text| Handover::parse(text.as_bytes()).ok())
        .collect()
}

/// The keys that a manifest puts in the place of others. `handovers` were verified before.
pub(crate) fn replaced_keys(manifest: &Manifest, handovers: &[Handover]) -> Vec<ReplacedKeyView> {
    let signed: BTreeSet<NodeId> = handovers.iter().map(|handover| handover.former).collect();
    let succeeds = manifest.change.iter().flat_map(|change| &change.succeeds);
    let view = |one: &Succession| ReplacedKeyView {
        node_id: one.member,
        former_node_id: one.former,
        node_name: manifest
            .member(&one.member)
            .map(|member| member.node_name.clone())
            .unwrap_or_default(),
        handed_over: signed.contains(&one.former),
    };
    succeeds.map(view).collect()
}

/// The first of them whose former key did not sign, and whose key none of `confirmed` says: the first [`CONFIRMED_DIGITS`] hex digits of
/// it or more, in upper or lower case, with spaces or without.
pub(crate) fn unconfirmed<'a>(
    keys: &'a [ReplacedKeyView],
    confirmed: &[String],
) -> Option<&'a ReplacedKeyView> {
    let said: Vec<String> = confirmed
        .iter()
        .map(|text| text.split_whitespace().collect::<String>().to_lowercase())
        .filter(|digits| digits.len() >= CONFIRMED_DIGITS)
        .collect();
    let is_said = |key: &ReplacedKeyView| {
        let id = key.node_id.to_string();
        said.iter().any(|digits| id.starts_with(digits.as_str()))
    };
    let mut lost = keys.iter().filter(|key| !key.handed_over);
    lost.find(|key| !is_said(key))
}

#[cfg(test)]
mod tests {
    use ssid_protocol::testing::{key, manifest, successor};

    use super::*;

    /// A manifest in which keys 5 and 6 take the places of 1 and 2.
    fn replaced() -> Vec<ReplacedKeyView> {
        let mut next = successor(&manifest(4));
        for (i, former) in [(5, 1), (6, 2)] {
            let (member, former) = (key(i).node_id(), key(former).node_id());
            if let Some(change) = &mut next.change {
                change.succeeds.push(Succession { member, former });
            }
        }
        replaced_keys(&next, &[])
    }

    #[test]
    fn each_new_key_has_to_be_confirmed_by_its_first_digits() {
        let keys = replaced();
        let digits = |i: usize, n: usize| keys[i].node_id.to_string()[..n].to_owned();
        let missing = |confirmed: &[String]| unconfirmed(&keys, confirmed).map(|key| key.node_id);
        let (first, second) = (Some(keys[0].node_id), Some(keys[1].node_id));
        assert_eq!(missing(&[]), first);
        assert_eq!(missing(&[digits(0, 8)]), second);
        assert_eq!(missing(&[digits(1, 8)]), first);
        let spoken = format!("{} {}", digits(0, 4), &digits(0, 8)[4..]).to_uppercase();
        assert_eq!(missing(&[spoken, digits(1, 64)]), None);
        // too few digits, or another key's
        assert_eq!(missing(&[digits(0, 7), digits(1, 8)]), first);
        assert_eq!(missing(&[String::new(), "0".repeat(8)]), first);
    }

    #[test]
    fn a_key_that_signed_for_its_successor_needs_no_confirmation() {
        let mut keys = replaced();
        keys[0].handed_over = true;
        assert_eq!(unconfirmed(&keys, &[]), Some(&keys[1]));
        keys[1].handed_over = true;
        assert_eq!(unconfirmed(&keys, &[]), None);
    }

    #[test]
    fn a_change_without_lost_keys_needs_no_confirmation() {
        let keys = replaced_keys(&successor(&manifest(4)), &[]);
        assert!(keys.is_empty() && unconfirmed(&keys, &[]).is_none());
    }
}
