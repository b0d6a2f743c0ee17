//! sled, guarded. It panics on some damaged files and its `flush` does not sync, so every call goes through
//! [`Database`]: a panic becomes [`StorageError::Damaged`], and [`Database::apply`] syncs the file itself.

use std::fmt;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use sled::IVec;

use crate::error::StorageError;
use crate::lock::patiently;

/// Bytes of pages that sled keeps in memory, by its own count; the process holds two to three times that. sled divides
/// it into 256 parts and keeps no page larger than one: with less than this, pages of batches are read from disk again
/// for every row, and a scan takes three times as long.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// sled puts a page of more than a quarter of this into a file of its own, which it never syncs; a page holds up to
/// 16 neighbouring rows, so rows up to 32 KiB are safe from that.
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;
/// How often sled syncs in the background, in milliseconds.
const FLUSH_EVERY_MS: u64 = 500;

/// One open database: rows of bytes in order of key.
pub(crate) struct Database {
    db: sled::Db,
    path: PathBuf,
    /// sled's data file, for syncing: a sync is the file's, whoever has it open.
    data: File,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A row as sled hands it out.
pub(crate) type Row = (IVec, IVec);

impl Database {
    /// Opens or creates the database in the directory `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, StorageError> {
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SEGMENT_BYTES)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .mode(sled::Mode::LowSpace);
        let db = patiently(|| guard(path, || config.open()))?;
        let file = path.join("db");
        let data = File::open(&file).map_err(StorageError::io("open", &file))?;
        Ok(Self { db, path: path.to_owned(), data })
    }

    /// Its directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The value under `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StorageError> {
        guard(&self.path, || self.db.get(key))
    }

    /// The rows with `from <= key < to`.
    pub(crate) fn range(&self, from: Vec<u8>, to: Vec<u8>) -> Rows<'_> {
        Rows { path: &self.path, iter: self.db.range(from..to), failed: false }
    }

    /// Applies all of `batch` or nothing, and returns once it is on disk, also for a loss of power.
    pub(crate) fn apply(&self, batch: sled::Batch) -> Result<(), StorageError> {
        guard(&self.path, || self.db.apply_batch(batch))?;
        guard(&self.path, || self.db.flush())?;
        self.data.sync_data().map_err(StorageError::io("sync", &self.path))
    }

    /// Bytes on disk.
    pub(crate) fn disk_bytes(&self) -> Result<u64, StorageError> {
        guard(&self.path, || self.db.size_on_disk())
    }
}

/// Rows of a range; ends after the first error.
pub(crate) struct Rows<'a> {
    path: &'a Path,
    iter: sled::Iter,
    failed: bool,
}

impl<'a> Rows<'a> {
    /// The same rows, last first.
    pub(crate) fn reversed(mut self) -> impl Iterator<Item = Result<Row, StorageError>> + use<'a> {
        std::iter::from_fn(move || self.step(sled::Iter::next_back))
    }

    fn step(
        &mut self,
        step: impl FnOnce(&mut sled::Iter) -> Option<sled::Result<Row>>,
    ) -> Option<Result<Row, StorageError>> {
        if self.failed {
            return None;
        }
        let row = guard(self.path, || step(&mut self.iter).transpose()).transpose();
        self.failed = matches!(row, Some(Err(_)));
        row
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(Iterator::next)
    }
}

/// Runs a call of sled, whose state is not used again by this crate after a panic: the store is closed or poisoned.
fn guard<T>(path: &Path, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StorageError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(translate(path, error)),
        Err(panic) => Err(StorageError::damaged(path, format!("sled panicked: {}", words_of(&*panic)))),
    }
}

fn translate(path: &Path, error: sled::Error) -> StorageError {
    match error {
        sled::Error::Corruption { .. } => StorageError::damaged(path, error.to_string()),
        // sled wraps the lock's error into one of kind `Other`
        sled::Error::Io(e) if e.to_string().contains("could not acquire lock") => StorageError::InUse(path.to_owned()),
        error => StorageError::Database { path: path.to_owned(), reason: error.to_string() },
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words");
    words.chars().take(200).collect()
}
