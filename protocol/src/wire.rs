//! Bounded binary encoding for messages between nodes and records on disk (SPEC §10): bincode,
//! little-endian, fixed-width integers. It is never signed or hashed: whatever is has a layout of
//! its own in the specification.
//!
//! Decoding refuses what claims more than its limit before anything is allocated for it, and bytes
//! left over at the end, so that one value has one encoding. No recursive types may be decoded
//! here: bincode does not bound depth.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits;

/// Bytes that are no valid encoding of what was expected.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Longer than the limit for its kind.
    #[error("message of {size} bytes exceeds message_bytes = {limit}")]
    TooLarge {
        /// How long it is.
        size: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Not decodable: truncated, an unknown variant, text that is no UTF-8, or a length past the
    /// limit.
    #[error("not a valid encoding: {0}")]
    Malformed(#[from] bincode::error::DecodeError),
    /// Decodable, but followed by more.
    #[error("{0} bytes are left over after the message")]
    Trailing(usize),
}

/// No value takes more of the input than `LIMIT` bytes, whatever length is written before it.
type Encoding<const LIMIT: usize> = Configuration<LittleEndian, Fixint, Limit<LIMIT>>;

fn encoding<const LIMIT: usize>() -> Encoding<LIMIT> {
    bincode::config::standard()
        .with_little_endian()
        .with_fixed_int_encoding()
        .with_limit()
}

/// The encoding of `value`.
///
/// # Panics
/// Never for the types of this project: their encoders cannot fail and memory is the only sink.
#[expect(
    clippy::expect_used,
    reason = "plain structs into memory: serialisation has no failing path"
)]
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, encoding::<0>().with_no_limit())
        .expect("plain data encodes into memory")
}

/// The number of the variant that stands at byte `at` of an encoding, if it is one that a type
/// could come to have: a kind is one byte where it is signed.
pub(crate) fn variant(bytes: &[u8], at: usize) -> Option<u8> {
    let number = bytes.get(at..)?.first_chunk()?;
    u8::try_from(u32::from_le_bytes(*number)).ok()
}

/// Decodes a value of at most [`limits::MESSAGE_BYTES`].
///
/// ```
/// use ssid_protocol::wire;
///
/// let bytes = wire::encode(&("vote", 7_u32));
/// assert_eq!(wire::decode::<(String, u32)>(&bytes).unwrap(), ("vote".to_owned(), 7));
/// let longer = [bytes, vec![0]].concat();
/// assert!(wire::decode::<(String, u32)>(&longer).is_err(), "bytes left over");
/// ```
///
/// # Errors
/// If the bytes are too long, malformed or followed by others.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    decode_within(bytes, limits::MESSAGE_BYTES)
}

/// Decodes a value of at most `limit` bytes; `limit` itself is at most [`limits::DOCUMENT_BYTES`].
///
/// # Errors
/// If the bytes are too long, malformed or followed by others.
pub fn decode_within<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, WireError> {
    if bytes.len() > limit {
        return Err(WireError::TooLarge {
            size: bytes.len(),
            limit,
        });
    }
    // bincode allocates what a text says to be long, up to its limit, which is part of a type: so
    // there are several
    let (value, used) = match bytes.len() {
        0..=0x1000 => bincode::serde::decode_from_slice(bytes, encoding::<0x1000>()),
        0x1001..=0x1_0000 => bincode::serde::decode_from_slice(bytes, encoding::<0x1_0000>()),
        _ => bincode::serde::decode_from_slice(bytes, encoding::<{ limits::DOCUMENT_BYTES }>()),
    }?;
    match bytes.len() - used {
        0 => Ok(value),
        left => Err(WireError::Trailing(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_pinned() {
        let value = (7_u32, Some("ab".to_owned()), vec![1_u64]);
        let bytes = encode(&value);
        assert_eq!(
            hex::encode(&bytes),
            "070000000102000000000000006162010000000000000001000000000000 00".replace(' ', "")
        );
        assert_eq!(
            decode::<(u32, Option<String>, Vec<u64>)>(&bytes).unwrap(),
            value
        );
    }

    #[test]
    fn trailing_truncated_oversize_and_lying_input_is_refused() {
        let mut bytes = encode(&vec![1_u64, 2]);
        assert!(matches!(
            decode::<Vec<u64>>(&bytes[..bytes.len() - 1]),
            Err(WireError::Malformed(_))
        ));
        bytes.push(0);
        assert!(matches!(
            decode::<Vec<u64>>(&bytes),
            Err(WireError::Trailing(1))
        ));
        assert!(matches!(
            decode_within::<Vec<u64>>(&bytes, 8),
            Err(WireError::TooLarge { .. })
        ));
        // a count of 2^60 elements, and a string of 2^40 bytes, with nothing behind them
        assert!(decode::<Vec<u64>>(&(1_u64 << 60).to_le_bytes()).is_err());
        assert!(decode::<String>(&(1_u64 << 40).to_le_bytes()).is_err());
    }
}
