//! Opening regular files and nothing else: a pipe waits for its other end, a device has no end.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Flags with which to open a file of which it is not known what it is: never waits, never becomes
/// this process's terminal. They change nothing for a regular file.
pub const UNKNOWN_FILE: i32 = (OFlags::NONBLOCK.bits() | OFlags::NOCTTY.bits()).cast_signed();

/// Opens the regular file at `path` as `options` say; links are followed.
///
/// # Errors
/// If the system refuses, or if something else stands there, which is then not touched.
pub fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => return Err(not_regular()),
        // the system's own words come from opening
        _ => {}
    }
    let file = options.custom_flags(UNKNOWN_FILE).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(not_regular())
    }
}

/// The bytes of the regular file at `path`, at most `limit` of them.
///
/// # Errors
/// As [`open`]; [`io::ErrorKind::FileTooLarge`] if it has more.
///
/// ```
/// use ssid_storage::regular;
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("registry.jsonl");
/// std::fs::write(&path, "12345")?;
/// assert_eq!(regular::read(&path, 5)?, b"12345");
/// let refused = regular::read(&path, 4).unwrap_err();
/// assert_eq!(refused.kind(), std::io::ErrorKind::FileTooLarge);
/// // a directory, pipe or device is refused and not waited for
/// assert!(regular::read(dir.path(), 5).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    bytes_of(open(OpenOptions::new().read(true), path)?, limit)
}

/// The bytes that are left in `file`, at most `limit` of them.
///
/// # Errors
/// If it cannot be read; [`io::ErrorKind::FileTooLarge`] if there are more.
pub fn bytes_of(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let what = format!("it has more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// The refusal of what is no regular file.
pub fn not_regular() -> io::Error {
    let what = "it is not a regular file, but a directory, pipe, socket or device";
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_and_devices_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap();
        assert!(made.success());
        let endless = dir.path().join("endless");
        std::os::unix::fs::symlink("/dev/zero", &endless).unwrap();
        for path in [&pipe, &endless, &dir.path().to_owned()] {
            let refused = read(path, 10).unwrap_err().to_string();
            assert!(refused.contains("not a regular file"), "{refused}");
        }
        let appending = open(OpenOptions::new().read(true).append(true), &pipe);
        assert!(appending.is_err());
    }

    #[test]
    fn no_more_is_read_than_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert_eq!(
            read(&path, 4).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
        let missing = read(&dir.path().join("none"), 4).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
