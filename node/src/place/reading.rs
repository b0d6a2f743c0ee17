//! Opening and reading what is at a place, and what a directory holds.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use cap_std::fs::{OpenOptions, OpenOptionsExt as _};
use ssid_storage::regular;

use super::Place;
use super::way::or_here;

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub place: Place,
    /// Its name, as far as it is Unicode.
    pub name: String,
    /// Whether it is a directory itself, not a link to one.
    pub is_directory: bool,
}

impl Place {
    /// Opens the file to be read.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none; why it is refused, in words.
    pub fn open(&self) -> io::Result<File> {
        self.open_with(OpenOptions::new().read(true))
    }

    /// The bytes of the file, at most `limit` of them.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`io::ErrorKind::FileTooLarge`] if it has more.
    pub fn read(&self, limit: u64) -> io::Result<Vec<u8>> {
        regular::bytes_of(self.open()?, limit)
    }

    /// As [`open`](Self::open), for what everybody will be able to read: no link to a file beneath
    /// the root that only its owner may read. Beside a repository's files lie others that are not
    /// in it, such as `.env`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_to_publish(&self) -> io::Result<File> {
        let file = self.open()?;
        // neither group nor others may read it
        let is_private = file.metadata()?.permissions().mode() & 0o044 == 0;
        if is_private && self.within.is_some() && self.is_linked()? {
            let what = "it is a link to a file that only its owner may read, and is not published";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        Ok(file)
    }

    /// Whether a link is on the way to the file below the root.
    fn is_linked(&self) -> io::Result<bool> {
        let way = self.way()?;
        let real = way.dir.canonicalize(&way.rest).map_err(|e| self.told(e))?;
        Ok(real != way.rest)
    }

    /// The bytes of what [`open_to_publish`](Self::open_to_publish) opens, at most `limit` of them.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_to_publish(&self, limit: u64) -> io::Result<Vec<u8>> {
        regular::bytes_of(self.open_to_publish()?, limit)
    }

    /// Opens the directory, to be locked.
    ///
    /// # Errors
    /// If the system refuses, or the place is refused.
    pub fn open_directory(&self) -> io::Result<File> {
        let way = self.way()?;
        let dir = way
            .dir
            .open_dir(or_here(&way.rest))
            .map_err(|e| self.told(e))?;
        self.check(&way, &way.rest, None)?;
        // the handle itself may be one that can only be looked through
        Ok(dir.open(".")?.into_std())
    }

    /// The entries of the directory, in order of their names: at most `limit` of them.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`io::ErrorKind::FileTooLarge`] if there are more.
    pub fn entries(&self, limit: usize) -> io::Result<Vec<Entry>> {
        let way = self.way()?;
        self.check(&way, &way.rest, None)?;
        let mut found = Vec::new();
        for entry in way
            .dir
            .read_dir(or_here(&way.rest))
            .map_err(|e| self.told(e))?
        {
            let entry = entry?;
            if found.len() == limit {
                let what = format!("more than {limit} files are in it");
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
            }
            let name = entry.file_name();
            found.push(Entry {
                place: self.join(&name),
                name: name.to_string_lossy().into_owned(),
                is_directory: entry.file_type()?.is_dir(),
            });
        }
        found.sort_by(|a, b| a.place.cmp(&b.place));
        Ok(found)
    }

    /// Whether a regular file is there that may be opened.
    pub fn is_file(&self) -> bool {
        self.metadata().is_ok_and(|meta| meta.is_file())
    }

    /// Whether a directory is there that may be looked into.
    pub fn is_dir(&self) -> bool {
        self.metadata().is_ok_and(|meta| meta.is_dir())
    }

    /// Whether anything is there, be it a link that leads nowhere or something that is refused.
    pub fn exists(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok()
    }

    /// The permission bits of the file.
    ///
    /// # Errors
    /// If there is none, or it is refused.
    pub fn mode(&self) -> io::Result<u32> {
        Ok(cap_std::fs::PermissionsExt::mode(&self.metadata()?.permissions()) & 0o7777)
    }

    fn metadata(&self) -> io::Result<cap_std::fs::Metadata> {
        let way = self.way()?;
        way.dir
            .metadata(or_here(&way.rest))
            .map_err(|e| self.told(e))
    }

    pub(super) fn open_with(&self, options: &mut OpenOptions) -> io::Result<File> {
        let way = self.way()?;
        // asked before opening: a device may act when it is opened
        match way.dir.metadata(or_here(&way.rest)) {
            Ok(meta) if !meta.is_file() => return Err(regular::not_regular()),
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(self.told(e)),
            _ => {}
        }
        // before anything is made there
        self.check(&way, &way.rest, None)?;
        options.custom_flags(regular::UNKNOWN_FILE);
        let file = way
            .dir
            .open_with(or_here(&way.rest), options)
            .map_err(|e| self.told(e))?
            .into_std();
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(regular::not_regular());
        }
        // once more, of what is open now: the path may have been changed meanwhile
        let real = way.dir.canonicalize(&way.rest).map_err(|e| self.told(e))?;
        self.check(&way, &real, Some(&meta))?;
        Ok(file)
    }
}
