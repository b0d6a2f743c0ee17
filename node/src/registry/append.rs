//! Adds lines to the end of a registry log.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde::Serialize;
use ssid_protocol::event::Event;
use ssid_protocol::id::EventHash;
use ssid_storage::PathContext as _;

use super::file::{FileError, Stamp, events_behind};
use super::parse::Position;
use crate::place::Place;

/// Appends those of `events` that do not stand behind `from` in the log at `path`, one line each;
/// what stands before it the caller knows. How many lines were written, and behind where to look
/// before more are appended.
///
/// # Errors
/// If the file cannot be read or written. Part of the lines may then be in it, the last of them cut
/// off.
pub fn append_behind(
    path: &Place,
    from: Position,
    events: &[Event],
) -> Result<(u64, Position), FileError> {
    let (standing, at) = events_behind(path, from)?;
    let new = events
        .iter()
        .filter(|event| !standing.contains(&event.content_digest()));
    let lines = new
        .map(to_line)
        .collect::<io::Result<Vec<_>>>()
        .context("write", path)?;
    if !lines.is_empty() {
        append_lines(path, &lines.concat())?;
    }
    Ok((lines.len() as u64, at))
}

/// Appends whole lines in one write and waits until they are on disk, the file's name included.
/// Returns the file's size before and what it was after; the size differs by more than the lines if
/// a last line had to be ended, or if somebody else wrote at the same time.
pub(super) fn append_lines(path: &Place, lines: &str) -> Result<(u64, Stamp), FileError> {
    let file = path.open_to_append().context("open for writing", path)?;
    append_to(file, path, lines)
}

/// Appends to the open file at `path`, waiting until the lines are on disk.
pub(super) fn append_to(
    mut file: File,
    path: &Path,
    lines: &str,
) -> Result<(u64, Stamp), FileError> {
    let stamp = |file: &File| {
        file.metadata()
            .map(|meta| Stamp::of(&meta))
            .context("read", path)
    };
    let before = stamp(&file)?.size();
    let ended = ends_with_newline(&mut file).context("read", path)?;
    let text = if ended {
        lines.to_owned()
    } else {
        format!("\n{lines}")
    };
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .context("append to", path)?;
    Ok((before, stamp(&file)?))
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// An event as the log's lines hold it.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    event: &'a Event,
    event_hash: EventHash,
}

pub(super) fn to_line(event: &Event) -> io::Result<String> {
    let line = Line {
        event,
        event_hash: event.event_hash(),
    };
    Ok(serde_json::to_string(&line)? + "\n")
}
