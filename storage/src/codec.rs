//! Every record on disk is a format byte and then the wire encoding of one value.
//!
//! ```text
//! +-----------+--------------------------------------------+
//! | format u8 | protocol::wire encoding (little-endian, …) |
//! +-----------+--------------------------------------------+
//! ```
//!
//! Decoding allocates no more than [`LIMIT`], whatever the bytes claim.

use serde::Serialize;
use serde::de::DeserializeOwned;
use ssid_protocol::{limits, wire};

use crate::error::StorageError;

/// The format that is written, and the latest that is read.
pub(crate) const FORMAT: u8 = 1;
/// Bytes of one record, format byte included.
pub(crate) const LIMIT: usize = limits::DOCUMENT_BYTES;

/// Why a record is refused; the caller knows where it stood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The format byte of a later version.
    Newer(u8),
    /// Anything else, in words.
    Malformed(String),
}

/// The record of `value`.
///
/// # Errors
/// If it is larger than [`LIMIT`] and so could not be read back.
pub(crate) fn encode<T: Serialize>(
    place: &'static str,
    value: &T,
) -> Result<Vec<u8>, StorageError> {
    let mut record = wire::encode(value);
    record.insert(0, FORMAT);
    if record.len() > LIMIT {
        return Err(StorageError::RecordTooLarge {
            place,
            size: record.len(),
            limit: LIMIT,
        });
    }
    Ok(record)
}

/// The value of a record.
pub(crate) fn decode<T: DeserializeOwned>(record: &[u8]) -> Result<T, Refusal> {
    match record.split_first() {
        Some((&FORMAT, body)) => {
            wire::decode_within(body, LIMIT).map_err(|e| Refusal::Malformed(e.to_string()))
        }
        Some((&newer, _)) if newer > FORMAT => Err(Refusal::Newer(newer)),
        Some((&other, _)) => Err(Refusal::Malformed(format!("format byte {other}"))),
        None => Err(Refusal::Malformed("an empty record".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        let record = encode("t", &(7_u32, "x".to_owned())).unwrap();
        assert_eq!(record[0], FORMAT);
        assert_eq!(
            decode::<(u32, String)>(&record).unwrap(),
            (7, "x".to_owned())
        );
        assert_eq!(decode::<u32>(&[2, 0, 0, 0, 0]), Err(Refusal::Newer(2)));
        assert!(matches!(
            decode::<u32>(&[0, 0, 0, 0, 0]),
            Err(Refusal::Malformed(_))
        ));
        assert!(matches!(decode::<u32>(&[]), Err(Refusal::Malformed(_))));
        assert!(matches!(
            decode::<u32>(&[1, 0, 0, 0, 0, 9]),
            Err(Refusal::Malformed(_))
        ));
        let claims_much = [&[FORMAT][..], &(1_u64 << 50).to_le_bytes()].concat();
        assert!(matches!(
            decode::<Vec<u64>>(&claims_much),
            Err(Refusal::Malformed(_))
        ));
        assert!(matches!(
            encode("t", &vec![0_u64; LIMIT / 8]),
            Err(StorageError::RecordTooLarge { .. })
        ));
    }
}
