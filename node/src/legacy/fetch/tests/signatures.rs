//! Real signatures on the commit that brought a registry log: made with `ssh-keygen` and `gpg`,
//! judged through `git`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::config::{GitProtocol, Settings};
use crate::legacy::fetch::{LOG_PATHS, PlainLogs};
use crate::registry::manifest::ManifestNode;

fn run(program: &str, dir: &Path, args: &[&str], input: &str) -> String {
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A member's repository, and the mirrors in which its log is looked for.
struct Scene {
    dir: TempDir,
    origin: PathBuf,
}

impl Scene {
    /// `None`, said on standard error, where a program is missing.
    fn with(program: &str) -> Option<Self> {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&paths).any(|path| path.join(program).exists()) {
            // not through the macro: what that writes is shown of failed tests only
            let why = format!("there is no {program}; signatures made with it are not tested");
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: legacy::fetch::tests::signatures: {why}"
            );
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let origin = dir.path().join("origin");
        fs::create_dir(&origin).unwrap();
        run("git", &origin, &["init", "--quiet"], "");
        Some(Self { dir, origin })
    }

    fn git(&self, args: &[&str], input: &str) -> String {
        let who = ["-c", "user.name=t", "-c", "user.email=t@localhost"];
        run("git", &self.origin, &[&who[..], args].concat(), input)
    }

    /// Commits a log, with these settings and options.
    fn commit(&self, settings: &[&str], options: &[&str], text: &str) {
        let log = self.origin.join(LOG_PATHS[0]);
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        fs::write(log, text).unwrap();
        self.git(&["add", "."], "");
        self.git(
            &[settings, &["commit", "--quiet", "-m", "log"], options].concat(),
            "",
        );
    }

    /// Changes a word of the last commit under its signature.
    fn spoil(&self) {
        let spoiled = self
            .git(&["cat-file", "commit", "HEAD"], "")
            .replace("\nlog\n", "\nlag\n");
        let id = self.git(&["hash-object", "-t", "commit", "-w", "--stdin"], &spoiled);
        self.git(&["reset", "--quiet", "--soft", id.trim()], "");
    }

    /// The log as read where signatures are required, or why it is not.
    async fn read(&self, gpg: bool, ssh: bool, fingerprint: &str) -> Result<String, String> {
        let mut settings = Settings::default();
        settings.security.allowed_git_protocols = vec![GitProtocol::File];
        (
            settings.security.require_gpg_signature,
            settings.security.require_ssh_key_verification,
        ) = (gpg, ssh);
        let mirrors = self.dir.path().join("mirrors");
        let logs = PlainLogs::new(&settings, mirrors, true, CancellationToken::new())
            .await
            .unwrap();
        let node = ManifestNode::new(self.origin.to_str().unwrap(), "North", "Org", "t0");
        let node = ManifestNode {
            public_key_fingerprint: fingerprint.to_owned(),
            ..node
        };
        let read = logs
            .log_of(&node)
            .await
            .map_err(|refused| refused.to_string());
        read.map(|log| std::io::read_to_string(log).unwrap())
    }

    async fn refusal(&self, gpg: bool, ssh: bool, fingerprint: &str) -> String {
        self.read(gpg, ssh, fingerprint).await.unwrap_err()
    }
}

#[tokio::test]
async fn a_log_whose_commit_is_signed_with_the_members_ssh_key_is_read() {
    let Some(scene) = Scene::with("ssh-keygen") else {
        return;
    };
    let key = |name: &str| {
        run(
            "ssh-keygen",
            scene.dir.path(),
            &["-q", "-t", "ed25519", "-N", "", "-f", name],
            "",
        );
        let said = run(
            "ssh-keygen",
            scene.dir.path(),
            &["-lf", &format!("{name}.pub")],
            "",
        );
        let signing = format!("user.signingkey={}", scene.dir.path().join(name).display());
        (said.split_whitespace().nth(1).unwrap().to_owned(), signing)
    };
    let ((own, signing), (other, others)) = (key("own"), key("other"));
    let settings = ["-c", "gpg.format=ssh", "-c"];
    scene.commit(&[], &[], "unsigned");
    assert!(
        scene
            .refusal(false, true, &own)
            .await
            .ends_with("is not signed")
    );
    assert_eq!(
        scene.read(false, false, &own).await.as_deref(),
        Ok("unsigned")
    );
    scene.commit(&[&settings[..], &[&signing]].concat(), &["-S"], "signed");
    assert_eq!(scene.read(false, true, &own).await.as_deref(), Ok("signed"));
    assert_eq!(
        scene.read(true, true, &own).await.as_deref(),
        Ok("signed"),
        "either kind will do"
    );
    assert!(
        scene
            .refusal(true, false, &own)
            .await
            .contains("a GPG signature is required")
    );
    assert!(
        scene
            .refusal(false, true, &other)
            .await
            .contains(&format!("is signed with {own}, not with {other}"))
    );
    // the last commit that touched the log counts, not a later one about something else
    fs::write(scene.origin.join("README.md"), "x").unwrap();
    scene.git(&["add", "."], "");
    scene.git(&["commit", "--quiet", "-m", "other"], "");
    assert_eq!(scene.read(false, true, &own).await.as_deref(), Ok("signed"));
    scene.commit(&[&settings[..], &[&others]].concat(), &["-S"], "theirs");
    assert!(
        scene
            .refusal(false, true, &own)
            .await
            .contains(&format!("is signed with {other}, not with"))
    );
    scene.commit(&[&settings[..], &[&signing]].concat(), &["-S"], "spoiled");
    scene.spoil();
    assert!(
        scene
            .refusal(false, true, &own)
            .await
            .contains("bad signature")
    );
}

#[tokio::test]
async fn a_log_whose_commit_is_signed_with_the_members_gpg_key_is_read() {
    let Some(scene) = Scene::with("gpg") else {
        return;
    };
    let home = scene.dir.path().join("gpg");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let in_home = [
        "--homedir",
        home.to_str().unwrap(),
        "--batch",
        "--quiet",
        "--pinentry-mode",
        "loopback",
    ];
    let gpg = |args: &[&str]| run("gpg", scene.dir.path(), &[&in_home[..], args].concat(), "");
    for name in ["own@localhost", "other@localhost"] {
        gpg(&[
            "--passphrase",
            "",
            "--quick-generate-key",
            name,
            "ed25519",
            "sign",
            "never",
        ]);
    }
    let fingerprint = |name: &str| {
        let said = gpg(&["--with-colons", "--fingerprint", name]);
        let line = said
            .lines()
            .find(|line| line.starts_with("fpr:"))
            .unwrap()
            .to_owned();
        line.split(':').nth(9).unwrap().to_owned()
    };
    let (own, other) = (fingerprint("own@localhost"), fingerprint("other@localhost"));
    // gpg in that home: for signing by its settings, for checking by the mirror's
    let program = scene.dir.path().join("gpg.sh");
    fs::write(
        &program,
        format!("#!/bin/sh\nexec gpg --homedir {} \"$@\"\n", home.display()),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let program = format!("gpg.program={}", program.display());
    let sign = format!("-S{own}");
    scene.commit(&["-c", &program], &[&sign], "signed");
    assert!(
        scene
            .refusal(true, false, &own)
            .await
            .contains("a key that this machine does not have")
    );
    let mirror = fs::read_dir(scene.dir.path().join("mirrors"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let (key, value) = program.split_once('=').unwrap();
    run("git", &mirror, &["config", key, value], "");
    assert_eq!(scene.read(true, false, &own).await.as_deref(), Ok("signed"));
    assert_eq!(
        scene
            .read(true, false, &own[24..].to_lowercase())
            .await
            .as_deref(),
        Ok("signed"),
        "its long id"
    );
    assert!(
        scene
            .refusal(false, true, &own)
            .await
            .contains("an SSH signature is required")
    );
    assert!(
        scene
            .refusal(true, false, &other)
            .await
            .contains(&format!("is signed with {own}, not with {other}"))
    );
    scene.spoil();
    assert!(
        scene
            .refusal(true, false, &own)
            .await
            .contains("bad signature")
    );
    // its agent was started by gpg for that home, and ends with it
    let _ = Command::new("gpgconf")
        .arg("--homedir")
        .arg(&home)
        .args(["--kill", "all"].map(OsStr::new))
        .status();
}
