//! Logs fetched from real repositories.

#![allow(clippy::unwrap_used, reason = "tests")]

mod forms;
mod signatures;

use std::fs;
use std::path::Path;

use super::*;
use crate::git::testing::git;

const GPG: &str = "0123456789ABCDEF0123456789ABCDEF01234567";
const SSH: &str = "SHA256:abcDEF0123456789abcDEF0123456789abcDEF01234";
const BOTH: Asked = Asked {
    gpg: true,
    ssh: true,
};

fn commit(dir: &Path, path: &str, text: &str) {
    fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
    fs::write(dir.join(path), text).unwrap();
    git(dir, &["add", "."]);
    git(dir, &["commit", "--quiet", "-m", "log"]);
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.security.allowed_git_protocols = vec![GitProtocol::File];
    settings.sync_settings.retry_delay_seconds = 0;
    settings
}

async fn text(logs: &PlainLogs, node: &ManifestNode) -> String {
    std::io::read_to_string(logs.log_of(node).await.unwrap()).unwrap()
}

fn node(dir: &Path) -> ManifestNode {
    ManifestNode::new(dir.to_str().unwrap(), "North", "Org", "t0")
}

#[tokio::test]
async fn a_log_is_fetched_from_where_it_stands_and_kept_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let origin = dir.path().join("origin");
    fs::create_dir(&origin).unwrap();
    git(&origin, &["init", "--quiet"]);
    let mirrors = dir.path().join("mirrors");
    let logs = PlainLogs::new(
        &settings(),
        mirrors.clone(),
        false,
        CancellationToken::new(),
    )
    .await
    .unwrap();
    let north = node(&origin);
    commit(&origin, "README.md", "nothing yet");
    assert!(matches!(
        logs.log_of(&north).await,
        Err(PlainLogError::NoLog)
    ));
    commit(&origin, LOG_PATHS[0], "one");
    assert!(
        matches!(logs.log_of(&north).await, Err(PlainLogError::NoLog)),
        "fetched a moment ago"
    );
    let forced = PlainLogs::new(&settings(), mirrors.clone(), true, CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(text(&forced, &north).await, "one");
    commit(&origin, LOG_PATHS[1], "elsewhere");
    assert_eq!(
        text(&forced, &north).await,
        "one",
        "the registry's own place comes first"
    );
    let mut keeping_nothing = settings();
    keeping_nothing.performance.cache_remote_events = false;
    let logs = PlainLogs::new(
        &keeping_nothing,
        mirrors.clone(),
        false,
        CancellationToken::new(),
    )
    .await
    .unwrap();
    assert_eq!(text(&logs, &north).await, "one");
    assert_eq!(
        fs::read_dir(&mirrors).unwrap().count(),
        0,
        "nothing is left of it"
    );
}

#[tokio::test]
async fn what_cannot_be_had_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let logs = PlainLogs::new(
        &settings(),
        dir.path().join("mirrors"),
        true,
        CancellationToken::new(),
    )
    .await
    .unwrap();
    let gone = logs
        .log_of(&node(&dir.path().join("gone")))
        .await
        .unwrap_err();
    assert!(matches!(gone, PlainLogError::Git(_)), "{gone}");
    for address in [
        "https://git.example/a.git",
        "ext::sh -c true",
        "--upload-pack=touch",
    ] {
        let refused = logs
            .log_of(&ManifestNode::new(address, "N", "O", "t"))
            .await
            .unwrap_err();
        assert!(matches!(refused, PlainLogError::Remote(_)), "{refused}");
    }
}

#[tokio::test]
async fn depth_attempts_and_time_are_as_configured() {
    let dir = tempfile::tempdir().unwrap();
    let origin = dir.path().join("origin");
    fs::create_dir(&origin).unwrap();
    git(&origin, &["init", "--quiet"]);
    for text in ["one", "two", "three"] {
        commit(&origin, LOG_PATHS[0], text);
    }
    for (depth, expected) in [(1, "1\n"), (2, "2\n"), (100, "3\n")] {
        let mut settings = settings();
        settings.sync_settings.max_clone_depth = depth;
        let mirrors = dir.path().join(format!("mirrors-{depth}"));
        let logs = PlainLogs::new(&settings, mirrors.clone(), true, CancellationToken::new())
            .await
            .unwrap();
        assert_eq!(text(&logs, &node(&origin)).await, "three");
        let mirror = fs::read_dir(&mirrors)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let count = Job::local(&mirror, &["rev-list", "--count", FETCHED]);
        assert_eq!(
            String::from_utf8(logs.git.run(count).await.unwrap()).unwrap(),
            expected
        );
    }

    // a server that ends every connection at once, or holds it
    for (holds, retries, expected) in [(false, 0, 1), (false, 2, 3), (true, 0, 1)] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let remote = format!("git://{}/a.git", listener.local_addr().unwrap());
        let taken = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = taken.clone();
        let server = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                held.extend(Some(connection).filter(|_| holds));
            }
        });
        let mut settings = settings();
        settings.security.allowed_git_protocols = vec![GitProtocol::Git];
        settings.sync_settings.max_retry_attempts = retries;
        settings.sync_settings.timeout_seconds = 1;
        let mirrors = dir.path().join("away");
        let logs = PlainLogs::new(&settings, mirrors, true, CancellationToken::new())
            .await
            .unwrap();
        let away = logs
            .log_of(&ManifestNode::new(&remote, "N", "O", "t"))
            .await
            .unwrap_err();
        let is_timeout = matches!(away, PlainLogError::Git(GitError::Timeout(_)));
        assert_eq!(
            (is_timeout, taken.load(std::sync::atomic::Ordering::Relaxed)),
            (holds, expected),
            "{away}"
        );
        server.abort();
    }
}

#[tokio::test]
async fn where_a_signature_is_asked_for_a_commit_without_one_brings_nothing() {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["init", "--quiet"]);
    commit(dir.path(), LOG_PATHS[0], "one");
    for (gpg, ssh) in [(true, false), (false, true)] {
        let mut settings = settings();
        settings.security.require_gpg_signature = gpg;
        settings.security.require_ssh_key_verification = ssh;
        let mirrors = tempfile::tempdir().unwrap();
        let logs = PlainLogs::new(
            &settings,
            mirrors.path().to_owned(),
            true,
            CancellationToken::new(),
        )
        .await
        .unwrap();
        let unknown = logs
            .log_of(&node(dir.path()))
            .await
            .unwrap_err()
            .to_string();
        assert!(unknown.contains("names no key"), "{unknown}");
        let north = ManifestNode {
            public_key_fingerprint: GPG.to_owned(),
            ..node(dir.path())
        };
        let unsigned = logs.log_of(&north).await.unwrap_err().to_string();
        assert!(unsigned.ends_with("is not signed"), "{unsigned}");
    }
}

#[test]
fn a_signature_counts_if_it_is_good_and_by_the_named_key() {
    assert_eq!(
        judge(&format!("G\n{GPG}\n{GPG}\n"), &GPG.to_lowercase(), BOTH),
        Ok(())
    );
    assert_eq!(
        judge(&format!("U\nother\n{GPG}\n"), &GPG[24..], BOTH),
        Ok(()),
        "of a subkey the primary key counts"
    );
    assert_eq!(judge(&format!("U\n{SSH}\n\n"), SSH, BOTH), Ok(()));
    let refused = |said: &str, expected: &str, asked| judge(said, expected, asked).unwrap_err();
    assert!(refused("N\n\n\n", GPG, BOTH).contains("not signed"));
    assert!(refused("", GPG, BOTH).contains("not signed"));
    assert!(refused(&format!("B\n{GPG}\n"), GPG, BOTH).contains("bad"));
    assert!(refused(&format!("E\n{GPG}\n"), GPG, BOTH).contains("does not have"));
    assert!(refused(&format!("X\n{GPG}\n"), GPG, BOTH).contains("expired"));
    assert!(
        refused(&format!("G\n{GPG}\n"), &GPG[36..], BOTH).contains("not with"),
        "too short an id names no key"
    );
    assert!(refused(&format!("U\n{SSH}\n"), "SHA256:abc", BOTH).contains("not with"));
    assert!(
        refused(
            &format!("U\n{SSH}\n"),
            SSH,
            Asked {
                gpg: true,
                ssh: false
            }
        )
        .contains("GPG")
    );
    assert!(
        refused(
            &format!("G\n{GPG}\n"),
            GPG,
            Asked {
                gpg: false,
                ssh: true
            }
        )
        .contains("SSH")
    );
}
