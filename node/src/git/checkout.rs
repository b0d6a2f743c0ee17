//! What Git says of a governance repository that is checked out here: where it comes from, and
//! which commit it is. Git itself is asked, because it alone knows what worktrees, submodules,
//! included files and quotes amount to; with nothing of the environment that would make it speak of
//! another repository.

use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::command::{Git, Job};
use super::failure::GitError;

/// Where a node's governance repository comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// There is no repository, or it comes from nowhere.
    #[default]
    None,
    /// From this address.
    Address(String),
    /// It cannot be told, and why.
    Unknown(String),
}

impl Origin {
    /// Asks Git, if there is a repository.
    pub async fn of(repository: Option<&Path>) -> Self {
        let Some(repository) = repository else {
            return Self::None;
        };
        match origin(repository).await {
            Ok(address) => address.map_or(Self::None, Self::Address),
            Err(why) => Self::Unknown(format!(
                "the origin of '{}' is not known: {why}",
                repository.display()
            )),
        }
    }
}

/// The address of the remote `origin` of the repository that `directory` is a part of. One that is
/// a relative path is taken from the top of its work tree, as Git does. `None` if there is no such
/// remote, or no repository.
///
/// # Errors
/// If there is no `git`, or it refuses to look, with its own words.
async fn origin(directory: &Path) -> Result<Option<String>, GitError> {
    let git = local().await?;
    let url = match ask(&git, directory, &["remote", "get-url", "origin"]).await {
        Err(GitError::Failed(said) | GitError::Gone(said)) if is_none(&said) => return Ok(None),
        said => said?,
    };
    if !is_relative(&url) {
        return Ok(Some(url));
    }
    // a bare repository has no work tree: Git works inside it
    let top = match ask(&git, directory, &["rev-parse", "--show-toplevel"]).await {
        Err(GitError::Failed(_)) => {
            ask(&git, directory, &["rev-parse", "--absolute-git-dir"]).await?
        }
        top => top?,
    };
    let path = Path::new(&top).join(&url);
    let path = path.canonicalize().unwrap_or(path);
    Ok(Some(path.to_string_lossy().into_owned()))
}

/// The commit that is checked out in `directory`, all its digits.
///
/// # Errors
/// If there is no `git`, no repository, no commit yet, or Git refuses to look, with its own words.
pub async fn head_commit(directory: &Path) -> Result<String, GitError> {
    let git = local().await?;
    ask(&git, directory, &["rev-parse", "--verify", "HEAD^{commit}"]).await
}

async fn local() -> Result<Git, GitError> {
    // nothing that is asked here is far away, so that no protocol is needed
    Git::find(&[], Duration::from_secs(1), CancellationToken::new()).await
}

async fn ask(git: &Git, directory: &Path, args: &[&str]) -> Result<String, GitError> {
    let said = git.run(Job::work_tree(directory, args)).await?;
    let said = String::from_utf8_lossy(&said);
    Ok(said.strip_suffix('\n').unwrap_or(&said).to_owned())
}

/// Whether Git's words mean that there is no such remote.
fn is_none(said: &str) -> bool {
    [
        "No such remote",
        "no URLs configured",
        "not a git repository",
    ]
    .iter()
    .any(|words| said.contains(words))
}

/// Whether an address is a path from the work tree, by Git's own rule: no colon before the first
/// slash.
fn is_relative(url: &str) -> bool {
    let has_host = match (url.find(':'), url.find('/')) {
        (Some(colon), Some(slash)) => colon < slash,
        (Some(_), None) => true,
        (None, _) => false,
    };
    !url.is_empty() && !url.starts_with('/') && !has_host
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::path::PathBuf;

    use super::super::testing::git;
    use super::*;

    /// A repository with a commit and the origin `../r.git`, below `dir`.
    fn repository(dir: &Path, name: &str, options: &[&str]) -> PathBuf {
        let path = dir.join(name);
        git(dir, &[&["init", "--quiet"], options, &[name]].concat());
        git(&path, &["commit", "--quiet", "--allow-empty", "-m", name]);
        git(&path, &["remote", "add", "origin", "git@host:a.git"]);
        path
    }

    async fn url(directory: &Path) -> String {
        origin(directory).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn the_origin_is_what_git_takes_it_for() {
        let dir = tempfile::tempdir().unwrap();
        let dir = &dir.path().canonicalize().unwrap();
        let plain = repository(dir, "plain", &[]);
        assert_eq!(url(&plain).await, "git@host:a.git");
        fs::create_dir(plain.join("below")).unwrap();
        assert_eq!(url(&plain.join("below")).await, "git@host:a.git");
        git(&plain, &["worktree", "add", "--quiet", "../linked"]);
        assert_eq!(url(&dir.join("linked")).await, "git@host:a.git");
        let separate = repository(dir, "separate", &["--separate-git-dir=kept.git"]);
        assert_eq!(url(&separate).await, "git@host:a.git");
        for (config, expected) in [
            (
                "[remote \"origin\"] # ours\n\turl = https://host/b ; by ops\n",
                "https://host/b",
            ),
            (
                "[Remote \"origin\"]\n\turl = \"https://host/#c\"\n",
                "https://host/#c",
            ),
            ("[include]\n\tpath = more\n", "https://host/included"),
        ] {
            fs::write(plain.join(".git/config"), config).unwrap();
            fs::write(
                plain.join(".git/more"),
                "[remote \"origin\"]\nurl=https://host/included\n",
            )
            .unwrap();
            assert_eq!(url(&plain).await, expected, "{config}");
        }
        fs::write(
            plain.join(".git/config"),
            "[remote \"origin\"]\n\turl = ../r.git\n",
        )
        .unwrap();
        for there in [&plain, &plain.join("below")] {
            assert_eq!(
                url(there).await,
                format!("{}/plain/../r.git", dir.display()),
                "it is not there"
            );
        }
        fs::create_dir(dir.join("r.git")).unwrap();
        assert_eq!(url(&plain).await, dir.join("r.git").to_str().unwrap());
        git(&plain, &["remote", "remove", "origin"]);
        assert_eq!(origin(&plain).await, Ok(None));
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(origin(elsewhere.path()).await, Ok(None), "no repository");
    }

    #[tokio::test]
    async fn the_commit_is_named_or_git_says_why_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = repository(dir.path(), "a", &[]);
        assert_eq!(
            head_commit(&path).await.unwrap(),
            git(&path, &["rev-parse", "HEAD"])
        );
        fs::create_dir(dir.path().join("none")).unwrap();
        let said = head_commit(&dir.path().join("none"))
            .await
            .unwrap_err()
            .to_string();
        assert!(said.contains("not a git repository"), "{said}");
        git(dir.path(), &["init", "--quiet", "empty"]);
        assert!(head_commit(&dir.path().join("empty")).await.is_err());
    }

    #[test]
    fn only_paths_are_taken_from_the_work_tree() {
        for url in ["../r.git", "r.git", "./a:b"] {
            assert!(is_relative(url), "{url}");
        }
        for url in [
            "",
            "/srv/r.git",
            "host:r.git",
            "git@host:a/b",
            "https://host/r",
            "file:///r",
            "ext::sh -c x",
        ] {
            assert!(!is_relative(url), "{url}");
        }
    }
}
