//! Hand-overs of voting keys, as they come with proposals (SPEC §4): they tell people whether the
//! key that a manifest replaces said so itself.

use std::collections::BTreeSet;

use ssid_protocol::handover::Handover;
use ssid_protocol::id::FederationId;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::sync::SentManifest;

/// Of what came with a manifest the hand-overs that verify, of keys that it replaces, to those that
/// it names in their places: at most one for each.
pub(super) fn proven<'a>(
    federation: &FederationId,
    manifest: &Manifest,
    texts: impl IntoIterator<Item = &'a String>,
) -> Vec<Handover> {
    let Some(change) = &manifest.change else {
        return Vec::new();
    };
    let mut seen = BTreeSet::new();
    let is_named = |handover: &Handover| {
        let mut named = change.succeeds.iter();
        named.any(|it| it.former == handover.former && it.member == handover.card.member.node_id)
    };
    texts
        .into_iter()
        .take(change.succeeds.len())
        .filter_map(|text| Handover::parse(text.as_bytes()).ok())
        .filter(|handover| is_named(handover))
        .filter(|handover| handover.verify(federation, &change.previous).is_ok())
        .filter(|handover| seen.insert(handover.former))
        .collect()
}

/// As they are sent and kept.
pub(super) fn texts(handovers: &[Handover]) -> Vec<String> {
    let text = |handover: &Handover| handover.to_json().to_jcs();
    handovers.iter().map(text).collect()
}

/// Leaves of the hand-overs as many as fit with their manifest, which is sent whole, into so many
/// bytes; how many both have then.
pub(super) fn fit(sent: &mut SentManifest, most: usize) -> usize {
    let mut bytes = sent.manifest.len();
    let mut has_room = true;
    sent.handovers.retain(|text| {
        has_room &= bytes + text.len() <= most;
        if has_room {
            bytes += text.len();
        }
        has_room
    });
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ssid_protocol::manifest::Succession;
    use ssid_protocol::testing;

    use super::*;

    #[test]
    fn a_manifest_is_sent_whole_and_hand_overs_as_they_fit() {
        let mut sent = SentManifest {
            manifest: "m".repeat(90),
            handovers: vec!["a".repeat(8), "b".repeat(8), "c".to_owned()],
        };
        assert_eq!(fit(&mut sent, 100), 98);
        assert_eq!(sent.handovers, ["a".repeat(8)]);
        assert_eq!(fit(&mut sent, 10), 90);
        assert_eq!((sent.manifest.len(), sent.handovers.len()), (90, 0));
    }

    #[test]
    fn only_what_the_former_key_signed_for_this_very_change_counts() {
        let genesis = testing::manifest(4);
        let federation = genesis.federation_id();
        let handover = testing::handover();
        let (former, member) = (handover.former, handover.card.member.node_id);
        let mut next = testing::successor(&genesis);
        let place = genesis.members.iter().position(|it| it.node_id == former);
        next.members[place.unwrap()].node_id = member;
        next.change.as_mut().unwrap().succeeds = vec![Succession { member, former }];
        let good = texts(std::slice::from_ref(&handover));
        let count =
            |manifest: &Manifest, texts: &[String]| proven(&federation, manifest, texts).len();
        assert_eq!(count(&next, &good), 1);
        assert_eq!(count(&next, &[good[0].clone(), good[0].clone()]), 1);
        assert_eq!(count(&next, &["{}".to_owned()]), 0);
        // of another change, or to another key than the manifest names
        let mut other = next.clone();
        other.change.as_mut().unwrap().previous.0[0] ^= 1;
        assert_eq!(count(&other, &good), 0);
        let mut other = next.clone();
        other.change.as_mut().unwrap().succeeds[0].member.0[0] ^= 1;
        assert_eq!(count(&other, &good), 0);
        next.change.as_mut().unwrap().succeeds.clear();
        assert_eq!(count(&next, &good), 0);
    }
}
