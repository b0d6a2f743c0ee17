//! Reading and writing the objects of a bare repository, with a library: no process per object, and
//! nothing is allocated for what is larger than a branch may hold.

use std::collections::HashSet;
use std::path::Path;

use gix_hash::ObjectId;
use gix_object::{CommitRef, Find as _, FindHeader as _, Kind, TreeRefIter, Write as _};

use super::failure::GitError;

/// Bytes of the largest object that is read: a file of lines with room to spare.
pub(super) const OBJECT_BYTES: u64 = 4 << 20;
/// Bytes of the largest commit that is read: of a node's own making it has some hundred.
const COMMIT_BYTES: u64 = 64 << 10;
/// Bytes allocated at once to read one. In a pack it may be the last of a chain of differences,
/// which are all held beside the two objects that a step has to do with: 50 of them by Git's
/// default, the first nearly half the size of a file.
const PACKED_BYTES: usize = 64 << 20;
/// Commits that are walked; for more, Git itself is asked, which is bounded in time.
const COMMITS: usize = 1000;
/// Entries of a directory that are read.
const ENTRIES: usize = 100_000;

/// The objects of one repository. Opened for a while, on one thread.
pub(super) struct Objects {
    store: gix_odb::Handle,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) is_dir: bool,
    pub(super) id: ObjectId,
}

impl Objects {
    pub(super) fn open(repository: &Path) -> Result<Self, GitError> {
        let options = gix_odb::store::init::Options {
            alloc_limit_bytes: Some(PACKED_BYTES),
            ..Default::default()
        };
        let store = gix_odb::at_opts(
            repository.join("objects"),
            gix_hash::Kind::Sha1,
            None,
            options,
        );
        let store = store.map_err(|e| GitError::Mirror {
            path: repository.display().to_string(),
            reason: e.to_string(),
        })?;
        Ok(Self { store })
    }

    /// The directory and the parents of a commit.
    pub(super) fn commit(&self, id: ObjectId) -> Result<(ObjectId, Vec<ObjectId>), GitError> {
        let size = self.size(id)?;
        if size > COMMIT_BYTES {
            return Err(GitError::NotABranch(format!(
                "commit {id} has {size} bytes, more than {COMMIT_BYTES}"
            )));
        }
        let bytes = self.read(id, Kind::Commit)?;
        let commit =
            CommitRef::from_bytes(&bytes, gix_hash::Kind::Sha1).map_err(|e| damaged(id, &e))?;
        Ok((commit.tree(), commit.parents().collect()))
    }

    /// Whether an object is there: of a history that was cut at a depth, parents are not.
    fn has(&self, id: ObjectId) -> Result<bool, GitError> {
        self.store
            .try_header(&id)
            .map(|header| header.is_some())
            .map_err(|e| damaged(id, &e))
    }

    /// Whether `old` is `new` or before it; `None` if that takes more than [`COMMITS`] to see.
    pub(super) fn is_ancestor(
        &self,
        old: ObjectId,
        new: ObjectId,
    ) -> Result<Option<bool>, GitError> {
        let mut seen = HashSet::from([new]);
        let mut next = vec![new];
        while let Some(id) = next.pop() {
            if id == old {
                return Ok(Some(true));
            }
            if seen.len() > COMMITS {
                return Ok(None);
            }
            if self.has(id)? {
                next.extend(
                    self.commit(id)?
                        .1
                        .into_iter()
                        .filter(|parent| seen.insert(*parent)),
                );
            }
        }
        Ok(Some(false))
    }

    /// The entries of a directory.
    pub(super) fn entries(&self, id: ObjectId) -> Result<Vec<Entry>, GitError> {
        let bytes = self.read(id, Kind::Tree)?;
        let entries = TreeRefIter::from_bytes(&bytes, gix_hash::Kind::Sha1).take(ENTRIES);
        let entry = |entry: Result<gix_object::tree::EntryRef<'_>, _>| {
            let entry = entry.map_err(|e| damaged(id, &e))?;
            let name = String::from_utf8_lossy(entry.filename).into_owned();
            Ok(Entry {
                name,
                is_dir: entry.mode.is_tree(),
                id: entry.oid.to_owned(),
            })
        };
        entries.map(entry).collect()
    }

    /// The bytes of a file; `None` if they are more than [`OBJECT_BYTES`].
    pub(super) fn file(&self, id: ObjectId) -> Result<Option<Vec<u8>>, GitError> {
        if self.size(id)? > OBJECT_BYTES {
            return Ok(None);
        }
        self.read(id, Kind::Blob).map(Some)
    }

    fn size(&self, id: ObjectId) -> Result<u64, GitError> {
        let header = self.store.try_header(&id).map_err(|e| damaged(id, &e))?;
        header
            .map(|header| header.size)
            .ok_or_else(|| GitError::Damaged(format!("object {id} is missing")))
    }

    fn read(&self, id: ObjectId, kind: Kind) -> Result<Vec<u8>, GitError> {
        let size = self.size(id)?;
        if size > OBJECT_BYTES {
            return Err(GitError::Damaged(format!(
                "object {id} has {size} bytes, more than {OBJECT_BYTES}"
            )));
        }
        let mut bytes = Vec::new();
        let found = self
            .store
            .try_find(&id, &mut bytes)
            .map_err(|e| damaged(id, &e))?;
        match found.map(|data| data.kind) {
            Some(found) if found == kind => Ok(bytes),
            Some(found) => Err(GitError::Damaged(format!(
                "object {id} is a {found}, expected a {kind}"
            ))),
            None => Err(GitError::Damaged(format!("object {id} is missing"))),
        }
    }

    /// Writes an object; its id.
    pub(super) fn write(&self, kind: Kind, bytes: &[u8]) -> Result<ObjectId, GitError> {
        self.store
            .write_buf(kind, bytes)
            .map_err(|e| GitError::Failed(format!("cannot write an object: {e}")))
    }
}

fn damaged(id: ObjectId, error: &dyn std::fmt::Display) -> GitError {
    let reason: String = error.to_string().chars().take(200).collect();
    GitError::Damaged(format!("object {id}: {reason}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use rand::{RngExt as _, SeedableRng as _};

    use super::*;
    use crate::git::testing::git;

    /// Files of lines have their keys in common and their values not, so that Git stores them as
    /// large differences.
    fn lines(random: &mut rand::rngs::StdRng) -> String {
        let line = |_| {
            let value: [u8; 24] = random.random();
            format!("{{\"{}\":\"{}\"}}\n", "key".repeat(34), hex::encode(value))
        };
        (0..12_600).map(line).collect()
    }

    #[test]
    fn files_that_git_packed_as_large_differences_are_read() {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "--quiet", "--bare"]);
        let objects = Objects::open(dir.path()).unwrap();
        let mut random = rand::rngs::StdRng::seed_from_u64(1);
        let files: Vec<_> = (0..3).map(|_| lines(&mut random)).collect();
        let ids: Vec<_> = files
            .iter()
            .map(|file| objects.write(Kind::Blob, file.as_bytes()).unwrap())
            .collect();
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        fs::write(dir.path().join("names"), names.join("\n")).unwrap();
        let pack =
            "git pack-objects --window=50 --depth=50 objects/pack/pack < names && git prune-packed";
        git(dir.path(), &["-c", &format!("alias.p=!{pack}"), "p"]);
        let objects = Objects::open(dir.path()).unwrap();
        for (id, file) in ids.iter().zip(&files) {
            assert!(
                objects.file(*id).unwrap().unwrap() == file.as_bytes(),
                "{id} is read as something else"
            );
        }
    }

    #[test]
    fn what_is_too_large_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "--quiet", "--bare"]);
        let objects = Objects::open(dir.path()).unwrap();
        let large = objects
            .write(Kind::Tree, &vec![b'x'; OBJECT_BYTES as usize + 1])
            .unwrap();
        let error = objects.entries(large).unwrap_err().to_string();
        assert!(
            error.contains("has 4194305 bytes, more than 4194304"),
            "{error}"
        );
        let large = objects
            .write(Kind::Blob, &vec![b'x'; OBJECT_BYTES as usize + 1])
            .unwrap();
        assert_eq!(objects.file(large).unwrap(), None);
        let large = objects
            .write(Kind::Commit, &vec![b'x'; COMMIT_BYTES as usize + 1])
            .unwrap();
        assert!(matches!(
            objects.commit(large),
            Err(GitError::NotABranch(_))
        ));
    }
}
