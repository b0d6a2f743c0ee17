//! Files of the registry: where one is, and the only way to it. Whoever can change a repository can
//! put a link, a pipe or a device in the place of any file of it; what a [`Place`] opens is
//!
//! - beneath the directory that it belongs to: no link and no `..` leads out, in any part of the
//!   path;
//! - a regular file: opening it never waits, reading it ends;
//! - read up to a limit that the caller names;
//! - never one of the node's own data: its keys, its vote history, its database;
//! - never one of Git's own, beneath `.git`: its configuration holds logins, its hooks are run.
//!
//! A place outside any root is a file that the operator named; only the second and third hold for
//! it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use ssid_storage::regular;

use crate::home::Home;

/// A path, and the directory that what it names may not lie outside of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    path: PathBuf,
    within: Option<Arc<Root>>,
}

/// A directory that holds registry files.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root {
    dir: PathBuf,
    /// The data directory of the node that works on it, whose files are never touched.
    data: Option<PathBuf>,
}

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

impl Root {
    /// The directory `dir`. `data` is the data directory of the node, if there is one.
    pub fn new(dir: &Path, data: Option<&Path>) -> Arc<Self> {
        Arc::new(Self {
            dir: dir.to_owned(),
            data: data.map(Path::to_owned),
        })
    }

    /// What is at `path` in it.
    pub fn place(self: &Arc<Self>, path: impl AsRef<Path>) -> Place {
        Place {
            path: self.dir.join(path),
            within: Some(self.clone()),
        }
    }

    fn leads_out(&self) -> io::Error {
        let dir = self.dir.display();
        let what =
            format!("it leads out of {dir} by a link or `..`, and is neither read nor written");
        io::Error::new(io::ErrorKind::PermissionDenied, what)
    }

    fn check_not_gits(&self, real: &Path) -> io::Result<()> {
        let Ok(dir) = self.dir.canonicalize() else {
            return Ok(());
        };
        // only below the root: the root itself may lie in a directory of that name
        let beneath = real.strip_prefix(dir).unwrap_or(Path::new(""));
        // some file systems do not tell upper from lower case
        let is_git = |part: Component<'_>| part.as_os_str().eq_ignore_ascii_case(".git");
        if beneath.components().any(is_git) {
            let what = "it is in Git's own directory, and is neither read nor written";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        Ok(())
    }

    /// Refuses the file at `real`, a path without links, if it belongs to Git or the node itself.
    fn check_not_own(&self, real: &Path, opened: Option<&fs::Metadata>) -> io::Result<()> {
        self.check_not_gits(real)?;
        let Some(data) = &self.data else {
            return Ok(());
        };
        let own = |what: &str| {
            Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                what.to_owned(),
            ))
        };
        // a repository inside the data directory is the operator's own doing
        if let Ok(data) = data.canonicalize()
            && real.starts_with(&data)
            && !self
                .dir
                .canonicalize()
                .is_ok_and(|dir| dir.starts_with(&data))
        {
            return own("it leads into the node's data directory, and is neither read nor written");
        }
        let home = Home::new(data);
        // by device and number: a hard link has another path and is the same file
        let found = match opened {
            Some(found) => Some((found.dev(), found.ino())),
            None => fs::metadata(real).ok().map(|meta| (meta.dev(), meta.ino())),
        };
        let secret = [home.voting_key(), home.network_key(), home.votes_journal()];
        let is_same = |path: &PathBuf| fs::metadata(path).ok().map(|m| (m.dev(), m.ino())) == found;
        if found.is_some() && secret.iter().any(is_same) {
            return own(
                "it is a key or the vote history of this node, and is neither read nor written",
            );
        }
        Ok(())
    }
}

/// A place split into a directory that is open, and the way from there.
struct Way {
    dir: Dir,
    /// The open directory's path, without links.
    real: PathBuf,
    rest: PathBuf,
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
        self.at(parent(&self.path).to_owned())
    }

    fn at(&self, path: PathBuf) -> Self {
        Self {
            path,
            within: self.within.clone(),
        }
    }

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

    fn open_with(&self, options: &mut OpenOptions) -> io::Result<File> {
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

    /// Refuses the node's own data. `rest` is the way from the open directory, without links for
    /// files.
    fn check(&self, way: &Way, rest: &Path, opened: Option<&fs::Metadata>) -> io::Result<()> {
        let Some(root) = &self.within else {
            return Ok(());
        };
        root.check_not_own(&resolved(&way.real.join(rest)), opened)
    }

    /// Opens the root, or for a file that the operator named the last directory that is there.
    fn way(&self) -> io::Result<Way> {
        let (dir, rest) = match &self.within {
            Some(root) => {
                let rest = self
                    .path
                    .strip_prefix(&root.dir)
                    .map_err(|_| root.leads_out())?;
                (root.dir.as_path(), rest.to_owned())
            }
            None => return named(&self.path),
        };
        let dir = if dir.as_os_str().is_empty() {
            Path::new(".")
        } else {
            dir
        };
        Ok(Way {
            dir: Dir::open_ambient_dir(dir, ambient_authority())?,
            real: dir.canonicalize()?,
            rest,
        })
    }

    /// The refusal of what leads out, in this crate's words.
    fn told(&self, error: io::Error) -> io::Error {
        match &self.within {
            // cap-std's own refusal has no number, as the system's have
            _ if error.kind() != io::ErrorKind::PermissionDenied
                || error.raw_os_error().is_some() =>
            {
                error
            }
            Some(root) => root.leads_out(),
            // the way of a named file has no links left but one that leads nowhere
            None => io::Error::new(io::ErrorKind::NotFound, "it is a link that leads nowhere"),
        }
    }
}

/// The way to a path that the operator named: its links are the operator's own.
fn named(path: &Path) -> io::Result<Way> {
    let absolute = std::path::absolute(path)?;
    let resolved = absolute.canonicalize().unwrap_or(absolute);
    let mut rest = Vec::new();
    let mut above = resolved.as_path();
    loop {
        // `..` behind a directory that is not there has no meaning
        let name = above
            .components()
            .next_back()
            .filter(|part| matches!(part, Component::Normal(_)));
        let (Some(name), Some(next)) = (name, above.parent()) else {
            break;
        };
        rest.push(name.as_os_str());
        above = next;
        if above.is_dir() {
            break;
        }
    }
    let rest = rest.into_iter().rev().collect();
    Ok(Way {
        dir: Dir::open_ambient_dir(above, ambient_authority())?,
        real: above.canonicalize()?,
        rest,
    })
}

/// Links that are followed one after another, as the system does.
const LINKS: u32 = 40;

/// The path without links, also where it leads to what is not there yet.
fn resolved(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let there = path
            .ancestors()
            .find_map(|above| Some((above, above.canonicalize().ok()?)));
        let Some((above, real)) = there else {
            break;
        };
        let Ok(rest) = path.strip_prefix(above) else {
            break;
        };
        let mut names = rest.components();
        let Some(next) = names.next() else {
            return real;
        };
        let next = real.join(next);
        match fs::read_link(&next) {
            // a link that leads nowhere yet
            Ok(target) => path = real.join(target).join(names.as_path()),
            Err(_) => return next.join(names.as_path()),
        }
    }
    path
}

fn parent(path: &Path) -> &Path {
    or_here(path.parent().unwrap_or(Path::new("")))
}

fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
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
