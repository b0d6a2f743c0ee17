//! What a node's process has used, from the kernel's own accounts.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;
use ssid_node::home::Home;

use crate::cluster::Cluster;

/// Clock ticks a second in `/proc/PID/stat`: the kernel's USER_HZ, 100 on every Linux that Rust
/// supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// Of one node.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Usage {
    /// Resident memory now.
    pub(super) rss_mib: f64,
    /// The most there ever was.
    pub(super) peak_rss_mib: f64,
    /// Processor time since the start, user and system.
    pub(super) cpu_seconds: f64,
    /// The same of processes that it started and that have ended: `git`, and what that started.
    pub(super) children_cpu_seconds: f64,
    /// What the data directory holds.
    pub(super) disk_bytes: u64,
}

impl Usage {
    pub(super) fn of(cluster: &mut Cluster, index: usize) -> Result<Self> {
        let pid = cluster
            .pid(index)
            .with_context(|| format!("node {index} does not run any more"))?;
        Self::of_process(pid, &cluster.home(index))
    }

    /// Of the process that runs on a data directory.
    pub(super) fn of_process(pid: u32, home: &Home) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let status = read("status")?;
        Ok(Self {
            rss_mib: mib(&status, "VmRSS:"),
            peak_rss_mib: mib(&status, "VmHWM:"),
            cpu_seconds: cpu_seconds(&read("stat")?, 11),
            children_cpu_seconds: cpu_seconds(&read("stat")?, 13),
            disk_bytes: disk_bytes(home.root())?,
        })
    }
}

/// By how much this process' memory grows at most.
#[derive(Debug)]
pub(super) struct PeakMemory {
    before_mib: f64,
}

impl PeakMemory {
    /// Forgets the peak that there was.
    pub(super) fn begin() -> Result<Self> {
        fs::write("/proc/self/clear_refs", "5")
            .context("the kernel does not forget the peak of memory")?;
        Ok(Self {
            before_mib: own_mib("VmRSS:")?,
        })
    }

    /// The most since then, less what there was.
    pub(super) fn grown_mib(&self) -> Result<f64> {
        Ok(((own_mib("VmHWM:")? - self.before_mib) * 10.0)
            .round()
            .max(0.0)
            / 10.0)
    }
}

fn own_mib(key: &str) -> Result<f64> {
    Ok(mib(
        &fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?,
        key,
    ))
}

/// One line of `/proc/PID/status`, in MiB; 0 if it is not there.
fn mib(status: &str, key: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .and_then(|n| n.parse::<f64>().ok());
    (kib.unwrap_or(0.0) / 1024.0 * 10.0).round() / 10.0
}

/// Two neighbouring fields of `/proc/PID/stat`, 14 and 15 or 16 and 17; the name in field 2 may
/// hold blanks, so they are counted after it.
fn cpu_seconds(stat: &str, place: usize) -> f64 {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name
        .split_whitespace()
        .skip(place)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

fn disk_bytes(dir: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut sum = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        // a file may go while it is counted
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        sum += if metadata.is_dir() {
            disk_bytes(&entry.path())?
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::cpu_seconds;

    #[test]
    fn processor_time_is_found_behind_odd_names() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 5 15 20 0";
        assert!((cpu_seconds(stat, 11) - 3.0).abs() < 1e-9);
        assert!((cpu_seconds(stat, 13) - 0.2).abs() < 1e-9);
        assert!(cpu_seconds("rubbish", 11).abs() < 1e-9);
    }
}
