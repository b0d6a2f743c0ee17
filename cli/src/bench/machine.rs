//! The machine that was measured on, so that a figure is never read without it.

use std::fmt;
use std::fs;

use serde::Serialize;

/// What says most about how fast a machine is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    /// The processor's model name, from the system.
    cpu: String,
    /// Processors this process may use.
    cores: usize,
    /// Memory of the machine.
    memory_mib: u64,
    /// Operating system and kernel.
    system: String,
    /// One-minute load average before the measurement.
    load: f64,
    /// The profile this binary was built with.
    build: &'static str,
    /// The version of the program that was measured.
    version: &'static str,
}

impl Machine {
    /// What the kernel says; what it does not say is empty or 0.
    pub(super) fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split_once(':'))
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_default()
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal");
        let memory_kib = memory
            .split_whitespace()
            .next()
            .and_then(|n| n.parse::<u64>().ok())
            .unwrap_or(0);
        Self {
            cpu: value(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            memory_mib: memory_kib / 1024,
            system: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            // figures of a busy machine are worth little, and this tells it
            load: read("/proc/loadavg")
                .split_whitespace()
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or(0.0),
            // those of a build without optimisation are worth nothing
            build: if cfg!(debug_assertions) {
                "dev"
            } else {
                "release"
            },
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            cores,
            memory_mib,
            system,
            load,
            build,
            ..
        } = self;
        write!(
            f,
            "{cores} × {cpu}, {memory_mib} MiB, {system}, load {load} before, {build} build"
        )
    }
}
