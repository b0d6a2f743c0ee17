//! What comes from outside, decoded: arbitrary bytes, small numbers as lengths and variants are,
//! and damaged messages of every kind. The properties are those of `protocol/fuzz`, which looks
//! longer and knows where it has been.

use std::sync::LazyLock;

use proptest::prelude::*;
use ssid_protocol::testing::decoders::{ALL, Decoder};

/// Every seed with its decoder.
static SEEDS: LazyLock<Vec<(Decoder, Vec<u8>)>> = LazyLock::new(|| {
    ALL.iter()
        .flat_map(|decoder| {
            (decoder.seeds)()
                .into_iter()
                .map(|(_, bytes)| (*decoder, bytes))
        })
        .collect()
});

#[test]
fn every_seed_is_accepted_and_keeps_every_promise() {
    for decoder in ALL {
        for (name, bytes) in (decoder.seeds)() {
            assert!(
                (decoder.check)(&bytes) && (decoder.decode)(&bytes),
                "{} refuses its seed {name}",
                decoder.name
            );
        }
    }
}

#[test]
fn decoding_and_checking_agree_on_what_is_accepted() {
    for (from, bytes) in SEEDS.iter() {
        for to in ALL {
            assert_eq!(
                (to.decode)(bytes),
                (to.check)(bytes),
                "a seed of {} in {}",
                from.name,
                to.name
            );
        }
    }
}

/// One change to a valid encoding: a byte written over, cut off, put in, or a run removed.
fn mutate(bytes: &mut Vec<u8>, at: usize, byte: u8, how: u8) {
    let at = at % (bytes.len() + 1);
    match how {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, byte),
        2 => drop(bytes.drain(at..(at + usize::from(byte)).min(bytes.len()))),
        _ => {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
    }
}

fn check_all(bytes: &[u8]) {
    ALL.iter().for_each(|decoder| _ = (decoder.check)(bytes));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        check_all(&bytes);
    }

    /// Small numbers, as lengths and variants are: such bytes get further.
    #[test]
    fn arbitrary_small_bytes_never_panic(bytes in proptest::collection::vec(0..3_u8, 0..600)) {
        check_all(&bytes);
    }

    #[test]
    fn a_damaged_message_is_refused_or_keeps_every_promise(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>(), 0..8_u8), 1..4),
    ) {
        let (decoder, bytes) = which.get(&SEEDS);
        let mut bytes = bytes.clone();
        for (at, byte, how) in changes {
            mutate(&mut bytes, at, byte, how);
        }
        (decoder.check)(&bytes);
    }
}
