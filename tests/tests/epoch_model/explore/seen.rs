//! The states that a search has met.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// States that were met. One subject's fit 64 bits, which halves the memory.
#[derive(Default)]
pub(super) struct Seen {
    short: HashSet<u64, BuildHasherDefault<Mixer>>,
    long: HashSet<u128, BuildHasherDefault<Mixer>>,
}

impl Seen {
    pub(super) fn insert(&mut self, packed: u128) -> bool {
        match u64::try_from(packed) {
            Ok(short) => self.short.insert(short),
            Err(_) => self.long.insert(packed),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.short.len() + self.long.len()
    }
}

/// States are near each other as numbers, and nobody chooses them: one multiplication spreads them.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let word = self.0.rotate_left(29) ^ word;
        let mixed = (word ^ word >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ mixed >> 29;
    }
}
