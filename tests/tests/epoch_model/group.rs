//! The voters of one epoch by weight, and what decides among them.

use ssid_protocol::quorum;

/// Honest voters, and the weight of the Byzantine ones, who act as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) honest: Vec<u64>,
    pub(crate) byzantine: u64,
    /// The weight that decides.
    pub(crate) quorum: u64,
    /// F: what may be Byzantine, as weight.
    pub(crate) faults: u64,
}

impl Group {
    /// With the usual threshold of 66 %. The Byzantine weight must be at most F.
    pub(crate) fn new(honest: &[u64], byzantine: u64) -> Self {
        let total = honest.iter().sum::<u64>() + byzantine;
        let faults = quorum::faults_tolerated(total);
        assert!(byzantine <= faults, "{byzantine} of {total} is more than F");
        Self {
            honest: honest.to_vec(),
            byzantine,
            quorum: quorum::quorum(total, 6_600, 2),
            faults,
        }
    }

    /// `voters` of weight 1, of whom as many are Byzantine as may be.
    pub(crate) fn equal(voters: u64) -> Self {
        let byzantine = quorum::faults_tolerated(voters);
        let honest = vec![1; (voters - byzantine) as usize];
        Self::new(&honest, byzantine)
    }

    /// The weight of the honest voters of whom `is_one` is true.
    pub(crate) fn weight(&self, is_one: impl Fn(usize) -> bool) -> u64 {
        (0..self.honest.len())
            .filter(|voter| is_one(*voter))
            .map(|voter| self.honest[voter])
            .sum()
    }
}
