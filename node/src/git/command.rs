//! Runs the system's `git`: with the user's own SSH agent, credential helpers and proxies, and with
//! nothing else that could make it run, ask, follow or keep what it should not (SPEC §10 *Git
//! fallback*).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Once;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::environment::{self, DATA_BYTES, harden, log_in};
use super::failure::GitError;
use super::orphans;
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

/// Becomes `git` once what it and each process that it starts may take is bounded: KiB of data,
/// seconds of processor time. It holds also when this process is no longer there to end it. Not the
/// address space: Git maps whole packs, and helpers reserve more than they use. A tighter limit of
/// the user's stays.
const BOUNDED: &str = r#"ulimit -d "$1" 2>&-; ulimit -t "$2" 2>&-; shift 2; exec git "$@""#;
/// What a shell exits with when there is no such program, or none that it may run.
const NO_PROGRAM: [i32; 2] = [127, 126];

/// The system's `git`, with what it may do.
#[derive(Clone, Debug)]
pub struct Git {
    allowed: Vec<GitProtocol>,
    timeout: Duration,
    ssh: Option<OsString>,
    shutdown: CancellationToken,
}

/// One command of Git, with what it may take and give.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    place: Place<'a>,
    args: Vec<OsString>,
    remote: Option<&'a GitRemote>,
    input: Vec<u8>,
    output: Option<File>,
    /// Whether all that grows in the repository counts as received, not only packs that are not
    /// finished.
    grows: bool,
}

/// Where a command runs.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    /// In this bare repository.
    Bare(&'a Path),
    /// In whichever repository this directory is a part of.
    WorkTree(&'a Path),
}

impl<'a> Job<'a> {
    fn new(place: Place<'a>, args: &[&str]) -> Self {
        Self {
            place,
            args: args.iter().map(OsString::from).collect(),
            remote: None,
            input: Vec::new(),
            output: None,
            grows: false,
        }
    }

    /// A command with its arguments, nobody asked.
    pub(crate) fn local(repository: &'a Path, args: &[&str]) -> Self {
        Self::new(Place::Bare(repository), args)
    }

    /// The same in whichever repository `directory` is a part of: Git finds it, as for a person who
    /// works there.
    pub(super) fn work_tree(directory: &'a Path, args: &[&str]) -> Self {
        Self::new(Place::WorkTree(directory), args)
    }

    /// The same, with its standard output going to a file.
    pub(crate) fn into_file(self, file: File) -> Self {
        Self {
            output: Some(file),
            ..self
        }
    }

    /// The same, with something on its standard input.
    pub(crate) fn given(self, input: &str) -> Self {
        Self {
            input: input.as_bytes().to_vec(),
            ..self
        }
    }

    /// The same, for a server from which single files are fetched.
    pub(super) fn growing(self) -> Self {
        Self {
            grows: true,
            ..self
        }
    }

    /// A command with its options, then `--`, the remote and what is meant there.
    pub(super) fn remote(
        repository: &'a Path,
        options: &[&str],
        remote: &'a GitRemote,
        what: &[&str],
    ) -> Self {
        let address = remote.for_git();
        let args = [options, &["--", &address], what].concat();
        Self {
            remote: Some(remote),
            ..Self::local(repository, &args)
        }
    }

    /// The same for what notes the remote in the repository's configuration, as a fetch with a
    /// filter does: there it is [`REMOTE`], and its address is not written down.
    pub(super) fn named(
        repository: &'a Path,
        options: &[&str],
        remote: &'a GitRemote,
        what: &str,
    ) -> Self {
        let address = format!("remote.{REMOTE}.url={}", remote.for_git());
        let args = [&["-c", &address], options, &["--", REMOTE, what]].concat();
        Self {
            remote: Some(remote),
            ..Self::local(repository, &args)
        }
    }
}

impl Git {
    /// Looks for `git` and the user's way to run SSH. `timeout` bounds each command that asks a
    /// remote.
    ///
    /// # Errors
    /// If it cannot be run.
    pub async fn find(
        allowed: &[GitProtocol],
        timeout: Duration,
        shutdown: CancellationToken,
    ) -> Result<Self, GitError> {
        static ORPHANS: Once = Once::new();
        ORPHANS.call_once(|| {
            orphans::end();
        });
        let mut git = Self {
            allowed: allowed.to_vec(),
            timeout,
            ssh: None,
            shutdown,
        };
        let here = Path::new(".");
        let version = git.run(Job::local(here, &["--version"])).await?;
        tracing::debug!(version = %String::from_utf8_lossy(&version).trim(), "git found");
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        // git exits 1 if nothing is set
        let configured = git
            .run(Job::local(here, &["config", "--get", "core.sshCommand"]))
            .await
            .is_ok();
        if !configured && !is_set("GIT_SSH_COMMAND") && !is_set("GIT_SSH") {
            let seconds = timeout.as_secs().clamp(1, 30);
            git.ssh = Some(format!("ssh -o BatchMode=yes -o ConnectTimeout={seconds}").into());
        }
        Ok(git)
    }

    /// Runs a command; what it wrote, cut at a MiB. Its whole process group ends with it, in time.
    pub(crate) async fn run(&self, mut job: Job<'_>) -> Result<Vec<u8>, GitError> {
        let asks = job.remote.is_some();
        let received = Received::of(&job);
        let mut command = self.command(&job);
        command.stdout(job.output.take().map_or_else(Stdio::piped, Stdio::from));
        let mut child = command
            .spawn()
            .map_err(|e| GitError::NotRun(e.to_string()))?;
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let limit = if asks { self.timeout } else { LOCAL };
        let ended = tokio::select! {
            () = self.shutdown.cancelled() => Err(GitError::Cancelled),
            () = tokio::time::sleep(limit) => Err(GitError::Timeout(limit)),
            () = received.too_large(), if asks => Err(GitError::TooLarge(FETCH_BYTES)),
            ended = collect(&mut child, &job.input) => ended.map_err(|e| GitError::NotRun(e.to_string())),
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
        let said = job
            .remote
            .map_or_else(|| said.to_string(), |remote| remote.redact(&said));
        Err(GitError::from_words(&said))
    }

    /// How long a command that asks a remote may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Ends what is under way.
    pub(crate) fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    fn command(&self, job: &Job<'_>) -> Command {
        let time = if job.remote.is_some() {
            self.timeout
        } else {
            LOCAL
        };
        let mut command = std::process::Command::new("sh");
        command.args(["-c", BOUNDED, "git"]).args([
            (DATA_BYTES / 1024).to_string(),
            // one thread cannot take more before the time is up
            (time.as_secs() + 1).to_string(),
        ]);
        harden(&mut command, &self.allowed, self.ssh.as_deref());
        if let Some(login) = job.remote.and_then(GitRemote::login) {
            log_in(&mut command, &login);
        }
        match job.place {
            Place::WorkTree(directory) => command.arg("-C").arg(directory),
            Place::Bare(repository) => command.arg("--git-dir").arg(repository),
        };
        command
            .args(environment::settings(&self.allowed, self.timeout))
            .args(&job.args);
        let mut command = Command::from(command);
        command.stdin(if job.input.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        });
        command
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
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
async fn collect(child: &mut Child, input: &[u8]) -> io::Result<(bool, Vec<u8>, Vec<u8>)> {
    let stdin = child.stdin.take();
    let output = child.stdout.take();
    let said = child.stderr.take();
    let give = async {
        if let Some(mut stdin) = stdin {
            // who ends without reading it says why
            stdin.write_all(input).await.ok();
        }
    };
    let output = bounded(output, OUTPUT_BYTES);
    let said = bounded(said, SAID_BYTES);
    let (output, said, ()) = tokio::join!(output, said, give);
    let (status, said) = (child.wait().await?, said?);
    if status.code().is_some_and(|code| NO_PROGRAM.contains(&code)) {
        let said = String::from_utf8_lossy(&said);
        return Err(io::Error::other(said.trim().to_owned()));
    }
    Ok((status.success(), output?, said))
}

/// The beginning of a stream; the rest is read and forgotten, so that its writer does not wait.
async fn bounded(stream: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<Vec<u8>> {
    let Some(mut stream) = stream else {
        return Ok(Vec::new());
    };
    let mut kept = Vec::new();
    (&mut stream).take(limit).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(kept)
}

/// What a command receives.
struct Received {
    objects: PathBuf,
    /// The files that were there before, where everything new counts.
    before: Option<BTreeMap<PathBuf, u64>>,
}

impl Received {
    fn of(job: &Job<'_>) -> Self {
        let (Place::Bare(repository) | Place::WorkTree(repository)) = job.place;
        let objects = repository.join("objects");
        let before = job.grows.then(|| object_files(&objects));
        Self { objects, before }
    }

    /// Returns once more than [`FETCH_BYTES`] have come.
    async fn too_large(&self) {
        // every file of a repository is looked at, or one directory of them
        let every = if self.before.is_some() {
            10 * LOOK_EVERY
        } else {
            LOOK_EVERY
        };
        loop {
            tokio::time::sleep(every).await;
            let bytes = match &self.before {
                Some(before) => grown(&self.objects, before),
                None => unfinished_bytes(&self.objects.join("pack")),
            };
            if bytes > FETCH_BYTES {
                return;
            }
        }
    }
}

/// The files in which a repository keeps its objects, with their sizes.
pub(super) fn object_files(objects: &Path) -> BTreeMap<PathBuf, u64> {
    let Ok(entries) = std::fs::read_dir(objects) else {
        return BTreeMap::new();
    };
    let files = entries
        .flatten()
        .flat_map(|entry| std::fs::read_dir(entry.path()));
    let size = |file: std::fs::DirEntry| Some((file.path(), file.metadata().ok()?.len()));
    files.flat_map(Iterator::flatten).filter_map(size).collect()
}

/// Bytes of objects that were not there before.
fn grown(objects: &Path, before: &BTreeMap<PathBuf, u64>) -> u64 {
    let files = object_files(objects).into_iter();
    files
        .map(|(path, size)| size.saturating_sub(before.get(&path).copied().unwrap_or_default()))
        .sum()
}

/// Bytes in the packs that are not finished.
fn unfinished_bytes(packs: &Path) -> u64 {
    let Ok(files) = std::fs::read_dir(packs) else {
        return 0;
    };
    let unfinished = files.flatten().filter(|file| unfinished(&file.file_name()));
    unfinished
        .filter_map(|file| Some(file.metadata().ok()?.len()))
        .sum()
}

/// Whether a file has this name because it is being received.
fn unfinished(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with("tmp_")
}

/// Removes what a command that was broken off has left. Only this node works in these repositories,
/// one command at a time in each, so that a lock whose command has ended is nobody's.
pub(super) fn remove_unfinished(repository: &Path) {
    for dir in ["", "objects/pack", "refs/ssid", "refs/heads"] {
        let Ok(files) = std::fs::read_dir(repository.join(dir)) else {
            continue;
        };
        for path in files.flatten().map(|file| file.path()) {
            let is_lock = path
                .extension()
                .is_some_and(|extension| extension == "lock");
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
        Git::find(allowed, Duration::from_secs(5), CancellationToken::new())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn no_protocol_but_the_allowed_ones_is_used_even_past_the_check() {
        let dir = tempfile::tempdir().unwrap();
        let repository = dir.path().join("a.git");
        let git = git(&[GitProtocol::Https]).await;
        git.run(Job::local(
            &repository,
            &["init", "--bare", "--quiet", repository.to_str().unwrap()],
        ))
        .await
        .unwrap();
        let remote = GitRemote::parse(repository.to_str().unwrap(), GitRemote::PROTOCOLS).unwrap();
        let refused = git
            .run(Job::remote(
                &repository,
                &["fetch"],
                &remote,
                &["refs/heads/x"],
            ))
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("not allowed"), "{refused}");
    }

    #[tokio::test]
    async fn the_whole_group_ends_at_the_time_limit_and_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let repository = dir.path().join("a.git");
        let local = git(&[]).await;
        local
            .run(Job::local(
                &repository,
                &["init", "--bare", "--quiet", repository.to_str().unwrap()],
            ))
            .await
            .unwrap();
        // a server that takes the connection and never answers
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("git://{}/a.git", server.local_addr().unwrap());
        let remote = GitRemote::parse(&address, GitRemote::PROTOCOLS).unwrap();
        let shutdown = CancellationToken::new();
        let limit = Duration::from_millis(300);
        let git = Git::find(&[GitProtocol::Git], limit, shutdown.clone())
            .await
            .unwrap();
        let job = || Job::remote(&repository, &["fetch"], &remote, &["refs/heads/x"]);
        assert_eq!(git.run(job()).await, Err(GitError::Timeout(limit)));
        let (answer, ()) = tokio::join!(git.run(job()), async { shutdown.cancel() });
        assert_eq!(answer, Err(GitError::Cancelled));
        assert!(
            GitError::Timeout(limit)
                .to_string()
                .contains("within 0.3 s")
        );
    }

    #[tokio::test]
    async fn every_process_of_a_command_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let says = "alias.says=!ulimit -H -d; ulimit -H -t; ulimit -S -t";
        let said = git(&[])
            .await
            .run(Job::local(dir.path(), &["-c", says, "says"]))
            .await
            .unwrap();
        let said = String::from_utf8(said).unwrap();
        let seconds = LOCAL.as_secs() + 1;
        assert_eq!(
            said.split_whitespace().collect::<Vec<_>>(),
            [
                (DATA_BYTES / 1024).to_string(),
                seconds.to_string(),
                seconds.to_string()
            ]
        );
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_was_not_run() {
        let job = Job::local(Path::new("."), &["-c", "alias.none=!exit 127", "none"]);
        let said = git(&[]).await.run(job).await;
        assert!(matches!(said, Err(GitError::NotRun(_))), "{said:?}");
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
        assert_eq!(unfinished_bytes(&packs), 70);
        std::fs::write(dir.path().join("shallow.lock"), "").unwrap();
        remove_unfinished(dir.path());
        assert_eq!(
            (
                unfinished_bytes(&packs),
                std::fs::read_dir(&packs).unwrap().count()
            ),
            (0, 1)
        );
        assert!(!dir.path().join("shallow.lock").exists());
    }
}
