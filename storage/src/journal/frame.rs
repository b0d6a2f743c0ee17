//! The journal's bytes.
//!
//! ```text
//! file    +---------+-----------+--------------+----------+-----------+---------+---------+--
//!         | magic 6 | format u8 | sequence u64 | kept u64 | crc32 u32 | record  | record  | …
//!         | "SSIDVJ"|           |              |          | of 0..23  |         |         |
//!         +---------+-----------+--------------+----------+-----------+---------+---------+--
//! record  +---------+-----------+----------------------------------------------------------+
//!         | len u32 | crc32 u32 | format u8, then the wire encoding of a JournalRecord     |
//!         +---------+-----------+----------------------------------------------------------+
//!                      of the len bytes that follow it; len is 5 to 4 Mi
//! ```
//!
//! Integers are big-endian. `sequence` and `kept` are as of the last compaction: how many records
//! had ever been committed, and how many of the file's records it wrote. So the sequence now is
//! `sequence` + records − `kept`, and a file with fewer than `kept` records was cut.

use ssid_protocol::id::SubjectId;

use super::JournalRecord;
use crate::codec::{self, FORMAT, Refusal};
use crate::error::StorageError;

const MAGIC: [u8; 6] = *b"SSIDVJ";
/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 27;
/// Bytes before a record's payload.
const PREFIX_BYTES: usize = 8;
/// Bytes of the smallest payload: the format byte and the record's kind.
const LEAST_PAYLOAD: usize = 5;
/// Kinds of records, for telling payloads from noise.
const KINDS: u32 = 11;
/// Subjects in one `Done` record: 2 MiB. Longer lists become several records.
pub(super) const DONE_SUBJECTS: usize = 65_536;

/// The file's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sequence: u64,
    pub(super) kept: u64,
}

impl Header {
    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..6].copy_from_slice(&MAGIC);
        bytes[6] = FORMAT;
        bytes[7..15].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[15..23].copy_from_slice(&self.kept.to_be_bytes());
        let checksum = crc32fast::hash(&bytes[..23]);
        bytes[23..].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    pub(super) fn parse(contents: &[u8]) -> Result<Self, Refusal> {
        let Some(bytes) = contents.first_chunk::<HEADER_BYTES>() else {
            return Err(Refusal::Malformed("the header is cut".to_owned()));
        };
        if bytes[..6] != MAGIC || crc32fast::hash(&bytes[..23]).to_be_bytes() != bytes[23..] {
            return Err(Refusal::Malformed(
                "the header is not a journal's".to_owned(),
            ));
        }
        match bytes[6] {
            FORMAT => {}
            newer if newer > FORMAT => return Err(Refusal::Newer(newer)),
            other => return Err(Refusal::Malformed(format!("format byte {other}"))),
        }
        let number = |at: usize| {
            bytes[at..at + 8]
                .iter()
                .fold(0, |n, b| n << 8 | u64::from(*b))
        };
        Ok(Self {
            sequence: number(7),
            kept: number(15),
        })
    }
}

/// Appends the frame of `record`, or those of several if it is a long list. Returns how many.
pub(super) fn write(buffer: &mut Vec<u8>, record: &JournalRecord) -> Result<u64, StorageError> {
    match record {
        JournalRecord::Done(subjects) if subjects.len() > DONE_SUBJECTS => {
            let write = |part: &[SubjectId]| write_one(buffer, &JournalRecord::Done(part.to_vec()));
            subjects.chunks(DONE_SUBJECTS).try_for_each(write)?;
            Ok(subjects.len().div_ceil(DONE_SUBJECTS) as u64)
        }
        record => write_one(buffer, record).map(|()| 1),
    }
}

fn write_one(buffer: &mut Vec<u8>, record: &JournalRecord) -> Result<(), StorageError> {
    let payload = codec::encode("votes.journal", record)?;
    // a payload is at most 4 MiB
    buffer.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    buffer.extend_from_slice(&crc32fast::hash(&payload).to_be_bytes());
    buffer.extend_from_slice(&payload);
    Ok(())
}

/// The payload of the frame that begins at `start`, and where the next one does; `None` if it is
/// cut or its checksum does not hold.
pub(super) fn payload(contents: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let rest = contents.get(start..)?;
    let len = u32::from_be_bytes(*rest.first_chunk()?) as usize;
    let checksum = rest.get(4..PREFIX_BYTES)?;
    if !(LEAST_PAYLOAD..=codec::LIMIT).contains(&len) {
        return None;
    }
    let payload = rest.get(PREFIX_BYTES..PREFIX_BYTES + len)?;
    (looks_like_a_record(payload) && crc32fast::hash(payload).to_be_bytes() == checksum)
        .then_some((payload, start + PREFIX_BYTES + len))
}

/// Spares most of the noise behind a damaged place its checksum.
fn looks_like_a_record(payload: &[u8]) -> bool {
    let kind = payload
        .get(1..)
        .and_then(|rest| rest.first_chunk())
        .map(|kind| u32::from_le_bytes(*kind));
    let format = payload.first().copied().unwrap_or(0);
    format > FORMAT || (format == FORMAT && kind.is_some_and(|kind| kind < KINDS))
}
