//! Putting a new file in an old one's place, so that a crash leaves one of the two whole: written
//! beside it, locked, synced, renamed, the directory synced.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::error::StorageError;
use crate::hooks::{Dead, Hooks, Point};
use crate::lock::lock;
use crate::open::sync_dir;
use crate::path_error::PathContext as _;

/// The instants of one kind of replacement at which a simulated machine may die.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Points {
    /// The new file is being written.
    pub(crate) write: Point,
    /// It is synced and has not taken the old one's place.
    pub(crate) replace: Point,
    /// It has, and the directory is not synced: either may be there.
    pub(crate) sync: Point,
}

/// Where the new file stands before it takes the place of the one at `path`.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// Writes, syncs and locks the file [`beside`] `path`. One left over by a crash is overwritten.
/// `options` say how the file is to be open afterwards.
pub(crate) fn write_beside(
    path: &Path,
    contents: &[u8],
    options: &OpenOptions,
    hooks: &Hooks,
    points: Points,
) -> Result<File, StorageError> {
    let new = beside(path);
    let written = || -> io::Result<File> {
        // emptied first: who opens for appending empties nothing
        drop(File::create(&new)?);
        let mut file = options.open(&new)?;
        // simulated: some of it may be on disk, under the other name
        if let Err(dead) = hooks.pass(points.write) {
            file.write_all(&dead.leaves(&[], contents))?;
            return Err(dead.into());
        }
        file.write_all(contents)?;
        if !hooks.is_simulated() {
            file.sync_all()?;
        }
        Ok(file)
    };
    let file = written().context("write", &new)?;
    // locked before it has the name: nobody can open it in between
    lock(&new, &file)?;
    Ok(file)
}

/// Puts the file [`beside`] `path` in its place, for good when this returns.
pub(crate) fn take_place(path: &Path, hooks: &Hooks, points: Points) -> Result<(), StorageError> {
    let replaced = || -> io::Result<()> {
        hooks.pass(points.replace)?;
        let synced = hooks.pass(points.sync);
        if synced.is_ok() || synced.is_err_and(Dead::keeps) {
            std::fs::rename(beside(path), path)?;
        }
        Ok(synced?)
    };
    replaced().context("replace", path)?;
    if hooks.is_simulated() {
        Ok(())
    } else {
        sync_parent(path)
    }
}

/// Makes what was created or renamed beside `path` durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), StorageError> {
    sync_dir(
        path.parent()
            .filter(|dir| !dir.as_os_str().is_empty())
            .unwrap_or(Path::new(".")),
    )
}
