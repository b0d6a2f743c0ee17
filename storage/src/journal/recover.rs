//! Reading a journal back: what is whole, what was torn, what is damaged.
//!
//! A crash can only leave the last write incomplete: that is cut off. A loss of power may leave any
//! of its pages, so valid records may stand behind a place that does not check. The database says
//! how many records were on disk before anything that followed from them was sent: at or behind
//! that number a place that does not check is a torn write. Before it, or where no number is known,
//! valid records behind such a place mean damage, and nothing is guessed then.

use std::path::Path;

use ssid_protocol::id::NodeId;

use super::JournalRecord;
use super::frame::{self, HEADER_BYTES, Header};
use crate::codec::{self, FORMAT, Refusal};
use crate::error::StorageError;

/// A journal's contents.
#[derive(Debug)]
pub(super) struct Read {
    /// All records, `Created` first.
    pub(super) records: Vec<JournalRecord>,
    /// How many were ever committed.
    pub(super) sequence: u64,
    /// Where the last one ends; what follows is torn.
    pub(super) end: usize,
}

pub(super) fn read(
    path: &Path,
    contents: &[u8],
    node: NodeId,
    known: u64,
) -> Result<Read, StorageError> {
    // a header that does not check says nothing about how many records there have to be
    let header = Header::parse(contents).map_err(|refusal| translate(path, 0, refusal))?;
    let mut records = Vec::new();
    let mut end = HEADER_BYTES;
    // as far as records check; what follows is torn or damaged
    while let Some((payload, next)) = frame::payload(contents, end) {
        let record = codec::decode(payload).map_err(|refusal| translate(path, end, refusal))?;
        check_creator(path, &record, records.is_empty(), end, node)?;
        records.push(record);
        end = next;
    }
    let count = records.len() as u64;
    // the last compaction wrote `kept` at once: with fewer the file was cut afterwards
    let Some(appended) = count.checked_sub(header.kept).filter(|_| count > 0) else {
        return Err(damaged(
            path,
            end,
            format!(
                "{count} records are left of {} written at once",
                header.kept
            ),
        ));
    };
    // counted from what compaction kept: sequences go on where the old file ended
    let sequence = header.sequence.saturating_add(appended);
    // all that was ever sent is there: what does not check behind it was never sent
    let was_never_sent = known > 0 && sequence >= known;
    if !was_never_sent && let Some(later) = valid_behind(contents, end) {
        return Err(damaged(
            path,
            end,
            format!("a record does not check, and valid ones follow at byte {later}"),
        ));
    }
    Ok(Read {
        records,
        sequence,
        end,
    })
}

/// Where the first valid record behind the place `end` begins.
fn valid_behind(contents: &[u8], end: usize) -> Option<usize> {
    (end + 1..contents.len()).find(|&start| frame::payload(contents, start).is_some())
}

fn check_creator(
    path: &Path,
    record: &JournalRecord,
    first: bool,
    offset: usize,
    expected: NodeId,
) -> Result<(), StorageError> {
    match *record {
        JournalRecord::Created { node } if first && node == expected => Ok(()),
        JournalRecord::Created { node } if first => Err(StorageError::OtherNode {
            path: path.to_owned(),
            found: node,
            expected,
        }),
        JournalRecord::Created { .. } => Err(damaged(path, offset, "it begins anew".to_owned())),
        _ if first => Err(damaged(
            path,
            offset,
            "it does not say whose it is".to_owned(),
        )),
        _ => Ok(()),
    }
}

fn damaged(path: &Path, offset: usize, reason: String) -> StorageError {
    StorageError::JournalDamaged {
        path: path.to_owned(),
        offset: offset as u64,
        reason,
    }
}

fn translate(path: &Path, offset: usize, refusal: Refusal) -> StorageError {
    match refusal {
        Refusal::Newer(found) => {
            let place = format!("'{}' at byte {offset}", path.display());
            StorageError::NewerFormat {
                place,
                found: found.into(),
                known: FORMAT.into(),
            }
        }
        Refusal::Malformed(why) => damaged(path, offset, why),
    }
}
