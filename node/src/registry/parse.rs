//! The registry log as it is found in the wild: a stream of JSON objects, one-line and
//! pretty-printed, with prose between them. Every byte that is no blank ends up in an entry, in a
//! skipped range with the reason, or in the incomplete tail, which is read again when the file has
//! grown.

use std::ops::Range;

use serde::Deserialize;
use ssid_protocol::event::{Event, FEDERATION_EPOCH, Inadmissible};
use ssid_protocol::id::{Epoch, EventHash, Sha256Hash};

use super::prose;
use super::scan::{self, Kind, State};

/// Bytes of one object in the registry log. Larger ones are skipped.
pub const OBJECT_BYTES: usize = 64 * 1024;

/// How far a log has been read: where the next bytes to parse begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Number of the line that the offset is in, from 1.
    pub line: u64,
    state: State,
}

impl Position {
    /// The beginning of a file.
    pub const START: Self = Self {
        offset: 0,
        line: 1,
        state: State::Between,
    };

    /// Behind whole lines that were appended here; `None` where they would stand in the middle of
    /// something.
    pub(super) fn behind(self, bytes: u64, lines: u64) -> Option<Self> {
        let is_between = self.state == State::Between;
        is_between.then(|| Self {
            offset: self.offset + bytes,
            line: self.line + lines,
            ..self
        })
    }
}

/// An event found in the log, with where and how it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// The eight fields. Admissible in some epoch; which one a `federation_epoch` belongs to is the
    /// caller's to check.
    pub event: Event,
    /// Where its object stands in the file, from `{` to `}`.
    pub byte_range: Range<u64>,
    /// Line of the `{`, from 1.
    pub first_line: u64,
    /// Line of the `}`.
    pub last_line: u64,
    /// The hash written beside the fields, if one is; it has been compared with the event's own.
    pub stated_hash: Option<EventHash>,
    /// SHA-256 of the object's text as written: the second hash by which release notes name events.
    pub proof_anchor: Sha256Hash,
}

/// A stretch of the log that holds no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it stands in the file.
    pub byte_range: Range<u64>,
    /// Its first line, from 1.
    pub first_line: u64,
    /// Its last line.
    pub last_line: u64,
    /// Why it was skipped.
    pub reason: SkipReason,
}

/// Why a stretch of the log holds no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// Text that is no object, as at the head of the file. Expected, nothing to repair.
    #[error("text between the objects")]
    Prose,
    /// Zero bytes: text in UTF-16 or UTF-32, or what a crash left.
    #[error(
        "zero bytes: text in UTF-16 or UTF-32, which has to be written again as UTF-8, or what a crash left"
    )]
    ZeroBytes,
    /// Text that names an event's fields as keys and is no object.
    #[error("text that was meant as an event and is no JSON object: {0}")]
    MeantAsEvent(&'static str),
    /// A string does not end on its line.
    #[error("an object with a string that does not end on its line (a stray quote?)")]
    OpenString,
    /// The next object begins before this one has ended.
    #[error("an object that does not end before the next one begins")]
    NotClosed,
    /// The braces match, but what they enclose is no JSON.
    #[error("an object that is no valid JSON: {0}")]
    NotJson(String),
    /// More than [`OBJECT_BYTES`].
    #[error("an object of more than {limit} bytes", limit = OBJECT_BYTES)]
    TooLarge,
    /// What is left of a broken object that is reported just before.
    #[error("the rest of the broken object before it")]
    Rest,
    /// JSON, but without the eight text fields of an event.
    #[error("an object that is no registry event: {0}")]
    NotAnEvent(String),
    /// The hash written beside the fields is not the hash of the fields.
    #[error("its event_hash is {stated}, but its fields hash to {computed}")]
    WrongHash {
        /// What stands there, cut to 80 characters.
        stated: String,
        /// The hash that its fields give.
        computed: EventHash,
    },
    /// An event that nobody may vote for.
    #[error(transparent)]
    Inadmissible(#[from] Inadmissible),
}

impl SkipReason {
    /// Whether neighbouring stretches with this reason are one.
    pub(super) fn joins(&self) -> bool {
        matches!(self, Self::Prose | Self::ZeroBytes | Self::Rest)
    }
}

/// What a stretch of the log holds, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedLog {
    /// The events of the log, in order.
    pub entries: Vec<LoggedEvent>,
    /// What holds no event, with reasons; neighbouring stretches of prose, or of zero bytes, are
    /// one.
    pub skipped: Vec<Skipped>,
    /// Where to go on: everything before is accounted for, for good.
    pub complete_until: Position,
    /// An object or a line that is not complete yet, from its first byte to its last; it lies after
    /// `complete_until`.
    pub incomplete: Option<Range<u64>>,
}

impl ParsedLog {
    /// What was skipped and is not plain prose: what somebody should look at.
    pub fn quarantined(&self) -> impl Iterator<Item = &Skipped> {
        self.skipped
            .iter()
            .filter(|s| s.reason != SkipReason::Prose)
    }
}

/// Reads the part of a log that begins at `from`. `bytes` may end anywhere: what cannot be told yet
/// is left for the next call, which passes the bytes from `complete_until` on.
pub fn parse(bytes: &[u8], from: Position) -> ParsedLog {
    parse_with_limit(bytes, from, OBJECT_BYTES)
}

/// [`parse`] with another limit than [`OBJECT_BYTES`].
pub(super) fn parse_with_limit(bytes: &[u8], from: Position, limit: usize) -> ParsedLog {
    let mut log = ParsedLog {
        entries: Vec::new(),
        skipped: Vec::new(),
        complete_until: from,
        incomplete: None,
    };
    let mut rest = bytes;
    while let Some(step) = scan::step(
        rest,
        log.complete_until.state,
        log.complete_until.offset == 0,
        limit,
    ) {
        // relative to where the last call ended: a log is read in parts
        let here = log.complete_until;
        let piece = &rest[step.start..step.end];
        let first_line = here.line + newlines(&rest[..step.start]);
        let place = Place {
            bytes: here.offset + step.start as u64..here.offset + step.end as u64,
            lines: (first_line, first_line + newlines(piece)),
        };
        log.add(step.kind, piece, place);
        log.complete_until = Position {
            offset: here.offset + step.next as u64,
            line: here.line + newlines(&rest[..step.next]),
            state: step.state,
        };
        rest = &rest[step.next..];
    }
    // half an object may be one that is being written: it is looked at again
    log.incomplete = non_blank(rest, log.complete_until.offset);
    log
}

struct Place {
    bytes: Range<u64>,
    lines: (u64, u64),
}

impl ParsedLog {
    fn add(&mut self, kind: Kind, piece: &[u8], place: Place) {
        let reason = match kind {
            Kind::Object => match read_event(piece) {
                Ok((event, stated_hash)) => {
                    self.entries.push(LoggedEvent {
                        event,
                        byte_range: place.bytes,
                        first_line: place.lines.0,
                        last_line: place.lines.1,
                        stated_hash,
                        proof_anchor: Sha256Hash::of(&[piece]),
                    });
                    return;
                }
                Err(reason) => reason,
            },
            Kind::Prose => prose::reason(piece),
            Kind::OpenString => SkipReason::OpenString,
            Kind::NotClosed => SkipReason::NotClosed,
            Kind::NotJson(reason) => SkipReason::NotJson(reason),
            Kind::TooLarge => SkipReason::TooLarge,
            Kind::Rest => SkipReason::Rest,
            Kind::Blank => return,
        };
        self.skip(reason, place);
    }

    fn skip(&mut self, reason: SkipReason, place: Place) {
        if place.bytes.is_empty() {
            return;
        }
        let after_entry = self.entries.last().map_or(0, |e| e.byte_range.end);
        let joins = reason.joins();
        match self.skipped.last_mut() {
            Some(last)
                if joins && last.reason == reason && after_entry <= last.byte_range.start =>
            {
                last.byte_range.end = place.bytes.end;
                last.last_line = place.lines.1;
            }
            _ => self.skipped.push(Skipped {
                byte_range: place.bytes,
                first_line: place.lines.0,
                last_line: place.lines.1,
                reason,
            }),
        }
    }
}

/// The fields of an event as the log writes them; other keys are left alone.
#[derive(Deserialize)]
struct Written {
    timestamp: String,
    event: String,
    version: String,
    commit_hash: String,
    blueprint: String,
    root_24_lock: String,
    compliance_score: String,
    emitted_by: String,
    event_hash: Option<String>,
}

fn read_event(object: &[u8]) -> Result<(Event, Option<EventHash>), SkipReason> {
    let written: Written =
        serde_json::from_slice(object).map_err(|e| SkipReason::NotAnEvent(without_place(&e)))?;
    let event = Event {
        timestamp: written.timestamp,
        event: written.event,
        version: written.version,
        commit_hash: written.commit_hash,
        blueprint: written.blueprint,
        root_24_lock: written.root_24_lock,
        compliance_score: written.compliance_score,
        emitted_by: written.emitted_by,
    };
    // what no epoch would take is no event: its line is shown as skipped and the others count
    event.check_admissible(epoch_before(&event))?;
    let computed = event.event_hash();
    // a hash beside the fields has to be theirs: one that is not tells of a line that was edited
    match written
        .event_hash
        .as_deref()
        .map(|stated| (stated, stated.parse::<EventHash>()))
    {
        None => Ok((event, None)),
        Some((_, Ok(hash))) if hash == computed => Ok((event, Some(hash))),
        Some((stated, _)) => Err(SkipReason::WrongHash {
            stated: stated.chars().take(80).collect(),
            computed,
        }),
    }
}

/// The epoch in which the event could be admissible: an epoch event of any epoch can stand in the
/// log.
fn epoch_before(event: &Event) -> Epoch {
    let version = if event.event == FEDERATION_EPOCH {
        event.version.parse::<u64>().ok()
    } else {
        None
    };
    Epoch(version.map_or(0, |v| v.saturating_sub(1)))
}

/// The error without its line and column, which count within the object and not within the file.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, _)) => what.to_owned(),
        None => text,
    }
}

#[expect(
    clippy::naive_bytecount,
    reason = "no bottleneck: hashing the same bytes costs more"
)]
fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}

fn non_blank(bytes: &[u8], offset: u64) -> Option<Range<u64>> {
    let first = bytes.iter().position(|b| !scan::is_blank(*b))?;
    let last = bytes.iter().rposition(|b| !scan::is_blank(*b))?;
    Some(offset + first as u64..offset + last as u64 + 1)
}

#[cfg(test)]
mod tests;
