//! Quorums and voters (SPEC §6, §4): how much weight decides, how much may lie, and who has it.
//! Integers only.

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::identity::VerifyKey;
use crate::limits;
use crate::manifest::{Manifest, ManifestError, Weighting, invalid, voting_key};
use crate::member::Role;

/// `F = floor((W-1)/3)`: the weight that may be Byzantine.
///
/// ```
/// use ssid_protocol::quorum::faults_tolerated;
///
/// assert_eq!([3, 4, 100].map(faults_tolerated), [0, 1, 33]);
/// ```
pub fn faults_tolerated(total: u64) -> u64 {
    total.saturating_sub(1) / 3
}

/// `max(ceil(threshold·W), floor((W+F)/2) + 1, min_participating)`. More than `total` means that no
/// set of voters is a quorum, which a valid manifest rules out.
///
/// ```
/// use ssid_protocol::quorum::quorum;
///
/// let at_66_percent = |voters| quorum(voters, 6600, 2);
/// assert_eq!([2, 3, 4, 5, 100].map(at_66_percent), [2, 2, 3, 4, 67]);
/// // a low threshold cannot break safety
/// assert_eq!(quorum(4, 1, 2), 3);
/// ```
pub fn quorum(total: u64, threshold_bp: u32, min_participating: u64) -> u64 {
    let wide = u128::from(total);
    let by_threshold = (wide * u128::from(threshold_bp)).div_ceil(10_000);
    let by_intersection = u128::midpoint(wide, faults_tolerated(total).into()) + 1;
    let needed = by_threshold
        .max(by_intersection)
        .max(u128::from(min_participating));
    u64::try_from(needed).unwrap_or(u64::MAX)
}

/// A voter's place among the voters of its epoch, sorted by node id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VoterIndex(pub u16);

/// A member that votes in an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Its parsed voting key.
    pub key: VerifyKey,
    /// What its vote weighs.
    pub weight: u64,
    /// Whether it is a coordinator.
    pub is_coordinator: bool,
}

/// The voters of an epoch, sorted by node id, and what decides among them.
///
/// ```
/// use std::collections::BTreeSet;
///
/// use ssid_protocol::quorum::VoterSet;
/// use ssid_protocol::testing::{key, manifest};
///
/// let voters = VoterSet::of(&manifest(4))?;
/// // whoever signed, each voter once; key 7 is no voter's
/// let signed = [key(0), key(2), key(7), key(2), key(3)];
/// let signers: BTreeSet<_> = signed
///     .iter()
///     .filter_map(|key| voters.index_of(&key.node_id()))
///     .collect();
/// let weight = signers.iter().map(|voter| voters.weight(*voter)).sum();
/// assert!(voters.is_quorum(weight, signers.len()));
/// assert_eq!((weight, voters.quorum(), voters.total()), (3, 3, 4));
/// # Ok::<(), ssid_protocol::manifest::ManifestError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterSet {
    voters: Vec<Voter>,
    total: u64,
    /// Written here and, to break it on purpose, in [`crate::testing`]; nowhere else.
    pub(crate) quorum: u64,
    min_signers: usize,
}

impl VoterSet {
    /// The voters of a manifest: its active coordinators and participants. Each weighs 1 with equal
    /// weighting, else the weight that the manifest gives it.
    ///
    /// # Errors
    /// If a voter's node id is no voting key or stands there twice, or there are more than
    /// [`limits::MEMBERS`] voters.
    pub fn of(manifest: &Manifest) -> Result<Self, ManifestError> {
        let mut voters = Vec::new();
        for (i, member) in manifest
            .members
            .iter()
            .enumerate()
            .filter(|(_, member)| member.is_voter())
        {
            let weight = match manifest.vote_weighting {
                Weighting::Equal => 1,
                Weighting::Trust => member.weight,
            };
            let key = voting_key(i, member)?;
            voters.push(Voter {
                key,
                weight,
                is_coordinator: member.role == Role::Coordinator,
            });
        }
        if voters.len() > limits::MEMBERS {
            return Err(invalid(
                "members",
                &format!("at most {} voters", limits::MEMBERS),
                &voters.len(),
            ));
        }
        voters.sort_by_key(|voter| voter.key.id());
        if let Some(pair) = voters
            .windows(2)
            .find(|pair| pair[0].key.id() == pair[1].key.id())
        {
            return Err(invalid(
                "members",
                "voters with distinct node ids",
                &pair[0].key.id(),
            ));
        }
        let total = voters
            .iter()
            .fold(0_u64, |sum, voter| sum.saturating_add(voter.weight));
        let min_signers = manifest.min_participating_nodes;
        let quorum = quorum(total, manifest.threshold_bp, min_signers.into());
        Ok(Self {
            voters,
            total,
            quorum,
            min_signers: min_signers as usize,
        })
    }

    /// How many voters there are.
    pub fn len(&self) -> usize {
        self.voters.len()
    }

    /// Whether there are none; not so under a valid manifest.
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }

    /// The place of the voter with this node id; `None` if it is no voter.
    pub fn index_of(&self, id: &NodeId) -> Option<VoterIndex> {
        let place = self
            .voters
            .binary_search_by_key(id, |voter| voter.key.id())
            .ok()?;
        u16::try_from(place).ok().map(VoterIndex)
    }

    /// The voter at a place.
    pub fn get(&self, index: VoterIndex) -> Option<&Voter> {
        self.voters.get(usize::from(index.0))
    }

    /// All voters with their places, in order.
    pub fn iter(
        &self,
    ) -> impl ExactSizeIterator<Item = (VoterIndex, &Voter)> + DoubleEndedIterator {
        self.voters
            .iter()
            .enumerate()
            .map(|(place, voter)| (VoterIndex(place as u16), voter))
    }

    /// The weight of the voter at a place; 0 if there is none.
    pub fn weight(&self, index: VoterIndex) -> u64 {
        self.get(index).map_or(0, |voter| voter.weight)
    }

    /// `W`: the weight of all voters together.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// `F`: the weight that may be Byzantine.
    pub fn max_faulty(&self) -> u64 {
        faults_tolerated(self.total)
    }

    /// The weight that decides.
    pub fn quorum(&self) -> u64 {
        self.quorum
    }

    /// `min_participating_nodes`: how many distinct signers a polka, a certificate or a set of
    /// closes needs.
    pub fn min_signers(&self) -> usize {
        self.min_signers
    }

    /// Whether `signers` distinct voters of this weight together decide.
    ///
    /// ```
    /// use ssid_protocol::testing::federation;
    ///
    /// let (_, _, voters, _) = federation(4);
    /// assert!(voters.is_quorum(3, 3));
    /// assert!(!voters.is_quorum(2, 2));
    /// ```
    pub fn is_quorum(&self, weight: u64, signers: usize) -> bool {
        weight >= self.quorum && signers >= self.min_signers
    }

    /// Whether voters of this weight include an honest one.
    ///
    /// ```
    /// use ssid_protocol::testing::federation;
    ///
    /// let (_, _, voters, _) = federation(4);
    /// assert_eq!(voters.max_faulty(), 1);
    /// assert!(!voters.exceeds_faulty(1));
    /// assert!(voters.exceeds_faulty(2), "at least one of them is honest");
    /// ```
    pub fn exceeds_faulty(&self, weight: u64) -> bool {
        weight > self.max_faulty()
    }

    /// How many of the heaviest voters together exceed `F`: the fewest that could break safety.
    pub fn heaviest_exceeding_faulty(&self) -> usize {
        let mut sum = 0_u64;
        let within = self.heaviest().into_iter().take_while(|weight| {
            sum = sum.saturating_add(*weight);
            sum <= self.max_faulty()
        });
        (within.count() + 1).min(self.len())
    }

    /// How many voters may be missing, whichever they are, while the rest still is a quorum.
    ///
    /// ```
    /// use ssid_protocol::testing::federation;
    ///
    /// let may_fail = |members| federation(members).2.may_fail();
    /// assert_eq!([3, 4, 7].map(may_fail), [1, 1, 2]);
    /// ```
    pub fn may_fail(&self) -> usize {
        let (mut weight, mut signers) = (self.total, self.len());
        let missing = self.heaviest().into_iter().take_while(|lost| {
            (weight, signers) = (weight.saturating_sub(*lost), signers - 1);
            self.is_quorum(weight, signers)
        });
        missing.count()
    }

    fn heaviest(&self) -> Vec<u64> {
        let mut weights: Vec<_> = self.voters.iter().map(|voter| voter.weight).collect();
        weights.sort_unstable_by(|a, b| b.cmp(a));
        weights
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{key, manifest};

    fn weighted(weights: &[u64]) -> Manifest {
        let mut manifest = manifest(weights.len());
        manifest.vote_weighting = Weighting::Trust;
        manifest
            .members
            .iter_mut()
            .zip(weights)
            .for_each(|(member, weight)| member.weight = *weight);
        manifest
    }

    #[test]
    fn the_specifications_own_numbers() {
        let cases = [(2, 2), (3, 2), (4, 3), (5, 4), (100, 67)];
        for (n, expected) in cases {
            assert_eq!(quorum(n, 6600, 2), expected, "{n} voters");
        }
        assert_eq!(
            [0, 1, 3, 4, 6, 7, 100].map(faults_tolerated),
            [0, 0, 0, 1, 1, 2, 33]
        );
        assert_eq!(quorum(0, 0, 0), 1);
        assert_eq!(quorum(u64::MAX, u32::MAX, 2), u64::MAX);
        assert_eq!(quorum(u64::MAX, 10_000, 2), u64::MAX);
    }

    #[test]
    fn voters_are_the_active_members_but_observers() {
        let mut manifest = manifest(6);
        manifest.members[1].role = Role::Observer;
        manifest.members[2].status = crate::member::Status::Suspended;
        manifest.members[3].status = crate::member::Status::Inactive;
        let voters = VoterSet::of(&manifest).unwrap();
        assert_eq!(
            (
                voters.len(),
                voters.total(),
                voters.quorum(),
                voters.max_faulty()
            ),
            (3, 3, 2, 0)
        );
        let ids: Vec<_> = voters.iter().map(|(_, voter)| voter.key.id()).collect();
        assert!(ids.is_sorted());
        for (index, voter) in voters.iter() {
            assert_eq!(voters.index_of(&voter.key.id()), Some(index));
            assert_eq!(voters.get(index), Some(voter));
            assert_eq!(voter.is_coordinator, voter.key.id() == key(0).node_id());
        }
        assert_eq!(voters.index_of(&key(1).node_id()), None);
        assert_eq!(
            (voters.get(VoterIndex(3)), voters.weight(VoterIndex(3))),
            (None, 0)
        );
    }

    #[test]
    fn what_may_lie_and_what_may_fail() {
        let facts = |manifest: &Manifest| {
            let voters = VoterSet::of(manifest).unwrap();
            (
                voters.max_faulty(),
                voters.quorum(),
                voters.heaviest_exceeding_faulty(),
                voters.may_fail(),
            )
        };
        assert_eq!(facts(&manifest(2)), (0, 2, 1, 0));
        assert_eq!(facts(&manifest(3)), (0, 2, 1, 1));
        assert_eq!(facts(&manifest(4)), (1, 3, 2, 1));
        assert_eq!(facts(&manifest(5)), (1, 4, 2, 1));
        assert_eq!(facts(&manifest(100)), (33, 67, 34, 33));
        assert_eq!(facts(&weighted(&[10, 20, 30, 40])), (33, 67, 1, 0));
        assert_eq!(facts(&weighted(&[1; 7])), (2, 5, 3, 2));
        assert_eq!(facts(&weighted(&[30, 25, 25, 20])), (33, 67, 2, 1));
    }

    #[test]
    fn weight_alone_is_no_quorum() {
        let mut manifest = weighted(&[100, 1, 1]);
        manifest.min_participating_nodes = 3;
        let voters = VoterSet::of(&manifest).unwrap();
        assert!(voters.is_quorum(102, 3) && !voters.is_quorum(102, 2) && !voters.is_quorum(67, 3));
        assert!(voters.exceeds_faulty(34) && !voters.exceeds_faulty(33));
        assert_eq!(voters.may_fail(), 0);
    }

    #[test]
    fn a_key_that_is_none_or_stands_there_twice_is_refused() {
        let mut twice = manifest(3);
        twice.members[2].node_id = twice.members[1].node_id;
        assert!(
            VoterSet::of(&twice)
                .unwrap_err()
                .to_string()
                .contains("distinct")
        );
        let mut weak = manifest(3);
        weak.members[2].node_id = NodeId([0; 32]);
        assert!(
            VoterSet::of(&weak)
                .unwrap_err()
                .to_string()
                .contains("members[2].node_id")
        );
    }

    /// The weight of the voters, in this order, until they are a quorum; `None` if all of them are
    /// not.
    fn first_quorum(order: &[(usize, u64)], needed: u64) -> Option<&[(usize, u64)]> {
        (1..=order.len())
            .map(|n| &order[..n])
            .find(|some| some.iter().map(|(_, weight)| weight).sum::<u64>() >= needed)
    }

    proptest! {
        #[test]
        fn any_two_quorums_share_more_than_the_faulty_weight(
            (one, other) in proptest::collection::vec(1..=100_u64, 1..40).prop_flat_map(|weights| {
                let order: Vec<_> = weights.into_iter().enumerate().collect();
                (Just(order.clone()).prop_shuffle(), Just(order).prop_shuffle())
            }),
            threshold in 1..=10_000_u32,
            min in 2..10_u64,
        ) {
            let total = one.iter().map(|(_, weight)| weight).sum();
            let needed = quorum(total, threshold, min);
            if let (Some(one), Some(other)) = (first_quorum(&one, needed), first_quorum(&other, needed)) {
                let shared: u64 = one.iter().filter(|voter| other.contains(voter)).map(|(_, weight)| weight).sum();
                prop_assert!(shared > faults_tolerated(total));
            }
        }

        #[test]
        fn the_quorum_is_the_least_that_the_specification_asks_for(
            total in 1..200_000_u64, threshold in 1..=10_000_u32, min in 2..1000_u64,
        ) {
            let needed = quorum(total, threshold, min);
            let holds = |q: u64| {
                q * 10_000 >= total * u64::from(threshold) && 2 * q > total + faults_tolerated(total) && q >= min
            };
            prop_assert!(holds(needed) && !holds(needed - 1));
            prop_assert!(3 * faults_tolerated(total) < total);
        }
    }
}
