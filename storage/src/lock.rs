//! Locks on files, so that one process at a time uses a data directory.
//!
//! A lock is the open file's, and a process that this one is just starting (Git, say) shares its
//! open files for the instant between fork and exec: a file closed meanwhile stays locked as long.
//! So a refusal is final only after a short while.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use crate::error::StorageError;
use crate::path_error::PathContext as _;

/// How often a lock is tried.
const TRIES: u32 = 10;
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(30);

/// Locks `file`, which is open at `path`, until it is closed.
///
/// # Errors
/// [`StorageError::InUse`] if another holds the lock for longer than 0.3 s; or if the operating
/// system refuses.
pub(crate) fn lock(path: &Path, file: &File) -> Result<(), StorageError> {
    patiently(|| match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StorageError::InUse(path.to_owned())),
        Err(TryLockError::Error(e)) => Ok(Err(e).context("lock", path)?),
    })
}

/// As [`lock`], for a file that may be replaced: refused too if, between opening and locking,
/// another process put another file in its place.
pub(crate) fn lock_current(path: &Path, file: &File) -> Result<(), StorageError> {
    lock(path, file)?;
    if is_replaced(path, file).context("open", path)? {
        return Err(StorageError::InUse(path.to_owned()));
    }
    Ok(())
}

#[cfg(unix)]
fn is_replaced(path: &Path, file: &File) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    // the name may mean another file by now, and its lock another process
    let opened = file.metadata()?;
    let there = std::fs::metadata(path)?;
    Ok((opened.dev(), opened.ino()) != (there.dev(), there.ino()))
}

/// A locked or open file cannot be replaced here.
#[cfg(not(unix))]
fn is_replaced(_: &Path, _: &File) -> std::io::Result<bool> {
    Ok(false)
}

/// Repeats `open` for a short while as long as what it opens is in use.
pub(crate) fn patiently<T>(
    mut open: impl FnMut() -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    for _ in 1..TRIES {
        match open() {
            Err(StorageError::InUse(_)) => std::thread::sleep(PAUSE),
            result => return result,
        }
    }
    open()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_about_to_be_released_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let holder = File::create(&path).unwrap();
        lock(&path, &holder).unwrap();
        let other = File::open(&path).unwrap();
        assert!(matches!(lock(&path, &other), Err(StorageError::InUse(_))));
        let releasing = std::thread::spawn(move || {
            std::thread::sleep(PAUSE);
            drop(holder);
        });
        lock(&path, &other).unwrap();
        releasing.join().unwrap();
    }
}
