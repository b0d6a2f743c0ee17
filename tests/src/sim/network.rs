//! The simulated network: who can reach whom, and when what was sent arrives, if it does.

use super::rng::Rng;
use super::scenario::Link;

/// Which part of the network each member is in, and how messages travel.
#[derive(Debug)]
pub(super) struct Network {
    rng: Rng,
    pub(super) link: Link,
    parts: Vec<u8>,
}

impl Network {
    pub(super) fn new(rng: Rng, link: Link, members: usize) -> Self {
        Self {
            rng,
            link,
            parts: vec![0; members],
        }
    }

    pub(super) fn split(&mut self, parts: &[u8]) {
        self.parts = parts.to_vec();
    }

    pub(super) fn make_whole(&mut self) {
        self.parts.fill(0);
    }

    pub(super) fn is_cut(&self, a: usize, b: usize) -> bool {
        self.parts[a] != self.parts[b]
    }

    /// After how many milliseconds a message arrives: once, twice, or never.
    pub(super) fn arrivals(&mut self) -> Vec<u64> {
        let Link {
            delay: (least, most),
            loss,
            duplication,
            ..
        } = self.link;
        if self.rng.chance(loss) {
            return Vec::new();
        }
        let copies = 1 + usize::from(self.rng.chance(duplication));
        (0..copies).map(|_| self.rng.between(least, most)).collect()
    }

    /// How long something takes that is not lost: a connection that comes up or goes.
    pub(super) fn pause(&mut self) -> u64 {
        self.rng.between(10, 2_000)
    }
}
