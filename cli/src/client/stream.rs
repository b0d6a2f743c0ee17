//! Server-sent events, as far as the node's stream uses them.

use std::collections::VecDeque;

use anyhow::{Result, bail};
use futures::{Stream, StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use ssid_engine::NodeEvent;

use crate::error::CliError;

/// Bytes of the longest event.
const EVENT_BYTES: usize = 1 << 20;

/// What the stream brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum StreamItem {
    /// Something happened that the node tells of.
    Event(NodeEvent),
    /// This reader was too slow.
    Lagged {
        /// How many events it missed.
        missed: u64,
    },
}

/// Puts chunks of bytes together to events. Ends with an error: a stream of this kind has no end of
/// its own.
pub(super) fn items<E: std::error::Error + Send + Sync + 'static>(
    chunks: impl Stream<Item = Result<Vec<u8>, E>>,
    lost: CliError,
) -> impl Stream<Item = Result<StreamItem>> {
    let state = (Box::pin(chunks), Reader::default(), Some(lost));
    stream::unfold(state, |(mut chunks, mut reader, mut lost)| async move {
        loop {
            if let Some(item) = reader.ready.pop_front() {
                return Some((Ok(item), (chunks, reader, lost)));
            }
            let read = match (chunks.next().await, &mut lost) {
                (Some(Ok(bytes)), Some(_)) => reader.push(&bytes),
                (_, lost) => Err(lost.take()?.into()),
            };
            if let Err(e) = read {
                return Some((Err(e), (chunks, reader, None)));
            }
        }
    })
}

/// Lines to events.
#[derive(Debug, Default)]
struct Reader {
    partial: Vec<u8>,
    ready: VecDeque<StreamItem>,
}

impl Reader {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            // the data line says all; names, comments and blank lines say nothing more
            if let Some(data) = line.strip_prefix(b"data:") {
                self.ready.push_back(serde_json::from_slice(data)?);
            }
        }
        if self.partial.len() > EVENT_BYTES {
            bail!("the node sent an event of more than {EVENT_BYTES} bytes");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_words_of_every_other_answer() {
        let id = "7".repeat(64);
        let text = format!(
            "{{\"type\":\"certified\",\"sequence\":4,\"subject_id\":\"{id}\",\"choice\":{{\"event_hash\":\"{id}\",\
             \"content_digest\":\"{id}\"}},\"event_type\":\"tick\",\"event_version\":\"v1\",\"round\":0,\
             \"at\":\"2026-11-29T23:35:56.5Z\"}}"
        );
        let item: StreamItem = serde_json::from_str(&text).unwrap();
        assert!(
            matches!(
                item,
                StreamItem::Event(NodeEvent::Certified { sequence: 4, .. })
            ),
            "{item:?}"
        );
        assert_eq!(
            serde_json::to_value(&item).unwrap(),
            serde_json::from_str::<serde_json::Value>(&text).unwrap()
        );
        let low = StreamItem::Event(NodeEvent::LowTrust {
            member: id.parse().unwrap(),
            score: 7,
        });
        let said = serde_json::json!({ "type": "low_trust", "node_id": id, "trust_score": 7 });
        assert_eq!(serde_json::to_value(&low).unwrap(), said);
    }

    #[test]
    fn events_may_come_in_any_pieces() {
        let text = "event: read_only\ndata: {\"type\":\"read_only\",\"reason\":\"ü\"}\n\n:\n\n\
                    event: lagged\ndata: {\"type\":\"lagged\",\"missed\":7}\n\n";
        let expected = [
            StreamItem::Event(NodeEvent::ReadOnly {
                reason: "ü".into()
            }),
            StreamItem::Lagged { missed: 7 },
        ];
        for size in 1..text.len() {
            let mut reader = Reader::default();
            text.as_bytes()
                .chunks(size)
                .for_each(|chunk| reader.push(chunk).unwrap());
            assert_eq!(reader.ready, expected);
        }
    }
}
