//! Phase 2: what the logs say, as rows that can be put in order. Of an event that may be asked
//! about its text is kept beside them, in a file without a name. Memory does not grow with the
//! logs.

use std::fs::File;
use std::io::{BufWriter, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use ssid_protocol::event::{Event, Instant};
use ssid_protocol::id::{ContentDigest, EventHash, Sha256Hash};
use ssid_storage::{PathContext as _, PathError};

use super::decide::Rules;
use super::sorter::{Sorted, Sorter};
use crate::place::Place;
use crate::registry::file::FileError;
use crate::registry::parse::{ParsedLog, Position};
use crate::registry::stream::{LogParts, read_all};

/// Events of all logs together in one sync.
pub const EVENTS: u64 = 4_000_000;
/// Bytes of a row.
pub(super) const ROW: usize = 122;
/// The own log's place among the observers.
pub(super) const OWN: u16 = 0;

/// What was tried when there is no room for what was read.
pub(super) const KEEPING: &str = "keep what the logs say, in";

/// Why logs cannot be gathered.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// The own log is not usable.
    #[error(transparent)]
    Log(#[from] FileError),
    /// A log, or a file that is only there meanwhile, cannot be read or written.
    #[error("{0}\n  free space there, or give another --data DIR")]
    Io(#[from] PathError),
    /// There are more than [`EVENTS`].
    #[error(
        "the logs have more than plain_events = {EVENTS} events together\n  archive old ones and begin new logs"
    )]
    TooMany,
}

/// Where the text of an event stands; of length 0 if it is not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text {
    pub(super) at: u64,
    pub(super) bytes: u32,
}

/// One event in one log. Rows are ordered by subject, event, observer, and then as they stand in
/// the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Hash of type and version.
    pub(super) subject: [u8; 32],
    pub(super) hash: EventHash,
    /// Whose log: [`OWN`], or the node's place.
    pub(super) observer: u16,
    pub(super) text: Text,
    pub(super) digest: ContentDigest,
    pub(super) at: Instant,
}

impl Said {
    fn of(event: &Event, observer: u16, text: Text, at: Instant) -> Self {
        // no field of an admissible event that is hashed holds a bar
        let subject = Sha256Hash::of(&[event.event.as_bytes(), b"|", event.version.as_bytes()]).0;
        Self {
            subject,
            hash: event.event_hash(),
            observer,
            text,
            digest: event.content_digest(),
            at,
        }
    }

    fn to_row(self) -> [u8; ROW] {
        let mut row = Vec::with_capacity(ROW);
        row.extend(self.subject);
        row.extend(self.hash.0);
        row.extend(self.observer.to_be_bytes());
        row.extend(self.text.at.to_be_bytes());
        row.extend(self.text.bytes.to_be_bytes());
        row.extend(self.digest.0);
        row.extend(instant_bytes(self.at));
        row.try_into().unwrap_or([0; ROW])
    }

    pub(super) fn from_row(row: &[u8; ROW]) -> Self {
        let mut rest = &row[..];
        Self {
            subject: take(&mut rest),
            hash: EventHash(take(&mut rest)),
            observer: u16::from_be_bytes(take(&mut rest)),
            text: Text {
                at: u64::from_be_bytes(take(&mut rest)),
                bytes: u32::from_be_bytes(take(&mut rest)),
            },
            digest: ContentDigest(take(&mut rest)),
            at: instant_of(take(&mut rest)),
        }
    }
}

/// The next bytes of a row.
pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let Some((first, behind)) = rest.split_first_chunk() else {
        return [0; N];
    };
    *rest = behind;
    *first
}

/// An instant as bytes in the order of time.
pub(super) fn instant_bytes(at: Instant) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&(at.seconds ^ i64::MIN).to_be_bytes());
    bytes[8..].copy_from_slice(&at.nanoseconds.to_be_bytes());
    bytes
}

/// The instant of these bytes.
pub(super) fn instant_of(bytes: [u8; 12]) -> Instant {
    let mut rest = &bytes[..];
    let seconds = i64::from_be_bytes(take(&mut rest)) ^ i64::MIN;
    Instant {
        seconds,
        nanoseconds: u32::from_be_bytes(take(&mut rest)),
    }
}

/// Logs as they come in.
#[derive(Debug)]
pub(super) struct Gatherer {
    scratch: PathBuf,
    rules: Rules,
    rows: Sorter<ROW>,
    texts: BufWriter<File>,
    /// Bytes of the texts so far.
    written: u64,
    events: u64,
    most: u64,
    /// Observers whose logs were not read to the end: nothing of them counts.
    left_out: Vec<u16>,
}

impl Gatherer {
    /// What does not fit into memory goes to files in `scratch`, which have no names and go with
    /// the process.
    pub(super) fn new(scratch: &Path, rules: Rules) -> Result<Self, GatherError> {
        let texts = std::fs::create_dir_all(scratch).and_then(|()| tempfile::tempfile_in(scratch));
        let texts = texts.context(KEEPING, scratch)?;
        Ok(Self {
            scratch: scratch.to_owned(),
            rules,
            rows: Sorter::new(scratch.to_owned()),
            texts: BufWriter::new(texts),
            written: 0,
            events: 0,
            most: EVENTS,
            left_out: Vec::new(),
        })
    }

    /// With another limit than [`EVENTS`].
    #[cfg(test)]
    pub(super) fn with_limit(self, most: u64) -> Self {
        Self { most, ..self }
    }

    /// Reads the own log. Up to where; from its beginning if there is none.
    pub(super) fn add_own(&mut self, path: &Place) -> Result<Position, GatherError> {
        let mut outcome = Ok(());
        let read = read_all(path, |part| {
            if outcome.is_ok() {
                outcome = self.add_part(OWN, &part);
            }
        })?;
        outcome.map(|()| read.unwrap_or(Position::START))
    }

    /// Reads a node's log; how many stretches of it hold no event though they should. If that
    /// fails, nothing of this log counts.
    pub(super) fn add(&mut self, observer: u16, log: impl Read) -> Result<u64, GatherError> {
        let added = self.add_all(observer, log);
        if added.is_err() {
            self.left_out.push(observer);
        }
        added
    }

    fn add_all(&mut self, observer: u16, log: impl Read) -> Result<u64, GatherError> {
        let mut parts = LogParts::of(log);
        let mut quarantined = 0;
        while let Some(part) = parts.next_part().context(KEEPING, &self.scratch)? {
            quarantined += part.quarantined().count() as u64 + u64::from(part.incomplete.is_some());
            self.add_part(observer, &part)?;
        }
        Ok(quarantined)
    }

    fn add_part(&mut self, observer: u16, part: &ParsedLog) -> Result<(), GatherError> {
        for event in part.entries.iter().map(|entry| &entry.event) {
            // admissible, so it has one
            let Some(at) = event.instant() else { continue };
            if self.events >= self.most {
                return Err(GatherError::TooMany);
            }
            self.events += 1;
            let text = if observer != OWN && self.rules.admits(event) {
                self.keep(event)?
            } else {
                Text::default()
            };
            let row = Said::of(event, observer, text, at).to_row();
            self.rows.push(row).context(KEEPING, &self.scratch)?;
        }
        Ok(())
    }

    fn keep(&mut self, event: &Event) -> Result<Text, GatherError> {
        let text = serde_json::to_vec(event).context(KEEPING, &self.scratch)?;
        self.texts
            .write_all(&text)
            .context(KEEPING, &self.scratch)?;
        let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let kept = Text {
            at: self.written,
            bytes,
        };
        self.written += u64::from(bytes);
        Ok(kept)
    }

    /// All logs have come.
    pub(super) fn finish(self) -> Result<Gathered, GatherError> {
        let texts = self.texts.into_inner().context(KEEPING, &self.scratch)?;
        Ok(Gathered {
            scratch: self.scratch,
            rules: self.rules,
            rows: self.rows.finish(),
            texts,
            left_out: self.left_out,
        })
    }
}

/// What all logs say, in order.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) scratch: PathBuf,
    pub(super) rules: Rules,
    pub(super) rows: Sorted<ROW>,
    texts: File,
    pub(super) left_out: Vec<u16>,
}

impl Gathered {
    /// The event whose text stands there.
    pub(super) fn event(&self, text: Text) -> Result<Event, GatherError> {
        let mut bytes = vec![0; text.bytes as usize];
        let read = self.texts.read_exact_at(&mut bytes, text.at);
        let event = read.and_then(|()| Ok(serde_json::from_slice(&bytes)?));
        Ok(event.context(KEEPING, &self.scratch)?)
    }
}
