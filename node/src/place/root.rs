//! The directory that places lie in, and whose files beneath it are nobody's business.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use ssid_storage::regular;

use super::Place;
use crate::home::Home;

/// Bytes of the longest file that names a directory of Git's.
const GITFILE_BYTES: u64 = 8192;

/// A directory that holds registry files.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root {
    pub(super) dir: PathBuf,
    /// The data directory of the node that works on it, whose files are never touched.
    data: Option<PathBuf>,
}

impl Root {
    /// The directory `dir`. `data` is the data directory of the node, if there is one.
    pub fn new(dir: &Path, data: Option<&Path>) -> Arc<Self> {
        Arc::new(Self {
            dir: dir.to_owned(),
            data: data.map(Path::to_owned),
        })
    }

    /// What is at `path` in it.
    pub fn place(self: &Arc<Self>, path: impl AsRef<Path>) -> Place {
        Place {
            path: self.dir.join(path),
            within: Some(self.clone()),
        }
    }

    pub(super) fn leads_out(&self) -> io::Error {
        let dir = self.dir.display();
        let what =
            format!("it leads out of {dir} by a link or `..`, and is neither read nor written");
        io::Error::new(io::ErrorKind::PermissionDenied, what)
    }

    fn check_not_gits(&self, real: &Path) -> io::Result<()> {
        let Ok(dir) = self.dir.canonicalize() else {
            return Ok(());
        };
        // only below the root: the root itself may lie in a directory of that name
        let beneath = real.strip_prefix(&dir).unwrap_or(Path::new(""));
        // some file systems do not tell upper from lower case
        let is_git = |part: Component<'_>| part.as_os_str().eq_ignore_ascii_case(".git");
        let is_kept_apart = || {
            real.ancestors()
                .filter_map(kept_apart)
                .any(|data| data != dir && data.starts_with(&dir) && real.starts_with(&data))
        };
        if beneath.components().any(is_git) || is_kept_apart() {
            let what = "it is in Git's own directory, and is neither read nor written";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        Ok(())
    }

    /// Refuses the file at `real`, a path without links, if it belongs to Git or the node itself.
    pub(super) fn check_not_own(
        &self,
        real: &Path,
        opened: Option<&fs::Metadata>,
    ) -> io::Result<()> {
        self.check_not_gits(real)?;
        let Some(data) = &self.data else {
            return Ok(());
        };
        let own = |what: &str| {
            Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                what.to_owned(),
            ))
        };
        // a repository inside the data directory is the operator's own doing
        if let Ok(data) = data.canonicalize()
            && real.starts_with(&data)
            && !self
                .dir
                .canonicalize()
                .is_ok_and(|dir| dir.starts_with(&data))
        {
            return own("it leads into the node's data directory, and is neither read nor written");
        }
        let home = Home::new(data);
        // by device and number: a hard link has another path and is the same file
        let found = match opened {
            Some(found) => Some((found.dev(), found.ino())),
            None => fs::metadata(real).ok().map(|meta| (meta.dev(), meta.ino())),
        };
        let secret = [home.voting_key(), home.network_key(), home.votes_journal()];
        let is_same = |path: &PathBuf| fs::metadata(path).ok().map(|m| (m.dev(), m.ino())) == found;
        if found.is_some() && secret.iter().any(is_same) {
            return own(
                "it is a key or the vote history of this node, and is neither read nor written",
            );
        }
        Ok(())
    }
}

/// Where the Git data of the work tree at `dir` is, if it is not in `.git`: as `git init
/// --separate-git-dir`, `git worktree` and submodules have it, that is a file which names it.
fn kept_apart(dir: &Path) -> Option<PathBuf> {
    let file = regular::read(&dir.join(".git"), GITFILE_BYTES).ok()?;
    let named = file.strip_prefix(b"gitdir: ")?.trim_ascii_end();
    dir.join(OsStr::from_bytes(named)).canonicalize().ok()
}
