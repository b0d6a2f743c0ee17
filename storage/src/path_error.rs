//! What the operating system refused to do with a file or directory: the one error for it, here and
//! in the crates above.

use std::io;
use std::path::{Path, PathBuf};

/// The operating system refused something on a path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} '{path}': {source}", path = path.display())]
pub struct PathError {
    /// What was tried: a verb, with its object unless the path is that.
    pub action: &'static str,
    /// The file or directory that it was tried on.
    pub path: PathBuf,
    /// The operating system's reason.
    pub source: io::Error,
}

/// Says of an I/O error what was tried, and on which path.
pub trait PathContext<T> {
    /// The same result, with an error that says that `action` failed on `path`.
    ///
    /// ```
    /// use ssid_storage::PathContext as _;
    ///
    /// let error = std::fs::read("/no/such/file").context("read", "/no/such/file").unwrap_err();
    /// assert!(error.to_string().starts_with("cannot read '/no/such/file': "));
    /// ```
    ///
    /// # Errors
    /// If this is an error.
    fn context(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, PathError>;
}

impl<T, E: Into<io::Error>> PathContext<T> for Result<T, E> {
    fn context(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, PathError> {
        self.map_err(|error| PathError {
            action,
            path: path.as_ref().to_owned(),
            source: error.into(),
        })
    }
}
