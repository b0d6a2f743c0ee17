//! A bare repository in the data directory: made, its references read and moved, set aside when damaged.

use std::fs;
use std::path::{Path, PathBuf};

use gix_hash::ObjectId;

use super::command::{Git, Job};
use super::failure::GitError;
use super::objects::Objects;
use crate::config::write_atomic;

/// What the last fetch brought.
pub(super) const FETCHED: &str = "refs/ssid/fetched";

/// A bare repository. Nothing but this node writes to it.
#[derive(Clone, Debug)]
pub(super) struct Repository {
    dir: PathBuf,
}

impl Repository {
    /// The one at `dir`, made if it is not there.
    pub(super) async fn open(git: &Git, dir: PathBuf) -> Result<Self, GitError> {
        let repository = Self { dir };
        if !repository.dir.join("HEAD").exists() {
            let above = repository.dir.parent().unwrap_or(&repository.dir);
            fs::create_dir_all(above).map_err(|e| repository.failed(&e))?;
            let path = repository.dir.to_str().ok_or_else(|| repository.failed(&"its path is no text"))?;
            let init = ["init", "--quiet", "--bare", "--template=", path];
            git.run(Job::local(&repository.dir, &init)).await?;
        }
        Ok(repository)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn objects(&self) -> Result<Objects, GitError> {
        Objects::open(&self.dir)
    }

    /// The commit that a reference names. References stand in files of their own here: nothing packs them.
    pub(super) fn reference(&self, name: &str) -> Result<Option<ObjectId>, GitError> {
        match fs::read_to_string(self.dir.join(name)) {
            Ok(text) => ObjectId::from_hex(text.trim().as_bytes())
                .map(Some)
                .map_err(|_| GitError::Damaged(format!("reference {name} names no commit"))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.failed(&e)),
        }
    }

    /// Moves a reference: a file of one line, on disk when this returns.
    pub(super) fn set_reference(&self, name: &str, to: ObjectId) -> Result<(), GitError> {
        let path = self.dir.join(name);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above).map_err(|e| self.failed(&e))?;
        }
        write_atomic(&path, format!("{to}\n").as_bytes()).map_err(|e| self.failed(&e))
    }

    /// Removes a reference.
    pub(super) fn drop_reference(&self, name: &str) -> Result<(), GitError> {
        fs::remove_file(self.dir.join(name)).map_err(|e| self.failed(&e))
    }

    /// The references directly under `prefix`, by their last part.
    pub(super) fn references(&self, prefix: &str) -> Vec<(String, ObjectId)> {
        let Ok(files) = fs::read_dir(self.dir.join(prefix)) else { return Vec::new() };
        let names = files.flatten().filter_map(|file| file.file_name().into_string().ok());
        let mut found: Vec<_> =
            names.filter_map(|name| Some((name.clone(), self.reference(&format!("{prefix}/{name}")).ok()??))).collect();
        found.sort();
        found
    }

    /// Whether `old` is `new` or before it.
    pub(super) async fn is_ancestor(&self, git: &Git, old: ObjectId, new: ObjectId) -> Result<bool, GitError> {
        if let Some(known) = self.objects()?.is_ancestor(old, new)? {
            return Ok(known);
        }
        let (old, new) = (old.to_string(), new.to_string());
        match git.run(Job::local(&self.dir, &["merge-base", "--is-ancestor", &old, &new])).await {
            Ok(_) => Ok(true),
            // it says nothing when the answer is no
            Err(GitError::Failed(said)) if said == "it said nothing" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts what accumulated into one pack, if it has become much.
    pub(super) async fn tidy(&self, git: &Git) -> Result<(), GitError> {
        let settings = ["-c", "gc.auto=2000", "-c", "gc.autoPackLimit=50", "-c", "gc.packRefs=false"];
        let gc = ["-c", "gc.autoDetach=false", "gc", "--auto", "--quiet"];
        git.run(Job::local(&self.dir, &[&settings[..], &gc].concat())).await.map(drop)
    }

    /// Moves a damaged repository out of the way; an earlier one that was is removed. Where it is now.
    pub(super) fn set_aside(&self) -> Result<PathBuf, GitError> {
        let aside = self.dir.with_extension("damaged");
        match fs::remove_dir_all(&aside) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(self.failed(&e)),
            _ => {}
        }
        fs::rename(&self.dir, &aside).map_err(|e| self.failed(&e))?;
        Ok(aside)
    }

    /// Removes it.
    pub(super) fn remove(&self) -> Result<(), GitError> {
        fs::remove_dir_all(&self.dir).map_err(|e| self.failed(&e))
    }

    pub(super) fn failed(&self, error: &dyn std::fmt::Display) -> GitError {
        GitError::Mirror { path: self.dir.display().to_string(), reason: error.to_string() }
    }
}
