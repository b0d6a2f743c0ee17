//! Files of the registry: where one is, and the only way to it. Whoever can change a repository can
//! put a link, a pipe or a device in the place of any file of it; what a [`Place`] opens is
//!
//! - beneath the directory that it belongs to: no link and no `..` leads out, in any part of the
//!   path;
//! - a regular file: opening it never waits, reading it ends;
//! - read up to a limit that the caller names;
//! - never one of the node's own data: its keys, its vote history, its database;
//! - never one of Git's own, beneath `.git`, or where a file of that name says that stands in a
//!   directory above it (`git init --separate-git-dir`): its configuration holds logins, its hooks
//!   are run.
//!
//! A place outside any root is a file that the operator named; only the second and third hold for
//! it.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use reading::Entry;
pub use root::Root;

mod reading;
mod root;
mod way;
mod writing;

/// A path, and the directory that what it names may not lie outside of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    path: PathBuf,
    within: Option<Arc<Root>>,
}

impl Place {
    /// The path itself, for messages and comparisons.
    pub fn as_path(&self) -> &Path {
        &self.path
    }

    /// The place at `path` below this one.
    #[must_use]
    pub fn join(&self, path: impl AsRef<Path>) -> Self {
        self.at(self.path.join(path))
    }

    /// The place beside this one whose name is `name`.
    #[must_use]
    pub fn with_file_name(&self, name: impl AsRef<std::ffi::OsStr>) -> Self {
        self.at(self.path.with_file_name(name))
    }

    /// The place with another ending of its name.
    #[must_use]
    pub fn with_extension(&self, extension: &str) -> Self {
        self.at(self.path.with_extension(extension))
    }

    /// The directory that it is in.
    #[must_use]
    pub fn directory(&self) -> Self {
        self.at(way::parent(&self.path).to_owned())
    }

    fn at(&self, path: PathBuf) -> Self {
        Self {
            path,
            within: self.within.clone(),
        }
    }
}

impl Deref for Place {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for Place {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl PartialEq<PathBuf> for Place {
    fn eq(&self, path: &PathBuf) -> bool {
        self.path == *path
    }
}

impl From<PathBuf> for Place {
    /// A file that the operator named.
    fn from(path: PathBuf) -> Self {
        Self { path, within: None }
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Self {
        path.clone().into()
    }
}

impl From<&Self> for Place {
    fn from(place: &Self) -> Self {
        place.clone()
    }
}

#[cfg(test)]
mod tests;
