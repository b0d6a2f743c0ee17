//! Randomness of a simulation: everything that is drawn follows from the seed, in streams of their
//! own, so that more draws in one place do not change what another sees.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// One stream of a seed's random numbers.
#[derive(Debug)]
pub(super) struct Rng(StdRng);

impl Rng {
    /// The stream of that number.
    pub(super) fn stream(seed: u64, number: u64) -> Self {
        Self(StdRng::seed_from_u64(
            seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .wrapping_add(number),
        ))
    }

    /// Between `least` and `most`, both included.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0.random_range(least..=most.max(least))
    }

    /// An index below `count`, which is not 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count.max(1))
    }

    /// True in so many of 1000 cases.
    pub(super) fn chance(&mut self, permille: u32) -> bool {
        self.0.random_range(0..1000) < permille
    }

    /// One of `all`.
    pub(super) fn pick<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        if all.is_empty() {
            None
        } else {
            all.get(self.below(all.len())).copied()
        }
    }

    /// `count` of the numbers below `of`, in random order.
    pub(super) fn some_of(&mut self, of: usize, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..of).collect();
        for at in 0..of {
            let other = at + self.below(of - at);
            all.swap(at, other);
        }
        all.truncate(count);
        all
    }
}
