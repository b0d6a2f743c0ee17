//! Certificates and consensus records as documents: JSON Lines, a certificate or a record a line,
//! in the order of this node's log. The same entries give the same bytes, so that what was anchored
//! before is found again.

use std::ops::Range;

use ssid_storage::{StorageError, Store};

use super::kubo::Source;
use super::run::Item;
use super::select::Trigger;
use crate::view::RecordView;

/// Log entries in one document.
pub(super) const DOCUMENT_ENTRIES: u64 = 256;

/// The certificates and the records of these entries of the log, as far as it goes.
///
/// # Errors
/// If storage fails.
pub(super) fn of_entries(
    store: &Store,
    entries: Range<u64>,
    pin: bool,
) -> Result<Vec<Item>, StorageError> {
    let mut items = Vec::new();
    let mut from = entries.start;
    let end = entries.end.min(store.log_head().size);
    while from < end {
        let until = end.min(from + DOCUMENT_ENTRIES);
        items.extend(pair(store, from..until, pin)?);
        from = until;
    }
    Ok(items)
}

fn pair(store: &Store, entries: Range<u64>, pin: bool) -> Result<Vec<Item>, StorageError> {
    let mut certificates = String::new();
    let mut records = String::new();
    let mut trigger = Trigger::default();
    for sequence in entries.clone() {
        if let Some(certificate) = store.certificate(sequence)? {
            // JCS: the same entries have the same bytes, and so one CID, on every node that anchors
            // them
            certificates += &certificate.to_json().to_jcs();
            certificates.push('\n');
        }
        if let Some(record) = store.record(sequence)? {
            records +=
                &serde_json::to_string(&RecordView::of(&record, sequence)).unwrap_or_default();
            records.push('\n');
            // the last one that is known: it says what made the files due
            if let Some(event) = store.event(&record.choice.content_digest)? {
                trigger = Trigger::from(&event);
            }
        }
    }
    let item = |kind: &str, text: String| Item {
        name: format!(
            "consensus/{kind}-{:010}-{:010}.jsonl",
            entries.start,
            entries.end - 1
        ),
        source: Source::Bytes(text.into_bytes()),
        trigger: trigger.clone(),
        pin,
    };
    // of entries whose certificates are lost there is nothing to anchor
    let documents = [item("certificates", certificates), item("records", records)];
    Ok(documents
        .into_iter()
        .filter(|item| !matches!(&item.source, Source::Bytes(bytes) if bytes.is_empty()))
        .collect())
}
