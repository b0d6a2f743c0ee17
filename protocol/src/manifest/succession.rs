//! What a manifest must keep towards the one before it (SPEC §4): it names it, says why it differs,
//! and a key that was replaced never returns.

use std::collections::BTreeSet;

use super::{Change, Manifest, ManifestError, invalid};
use crate::event::is_timestamp;
use crate::id::NodeId;
use crate::limits;

/// Refuses `manifest` as the one after `previous`. `replaced` are the node ids that manifests up to
/// `previous` name as `former`.
pub(super) fn validate(
    manifest: &Manifest,
    previous: &Manifest,
    replaced: &BTreeSet<NodeId>,
) -> Result<(), ManifestError> {
    // the chain: who has one manifest's hash has all before it
    let expected = previous.hash();
    let rule = format!("{expected}, the hash of the manifest before");
    let Some(change) = &manifest.change else {
        return Err(invalid("previous", &rule, &"missing"));
    };
    if change.previous != expected {
        return Err(invalid("previous", &rule, &change.previous));
    }
    if !is_timestamp(&manifest.created_at) {
        let rule = "a date-time YYYY-MM-DDThh:mm:ss[.1-9 digits]Z";
        return Err(invalid("created_at", rule, &manifest.created_at));
    }
    check_reason(&change.reason)?;
    check_keys(change, manifest, previous)?;
    // an old key may be anybody's: as a member it would vote again
    let returned =
        |(_, member): &(usize, &crate::member::Member)| replaced.contains(&member.node_id);
    if let Some((i, member)) = manifest.members.iter().enumerate().find(returned) {
        let rule = "no key that was replaced: such a key never returns";
        let field = format!("members[{i}].node_id");
        return Err(invalid(&field, rule, &member.node_id));
    }
    Ok(())
}

fn check_reason(reason: &str) -> Result<(), ManifestError> {
    let length = 1..=limits::REASON_BYTES;
    if length.contains(&reason.len()) && !reason.chars().any(char::is_control) {
        return Ok(());
    }
    let rule = format!(
        "1 to {} bytes of text without control characters",
        limits::REASON_BYTES
    );
    Err(invalid("reason", &rule, &format!("{reason:?}")))
}

/// Whether each `former` leaves with this manifest and each `member` comes with it, all of them
/// once.
fn check_keys(
    change: &Change,
    manifest: &Manifest,
    previous: &Manifest,
) -> Result<(), ManifestError> {
    // pairs are at most as many as members: compared before sets are made of them
    if change.succeeds.len() > limits::MEMBERS {
        let rule = format!("at most {}", limits::MEMBERS);
        return Err(invalid("succeeds", &rule, &change.succeeds.len()));
    }
    let ids = |manifest: &Manifest| -> BTreeSet<NodeId> {
        manifest.members.iter().map(|m| m.node_id).collect()
    };
    let (before, now) = (ids(previous), ids(manifest));
    // over both columns: a chain of replacements in one step would leave open whose key it is
    let mut seen = BTreeSet::new();
    for (i, one) in change.succeeds.iter().enumerate() {
        let places = [
            ("former", one.former, &before, &now),
            ("member", one.member, &now, &before),
        ];
        for (key, id, in_this, not_in_that) in places {
            let refuse = |rule: &str| Err(invalid(&format!("succeeds[{i}].{key}"), rule, &id));
            if !in_this.contains(&id) || not_in_that.contains(&id) {
                let rule = match key {
                    "former" => "a member of the manifest before and not of this one",
                    _ => "a member of this manifest and not of the one before",
                };
                return refuse(rule);
            }
            if !seen.insert(id) {
                return refuse("an id that stands there once");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ManifestHash;
    use crate::manifest::Succession;
    use crate::testing::{key, manifest, successor};

    fn change(manifest: &mut Manifest) -> &mut Change {
        manifest.change.as_mut().unwrap()
    }

    /// The manifest after one of four, in which key 9 replaces key 3.
    fn rotated(previous: &Manifest) -> Manifest {
        let mut next = successor(previous);
        next.members[3].node_id = key(9).node_id();
        change(&mut next).succeeds = vec![Succession {
            member: key(9).node_id(),
            former: key(3).node_id(),
        }];
        next
    }

    #[test]
    fn every_rule_has_its_refusal() {
        type Case = (fn(&mut Manifest), &'static str);
        let cases: &[Case] = &[
            (|m| m.change = None, "previous"),
            (|m| change(m).previous = ManifestHash([7; 32]), "previous"),
            (|m| m.created_at = "yesterday".into(), "created_at"),
            (|m| change(m).reason.clear(), "reason"),
            (|m| change(m).reason = "é".repeat(257), "reason"),
            (|m| change(m).reason = "a\nb".into(), "reason"),
            (
                |m| change(m).succeeds[0].former = key(8).node_id(),
                "succeeds[0].former",
            ),
            (
                |m| change(m).succeeds[0].former = key(2).node_id(),
                "succeeds[0].former",
            ),
            (
                |m| change(m).succeeds[0].member = key(8).node_id(),
                "succeeds[0].member",
            ),
            (
                |m| change(m).succeeds[0].member = key(2).node_id(),
                "succeeds[0].member",
            ),
            (
                |m| {
                    let one = change(m).succeeds[0];
                    change(m).succeeds.push(one);
                },
                "succeeds[1].former",
            ),
            (
                |m| {
                    let one = change(m).succeeds[0];
                    change(m).succeeds = vec![one; 1001];
                },
                "succeeds",
            ),
        ];
        let genesis = manifest(4);
        let none = BTreeSet::new();
        let judge = |next: &Manifest| next.validate_successor(&genesis, &genesis, &none);
        assert_eq!(judge(&rotated(&genesis)), Ok(()));
        for (spoil, expected) in cases {
            let mut next = rotated(&genesis);
            spoil(&mut next);
            let error = judge(&next).unwrap_err();
            assert!(
                matches!(&error, ManifestError::Invalid { field, .. } if field == expected),
                "{expected}: {error}"
            );
        }
    }

    #[test]
    fn a_replaced_key_never_returns() {
        let genesis = manifest(4);
        let first = rotated(&genesis);
        let replaced = BTreeSet::from([key(3).node_id()]);
        let mut second = successor(&first);
        assert_eq!(
            second.validate_successor(&first, &genesis, &replaced),
            Ok(())
        );
        second.members.push(genesis.members[3].clone());
        second.members[4].peer_id = "another".into();
        let error = second
            .validate_successor(&first, &genesis, &replaced)
            .unwrap_err();
        assert!(error.to_string().contains("never returns"), "{error}");
        // one that left without a successor may come back
        let mut left = successor(&genesis);
        left.members.remove(3);
        let mut back = successor(&left);
        back.members.push(genesis.members[3].clone());
        assert_eq!(
            back.validate_successor(&left, &genesis, &BTreeSet::new()),
            Ok(())
        );
    }
}
