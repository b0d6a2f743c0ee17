//! Repositories of members without a key that are not as usual: read, or named for what they are.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::config::{GitProtocol, Settings};
use crate::git::history::{self, Place};
use crate::git::testing::git;
use crate::git::{Git, GitError, GitRemote};
use crate::legacy::fetch::{LOG_PATHS, PlainLogError, PlainLogs};
use crate::registry::manifest::ManifestNode;

struct Scene {
    dir: TempDir,
    origin: PathBuf,
}

impl Scene {
    fn new(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        git(
            dir.path(),
            &[
                &["init", "--quiet", "--initial-branch=main"],
                options,
                &["origin"],
            ]
            .concat(),
        );
        let origin = dir.path().join("origin");
        fs::create_dir_all(origin.join(LOG_PATHS[0]).parent().unwrap()).unwrap();
        Self { dir, origin }
    }

    fn log(&self) -> PathBuf {
        self.origin.join(LOG_PATHS[0])
    }

    fn commit(&self) {
        git(&self.origin, &["add", "--all"]);
        git(&self.origin, &["commit", "--quiet", "-m", "log"]);
    }

    async fn read_with(&self, change: fn(&mut Settings)) -> Result<String, PlainLogError> {
        let mut settings = Settings::default();
        settings.security.allowed_git_protocols = vec![GitProtocol::File];
        settings.sync_settings.max_retry_attempts = 0;
        change(&mut settings);
        let mirrors = self.dir.path().join("mirrors");
        let logs = PlainLogs::new(&settings, mirrors, true, CancellationToken::new())
            .await
            .unwrap();
        let node = ManifestNode::new(self.origin.to_str().unwrap(), "North", "Org", "t0");
        let node = ManifestNode {
            public_key_fingerprint: "0123456789ABCDEF".to_owned(),
            ..node
        };
        logs.log_of(&node)
            .await
            .map(|log| std::io::read_to_string(log).unwrap())
    }

    async fn read(&self) -> Result<String, PlainLogError> {
        self.read_with(|_| {}).await
    }

    /// Whether a commit is known after its history was fetched.
    async fn has(&self, commit: &str) -> bool {
        let system = Git::find(
            &[GitProtocol::File],
            Duration::from_secs(20),
            CancellationToken::new(),
        )
        .await
        .unwrap();
        let remote = GitRemote::parse(self.origin.to_str().unwrap(), GitRemote::PROTOCOLS).unwrap();
        let place = Place {
            remote,
            dir: self.dir.path().join("history.git"),
            depth: 100,
        };
        history::fetch(&system, &place).await.unwrap().has(commit)
    }
}

#[tokio::test]
async fn a_repository_is_read_whichever_ids_its_objects_have() {
    let scene = Scene::new(&["--object-format=sha256"]);
    fs::write(scene.log(), "one").unwrap();
    scene.commit();
    assert_eq!(scene.read().await.unwrap(), "one");
    let head = git(&scene.origin, &["rev-parse", "HEAD"]);
    assert!(head.len() == 64 && scene.has(&head).await && !scene.has("0000000").await);
    // made anew by its owners
    fs::remove_dir_all(scene.origin.join(".git")).unwrap();
    git(
        scene.dir.path(),
        &["init", "--quiet", "--object-format=sha1", "origin"],
    );
    fs::write(scene.log(), "two").unwrap();
    scene.commit();
    assert_eq!(scene.read().await.unwrap(), "two");
    assert!(
        scene.has(&git(&scene.origin, &["rev-parse", "HEAD"])).await && !scene.has(&head).await
    );
}

#[tokio::test]
async fn links_that_stay_in_the_repository_are_followed_and_others_named() {
    let scene = Scene::new(&[]);
    fs::write(scene.origin.join("real.log"), "one").unwrap();
    symlink("../../../real.log", scene.log()).unwrap();
    scene.commit();
    assert_eq!(scene.read().await.unwrap(), "one");
    let signed = scene
        .read_with(|settings| settings.security.require_gpg_signature = true)
        .await;
    assert!(
        matches!(signed, Err(PlainLogError::SignedLink)),
        "{signed:?}"
    );
    // a directory
    fs::remove_file(scene.log()).unwrap();
    let logs = scene.log().parent().unwrap().to_owned();
    fs::remove_dir(&logs).unwrap();
    fs::create_dir(scene.origin.join("kept")).unwrap();
    fs::write(scene.origin.join("kept/registry_events.log"), "two").unwrap();
    symlink("../../kept", &logs).unwrap();
    scene.commit();
    assert_eq!(scene.read().await.unwrap(), "two");
    let signed = scene
        .read_with(|settings| settings.security.require_ssh_key_verification = true)
        .await;
    assert!(
        matches!(signed, Err(PlainLogError::SignedLink)),
        "{signed:?}"
    );
    fs::remove_file(&logs).unwrap();
    fs::create_dir(&logs).unwrap();
    for target in [
        "../../../gone.log",
        "/etc/hostname",
        "../../../../outside.log",
        "registry_events.log",
    ] {
        fs::remove_file(scene.log()).ok();
        symlink(target, scene.log()).unwrap();
        scene.commit();
        let refused = scene.read().await.unwrap_err();
        assert!(
            matches!(refused, PlainLogError::Link) && refused.is_of_content(),
            "{target}: {refused}"
        );
    }
}

#[tokio::test]
async fn a_pointer_of_git_lfs_is_no_log() {
    let scene = Scene::new(&[]);
    let pointer = |url: &str| format!("version {url}\noid sha256:{}\nsize 12345\n", "0".repeat(64));
    for url in [
        "https://git-lfs.github.com/spec/v1",
        "https://hawser.github.com/spec/v1",
    ] {
        fs::write(scene.log(), pointer(url)).unwrap();
        scene.commit();
        let refused = scene.read().await.unwrap_err();
        assert!(
            matches!(refused, PlainLogError::Pointer) && refused.is_of_content(),
            "{refused}"
        );
        assert!(
            refused.to_string().starts_with("a Git LFS pointer "),
            "{refused}"
        );
    }
    fs::write(scene.log(), "version of the log: 1").unwrap();
    scene.commit();
    assert_eq!(scene.read().await.unwrap(), "version of the log: 1");
}

#[tokio::test]
async fn a_head_that_names_no_branch_is_told_with_the_branches_there_are() {
    let scene = Scene::new(&[]);
    git(&scene.origin, &["symbolic-ref", "HEAD", "refs/heads/gone"]);
    let nothing = scene.read().await.unwrap_err();
    assert!(
        matches!(nothing, PlainLogError::Git(GitError::NoBranch)),
        "{nothing}"
    );
    git(&scene.origin, &["symbolic-ref", "HEAD", "refs/heads/main"]);
    fs::write(scene.log(), "one").unwrap();
    scene.commit();
    git(&scene.origin, &["symbolic-ref", "HEAD", "refs/heads/gone"]);
    let refused = scene.read().await.unwrap_err();
    let expected = PlainLogError::Git(GitError::NoHead(vec!["main".to_owned()]));
    assert_eq!(refused.to_string(), expected.to_string());
}

/// Puts an object of this kind into a repository, whatever Git thinks of it; its id.
fn write(origin: &Path, kind: &str, bytes: &[u8]) -> String {
    fs::write(origin.join(".git/new"), bytes).unwrap();
    git(
        origin,
        &["hash-object", "-t", kind, "-w", "--literally", ".git/new"],
    )
}

#[tokio::test]
async fn what_old_tools_left_far_back_takes_nothing_with_it() {
    let scene = Scene::new(&[]);
    fs::write(scene.log(), "one").unwrap();
    scene.commit();
    let tree = git(&scene.origin, &["rev-parse", "HEAD^{tree}"]);
    let commit = |tree: &str, parent: &str, zone: &str| {
        let who = format!("t <t@localhost> 0 {zone}");
        let text = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\nx\n");
        write(&scene.origin, "commit", text.as_bytes())
    };
    // zero-padded modes, and a zone that is none
    let id = git(&scene.origin, &["rev-parse", "HEAD:24_meta_orchestration"]);
    let id: Vec<u8> = (0..20)
        .map(|i| u8::from_str_radix(&id[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    let padded = [b"040000 24_meta_orchestration\0".as_slice(), &id].concat();
    let padded = write(&scene.origin, "tree", &padded);
    let first = commit(&padded, "", "+0000");
    let second = commit(&tree, &format!("parent {first}\n"), "+051800");
    git(
        &scene.origin,
        &[
            "update-ref",
            "HEAD",
            &commit(&tree, &format!("parent {second}\n"), "+0000"),
        ],
    );
    assert_eq!(scene.read().await.unwrap(), "one");
    assert!(scene.has(&first).await);
    // also where it is the latest
    git(&scene.origin, &["update-ref", "HEAD", &first]);
    assert_eq!(scene.read().await.unwrap(), "one");
}
