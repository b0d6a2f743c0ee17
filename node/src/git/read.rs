//! The new lines of a branch: what stands in one commit and not yet in what was read. A branch only
//! grows; one in which a line that was read has changed or gone is rewritten, whatever its commits
//! say.
//!
//! How much a branch holds is its owner's to say: 100 KiB can unpack to gigabytes. So a reading has
//! a budget, ends between two files when that is spent, and says how far it came.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use gix_hash::ObjectId;
use ssid_protocol::git_lines::{BranchHead, HEAD_FILE, LINE_BYTES, LINES_DIR, segment_name};
use tokio_util::sync::CancellationToken;

use super::failure::GitError;
use super::objects::Objects;

/// Bytes of lines in one reading.
const BYTES: u64 = 256 << 20;
/// Lines in one reading.
const LINES: u64 = 2_000_000;

/// The files of lines in one commit, by name.
pub(super) type Segments = BTreeMap<String, ObjectId>;

/// What one reading may take. At least one file is read, so that it comes to an end at last.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    bytes: u64,
    lines: u64,
    until: Instant,
    shutdown: CancellationToken,
}

impl Budget {
    /// The usual one, with this much time, broken off by `shutdown`.
    pub(super) fn new(time: Duration, shutdown: CancellationToken) -> Self {
        Self {
            bytes: BYTES,
            lines: LINES,
            until: Instant::now() + time,
            shutdown,
        }
    }

    fn is_spent(&self) -> bool {
        self.bytes == 0 || self.lines == 0 || Instant::now() >= self.until
    }
}

/// What reading found besides lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Bytes of new lines.
    pub(super) bytes: u64,
    /// Lines or files passed over because they are too long.
    pub(super) too_long: u64,
    /// Whether something that had been read is changed or gone; then all was read as new.
    pub(super) rewritten: bool,
    /// If the budget was spent: what is read by now, from which the next reading goes on.
    pub(super) stopped_at: Option<Segments>,
}

/// Where a line stands: file and line, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    pub(super) line: usize,
}

/// The files of lines, and the file that says whose branch it is. What has another name is no part
/// of a branch.
pub(super) fn segments(
    objects: &Objects,
    commit: ObjectId,
) -> Result<(Segments, Option<ObjectId>), GitError> {
    let (root, _) = objects.commit(commit)?;
    let mut files = Segments::new();
    let mut head = None;
    for entry in objects.entries(root)? {
        match (entry.name.as_str(), entry.is_dir) {
            (LINES_DIR, true) => {
                let inside = objects.entries(entry.id)?.into_iter();
                let inside = inside.filter(|file| !file.is_dir && is_segment(&file.name));
                files = inside.map(|file| (file.name, file.id)).collect();
            }
            (HEAD_FILE, false) => head = Some(entry.id),
            _ => {}
        }
    }
    Ok((files, head))
}

fn is_segment(name: &str) -> bool {
    let number = name
        .split('.')
        .next()
        .and_then(|digits| digits.parse().ok());
    number.is_some_and(|number| segment_name(number) == name)
}

/// What a branch says of itself, if it does so readably.
pub(super) fn head_of(objects: &Objects, commit: ObjectId) -> Result<Option<BranchHead>, GitError> {
    let Some(id) = segments(objects, commit)?.1 else {
        return Ok(None);
    };
    Ok(objects
        .file(id)?
        .and_then(|bytes| BranchHead::parse(&bytes).ok()))
}

/// Gives `take` every line that stands in `to` and not in `known`, in order, as far as the budget
/// goes.
///
/// # Errors
/// If the branch cannot be read, holds one file twice, or the node is stopping.
pub(super) fn new_lines(
    objects: &Objects,
    known: &Segments,
    to: ObjectId,
    mut budget: Budget,
    mut take: impl FnMut(Place<'_>, &[u8]),
) -> Result<Reading, GitError> {
    let (files, _) = segments(objects, to)?;
    check_distinct(&files)?;
    let mut reading = Reading {
        rewritten: !only_grew(objects, known, &files)?,
        ..Reading::default()
    };
    // of a rewritten branch everything is new: which lines changed does not matter
    let nothing = Segments::new();
    let known = if reading.rewritten { &nothing } else { known };
    let mut read = known.clone();
    let mut new = files
        .iter()
        .filter(|(name, id)| known.get(*name) != Some(id))
        .peekable();
    while let Some((name, id)) = new.next() {
        read_file(
            objects,
            (name, *id),
            known.get(name).copied(),
            &mut budget,
            &mut reading,
            &mut take,
        )?;
        read.insert(name.clone(), *id);
        // after a file and never before the first, so that each reading gets on
        if new.peek().is_some() && budget.is_spent() {
            reading.stopped_at = Some(read);
            break;
        }
    }
    Ok(reading)
}

/// Gives `take` the lines of one file that were not in it before.
fn read_file(
    objects: &Objects,
    (name, id): (&str, ObjectId),
    before: Option<ObjectId>,
    budget: &mut Budget,
    reading: &mut Reading,
    take: &mut impl FnMut(Place<'_>, &[u8]),
) -> Result<(), GitError> {
    let Some(bytes) = objects.file(id)? else {
        reading.too_long += 1;
        return Ok(());
    };
    // the part that was read is skipped by its length: files only grow
    let before = before
        .map(|id| objects.file(id))
        .transpose()?
        .flatten()
        .unwrap_or_default();
    let new = bytes.get(before.len()..).unwrap_or_default();
    reading.bytes += new.len() as u64;
    budget.bytes = budget.bytes.saturating_sub(bytes.len() as u64);
    // lines are numbered from the start of the file, for messages
    let first = before.split(|b| *b == b'\n').count();
    for (line, text) in (first..).zip(new.split(|b| *b == b'\n')) {
        if budget.shutdown.is_cancelled() {
            return Err(GitError::Cancelled);
        }
        budget.lines = budget.lines.saturating_sub(1);
        // counted and passed over: one line must not keep the others from being read
        if text.len() > LINE_BYTES {
            reading.too_long += 1;
        } else if !text.is_empty() {
            take(Place { file: name, line }, text);
        }
    }
    Ok(())
}

/// No two files that a node has written are the same. A branch of one file under many names would
/// cost much to read and nothing to send.
fn check_distinct(files: &Segments) -> Result<(), GitError> {
    let mut seen = BTreeSet::new();
    match files.iter().find(|(_, id)| !seen.insert(**id)) {
        Some((name, _)) => Err(GitError::NotABranch(format!(
            "{LINES_DIR}/{name} is there twice"
        ))),
        None => Ok(()),
    }
}

/// Whether every file is there still and is what it was; the last one of them may have grown.
fn only_grew(objects: &Objects, before: &Segments, now: &Segments) -> Result<bool, GitError> {
    let last = before.last_key_value().map(|(name, _)| name);
    for (name, old) in before {
        let Some(new) = now.get(name) else {
            return Ok(false);
        };
        if new == old {
            continue;
        }
        // only the last file grows; its successor is begun when it is full
        if Some(name) != last {
            return Ok(false);
        }
        let (Some(old), Some(new)) = (objects.file(*old)?, objects.file(*new)?) else {
            return Ok(false);
        };
        // a line that was cut off in the middle is not one that grew
        if !new.starts_with(&old) || old.last().is_some_and(|last| *last != b'\n') {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::testing::{commit_lines as commit, git};
    use super::*;

    fn objects(dir: &std::path::Path) -> Objects {
        git(dir, &["init", "--quiet", "--bare"]);
        Objects::open(dir).unwrap()
    }

    fn file(number: u64, text: &str) -> (String, Vec<u8>) {
        (segment_name(number), text.as_bytes().to_vec())
    }

    fn budget() -> Budget {
        Budget::new(Duration::from_mins(1), CancellationToken::new())
    }

    /// The lines that one reading gives, and the reading.
    fn read(
        objects: &Objects,
        known: &Segments,
        to: ObjectId,
        budget: Budget,
    ) -> (Vec<String>, Reading) {
        let mut lines = Vec::new();
        let take =
            |_: Place<'_>, text: &[u8]| lines.push(String::from_utf8_lossy(text).into_owned());
        let reading = new_lines(objects, known, to, budget, take).unwrap();
        (lines, reading)
    }

    #[test]
    fn a_reading_stops_when_its_budget_is_spent_and_the_next_goes_on_there() {
        let dir = tempfile::tempdir().unwrap();
        let objects = objects(dir.path());
        let mut files: Vec<_> = (0..4)
            .map(|n| file(n, &format!("{n} a\n{n} b\n")))
            .collect();
        let tip = commit(&objects, &files);
        for spent in [
            Budget {
                bytes: 16,
                ..budget()
            },
            Budget {
                lines: 4,
                ..budget()
            },
            Budget {
                until: Instant::now(),
                ..budget()
            },
        ] {
            let (mut all, mut known, mut readings) = (Vec::new(), Segments::new(), 0);
            loop {
                let (lines, reading) = read(&objects, &known, tip, spent.clone());
                assert!(!lines.is_empty() && !reading.rewritten);
                all.extend(lines);
                readings += 1;
                match reading.stopped_at {
                    Some(stopped_at) => known = stopped_at,
                    None => break,
                }
            }
            let expected: Vec<_> = (0..4)
                .flat_map(|n| [format!("{n} a"), format!("{n} b")])
                .collect();
            assert_eq!(all, expected, "each line once, in order");
            assert!(readings > 1, "{spent:?}");
        }
        // what grew meanwhile is read too, and what changed meanwhile is seen
        let (_, reading) = read(
            &objects,
            &Segments::new(),
            tip,
            Budget {
                bytes: 16,
                ..budget()
            },
        );
        let known = reading.stopped_at.unwrap();
        files.push(file(4, "4 a\n"));
        let (lines, reading) = read(&objects, &known, commit(&objects, &files), budget());
        assert_eq!(
            (
                lines.len(),
                lines.last().unwrap().as_str(),
                reading.rewritten
            ),
            (5, "4 a", false)
        );
        files[0] = file(0, "0 a\n0 b\n0 c\n");
        let (lines, reading) = read(&objects, &known, commit(&objects, &files), budget());
        assert!(reading.rewritten && lines.len() == 10, "{lines:?}");
    }

    #[test]
    fn a_reading_ends_at_once_when_the_node_does() {
        let dir = tempfile::tempdir().unwrap();
        let objects = objects(dir.path());
        let tip = commit(&objects, &[file(0, &"x\n".repeat(1000))]);
        let shutdown = CancellationToken::new();
        let mut taken = 0;
        let take = |_: Place<'_>, _: &[u8]| {
            taken += 1;
            shutdown.cancel();
        };
        let budget = Budget::new(Duration::from_mins(1), shutdown.clone());
        assert_eq!(
            new_lines(&objects, &Segments::new(), tip, budget, take),
            Err(GitError::Cancelled)
        );
        assert_eq!(taken, 1);
    }

    #[test]
    fn one_file_under_many_names_is_no_branch() {
        let dir = tempfile::tempdir().unwrap();
        let objects = objects(dir.path());
        let tip = commit(&objects, &[file(0, "a\n"), file(1, "b\n"), file(2, "a\n")]);
        let refused = new_lines(&objects, &Segments::new(), tip, budget(), |_, _| {}).unwrap_err();
        assert_eq!(
            refused,
            GitError::NotABranch("lines/00000002.jsonl is there twice".to_owned())
        );
        // and what has no name of a file of lines is none
        let names = [
            "0.jsonl",
            "00000000.json",
            "0000000000001.jsonl",
            "00000001.jsonl.x",
            "x",
        ];
        let files: Vec<_> = names
            .iter()
            .map(|name| ((*name).to_owned(), b"a\n".to_vec()))
            .collect();
        let mut files = [vec![file(0, "b\n")], files].concat();
        files.sort();
        assert_eq!(
            read(
                &objects,
                &Segments::new(),
                commit(&objects, &files),
                budget()
            )
            .0,
            ["b"]
        );
    }
}
