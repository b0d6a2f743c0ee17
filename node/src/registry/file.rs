//! The registry log on disk: reads what is new, notices when what was read has been changed by
//! somebody else, and appends. Nothing that stands in the file is ever overwritten. Everything here
//! blocks.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use ssid_protocol::event::Event;
use ssid_protocol::id::ContentDigest;
use ssid_storage::{PathContext as _, PathError};

use super::append::{append_lines, to_line};
use super::parse::{ParsedLog, Position, parse};
use super::seen::Seen;
use crate::place::Place;

/// Bytes read and parsed at a time: what one [`RegistryFile::read_new`] returns at most.
pub const READ_BYTES: usize = 1024 * 1024;

/// Size of the largest registry log that is read, in bytes.
pub const FILE_BYTES: u64 = 1024 * 1024 * 1024;

/// What happened to a file since it was last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing has changed since the last look.
    Unchanged,
    /// It has grown, or not all of it had been read; read again for the rest.
    Appended(ParsedLog),
    /// What had been read is no longer what stands there.
    Drift {
        /// No line before this one has changed.
        from_line: u64,
        /// What was noticed.
        what: String,
    },
}

/// Why a registry log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("{0}{advice}", advice = advice(&.0.source))]
    Io(#[from] PathError),
    /// Larger than [`FILE_BYTES`].
    #[error("{} has {size} bytes, more than {FILE_BYTES}\n  archive it and begin a new one", path.display())]
    TooLarge {
        /// The file that cannot be read.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
}

/// What to do about an error, as a line of its own; empty if there is nothing to say.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "\n  free space on that disk; what could not be written is written at the next attempt"
        }
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
            "\n  put a regular file in its place"
        }
        io::ErrorKind::PermissionDenied => {
            "\n  give the user that runs the node permission to read and write it"
        }
        io::ErrorKind::ReadOnlyFilesystem => "\n  mount that file system writable",
        io::ErrorKind::InvalidInput => "\n  move it away, or choose another repository with --repo",
        _ => "",
    }
}

/// A file that was touched so recently may still be written to: an unfinished object at its end
/// counts as unread, and a later write could leave the same times, since clocks of file systems
/// tick slowly.
const QUIET_AFTER: Duration = Duration::from_secs(2);

/// What of a file's metadata tells that it has been touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    file: (u64, u64),
}

impl Stamp {
    pub(super) fn of(meta: &fs::Metadata) -> Self {
        Self {
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            file: (meta.dev(), meta.ino()),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whether it was touched within this time. A time that is further ahead is of before the clock
    /// was set back: nobody has touched it since.
    fn is_within(&self, time: Duration, now: SystemTime) -> bool {
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let changed = Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(0));
        now.abs_diff(changed) < time
    }
}

/// A registry log that is followed as it grows. It may be missing: that is an empty one.
#[derive(Debug)]
pub struct RegistryFile {
    path: Place,
    /// What has been read, for good.
    seen: Seen,
    /// What stands behind that and is not complete yet.
    tail: Vec<u8>,
    /// Whether `tail` holds the beginning of an object.
    is_unfinished: bool,
    /// The file's state when it last agreed with `seen` and `tail`, by its own account or by what
    /// this node appended.
    stamp: Option<Stamp>,
    /// Whether its bytes were compared while it was quiet: a write within the same tick would have
    /// been seen.
    is_compared: bool,
    quiet_after: Duration,
    /// Every event that has been read.
    standing: HashSet<ContentDigest>,
}

impl RegistryFile {
    /// Begins to follow the log at `path`; the first [`read_new`](Self::read_new) begins at its
    /// first line.
    ///
    /// # Errors
    /// If something stands there that is no readable file.
    pub fn open(path: impl Into<Place>) -> Result<Self, FileError> {
        let path = path.into();
        open_existing(&path)?;
        Ok(Self {
            path,
            seen: Seen::default(),
            tail: Vec::new(),
            is_unfinished: false,
            stamp: None,
            is_compared: false,
            quiet_after: QUIET_AFTER,
            standing: HashSet::new(),
        })
    }

    /// The file that is followed.
    pub fn path(&self) -> &Place {
        &self.path
    }

    /// Up to where the file has been read, for good.
    pub fn position(&self) -> Position {
        self.seen.position()
    }

    /// Forgets what has been read: the next read begins at the first line again, as after a drift
    /// that was looked at.
    pub fn start_over(&mut self) {
        self.seen = Seen::default();
        self.tail.clear();
        self.is_unfinished = false;
        self.stamp = None;
        self.standing.clear();
    }

    /// What is new since the last call, at most [`READ_BYTES`] of it: call again until it says
    /// `Unchanged`. What was read is compared again whenever the file was touched by somebody else;
    /// after its own appends once it is quiet. A drift is reported at every call until the file is
    /// as it was, or until [`start_over`](Self::start_over).
    ///
    /// # Errors
    /// If the file cannot be read, or is too large.
    pub fn read_new(&mut self) -> Result<Change, FileError> {
        let Some((mut file, stamp)) = open_existing(&self.path)? else {
            return Ok(self.gone());
        };
        let from = self.seen.position();
        // written a moment ago: clocks of file systems are coarse, and a second write may have the
        // same stamp
        let is_recent = stamp.is_within(self.quiet_after, SystemTime::now());
        // size and time alone: comparing the whole file at each look would read megabytes a second
        let is_same = self.stamp == Some(stamp);
        if is_same
            && stamp.size == from.offset + self.tail.len() as u64
            && (self.is_compared || is_recent)
        {
            return Ok(Change::Unchanged);
        }
        if !is_same || !self.is_compared {
            // not until it was compared: a look that fails in between must not pass for one that
            // was done
            self.stamp = None;
            let compared = file.rewind().and_then(|()| self.seen.compare(&mut file));
            if let Some(drift) = compared.context("read", &self.path)? {
                return Ok(Change::Drift {
                    from_line: drift.from_line,
                    what: drift.what.to_owned(),
                });
            }
        }
        // only what is new, and bounded: a log that is new to this node comes in parts
        let bytes = read_at(&mut file, from.offset).context("read", &self.path)?;
        (self.stamp, self.is_compared) = (Some(stamp), !is_recent);
        Ok(self.take_in(&bytes))
    }

    fn take_in(&mut self, bytes: &[u8]) -> Change {
        let log = parse(bytes, self.seen.position());
        let consumed = usize::try_from(log.complete_until.offset - self.seen.position().offset)
            .unwrap_or(usize::MAX);
        let (read, tail) = bytes.split_at(consumed.min(bytes.len()));
        if read.is_empty() && tail == self.tail {
            return Change::Unchanged;
        }
        self.seen.add(read, log.complete_until);
        self.tail = tail.to_vec();
        self.is_unfinished = log.incomplete.is_some();
        self.standing
            .extend(log.entries.iter().map(|e| e.event.content_digest()));
        Change::Appended(log)
    }

    fn gone(&mut self) -> Change {
        self.stamp = None;
        self.is_unfinished = false;
        self.tail.clear();
        if self.seen.position() == Position::START {
            return Change::Unchanged;
        }
        Change::Drift {
            from_line: 1,
            what: "the file is gone".to_owned(),
        }
    }

    /// Whether what was read ends in the middle of an object that somebody may still be writing: it
    /// counts as unread until it is whole, or nobody has written for two seconds.
    pub fn ends_unfinished(&self) -> bool {
        self.is_unfinished
            && self
                .stamp
                .is_none_or(|stamp| stamp.is_within(self.quiet_after, SystemTime::now()))
    }

    /// Whether the file ends in the middle of an object that somebody wrote at within the last two
    /// seconds: to append now would cut their line in two. One left unfinished for longer was cut
    /// off by a crash.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn is_being_written(&self) -> Result<bool, FileError> {
        let Some((mut file, stamp)) = open_existing(&self.path)? else {
            return Ok(false);
        };
        let mut at = self.seen.position();
        if !stamp.is_within(QUIET_AFTER, SystemTime::now()) || stamp.size < at.offset {
            return Ok(false);
        }
        loop {
            let bytes = read_at(&mut file, at.offset).context("read", &self.path)?;
            let log = parse(&bytes, at);
            if log.complete_until == at {
                return Ok(log.incomplete.is_some());
            }
            at = log.complete_until;
        }
    }

    /// Appends `events`, one line each, but not those that already stand in the file with all eight
    /// fields: to append again what an interrupted call left out is harmless. Returns how many
    /// lines were written; they are on disk. The file and its directories are made if missing, and
    /// a last line without an end is ended first.
    ///
    /// # Errors
    /// If the file cannot be read or written. Part of the lines may then be in it, the last of them
    /// cut off.
    pub fn append(&mut self, events: &[Event]) -> Result<usize, FileError> {
        let (unread, _) = events_behind(&self.path, self.seen.position())?;
        let mut chosen = HashSet::new();
        let mut text = String::new();
        for event in events {
            let digest = event.content_digest();
            if !self.standing.contains(&digest)
                && !unread.contains(&digest)
                && chosen.insert(digest)
            {
                text.push_str(&to_line(event).context("write", &self.path)?);
            }
        }
        if !text.is_empty() {
            let (before, after) = append_lines(&self.path, &text)?;
            self.note_appended(&text, before, after, &chosen);
        }
        Ok(chosen.len())
    }

    /// What this node appended need not be read back, if nobody else wrote meanwhile.
    fn note_appended(
        &mut self,
        text: &str,
        before: u64,
        after: Stamp,
        chosen: &HashSet<ContentDigest>,
    ) {
        let at = self.seen.position();
        if !self.tail.is_empty() || before != at.offset || after.size != before + text.len() as u64
        {
            return;
        }
        let Some(until) = at.behind(text.len() as u64, chosen.len() as u64) else {
            return;
        };
        self.seen.add(text.as_bytes(), until);
        self.standing.extend(chosen);
        (self.stamp, self.is_compared) = (Some(after), false);
    }
}

/// The events that stand in the log at `path` behind `from`, or in all of it if it is shorter, and
/// up to where.
pub(super) fn events_behind(
    path: &Place,
    from: Position,
) -> Result<(HashSet<ContentDigest>, Position), FileError> {
    let mut found = HashSet::new();
    let Some((mut file, stamp)) = open_existing(path)? else {
        return Ok((found, Position::START));
    };
    let mut at = if stamp.size < from.offset {
        Position::START
    } else {
        from
    };
    loop {
        let bytes = read_at(&mut file, at.offset).context("read", path)?;
        let log = parse(&bytes, at);
        found.extend(log.entries.iter().map(|e| e.event.content_digest()));
        if log.complete_until == at {
            return Ok((found, at));
        }
        at = log.complete_until;
    }
}

pub(super) fn open_existing(path: &Place) -> Result<Option<(File, Stamp)>, FileError> {
    let file = match path.open() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.context("read", path)?,
    };
    let stamp = Stamp::of(&file.metadata().context("read", path)?);
    if stamp.size > FILE_BYTES {
        return Err(FileError::TooLarge {
            path: path.to_path_buf(),
            size: stamp.size,
        });
    }
    Ok(Some((file, stamp)))
}

fn read_at(file: &mut File, offset: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.take(READ_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
