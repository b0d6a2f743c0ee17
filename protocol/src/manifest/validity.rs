//! *Valid* (SPEC §4): the rules that a manifest of the right shape must keep, each refusal with
//! field, rule and value.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Manifest, ManifestError, Weighting, invalid, policies_to_json, succession, voting_key,
};
use crate::event::is_event_type;
use crate::id::{Epoch, NodeId};
use crate::limits;
use crate::quorum::VoterSet;

impl Manifest {
    /// Whether this is a valid genesis manifest.
    ///
    /// ```
    /// use ssid_protocol::testing::manifest;
    ///
    /// let mut genesis = manifest(4);
    /// assert!(genesis.validate_genesis().is_ok());
    /// genesis.min_participating_nodes = 5;
    /// assert!(genesis.validate_genesis().is_err(), "more than there are");
    /// ```
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate_genesis(&self) -> Result<(), ManifestError> {
        if self.epoch != Epoch::ZERO {
            return Err(invalid("epoch", "0 in a genesis manifest", &self.epoch));
        }
        if self.change.is_some() {
            return Err(invalid(
                "previous",
                "absent in a genesis manifest",
                &"there",
            ));
        }
        self.validate_alone()
    }

    /// Whether this is a valid manifest for the epoch after `previous`, in the federation of
    /// `genesis`. `replaced` are the node ids that manifests up to `previous` name as `former`.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate_successor(
        &self,
        previous: &Self,
        genesis: &Self,
        replaced: &BTreeSet<NodeId>,
    ) -> Result<(), ManifestError> {
        if previous.epoch.0.checked_add(1) != Some(self.epoch.0) {
            return Err(invalid(
                "epoch",
                &format!("the one after {}", previous.epoch),
                &self.epoch,
            ));
        }
        // fixed for good: with another policy old events would have other subjects
        if self.event_policies != genesis.event_policies {
            let own = policies_to_json(&self.event_policies).to_jcs();
            return Err(invalid(
                "event_policies",
                "those of the genesis manifest",
                &own,
            ));
        }
        // as it is hashed: JSON that is read may have any white space
        let size = self.to_jcs().len();
        if size > limits::SUCCESSOR_BYTES {
            let rule = format!(
                "at most {} bytes in canonical form",
                limits::SUCCESSOR_BYTES
            );
            return Err(invalid("document", &rule, &format!("{size} bytes")));
        }
        succession::validate(self, previous, replaced)?;
        // last: what an epoch has to be by itself, however it came about
        self.validate_alone()
    }

    /// The rules that need no other manifest.
    fn validate_alone(&self) -> Result<(), ManifestError> {
        if !(1..=10_000).contains(&self.threshold_bp) {
            return Err(invalid("threshold_bp", "1 to 10000", &self.threshold_bp));
        }
        if let Some(key) = self.event_policies.0.keys().find(|key| !is_event_type(key)) {
            let rule = "by event type: 1 to 64 characters [a-z0-9_.-], the first a letter or digit";
            return Err(invalid("event_policies", rule, &format!("{key:?}")));
        }
        self.rules.check_known()?;
        self.validate_members()?;
        self.validate_voters(&self.voters()?)
    }

    fn validate_members(&self) -> Result<(), ManifestError> {
        if self.members.len() > limits::MEMBERS {
            return Err(invalid(
                "members",
                &format!("at most {}", limits::MEMBERS),
                &self.members.len(),
            ));
        }
        let (mut node_ids, mut peer_ids) = (BTreeMap::new(), BTreeMap::new());
        for (i, member) in self.members.iter().enumerate() {
            let refuse = |key: &str, rule: &str, value: &dyn std::fmt::Display| {
                Err(invalid(&format!("members[{i}].{key}"), rule, value))
            };
            // also for those that do not vote: a key of small order would verify anything for
            // anyone
            voting_key(i, member)?;
            if let Some(other) = node_ids.insert(member.node_id, i) {
                return refuse(
                    "node_id",
                    &format!("another than that of members[{other}]"),
                    &member.node_id,
                );
            }
            if member.peer_id.is_empty() {
                return refuse("peer_id", "a libp2p peer id", &"empty");
            }
            // gossip finds the member by it: two of one id would be taken for each other
            if let Some(other) = peer_ids.insert(&member.peer_id, i) {
                return refuse(
                    "peer_id",
                    &format!("another than that of members[{other}]"),
                    &member.peer_id,
                );
            }
            if !(1..=100).contains(&member.weight) {
                return refuse("weight", "1 to 100", &member.weight);
            }
        }
        Ok(())
    }

    fn validate_voters(&self, voters: &VoterSet) -> Result<(), ManifestError> {
        let count = voters.len();
        // of one signer no federation is made: its own word would decide
        if !(2..=count).contains(&voters.min_signers()) {
            let rule = format!("2 to {count} (the number of voters)");
            return Err(invalid(
                "min_participating_nodes",
                &rule,
                &self.min_participating_nodes,
            ));
        }
        // only a coordinator's change of members is endorsed: without one it could never change
        // again
        if !voters.iter().any(|(_, voter)| voter.is_coordinator) {
            return Err(invalid(
                "members",
                "with a coordinator among the voters",
                &"without one",
            ));
        }
        // else nothing could ever be decided, and no epoch would follow
        if voters.quorum() > voters.total() {
            let rule = format!(
                "such that a quorum is at most {} (all votes)",
                voters.total()
            );
            let value = format!("{}, a quorum of {}", self.threshold_bp, voters.quorum());
            return Err(invalid("threshold_bp", &rule, &value));
        }
        // a voter heavier than F could break safety alone; below 4 voters F is 0
        if self.vote_weighting == Weighting::Trust && count >= 4 {
            let most = voters.max_faulty();
            let too_heavy = |(_, member): &(usize, &crate::member::Member)| {
                member.is_voter() && member.weight > most
            };
            if let Some((i, member)) = self.members.iter().enumerate().find(too_heavy) {
                let rule = format!("at most {most} (what may be faulty) with weighting by trust");
                return Err(invalid(
                    &format!("members[{i}].weight"),
                    &rule,
                    &member.weight,
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{Role, Status};
    use crate::subject::Policy;
    use crate::testing::{key, manifest, successor};

    fn refused(what: Result<(), ManifestError>, field: &str, parts: &[&str]) {
        let error = what.unwrap_err();
        let message = error.to_string();
        assert!(
            matches!(error, ManifestError::Invalid { field: f, .. } if f == field),
            "{message}"
        );
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }

    #[test]
    fn test_federations_are_valid() {
        for n in [2, 3, 4, 7, 100, 255] {
            assert_eq!(manifest(n).validate_genesis(), Ok(()), "{n} members");
        }
    }

    #[test]
    fn every_rule_has_its_refusal() {
        type Case = (fn(&mut Manifest), &'static str, &'static [&'static str]);
        let cases: &[Case] = &[
            (|m| m.epoch = Epoch(1), "epoch", &["genesis", "it is 1"]),
            (
                |m| m.threshold_bp = 0,
                "threshold_bp",
                &["1 to 10000", "it is 0"],
            ),
            (|m| m.threshold_bp = 10_001, "threshold_bp", &["10001"]),
            (
                |m| m.min_participating_nodes = 1,
                "min_participating_nodes",
                &["2 to 4", "it is 1"],
            ),
            (
                |m| m.min_participating_nodes = 5,
                "min_participating_nodes",
                &["2 to 4", "it is 5"],
            ),
            (
                |m| m.members[0].role = Role::Participant,
                "members",
                &["coordinator"],
            ),
            (
                |m| m.members[0].status = Status::Suspended,
                "members",
                &["coordinator"],
            ),
            (
                |m| m.members[2].node_id = NodeId([0; 32]),
                "members[2].node_id",
                &["canonical", "000000"],
            ),
            (
                |m| m.members[2].node_id = NodeId([0xff; 32]),
                "members[2].node_id",
                &["canonical", "ffffff"],
            ),
            (
                |m| m.members[2].node_id = key(1).node_id(),
                "members[2].node_id",
                &["members[1]"],
            ),
            (
                |m| m.members[2].peer_id = "peer-1".into(),
                "members[2].peer_id",
                &["members[1]", "peer-1"],
            ),
            (
                |m| m.members[2].peer_id.clear(),
                "members[2].peer_id",
                &["empty"],
            ),
            (
                |m| m.members[2].weight = 0,
                "members[2].weight",
                &["1 to 100", "it is 0"],
            ),
            (
                |m| m.members[2].weight = 101,
                "members[2].weight",
                &["1 to 100", "it is 101"],
            ),
            (
                |m| m.members.clear(),
                "min_participating_nodes",
                &["2 to 0"],
            ),
            (
                |m| m.members.truncate(1),
                "min_participating_nodes",
                &["2 to 1"],
            ),
            (
                |m| m.members = vec![m.members[0].clone(); 1001],
                "members",
                &["at most 1000", "1001"],
            ),
            (
                |m| m.event_policies.0.extend([("No".into(), Policy::Unique)]),
                "event_policies",
                &["event type", "\"No\""],
            ),
        ];
        for (spoil, field, parts) in cases {
            let mut spoiled = manifest(4);
            spoil(&mut spoiled);
            refused(spoiled.validate_genesis(), field, parts);
        }
    }

    #[test]
    fn members_that_do_not_vote_keep_the_rules_too() {
        let mut observed = manifest(4);
        observed.members[3].role = Role::Observer;
        assert_eq!(observed.validate_genesis(), Ok(()));
        observed.members[3].node_id = NodeId([0; 32]);
        refused(observed.validate_genesis(), "members[3].node_id", &[]);
    }

    #[test]
    fn with_weighting_by_trust_nobody_outweighs_what_may_be_faulty() {
        let mut weighted = manifest(4);
        weighted.vote_weighting = Weighting::Trust;
        // 50 of 200: F = 66
        assert_eq!(weighted.validate_genesis(), Ok(()));
        weighted.members[1].weight = 75;
        // 75 of 225: F = 74
        refused(
            weighted.validate_genesis(),
            "members[1].weight",
            &["at most 74", "it is 75"],
        );
        weighted.vote_weighting = Weighting::Equal;
        assert_eq!(weighted.validate_genesis(), Ok(()));
        weighted.vote_weighting = Weighting::Trust;
        weighted.members.truncate(3);
        assert_eq!(weighted.validate_genesis(), Ok(()));
    }

    #[test]
    fn a_successor_is_the_next_epoch_of_the_same_federation() {
        let genesis = manifest(4);
        let none = BTreeSet::new();
        let mut first = successor(&genesis);
        first.members.remove(3);
        assert_eq!(first.validate_successor(&genesis, &genesis, &none), Ok(()));
        refused(first.validate_genesis(), "epoch", &["genesis"]);
        let mut second = successor(&first);
        assert_eq!(second.validate_successor(&first, &genesis, &none), Ok(()));
        refused(
            second.validate_successor(&genesis, &genesis, &none),
            "epoch",
            &["the one after 0", "it is 2"],
        );
        refused(
            first.validate_successor(&first, &genesis, &none),
            "epoch",
            &["the one after 1"],
        );
        second.event_policies.0.clear();
        refused(
            second.validate_successor(&first, &genesis, &none),
            "event_policies",
            &["genesis", "it is {}"],
        );
        first.members[2].weight = 0;
        refused(
            first.validate_successor(&genesis, &genesis, &none),
            "members[2].weight",
            &[],
        );
        first.members[2].weight = 50;
        first.members[2].organization = "x".repeat(limits::SUCCESSOR_BYTES);
        refused(
            first.validate_successor(&genesis, &genesis, &none),
            "document",
            &["at most 1000000 bytes"],
        );
    }

    #[test]
    fn a_genesis_manifest_changes_nothing() {
        let mut genesis = manifest(4);
        genesis.change = successor(&genesis).change;
        refused(genesis.validate_genesis(), "previous", &["absent"]);
    }
}
