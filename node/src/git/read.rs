//! The new lines of a branch: what stands in one commit and not yet in an earlier one. A branch only grows; one in
//! which a line that was read has changed or gone is rewritten, whatever its commits say.

use std::collections::BTreeMap;

use gix_hash::ObjectId;
use ssid_protocol::git_lines::{BranchHead, HEAD_FILE, LINE_BYTES, LINES_DIR};

use super::failure::GitError;
use super::objects::Objects;

/// The files of lines in one commit, by name.
pub(super) type Segments = BTreeMap<String, ObjectId>;

/// What reading found besides lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Bytes of new lines.
    pub(super) bytes: u64,
    /// Lines or files passed over because they are too long.
    pub(super) too_long: u64,
    /// Whether something that stood in the earlier commit is changed or gone; then all was read as new.
    pub(super) rewritten: bool,
}

/// Where a line stands: file and line, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    pub(super) line: usize,
}

/// The files of lines, and the file that says whose branch it is.
pub(super) fn segments(objects: &Objects, commit: ObjectId) -> Result<(Segments, Option<ObjectId>), GitError> {
    let (root, _) = objects.commit(commit)?;
    let (mut files, mut head) = (Segments::new(), None);
    for entry in objects.entries(root)? {
        match (entry.name.as_str(), entry.is_dir) {
            (LINES_DIR, true) => {
                let inside = objects.entries(entry.id)?.into_iter().filter(|file| !file.is_dir);
                files = inside.map(|file| (file.name, file.id)).collect();
            }
            (HEAD_FILE, false) => head = Some(entry.id),
            _ => {}
        }
    }
    Ok((files, head))
}

/// What a branch says of itself, if it does so readably.
pub(super) fn head_of(objects: &Objects, commit: ObjectId) -> Result<Option<BranchHead>, GitError> {
    let Some(id) = segments(objects, commit)?.1 else { return Ok(None) };
    Ok(objects.file(id)?.and_then(|bytes| BranchHead::parse(&bytes).ok()))
}

/// Gives `take` every line that stands in `to` and not in `from`, in order.
pub(super) fn new_lines(
    objects: &Objects,
    from: Option<ObjectId>,
    to: ObjectId,
    mut take: impl FnMut(Place<'_>, &[u8]),
) -> Result<Reading, GitError> {
    let known = match from {
        Some(from) => segments(objects, from)?.0,
        None => Segments::new(),
    };
    let (files, _) = segments(objects, to)?;
    let mut reading = Reading { rewritten: !only_grew(objects, &known, &files)?, ..Reading::default() };
    let known = if reading.rewritten { Segments::new() } else { known };
    for (name, id) in &files {
        let before = known.get(name);
        if before == Some(id) {
            continue;
        }
        let Some(bytes) = objects.file(*id)? else {
            reading.too_long += 1;
            continue;
        };
        let before = before.map(|id| objects.file(*id)).transpose()?.flatten().unwrap_or_default();
        let new = bytes.get(before.len()..).unwrap_or_default();
        reading.bytes += new.len() as u64;
        let first = before.split(|b| *b == b'\n').count();
        for (line, text) in (first..).zip(new.split(|b| *b == b'\n')) {
            if text.len() > LINE_BYTES {
                reading.too_long += 1;
            } else if !text.is_empty() {
                take(Place { file: name, line }, text);
            }
        }
    }
    Ok(reading)
}

/// Whether every file is there still and begins with what it held.
fn only_grew(objects: &Objects, before: &Segments, now: &Segments) -> Result<bool, GitError> {
    for (name, old) in before {
        let Some(new) = now.get(name) else { return Ok(false) };
        if new == old {
            continue;
        }
        let (Some(old), Some(new)) = (objects.file(*old)?, objects.file(*new)?) else { return Ok(false) };
        // a line that was cut off in the middle is not one that grew
        if !new.starts_with(&old) || old.last().is_some_and(|last| *last != b'\n') {
            return Ok(false);
        }
    }
    Ok(true)
}
