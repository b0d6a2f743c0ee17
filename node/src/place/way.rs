//! The way to a place: the directory that is opened, and what is below it, with every link
//! accounted for.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::Place;

/// A place split into a directory that is open, and the way from there.
pub(super) struct Way {
    pub(super) dir: Dir,
    /// The open directory's path, without links.
    pub(super) real: PathBuf,
    /// What is left of it from there.
    pub(super) rest: PathBuf,
}

impl Place {
    /// Refuses the node's own data. `rest` is the way from the open directory, without links for
    /// files.
    pub(super) fn check(
        &self,
        way: &Way,
        rest: &Path,
        opened: Option<&fs::Metadata>,
    ) -> io::Result<()> {
        let Some(root) = &self.within else {
            return Ok(());
        };
        root.check_not_own(&resolved(&way.real.join(rest)), opened)
    }

    /// Opens the root, or for a file that the operator named the last directory that is there.
    pub(super) fn way(&self) -> io::Result<Way> {
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
    pub(super) fn told(&self, error: io::Error) -> io::Error {
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

pub(super) fn parent(path: &Path) -> &Path {
    or_here(path.parent().unwrap_or(Path::new("")))
}

pub(super) fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}
