//! sled, guarded. It panics on some damaged files and its `flush` does not sync, so every call goes
//! through
//! [`Database`]: a panic becomes [`StorageError::Damaged`], and [`Database::apply`] syncs the file itself.

use std::fmt;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use sled::IVec;

use crate::error::StorageError;
use crate::hooks::{Dead, Hooks, Point};
use crate::lock::patiently;
use crate::open::sync_dir;
use crate::path_error::PathContext as _;

/// Bytes of pages that sled keeps in memory, by its own count; the process holds two to three times
/// that. sled divides it into 256 parts and keeps no page larger than one: with less than this,
/// pages of batches are read from disk again for every row, and a scan takes three times as long.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// sled puts a page of more than a quarter of this into a file of its own, which it never syncs; a
/// page holds up to 16 neighbouring rows, so rows up to 32 KiB are safe from that.
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;
/// How often sled syncs in the background, in milliseconds.
const FLUSH_EVERY_MS: u64 = 500;

/// One open database: rows of bytes in order of key.
pub(crate) struct Database {
    rows: Backend,
    path: PathBuf,
    hooks: Hooks,
}

/// Where the rows are.
enum Backend {
    Sled {
        db: sled::Db,
        /// sled's data file, for syncing: a sync is the file's, whoever has it open.
        data: File,
    },
    #[cfg(feature = "simulation")]
    Memory(std::sync::Arc<std::sync::Mutex<crate::simulation::Rows>>),
}

/// Rows to put and remove, all or none of them.
#[derive(Debug, Default)]
pub(crate) struct Batch(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl Batch {
    /// Puts a row.
    pub(crate) fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.0.push((key, Some(value)));
    }

    /// Removes a row; one that is not there is no error.
    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.0.push((key, None));
    }

    fn into_sled(self) -> sled::Batch {
        let mut batch = sled::Batch::default();
        for (key, value) in self.0 {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A row as sled hands it out.
pub(crate) type Row = (IVec, IVec);

impl Database {
    /// Whether there is one in the directory `path`.
    pub(crate) fn exists(path: &Path, hooks: &Hooks) -> bool {
        #[cfg(feature = "simulation")]
        if let Some(rows) = hooks.disk.as_ref().and_then(crate::simulation::Disk::rows) {
            return !rows_of(&rows).is_empty();
        }
        let _ = hooks; // asked by simulations only
        path.exists()
    }

    /// Opens or creates the database in the directory `path`.
    pub(crate) fn open(path: &Path, hooks: &Hooks) -> Result<Self, StorageError> {
        #[cfg(feature = "simulation")]
        if let Some(rows) = hooks.disk.as_ref().and_then(crate::simulation::Disk::rows) {
            return Ok(Self {
                rows: Backend::Memory(rows),
                path: path.to_owned(),
                hooks: hooks.clone(),
            });
        }
        // what it holds is two to three times the limit that it is given
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SEGMENT_BYTES)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .mode(sled::Mode::LowSpace);
        // the process before may not have let go of its lock yet
        let db = patiently(|| guard(path, || config.open()))?;
        // a handle of our own on sled's file: its flush writes and does not sync
        let file = path.join("db");
        let data = File::open(&file).context("open", &file)?;
        Ok(Self {
            rows: Backend::Sled { db, data },
            path: path.to_owned(),
            hooks: hooks.clone(),
        })
    }

    /// Returns the database's directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The value under `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StorageError> {
        match &self.rows {
            Backend::Sled { db, .. } => guard(&self.path, || db.get(key)),
            #[cfg(feature = "simulation")]
            Backend::Memory(rows) => Ok(rows_of(rows).get(key).cloned()),
        }
    }

    /// The rows with `from <= key < to`.
    pub(crate) fn range(&self, from: Vec<u8>, to: Vec<u8>) -> Rows<'_> {
        let rows: RowIter = match &self.rows {
            Backend::Sled { db, .. } => Box::new(db.range(from..to)),
            #[cfg(feature = "simulation")]
            Backend::Memory(rows) => {
                let range = IVec::from(from)..IVec::from(to);
                let found: Vec<_> = rows_of(rows)
                    .range(range)
                    .map(|(k, v)| Ok((k.clone(), v.clone())))
                    .collect();
                Box::new(found.into_iter())
            }
        };
        Rows {
            path: &self.path,
            iter: rows,
            failed: false,
        }
    }

    /// Applies all of `batch` or nothing, and returns once it is on disk, also for a loss of power.
    pub(crate) fn apply(&self, batch: Batch) -> Result<(), StorageError> {
        let begun = self.hooks.pass(Point::RowsWrite);
        begun.context("write", &self.path)?;
        let synced = self.hooks.pass(Point::RowsSync);
        if synced.is_ok() || synced.is_err_and(Dead::keeps) {
            self.write(batch)?;
        }
        Ok(synced.context("write", &self.path)?)
    }

    fn write(&self, batch: Batch) -> Result<(), StorageError> {
        match &self.rows {
            Backend::Sled { db, data } => {
                guard(&self.path, || db.apply_batch(batch.into_sled()))?;
                // from memory to the file, then from the file to the disk
                guard(&self.path, || db.flush())?;
                if self.hooks.is_simulated() {
                    return Ok(());
                }
                Ok(data.sync_data().context("sync", &self.path)?)
            }
            #[cfg(feature = "simulation")]
            Backend::Memory(rows) => {
                let mut rows = rows_of(rows);
                for (key, value) in batch.0 {
                    match value {
                        Some(value) => rows.insert(key.into(), value.into()),
                        None => rows.remove(key.as_slice()),
                    };
                }
                Ok(())
            }
        }
    }

    /// Makes a new database's files durable.
    pub(crate) fn sync_directories(&self) -> Result<(), StorageError> {
        if self.hooks.is_simulated() {
            return Ok(());
        }
        sync_dir(&self.path)?;
        self.path.parent().map_or(Ok(()), sync_dir)
    }

    /// Bytes on disk.
    pub(crate) fn disk_bytes(&self) -> Result<u64, StorageError> {
        match &self.rows {
            Backend::Sled { db, .. } => guard(&self.path, || db.size_on_disk()),
            #[cfg(feature = "simulation")]
            Backend::Memory(rows) => Ok(rows_of(rows)
                .iter()
                .map(|(k, v)| (k.len() + v.len()) as u64)
                .sum()),
        }
    }
}

#[cfg(feature = "simulation")]
fn rows_of(
    rows: &std::sync::Mutex<crate::simulation::Rows>,
) -> std::sync::MutexGuard<'_, crate::simulation::Rows> {
    rows.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

type RowIter = Box<dyn DoubleEndedIterator<Item = sled::Result<Row>>>;

/// Rows of a range; ends after the first error.
pub(crate) struct Rows<'a> {
    path: &'a Path,
    iter: RowIter,
    failed: bool,
}

impl<'a> Rows<'a> {
    /// The same rows, last first.
    pub(crate) fn reversed(mut self) -> impl Iterator<Item = Result<Row, StorageError>> + use<'a> {
        std::iter::from_fn(move || self.step(DoubleEndedIterator::next_back))
    }

    fn step(
        &mut self,
        step: impl FnOnce(&mut RowIter) -> Option<sled::Result<Row>>,
    ) -> Option<Result<Row, StorageError>> {
        if self.failed {
            return None;
        }
        let row = guard(self.path, || step(&mut self.iter).transpose()).transpose();
        // after an error the iterator's state is not to be trusted
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

/// Runs a call of sled, whose state is not used again by this crate after a panic: the store is
/// closed or poisoned.
fn guard<T>(path: &Path, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StorageError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(translate(path, error)),
        Err(panic) => {
            let words = words_of(&*panic);
            if is_shortage(&words) {
                let reason =
                    format!("the system has no memory, threads or files left for it ({words})");
                return Err(StorageError::Database {
                    path: path.to_owned(),
                    reason,
                });
            }
            Err(StorageError::damaged(
                path,
                format!("sled panicked: {words}"),
            ))
        }
    }
}

fn translate(path: &Path, error: sled::Error) -> StorageError {
    match error {
        sled::Error::Corruption { .. } => StorageError::damaged(path, error.to_string()),
        // sled wraps the lock's error into one of kind `Other`
        sled::Error::Io(e) if e.to_string().contains("could not acquire lock") => {
            StorageError::InUse(path.to_owned())
        }
        sled::Error::Io(error) => StorageError::Database {
            path: path.to_owned(),
            reason: plain(&error),
        },
        error => StorageError::Database {
            path: path.to_owned(),
            reason: error.to_string(),
        },
    }
}

/// What the system says of an error. Of those that sled copies only the kind is left to be read by
/// people; their text is Rust's debug form.
fn plain(error: &std::io::Error) -> String {
    match (error.raw_os_error(), error.kind()) {
        (None, kind) if kind != std::io::ErrorKind::Other => kind.to_string(),
        _ => error.to_string(),
    }
}

/// Whether a panic says that the system gave out, and nothing about what is on disk.
fn is_shortage(words: &str) -> bool {
    // ENOMEM, EAGAIN, EMFILE, ENFILE
    const NUMBERS: [&str; 4] = ["code: 12,", "code: 11,", "code: 24,", "code: 23,"];
    const WORDS: [&str; 5] = [
        "alloc",
        "memory",
        "too many open files",
        "spawn",
        "os error 12",
    ];
    let lower = words.to_lowercase();
    WORDS
        .iter()
        .chain(&NUMBERS)
        .any(|word| lower.contains(word))
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words");
    words.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_said_in_words() {
        let full = || std::io::Error::from_raw_os_error(28);
        let copied = sled::Error::Io(full()).clone();
        for (error, words) in [
            (copied, "failed: no storage space; check the disk's space"),
            (sled::Error::Io(full()), "failed: No space left on device"),
        ] {
            let said = translate(Path::new("db"), error).to_string();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn a_system_that_gives_out_is_no_damage() {
        for words in [
            "failed to allocate critical IO buffer",
            "called `Result::unwrap()` on an `Err` value: Os { code: 12, kind: OutOfMemory, message: \"Cannot allocate memory\" }",
            "failed to spawn thread: Os { code: 11, kind: WouldBlock, message: \"Resource temporarily unavailable\" }",
            "Os { code: 24, kind: Uncategorized, message: \"Too many open files\" }",
        ] {
            let failed = guard(Path::new("db"), || -> sled::Result<()> {
                std::panic::panic_any(words.to_owned())
            });
            assert!(
                matches!(&failed, Err(StorageError::Database { reason, .. }) if reason.contains("no memory")),
                "{failed:?}"
            );
        }
        let failed = guard(Path::new("db"), || -> sled::Result<()> {
            std::panic::panic_any("bad checksum")
        });
        assert!(matches!(failed, Err(StorageError::Damaged { .. })));
    }
}
