//! Reads a whole registry log a bounded part at a time: however long it is, and whoever wrote it,
//! no more than [`READ_BYTES`] of it are held.

use std::io::{self, Read};

use ssid_storage::PathContext as _;

use super::file::{FileError, READ_BYTES, open_existing};
use super::parse::{ParsedLog, Position, parse};
use crate::place::Place;

/// The parts of a log, from its first line to its end. Its events and what was skipped are those of
/// reading it at once.
#[derive(Debug)]
pub struct LogParts<R> {
    source: R,
    /// What has been read and not been parsed for good.
    held: Vec<u8>,
    at: Position,
    is_done: bool,
}

impl<R: Read> LogParts<R> {
    /// The parts of what `source` gives until it ends.
    pub fn of(source: R) -> Self {
        Self {
            source,
            held: Vec::new(),
            at: Position::START,
            is_done: false,
        }
    }

    /// The next part; none after the last. Only the last one says what is incomplete at the end.
    ///
    /// # Errors
    /// If the source cannot be read.
    pub fn next_part(&mut self) -> io::Result<Option<ParsedLog>> {
        if self.is_done {
            return Ok(None);
        }
        let wanted = READ_BYTES.saturating_sub(self.held.len());
        let read = (&mut self.source)
            .take(wanted as u64)
            .read_to_end(&mut self.held)?;
        let mut part = parse(&self.held, self.at);
        let parsed =
            usize::try_from(part.complete_until.offset - self.at.offset).unwrap_or(usize::MAX);
        self.held.drain(..parsed.min(self.held.len()));
        self.at = part.complete_until;
        // a full window always has a piece that can be told; without one nothing more will come
        self.is_done = read < wanted || parsed == 0;
        if !self.is_done {
            part.incomplete = None;
        }
        Ok(Some(part))
    }
}

/// Gives every part of the log at `path` to `take`. Up to where it has been read for good; none if
/// there is no file.
///
/// # Errors
/// If the log cannot be read, or is too large.
pub fn read_all(
    path: &Place,
    mut take: impl FnMut(ParsedLog),
) -> Result<Option<Position>, FileError> {
    let Some((file, _)) = open_existing(path)? else {
        return Ok(None);
    };
    let mut parts = LogParts::of(file);
    while let Some(part) = parts.next_part().context("read", path)? {
        take(part);
    }
    Ok(Some(parts.at))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::registry::fixtures::{event, one_line, pretty, stray_quote};

    fn whole(source: impl Read) -> (Vec<String>, usize, bool, usize) {
        let mut parts = LogParts::of(source);
        let (mut events, mut quarantined, mut is_cut_off, mut most) = (Vec::new(), 0, false, 0);
        while let Some(part) = parts.next_part().unwrap() {
            events.extend(part.entries.iter().map(|entry| entry.event.version.clone()));
            quarantined += part.quarantined().count();
            is_cut_off |= part.incomplete.is_some();
            most = most.max(parts.held.capacity());
        }
        (events, quarantined, is_cut_off, most)
    }

    #[test]
    fn a_log_of_many_windows_is_read_as_if_at_once_and_never_held_whole() {
        let mut text = "Registry events initialized.\n".to_owned();
        for n in 0..12_000 {
            text += &match n % 5 {
                0 => one_line(&event(n)),
                3 => stray_quote(&event(n)),
                _ => pretty(&event(n)),
            };
            text.push('\n');
        }
        text += "{\"timestamp\"";
        assert!(text.len() > 3 * READ_BYTES);
        let at_once = parse(text.as_bytes(), Position::START);
        let (events, quarantined, is_cut_off, most) = whole(text.as_bytes());
        let expected: Vec<_> = at_once
            .entries
            .iter()
            .map(|entry| entry.event.version.clone())
            .collect();
        assert_eq!(events, expected);
        assert_eq!(
            (quarantined, is_cut_off),
            (at_once.quarantined().count(), true)
        );
        assert!(most <= 2 * READ_BYTES, "{most} bytes were held");
    }

    #[test]
    fn rubbish_without_end_is_passed_over() {
        let rubbish = io::repeat(b'{').take(3 * READ_BYTES as u64);
        assert_eq!(whole(rubbish).0, Vec::<String>::new());
        assert_eq!(whole(io::empty()).1, 0);
    }
}
