//! Git commands whose node was killed: nobody waits for them, and one whose server says nothing
//! would stay for good. Each carries in its environment, and so in that of what it starts, which
//! process it works for; the next process that uses Git ends those that work for none.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The variable that says for which process a command works.
pub(super) const MARK: &str = "SSID_GIT_FOR";
/// Bytes of an environment that are looked through; the kernel takes 2 MiB in all by default.
const ENVIRONMENT_BYTES: u64 = 4 << 20;

/// A process as a mark names it.
#[derive(Debug, PartialEq, Eq)]
struct Owner {
    pid: u32,
    /// When it was started, in clock ticks since boot: numbers are used again.
    started: u64,
    /// Its session. Daemons that a helper starts for its user leave it. Zero where the session's
    /// leader is outside the container, as `docker exec` makes it.
    session: i32,
    /// In which namespace its number counts; a container has one of its own.
    namespace: String,
}

impl Owner {
    /// Returns what names this process.
    fn this() -> Option<Self> {
        let pid = std::process::id();
        let Stat { session, started } = Stat::of(pid)?;
        Some(Self {
            pid,
            started,
            session,
            namespace: namespace("self")?,
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ' ');
        Some(Self {
            pid: parts.next()?.parse().ok()?,
            started: parts.next()?.parse().ok()?,
            session: parts.next()?.parse().ok()?,
            namespace: parts.next()?.to_owned(),
        })
    }

    fn to_text(&self) -> String {
        let Self {
            pid,
            started,
            session,
            namespace,
        } = self;
        format!("{pid} {started} {session} {namespace}")
    }

    fn lives(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.started == self.started)
    }
}

/// The mark of commands that this process runs; empty where there is no `/proc`.
pub(super) fn mark() -> String {
    Owner::this().map_or_else(String::new, |owner| owner.to_text())
}

/// Ends every Git command, and what it started, whose process is no more. Returns how many.
pub(super) fn end() -> usize {
    let (Some(this), Ok(all)) = (Owner::this(), fs::read_dir("/proc")) else {
        return 0;
    };
    let pids = all
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let ended = pids
        .filter_map(Pid::from_raw)
        .filter(|pid| end_if_orphan(*pid, &this.namespace).is_some())
        .count();
    if ended > 0 {
        tracing::warn!(
            processes = ended,
            "git commands of a node that was killed were still running: ended"
        );
    }
    ended
}

fn end_if_orphan(pid: Pid, namespace: &str) -> Option<()> {
    let place = format!("/proc/{}", pid.as_raw_nonzero());
    let place = Path::new(&place);
    owner_of(place)?;
    // from here on the number cannot change hands: what is read next is of this process
    let handle: OwnedFd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let owner = owner_of(place)?;
    let session = Stat::of(pid.as_raw_nonzero().get().cast_unsigned())?.session;
    let is_here = owner.namespace == namespace && owner.session == session;
    if !is_here || owner.lives() || !is_git(place)? {
        return None;
    }
    pidfd_send_signal(&handle, Signal::KILL).ok()
}

/// For whom the process at this place under `/proc` works, if it is a command that this crate ran.
fn owner_of(place: &Path) -> Option<Owner> {
    let mut environment = Vec::new();
    // others' processes are not to be read
    let file = File::open(place.join("environ")).ok()?;
    file.take(ENVIRONMENT_BYTES)
        .read_to_end(&mut environment)
        .ok()?;
    let prefix = format!("{MARK}=");
    let mark = environment
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(prefix.as_bytes()))?;
    Owner::parse(OsStr::from_bytes(mark).to_str()?)
}

/// Whether it is Git or its way to a server. What hooks of a repository on this machine started
/// goes its own way, as do credential helpers, which may serve others as well.
fn is_git(place: &Path) -> Option<bool> {
    let name = fs::read_to_string(place.join("comm")).ok()?;
    Some((name.starts_with("git") && !name.starts_with("git-cred")) || name.starts_with("ssh"))
}

/// What the kernel says of a process that runs (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    session: i32,
    /// In clock ticks since boot.
    started: u64,
}

impl Stat {
    /// Returns nothing for a process that has ended.
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // the name in parentheses may hold anything, also parentheses
        let (_, rest) = text.rsplit_once(')')?;
        // the first of these is field 3, the state; field 6 the session, field 22 the start
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(20).collect();
        if matches!(*fields.first()?, "Z" | "X") {
            return None;
        }
        Some(Self {
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

fn namespace(pid: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/ns/pid")).ok()?;
    Some(link.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::PathBuf;
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    use super::*;

    /// A program with another name that does nothing for a minute, working for `mark`.
    fn asleep(dir: &Path, name: &str, mark: &str) -> Child {
        let path: PathBuf = dir.join(name);
        std::os::unix::fs::symlink("/bin/sleep", &path).unwrap();
        let child = Command::new(path)
            .arg("60")
            .env(MARK, mark)
            .spawn()
            .unwrap();
        // until it is that program: before, it is a copy of this one
        let deadline = Instant::now() + Duration::from_secs(10);
        let comm = format!("/proc/{}/comm", child.id());
        while !fs::read_to_string(&comm).is_ok_and(|now| now.trim() == name) {
            assert!(Instant::now() < deadline, "{name} does not start");
            std::thread::yield_now();
        }
        child
    }

    #[test]
    fn a_process_is_known_also_where_its_session_was_begun_outside_the_container() {
        let line = "7 (a) b (c)) S 1 7 0 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 1 0 9119 8 9 10";
        let stat = Stat::parse(line);
        assert_eq!(
            stat,
            Some(Stat {
                session: 0,
                started: 9119
            })
        );
        assert_eq!(Stat::parse(&line.replace(") S", ") Z")), None);
        assert_eq!(Stat::parse("7 (a) S 1 7"), None);
    }

    #[test]
    fn commands_of_a_process_that_is_no_more_are_ended_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let own = mark();
        assert_eq!(Owner::parse(&own), Owner::this());
        let killed = Owner {
            started: Owner::this().unwrap().started + 1,
            ..Owner::this().unwrap()
        }
        .to_text();
        let elsewhere = killed.replace("pid:[", "pid:[7");
        let mut orphan = asleep(dir.path(), "git-orphan", &killed);
        let mut kept = [
            asleep(dir.path(), "git-own", &own),
            asleep(dir.path(), "git-elsewhere", &elsewhere),
            asleep(dir.path(), "git-cred-helper", &killed),
            asleep(dir.path(), "hook", &killed),
            asleep(dir.path(), "git-unmarked", ""),
        ];
        // another test may have ended it: all of them look
        end();
        let status = orphan.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
        for child in &mut kept {
            assert!(child.try_wait().unwrap().is_none(), "{child:?}");
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
