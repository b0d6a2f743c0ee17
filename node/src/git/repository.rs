//! A bare repository in the data directory: made, its references read and moved, set aside when
//! damaged.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use gix_hash::ObjectId;

use super::command::{Git, Job};
use super::failure::GitError;
use super::objects::Objects;
use crate::config::write_atomic;

/// What the last fetch brought.
pub(crate) const FETCHED: &str = "refs/ssid/fetched";

/// Bytes of a repository's own configuration that are looked at.
const CONFIG_BYTES: u64 = 64 << 10;

/// Which ids a repository's objects have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// 40 digits: what this node reads and writes itself.
    #[default]
    Sha1,
    /// 64 digits: read by Git alone.
    Sha256,
}

impl Format {
    /// By the name that Git has for it.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "sha1" => Some(Self::Sha1),
            "sha256" => Some(Self::Sha256),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

/// A bare repository. Nothing but this node writes to it.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    dir: PathBuf,
}

impl Repository {
    /// The one at `dir` with 40-digit ids, made if it is not there.
    pub(super) async fn open(git: &Git, dir: PathBuf) -> Result<Self, GitError> {
        let repository = Self { dir };
        repository.prepare(git, Some(Format::Sha1)).await?;
        Ok(repository)
    }

    /// The one at `dir`, whichever ids its objects have.
    pub(crate) async fn open_any(git: &Git, dir: PathBuf) -> Result<Self, GitError> {
        let repository = Self { dir };
        repository.prepare(git, None).await?;
        Ok(repository)
    }

    /// Empties it, and makes it anew for objects with ids of another kind.
    pub(super) async fn become_format(&self, git: &Git, format: Format) -> Result<(), GitError> {
        self.remove()?;
        self.prepare(git, Some(format)).await
    }

    /// Makes it if it is not there. One of another form than is read here, as a user's settings or
    /// a newer Git had it made, is set aside.
    async fn prepare(&self, git: &Git, wanted: Option<Format>) -> Result<(), GitError> {
        let form = self.form();
        let fits =
            |(format, files): (Format, bool)| files && wanted.is_none_or(|wanted| format == wanted);
        if form.is_some_and(|form| !fits(form)) {
            let aside = self.set_aside()?;
            tracing::warn!(moved_to = %aside.display(), "a Git repository here is of another form: made anew");
        }
        if !self.dir.join("HEAD").exists() {
            let above = self.dir.parent().unwrap_or(&self.dir);
            fs::create_dir_all(above).map_err(|e| self.failed(&e))?;
            let path = self
                .dir
                .to_str()
                .ok_or_else(|| self.failed(&"its path is no text"))?;
            let format = format!("--object-format={}", wanted.unwrap_or_default().as_str());
            let init = ["init", "--quiet", "--bare", "--template=", &format, path];
            git.run(Job::local(&self.dir, &init)).await?;
        }
        Ok(())
    }

    /// Which ids its objects have, and whether its references are files; nothing if there is none.
    fn form(&self) -> Option<(Format, bool)> {
        let file = fs::File::open(self.dir.join("config")).ok()?;
        let mut text = Vec::new();
        file.take(CONFIG_BYTES).read_to_end(&mut text).ok()?;
        let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
        // as `git init` writes it: nobody else writes into this file
        let value = |key: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            lines
                .filter(|(name, _)| name.trim() == key)
                .map(|(_, value)| value.trim().to_owned())
                .next_back()
        };
        let format = value("objectformat").map_or(Some(Format::Sha1), |name| Format::named(&name));
        let has_files = value("refstorage").is_none_or(|name| name == "files") && format.is_some();
        Some((format.unwrap_or_default(), has_files))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn objects(&self) -> Result<Objects, GitError> {
        Objects::open(&self.dir)
    }

    /// The commit that a reference names. References stand in files of their own here: nothing
    /// packs them.
    pub(super) fn reference(&self, name: &str) -> Result<Option<ObjectId>, GitError> {
        let Some(digits) = self.commit_named(name)? else {
            return Ok(None);
        };
        ObjectId::from_hex(digits.as_bytes())
            .map(Some)
            .map_err(|_| no_commit(name))
    }

    /// The same in digits, for repositories whose objects have either kind of id.
    pub(crate) fn commit_named(&self, name: &str) -> Result<Option<String>, GitError> {
        let text = match fs::read_to_string(self.dir.join(name)) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => return Err(no_commit(name)),
            Err(e) => return Err(self.failed(&e)),
        };
        let digits = text.trim();
        let is_id =
            matches!(digits.len(), 40 | 64) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if is_id {
            Ok(Some(digits.to_owned()))
        } else {
            Err(no_commit(name))
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
        let Ok(files) = fs::read_dir(self.dir.join(prefix)) else {
            return Vec::new();
        };
        let names = files
            .flatten()
            .filter_map(|file| file.file_name().into_string().ok());
        let mut found: Vec<_> = names
            .filter_map(|name| {
                Some((
                    name.clone(),
                    self.reference(&format!("{prefix}/{name}")).ok()??,
                ))
            })
            .collect();
        found.sort();
        found
    }

    /// Whether `old` is `new` or before it.
    pub(super) async fn is_ancestor(
        &self,
        git: &Git,
        old: ObjectId,
        new: ObjectId,
    ) -> Result<bool, GitError> {
        if let Some(known) = self.objects()?.is_ancestor(old, new)? {
            return Ok(known);
        }
        let old = old.to_string();
        let new = new.to_string();
        match git
            .run(Job::local(
                &self.dir,
                &["merge-base", "--is-ancestor", &old, &new],
            ))
            .await
        {
            Ok(_) => Ok(true),
            // it says nothing when the answer is no
            Err(GitError::Failed(said)) if said == "it said nothing" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts what accumulated into one pack, if it has become much.
    pub(super) async fn tidy(&self, git: &Git) -> Result<(), GitError> {
        let settings = [
            "-c",
            "gc.auto=2000",
            "-c",
            "gc.autoPackLimit=50",
            "-c",
            "gc.packRefs=false",
        ];
        let gc = ["-c", "gc.autoDetach=false", "gc", "--auto", "--quiet"];
        git.run(Job::local(&self.dir, &[&settings[..], &gc].concat()))
            .await
            .map(drop)
    }

    /// Moves a damaged repository out of the way; an earlier one that was is removed. Where it is
    /// now.
    pub(super) fn set_aside(&self) -> Result<PathBuf, GitError> {
        let aside = self.dir.with_extension("damaged");
        match fs::remove_dir_all(&aside) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(self.failed(&e)),
            _ => {}
        }
        fs::rename(&self.dir, &aside).map_err(|e| self.failed(&e))?;
        Ok(aside)
    }

    /// Removes the repository's directory.
    pub(crate) fn remove(&self) -> Result<(), GitError> {
        fs::remove_dir_all(&self.dir).map_err(|e| self.failed(&e))
    }

    pub(crate) fn failed(&self, error: &dyn std::fmt::Display) -> GitError {
        GitError::Mirror {
            path: self.dir.display().to_string(),
            reason: error.to_string(),
        }
    }
}

fn no_commit(name: &str) -> GitError {
    GitError::Damaged(format!("reference {name} names no commit"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::super::testing::{git, try_git};
    use super::*;

    #[tokio::test]
    async fn a_repository_of_another_form_is_set_aside_and_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let system = Git::find(&[], Duration::from_secs(20), CancellationToken::new())
            .await
            .unwrap();
        let reftable = try_git(
            dir.path(),
            &[
                "init",
                "--quiet",
                "--bare",
                "--ref-format=reftable",
                "known",
            ],
        );
        let mut forms = vec!["--object-format=sha256"];
        // Git 2.45 and later
        forms.extend(reftable.is_ok().then_some("--ref-format=reftable"));
        for form in forms {
            let path = dir.path().join("a.git");
            git(
                dir.path(),
                &["init", "--quiet", "--bare", form, path.to_str().unwrap()],
            );
            let repository = Repository::open(&system, path.clone()).await.unwrap();
            assert_eq!(repository.form(), Some((Format::Sha1, true)), "{form}");
            assert!(path.with_extension("damaged").exists(), "{form}");
            // and what is as it should be stays
            fs::write(path.join("mark"), "").unwrap();
            Repository::open(&system, path.clone()).await.unwrap();
            assert!(path.join("mark").exists());
            fs::remove_dir_all(&path).unwrap();
        }
        let any = Repository::open_any(&system, dir.path().join("any.git"))
            .await
            .unwrap();
        any.become_format(&system, Format::Sha256).await.unwrap();
        let again = Repository::open_any(&system, any.dir.clone())
            .await
            .unwrap();
        assert_eq!(again.form(), Some((Format::Sha256, true)));
    }
}
