//! What happened in one seed, line by line: the last lines for whoever looks for a fault, and a
//! digest of all of them, which is equal if and only if a seed did the same twice.

use std::collections::VecDeque;

use ssid_protocol::id::Sha256Hash;

/// Lines kept.
const LAST: usize = 80;

/// The lines of one seed; nothing is written unless it is on, because most seeds are never looked
/// at.
#[derive(Debug)]
pub(super) struct Trace {
    on: bool,
    keep_all: bool,
    lines: VecDeque<String>,
    count: u64,
    digest: Sha256Hash,
}

impl Trace {
    pub(super) fn new(on: bool, keep_all: bool) -> Self {
        Self {
            on,
            keep_all,
            lines: VecDeque::new(),
            count: 0,
            digest: Sha256Hash([0; 32]),
        }
    }

    pub(super) fn line(&mut self, now: u64, line: impl FnOnce() -> String) {
        if !self.on {
            return;
        }
        let line = format!("{now:>8} {}", line());
        self.digest = Sha256Hash::of(&[&self.digest.0, line.as_bytes()]);
        self.count += 1;
        self.lines.push_back(line);
        if self.lines.len() > LAST && !self.keep_all {
            self.lines.pop_front();
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    pub(super) fn summary(&self) -> String {
        format!("trace: {} lines, digest {}", self.count, self.digest)
    }
}
