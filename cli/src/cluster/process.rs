//! The processes of a cluster: started, found again, and ended. A process is named by its number
//! and the time it was started, so that a number in use again is never mistaken for a node.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use ssid_node::child;
use ssid_storage::regular;

use crate::error::{CliError, Code};

/// Which process a node is.
const PID_FILE: &str = "cluster.pid";
/// Variables that would give every node of a cluster the same places; secrets come besides.
const NOT_INHERITED: [&str; 5] = [
    "SSID_DATA",
    "SSID_REPO",
    "SSID_NETWORK_LISTEN",
    "SSID_NETWORK_BOOTSTRAP",
    "SSID_API_LISTEN",
];
/// Bytes of the end of a log that are looked at.
const TAIL_BYTES: u64 = 16 * 1024;

/// Starts `ssid run` on a data directory, in a process group of its own: Ctrl-C on the terminal
/// ends the cluster's command, which ends its nodes in order.
pub(super) fn spawn(data: &Path, log: &Path) -> Result<Child> {
    let failed = |e: std::io::Error| {
        CliError::new(
            Code::Failed,
            format!("cannot start a node on {}: {e}", data.display()),
        )
    };
    let output = File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(failed)?;
    let mut command =
        Command::new(std::env::current_exe().context("cannot find this program's own file")?);
    command
        .arg("run")
        .arg("--data")
        .arg(data)
        .current_dir(data)
        .process_group(0);
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(failed)?)
        .stderr(output);
    // secrets and settings of whoever starts it are not the nodes'
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    child::forget_secrets(&mut command);
    let mut child = command.spawn().map_err(failed)?;
    let written = started_at(child.id())
        .context("the node ended at once")
        .and_then(|started| {
            // with the time of its start: the number alone may be another process by tomorrow
            Ok(fs::write(
                data.join(PID_FILE),
                format!("{} {started}\n", child.id()),
            )?)
        });
    if let Err(e) = written {
        // the child would be found by nobody
        let _ = child.kill();
        let _ = child.wait();
        return Err(e);
    }
    Ok(child)
}

/// A node's process, held so that no other process can take its place.
#[derive(Debug)]
pub(super) struct Running {
    pid: u32,
    handle: OwnedFd,
}

impl Running {
    /// The process that the data directory's pid file names, if it still is that process.
    pub(super) fn find(data: &Path) -> Option<Self> {
        let text = regular::read(&data.join(PID_FILE), TAIL_BYTES).ok()?;
        let text = String::from_utf8(text).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let pid = pid.parse::<u32>().ok()?;
        let started = started.parse::<u64>().ok()?;
        let handle = pidfd_open(
            Pid::from_raw(i32::try_from(pid).ok()?)?,
            PidfdFlags::empty(),
        )
        .ok()?;
        // asked after the handle was taken: from here on the number cannot change hands
        (started_at(pid) == Some(started) && !has_ended(&handle)).then_some(Self { pid, handle })
    }

    /// Returns its process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Ends it at once, as `kill -9` does.
    pub(super) fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(CliError::new(
                Code::Failed,
                format!("cannot signal process {}: {e}", self.pid),
            )
            .into()),
        }
    }
}

/// Whether every thread of a process has ended: only then are its sockets and files closed. Its
/// first thread alone may end before the others.
fn has_ended(handle: &OwnedFd) -> bool {
    let mut ended = [PollFd::new(handle, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut ended, Some(&now)).is_ok_and(|count| count > 0)
}

/// When a process was started, in clock ticks since boot; `None` if there is none.
fn started_at(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the name in parentheses may hold anything, also parentheses
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    // field 22 of the line; the first of these is field 3
    fields.nth(19)?.parse().ok()
}

/// The last lines of a file.
pub(super) fn tail(path: &Path, lines: usize) -> Vec<String> {
    // a log that cannot be read has no last lines to show
    let bytes = last_bytes(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<_> = text.lines().map(crate::output::clean).collect();
    all[all.len().saturating_sub(lines)..].to_vec()
}

fn last_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = regular::open(File::options().read(true), path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_its_number_and_its_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let started = started_at(child.id()).unwrap();
        let name = |started: u64| {
            fs::write(
                dir.path().join(PID_FILE),
                format!("{} {started}\n", child.id()),
            )
            .unwrap();
        };
        name(started + 1);
        assert!(
            Running::find(dir.path()).is_none(),
            "another process with that number"
        );
        name(started);
        let running = Running::find(dir.path()).unwrap();
        running.kill().unwrap();
        child.wait().unwrap();
        assert!(Running::find(dir.path()).is_none());
        running.kill().unwrap();
        fs::write(dir.path().join(PID_FILE), "nonsense").unwrap();
        assert!(Running::find(dir.path()).is_none());
    }

    #[test]
    fn the_end_of_a_log_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.log");
        assert!(tail(&path, 3).is_empty());
        fs::write(
            &path,
            (0..5000)
                .map(|i| format!("line {i}"))
                .collect::<Vec<_>>()
                .join("\n"),
        )
        .unwrap();
        assert_eq!(tail(&path, 2), ["line 4998", "line 4999"]);
    }
}
