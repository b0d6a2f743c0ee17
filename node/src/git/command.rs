//! Runs the system's `git`: with the user's own SSH agent, credential helpers and proxies, and with nothing else that
//! could make it run, ask, follow or keep what it should not (SPEC §10 *Git fallback*).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::failure::GitError;
use super::remote::GitRemote;
use crate::config::GitProtocol;

/// Bytes that one fetch may bring (SPEC §10).
pub const FETCH_BYTES: u64 = 64 << 20;
/// Bytes of standard output that are kept.
const OUTPUT_BYTES: u64 = 1 << 20;
/// Bytes of standard error that are kept.
const SAID_BYTES: u64 = 16 << 10;
/// How often it is looked how much has come.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What a remote is called where it needs a name.
const REMOTE: &str = "member";
/// How long a command that asks nobody may take.
const LOCAL: Duration = Duration::from_secs(30);

/// Variables that begin with `GIT_` and are the user's way to a remote; all others are taken out of the environment,
/// because they change which repository is used, or what is run.
const KEPT: &[&str] = &[
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "GIT_PROXY_COMMAND",
    "GIT_PROXY_SSL_CAINFO",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
];
/// How branches are fetched: nothing besides what is named, whatever was there before.
pub(super) const FETCH: &[&str] =
    &["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--force"];
/// Settings of every command; the protocols come besides.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.bigFileThreshold=8m",
    "credential.interactive=false",
    "fetch.fsckObjects=true",
    "fetch.recurseSubmodules=false",
    "fetch.unpackLimit=1",
    "fetch.writeCommitGraph=false",
    "gc.auto=0",
    "http.followRedirects=initial",
    "http.lowSpeedLimit=1",
    "maintenance.auto=false",
    // files of lines are a MiB each: to look for the best base among ten costs three times the push
    "pack.window=2",
    "push.gpgSign=false",
    "push.recurseSubmodules=no",
    "submodule.recurse=false",
    "transfer.bundleURI=false",
    "transfer.fsckObjects=true",
];

/// The system's `git`, with what it may do.
#[derive(Clone, Debug)]
pub struct Git {
    allowed: Vec<GitProtocol>,
    timeout: Duration,
    ssh: Option<OsString>,
    shutdown: CancellationToken,
}

/// One command in a bare repository.
#[derive(Debug)]
pub(super) struct Job<'a> {
    repository: &'a Path,
    args: Vec<OsString>,
    remote: Option<&'a GitRemote>,
    output: Option<File>,
}

impl<'a> Job<'a> {
    /// A command with its arguments, nobody asked.
    pub(super) fn local(repository: &'a Path, args: &[&str]) -> Self {
        Self { repository, args: args.iter().map(OsString::from).collect(), remote: None, output: None }
    }

    /// The same, with its standard output going to a file.
    pub(super) fn into_file(self, file: File) -> Self {
        Self { output: Some(file), ..self }
    }

    /// A command with its options, then `--`, the remote and what is meant there.
    pub(super) fn remote(repository: &'a Path, options: &[&str], remote: &'a GitRemote, what: &str) -> Self {
        let address = ["--", remote.as_arg(), what];
        let args = options.iter().copied().chain(address).map(OsString::from).collect();
        Self { repository, args, remote: Some(remote), output: None }
    }

    /// The same for what notes the remote in the repository's configuration, as a fetch with a filter does: there it is
    /// [`REMOTE`], and its address, which may hold a password, is not written down.
    pub(super) fn named(repository: &'a Path, options: &[&str], remote: &'a GitRemote, what: &str) -> Self {
        let address = format!("remote.{REMOTE}.url={}", remote.as_arg());
        let args = ["-c", &address].into_iter().chain(options.iter().copied()).chain(["--", REMOTE, what]);
        Self { repository, args: args.map(OsString::from).collect(), remote: Some(remote), output: None }
    }
}

impl Git {
    /// Looks for `git` and the user's way to run SSH. `timeout` bounds each command that asks a remote.
    ///
    /// # Errors
    /// If it cannot be run.
    pub async fn find(
        allowed: &[GitProtocol],
        timeout: Duration,
        shutdown: CancellationToken,
    ) -> Result<Self, GitError> {
        let mut git = Self { allowed: allowed.to_vec(), timeout, ssh: None, shutdown };
        let here = Path::new(".");
        let version = git.run(Job::local(here, &["--version"])).await?;
        tracing::debug!(version = %String::from_utf8_lossy(&version).trim(), "git found");
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        // git exits 1 if nothing is set
        let configured = git.run(Job::local(here, &["config", "--get", "core.sshCommand"])).await.is_ok();
        if !configured && !is_set("GIT_SSH_COMMAND") && !is_set("GIT_SSH") {
            let seconds = timeout.as_secs().clamp(1, 30);
            git.ssh = Some(format!("ssh -o BatchMode=yes -o ConnectTimeout={seconds}").into());
        }
        Ok(git)
    }

    /// Runs a command; what it wrote, cut at a MiB. Its whole process group ends with it, in time.
    pub(super) async fn run(&self, mut job: Job<'_>) -> Result<Vec<u8>, GitError> {
        let asks = job.remote.is_some();
        let (repository, remote) = (job.repository.to_owned(), job.remote.cloned());
        let mut command = self.command(&job);
        command.stdout(job.output.take().map_or_else(Stdio::piped, Stdio::from));
        let mut child = command.spawn().map_err(|e| GitError::NotRun(e.to_string()))?;
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let limit = if asks { self.timeout } else { LOCAL };
        let ended = tokio::select! {
            () = self.shutdown.cancelled() => Err(GitError::Cancelled),
            () = tokio::time::sleep(limit) => Err(GitError::Timeout(limit)),
            () = too_large(&repository), if asks => Err(GitError::TooLarge(FETCH_BYTES)),
            ended = collect(&mut child) => ended.map_err(|e| GitError::NotRun(e.to_string())),
        };
        let (succeeded, output, said) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                group.kill();
                // gone at once: it was killed
                child.wait().await.ok();
                return Err(error);
            }
        };
        group.0 = None;
        if succeeded {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&said);
        let said = remote.map_or_else(|| said.to_string(), |remote| remote.redact(&said));
        Err(GitError::from_words(&said))
    }

    fn command(&self, job: &Job<'_>) -> Command {
        let mut command = Command::new("git");
        let interactive = io::stdin().is_terminal();
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            // a helper that asks would wait for a person who is at this terminal for something else
            let asks = matches!(&*text, "GIT_ASKPASS" | "SSH_ASKPASS");
            let kept = if asks { !interactive } else { !text.starts_with("GIT_") || KEPT.contains(&&*text) };
            if !kept {
                command.env_remove(&name);
            }
        }
        let names: Vec<_> = self.allowed.iter().map(|p| p.as_str()).collect();
        command.env("GIT_ALLOW_PROTOCOL", names.join(":"));
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_NO_REPLACE_OBJECTS", "1").env("LC_ALL", "C");
        command.env("GIT_NO_LAZY_FETCH", "1");
        if let Some(ssh) = &self.ssh {
            command.env("GIT_SSH_COMMAND", ssh);
        }
        command.args(self.settings());
        command.arg("--git-dir").arg(job.repository).args(&job.args);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command
    }

    fn settings(&self) -> Vec<OsString> {
        let mut settings: Vec<String> = SETTINGS.iter().map(ToString::to_string).collect();
        settings.push(format!("http.lowSpeedTime={}", self.timeout.as_secs().max(1)));
        settings.push("protocol.allow=never".to_owned());
        for name in ["ext", "fd"].into_iter().chain(GitProtocol::NAMES.iter().copied()) {
            let is_allowed = self.allowed.iter().any(|p| p.as_str() == name);
            settings.push(format!("protocol.{name}.allow={}", if is_allowed { "always" } else { "never" }));
        }
        settings.into_iter().flat_map(|setting| [OsString::from("-c"), OsString::from(setting)]).collect()
    }
}

/// A process group that is killed when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            // it may just have ended
            kill_process_group(pid, Signal::KILL).ok();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether it ended well, what it wrote and what it said.
async fn collect(child: &mut Child) -> io::Result<(bool, Vec<u8>, Vec<u8>)> {
    let (output, said) = (child.stdout.take(), child.stderr.take());
    let (output, said) = tokio::join!(bounded(output, OUTPUT_BYTES), bounded(said, SAID_BYTES));
    let status = child.wait().await?;
    Ok((status.success(), output?, said?))
}

/// The beginning of a stream; the rest is read and forgotten, so that its writer does not wait.
async fn bounded(stream: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<Vec<u8>> {
    let Some(mut stream) = stream else { return Ok(Vec::new()) };
    let mut kept = Vec::new();
    (&mut stream).take(limit).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(kept)
}

/// Returns once what is being received in this repository exceeds [`FETCH_BYTES`].
async fn too_large(repository: &Path) {
    let packs = repository.join("objects/pack");
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if received(&packs) > FETCH_BYTES {
            return;
        }
    }
}

/// Bytes in the packs that are not finished.
fn received(packs: &Path) -> u64 {
    let Ok(files) = std::fs::read_dir(packs) else { return 0 };
    files.flatten().filter(|f| unfinished(&f.file_name())).filter_map(|f| Some(f.metadata().ok()?.len())).sum()
}

/// Whether a file has this name because it is being received.
fn unfinished(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with("tmp_")
}

/// Removes what a command that was broken off has left. Only this node works in these repositories, one command at a
/// time in each, so that a lock whose command has ended is nobody's.
pub(super) fn remove_unfinished(repository: &Path) {
    for dir in ["", "objects/pack", "refs/ssid", "refs/heads"] {
        let Ok(files) = std::fs::read_dir(repository.join(dir)) else { continue };
        for path in files.flatten().map(|file| file.path()) {
            let is_lock = path.extension().is_some_and(|extension| extension == "lock");
            if is_lock || path.file_name().is_some_and(unfinished) {
                // what stays is named by the next command that minds it
                std::fs::remove_file(path).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    async fn git(allowed: &[GitProtocol]) -> Git {
        Git::find(allowed, Duration::from_secs(5), CancellationToken::new()).await.unwrap()
    }

    #[tokio::test]
    async fn no_protocol_but_the_allowed_ones_is_used_even_past_the_check() {
        let dir = tempfile::tempdir().unwrap();
        let repository = dir.path().join("a.git");
        let git = git(&[GitProtocol::Https]).await;
        git.run(Job::local(&repository, &["init", "--bare", "--quiet", repository.to_str().unwrap()])).await.unwrap();
        let remote = GitRemote::parse(repository.to_str().unwrap(), GitRemote::PROTOCOLS).unwrap();
        let refused = git.run(Job::remote(&repository, &["fetch"], &remote, "refs/heads/x")).await.unwrap_err();
        assert!(refused.to_string().contains("not allowed"), "{refused}");
        let settings: Vec<_> = git.settings().iter().map(|s| s.to_string_lossy().into_owned()).collect();
        for expected in ["protocol.https.allow=always", "protocol.ext.allow=never", "protocol.file.allow=never"] {
            assert!(settings.iter().any(|s| s == expected), "{expected}");
        }
    }

    #[tokio::test]
    async fn the_whole_group_ends_at_the_time_limit_and_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let repository = dir.path().join("a.git");
        let local = git(&[]).await;
        local.run(Job::local(&repository, &["init", "--bare", "--quiet", repository.to_str().unwrap()])).await.unwrap();
        // a server that takes the connection and never answers
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("git://{}/a.git", server.local_addr().unwrap());
        let remote = GitRemote::parse(&address, GitRemote::PROTOCOLS).unwrap();
        let shutdown = CancellationToken::new();
        let limit = Duration::from_millis(300);
        let git = Git::find(&[GitProtocol::Git], limit, shutdown.clone()).await.unwrap();
        let job = || Job::remote(&repository, &["fetch"], &remote, "refs/heads/x");
        assert_eq!(git.run(job()).await, Err(GitError::Timeout(limit)));
        let (answer, ()) = tokio::join!(git.run(job()), async { shutdown.cancel() });
        assert_eq!(answer, Err(GitError::Cancelled));
        assert!(GitError::Timeout(limit).to_string().contains("within 0.3 s"));
    }

    #[tokio::test]
    async fn output_is_bounded_and_what_is_unfinished_is_counted() {
        let long = [b'x'; 100];
        assert_eq!(bounded(Some(&long[..]), 10).await.unwrap().len(), 10);
        let dir = tempfile::tempdir().unwrap();
        let packs = dir.path().join("objects/pack");
        std::fs::create_dir_all(&packs).unwrap();
        std::fs::write(packs.join("tmp_pack_x"), [0; 70]).unwrap();
        std::fs::write(packs.join("pack-1.pack"), [0; 7]).unwrap();
        assert_eq!(received(&packs), 70);
        std::fs::write(dir.path().join("shallow.lock"), "").unwrap();
        remove_unfinished(dir.path());
        assert_eq!((received(&packs), std::fs::read_dir(&packs).unwrap().count()), (0, 1));
        assert!(!dir.path().join("shallow.lock").exists());
    }
}
