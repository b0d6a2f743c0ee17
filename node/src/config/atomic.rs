//! Replaces a file whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Puts `bytes` in the place of the file at `path`, which keeps its mode (new ones have 0644); when this returns, they
/// are on disk. A reader sees the old contents or the new. Links are followed; the directory must exist.
///
/// # Errors
/// If the new file cannot be written or moved into place; the old one is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mode = fs::metadata(&target).ok().map(|meta| meta.permissions().mode() & 0o7777);
    let directory = target.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = temporary_beside(&target, directory);
    let written = write_new(&temporary, bytes, mode).and_then(|()| fs::rename(&temporary, &target));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| fs::File::open(directory)?.sync_all())
}

fn temporary_beside(target: &Path, directory: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    directory.join(format!(".{name}.{:016x}.tmp", rand::random::<u64>()))
}

fn write_new(path: &Path, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode.unwrap_or(0o644)).open(path)?;
    if let Some(mode) = mode {
        // the mode given when opening is narrowed by the umask
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}
