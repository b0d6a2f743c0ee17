//! Appending to, replacing, making and removing what is at a place, so that it is on disk
//! afterwards.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use ssid_storage::regular;

use super::Place;
use super::way::{or_here, parent};

impl Place {
    /// Opens the file to be read, and written to at its end. It and its directories are made if
    /// they are missing, and their names are on disk when this returns.
    ///
    /// # Errors
    /// If the system refuses, or the place is refused.
    pub fn open_to_append(&self) -> io::Result<File> {
        let is_new = !self.is_file();
        if is_new {
            self.directory().make()?;
        }
        let file = self.open_with(OpenOptions::new().read(true).append(true).create(is_new))?;
        if is_new {
            self.directory().sync()?;
        }
        Ok(file)
    }

    /// Puts `bytes` in the place of the file, which keeps its mode (new ones have 0644), whole or
    /// not at all; when this returns they are on disk. The directory must exist.
    ///
    /// # Errors
    /// If the system refuses, or the place is refused; what stood there is then untouched.
    pub fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        self.replace_with_mode(bytes, None)
    }

    /// As [`replace`](Self::replace), for what others may not read: the file has mode 0600
    /// afterwards.
    ///
    /// # Errors
    /// As [`replace`](Self::replace).
    pub fn replace_secret(&self, bytes: &[u8]) -> io::Result<()> {
        self.replace_with_mode(bytes, Some(0o600))
    }

    fn replace_with_mode(&self, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
        let way = self.way()?;
        let told = |e: io::Error| self.told(e);
        // a link is written through, as the scripts did; it has to lead to a place beneath the root
        let target = match way.dir.symlink_metadata(&way.rest) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => way.rest.clone(),
            Err(e) => return Err(told(e)),
            Ok(meta) if meta.is_symlink() => way.dir.canonicalize(&way.rest).map_err(told)?,
            Ok(_) => way.rest.clone(),
        };
        let standing = way.dir.metadata(&target).ok();
        if standing.as_ref().is_some_and(|meta| !meta.is_file()) {
            return Err(regular::not_regular());
        }
        self.check(&way, &target, None)?;
        // what others could read before they can read afterwards
        let kept =
            standing.map(|meta| cap_std::fs::PermissionsExt::mode(&meta.permissions()) & 0o7777);
        let temporary = beside(&target);
        // beside it and then renamed: readers see the old bytes or the new
        let written = write_new(&way.dir, &temporary, bytes, mode.or(kept))
            .and_then(|()| way.dir.rename(&temporary, &way.dir, &target));
        if written.is_err() {
            // best effort: a later one has another name
            let _ = way.dir.remove_file(&temporary);
        }
        written.map_err(told)?;
        sync_directory(&way.dir, parent(&target))
    }

    /// Makes the directory and those above it, up to the root; their names are on disk afterwards.
    ///
    /// # Errors
    /// If the system refuses, or the place is refused.
    pub fn make(&self) -> io::Result<()> {
        if self.is_dir() {
            return Ok(());
        }
        let way = self.way()?;
        self.check(&way, &way.rest, None)?;
        if way.rest.as_os_str().is_empty() {
            return Ok(());
        }
        // a link that leads out would only be said to exist already
        for above in way
            .rest
            .ancestors()
            .filter(|path| !path.as_os_str().is_empty())
        {
            match way.dir.metadata(above) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(self.told(e)),
                _ => {}
            }
        }
        way.dir
            .create_dir_all(&way.rest)
            .map_err(|e| self.told(e))?;
        // every directory on the way may have a new entry
        way.rest
            .ancestors()
            .skip(1)
            .try_for_each(|above| sync_directory(&way.dir, above))
    }

    /// Makes what was renamed or made in the directory durable.
    fn sync(&self) -> io::Result<()> {
        let way = self.way()?;
        sync_directory(&way.dir, &way.rest)
    }

    /// Removes the file, or the link that stands in its place.
    ///
    /// # Errors
    /// If there is none, the system refuses, or the place is refused.
    pub fn remove(&self) -> io::Result<()> {
        let way = self.way()?;
        self.check(&way, &way.rest, None)?;
        way.dir.remove_file(&way.rest).map_err(|e| self.told(e))
    }
}

fn beside(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{:016x}.tmp", rand::random::<u64>()))
}

fn write_new(dir: &Dir, path: &Path, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = dir.open_with(
        path,
        options
            .write(true)
            .create_new(true)
            .mode(mode.unwrap_or(0o644)),
    )?;
    let mut file = file.into_std();
    if let Some(mode) = mode {
        // the mode given when opening is narrowed by the umask
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_directory(dir: &Dir, path: &Path) -> io::Result<()> {
    dir.open_dir(or_here(path))?.open(".")?.sync_all()
}
