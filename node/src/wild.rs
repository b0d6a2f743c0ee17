//! Bytes as they may come from outside, for the property tests of this crate's decoders of foreign
//! files and answers. Those of `protocol` and the registry log are fuzzed as well
//! (`protocol/fuzz`); these stand behind files of the operator's own and services of their choice,
//! and are asked with every run of the tests.

use proptest::prelude::*;

/// Valid texts, damaged in up to four places, or put together from two, and among them anything
/// whatever.
pub(crate) fn bytes(valid: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let one = proptest::sample::select(valid).prop_map(|text| text.as_bytes().to_vec());
    let damage = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    let damaged =
        (one.clone(), proptest::collection::vec(damage, 0..4)).prop_map(|(mut bytes, damage)| {
            damage
                .into_iter()
                .for_each(|(at, byte, how)| spoil(&mut bytes, at.index(4096), byte, how));
            bytes
        });
    let joined =
        (one.clone(), one, any::<prop::sample::Index>()).prop_map(|(mut first, second, at)| {
            first.truncate(at.index(first.len() + 1));
            [first, second].concat()
        });
    prop_oneof![6 => damaged, 2 => joined, 1 => proptest::collection::vec(any::<u8>(), 0..200)]
}

/// The same as text; what is no UTF-8 is replaced.
pub(crate) fn text(valid: &'static [&'static str]) -> impl Strategy<Value = String> {
    bytes(valid).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Cuts the text off, puts a byte in, takes some out, or writes one over.
fn spoil(bytes: &mut Vec<u8>, at: usize, byte: u8, how: u8) {
    let at = at % (bytes.len() + 1);
    match how {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, byte),
        2 => drop(bytes.drain(at..(at + usize::from(byte) % 16).min(bytes.len()))),
        _ => {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
    }
}
