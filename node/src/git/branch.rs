//! Own lines as commits: made from objects alone, so that no work tree, index or HEAD is ever
//! touched.

use gix_hash::ObjectId;
use gix_object::Kind;
use ssid_protocol::git_lines::{BranchHead, HEAD_FILE, LINE_BYTES, LINES_DIR, segment_name};
use ssid_protocol::id::UnixMillis;

use super::failure::GitError;
use super::objects::Objects;
use super::read::{Segments, segments};

/// Bytes from which on a file of lines gets a successor.
const SEGMENT_BYTES: usize = 1 << 20;

/// Lines being put at the end of a branch.
pub(super) struct Appender<'a> {
    objects: &'a Objects,
    parent: Option<ObjectId>,
    files: Segments,
    number: u64,
    last: Vec<u8>,
    lines: u64,
}

impl<'a> Appender<'a> {
    /// Goes on after `tip`, or begins a branch.
    pub(super) fn new(objects: &'a Objects, tip: Option<ObjectId>) -> Result<Self, GitError> {
        let files = tip
            .map(|tip| segments(objects, tip))
            .transpose()?
            .unwrap_or_default()
            .0;
        let mut appender = Self {
            objects,
            parent: tip,
            files,
            number: 0,
            last: Vec::new(),
            lines: 0,
        };
        // the last file is found by counting: names are consecutive
        while appender
            .files
            .contains_key(&segment_name(appender.number + 1))
        {
            appender.number += 1;
        }
        if let Some(id) = appender.files.get(&segment_name(appender.number)) {
            appender.last = objects.file(*id)?.unwrap_or_default();
        }
        Ok(appender)
    }

    /// Adds a line; one that is too long for any reader is left out.
    pub(super) fn push(&mut self, line: &str) -> Result<(), GitError> {
        if line.len() > LINE_BYTES {
            tracing::error!(
                bytes = line.len(),
                limit = LINE_BYTES,
                "a statement is too long to be published over Git"
            );
            return Ok(());
        }
        // readers compare a file that grew byte by byte, so it stays small
        if self.last.len() >= SEGMENT_BYTES {
            self.close_segment()?;
            self.number += 1;
            self.last.clear();
        }
        self.last.extend_from_slice(line.as_bytes());
        self.last.push(b'\n');
        self.lines += 1;
        Ok(())
    }

    /// Returns how many lines were added.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    fn close_segment(&mut self) -> Result<(), GitError> {
        let id = self.objects.write(Kind::Blob, &self.last)?;
        self.files.insert(segment_name(self.number), id);
        Ok(())
    }

    /// Makes the commit; its id.
    pub(super) fn commit(
        mut self,
        head: &BranchHead,
        now: UnixMillis,
    ) -> Result<ObjectId, GitError> {
        self.close_segment()?;
        let said = self
            .objects
            .write(Kind::Blob, head.to_pretty().as_bytes())?;
        // both in Git's order: by name
        let files: Vec<_> = self
            .files
            .iter()
            .map(|(name, id)| ("100644", name.as_str(), *id))
            .collect();
        let lines = self.objects.write(Kind::Tree, &tree(&files))?;
        let root = [("100644", HEAD_FILE, said), ("40000", LINES_DIR, lines)];
        let root = self.objects.write(Kind::Tree, &tree(&root))?;
        let parent = self
            .parent
            .map(|id| format!("parent {id}\n"))
            .unwrap_or_default();
        let node: String = head.node_id.to_string().chars().take(12).collect();
        let signature = format!("ssid {node} <{node}@ssid.invalid> {} +0000", now.0 / 1000);
        let message = format!("{} lines, {} certificates", self.lines, head.log_size);
        let commit = format!(
            "tree {root}\n{parent}author {signature}\ncommitter {signature}\n\n{message}\n"
        );
        self.objects.write(Kind::Commit, commit.as_bytes())
    }
}

/// The bytes of a directory, its entries in Git's order: mode, name and object of each.
pub(super) fn tree(entries: &[(&str, &str, ObjectId)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend_from_slice(mode.as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(id.as_slice());
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeMap;
    use std::time::Duration;

    use ssid_protocol::id::{FederationId, LogId, NodeId, Sha256Hash};
    use tokio_util::sync::CancellationToken;

    use super::super::command::{Git, Job};
    use super::super::read::{Budget, new_lines};
    use super::super::repository::Repository;
    use super::*;

    fn head() -> BranchHead {
        BranchHead {
            federation_id: FederationId([1; 32]),
            node_id: NodeId([2; 32]),
            log_id: LogId([3; 32]),
            log_size: 0,
            start: Sha256Hash([4; 32]),
            heard: BTreeMap::new(),
        }
    }

    fn append(objects: &Objects, tip: Option<ObjectId>, lines: &[&str]) -> ObjectId {
        let mut appender = Appender::new(objects, tip).unwrap();
        for line in lines {
            appender.push(line).unwrap();
        }
        assert_eq!(
            appender.lines(),
            lines.iter().filter(|line| line.len() <= LINE_BYTES).count() as u64
        );
        appender
            .commit(&head(), UnixMillis(1_700_000_000_000))
            .unwrap()
    }

    fn read(objects: &Objects, from: Option<ObjectId>, to: ObjectId) -> (Vec<String>, bool) {
        let mut lines = Vec::new();
        let take = |place: super::super::read::Place<'_>, text: &[u8]| {
            lines.push(format!(
                "{}:{} {}",
                place.file,
                place.line,
                String::from_utf8_lossy(&text[..text.len().min(9)])
            ));
        };
        let known = from
            .map(|from| segments(objects, from).unwrap().0)
            .unwrap_or_default();
        let budget = Budget::new(Duration::from_mins(1), CancellationToken::new());
        let reading = new_lines(objects, &known, to, budget, take).unwrap();
        (lines, reading.rewritten)
    }

    #[tokio::test]
    async fn lines_are_appended_and_only_new_ones_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let git = Git::find(&[], Duration::from_secs(5), CancellationToken::new())
            .await
            .unwrap();
        let repository = Repository::open(&git, dir.path().join("a.git"))
            .await
            .unwrap();
        let objects = repository.objects().unwrap();
        let first = append(&objects, None, &["one", "two"]);
        assert_eq!(
            read(&objects, None, first).0,
            ["00000000.jsonl:1 one", "00000000.jsonl:2 two"]
        );
        let second = append(&objects, Some(first), &["three"]);
        assert_eq!(
            read(&objects, Some(first), second),
            (vec!["00000000.jsonl:3 three".to_owned()], false)
        );
        assert_eq!(read(&objects, Some(second), second).0, Vec::<String>::new());

        // a full file gets a successor, and what is too long for readers is left out
        let long = "x".repeat(LINE_BYTES);
        let third = append(
            &objects,
            Some(second),
            &[&long, "four", &format!("{long}y"), "five"],
        );
        let expected = [
            "00000000.jsonl:4 xxxxxxxxx",
            "00000001.jsonl:1 four",
            "00000001.jsonl:2 five",
        ];
        assert_eq!(read(&objects, Some(second), third).0, expected);
        assert_eq!(read(&objects, None, third).0.len(), 6);

        // a history that is another one is seen as such, and read whole
        let other = append(&objects, Some(first), &["THREE"]);
        assert_eq!(read(&objects, Some(second), other).0.len(), 3);
        assert!(read(&objects, Some(second), other).1 && read(&objects, Some(third), first).1);
        assert!(repository.is_ancestor(&git, first, other).await.unwrap());
        assert!(!repository.is_ancestor(&git, second, other).await.unwrap());
        // what is written is what Git itself takes for sound
        repository.set_reference("refs/heads/x", third).unwrap();
        git.run(Job::local(
            repository.dir(),
            &["fsck", "--strict", "--no-dangling"],
        ))
        .await
        .unwrap();
        assert_eq!(repository.reference("refs/heads/x").unwrap(), Some(third));
    }
}
