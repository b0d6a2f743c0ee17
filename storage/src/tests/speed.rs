//! Many entries, and what they cost: shown with
//! `cargo test -p ssid-storage --release -- --nocapture speed`.

use std::time::{Duration, Instant};

use crate::fixtures::{LOG, certify, owner};
use crate::{Changes, Store};

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}

/// Entries written; `SSID_STORAGE_ENTRIES` sets another number.
fn entries() -> u64 {
    std::env::var("SSID_STORAGE_ENTRIES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(10_000)
}

#[test]
fn many_entries() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut writer) = Store::open(dir.path(), owner(), LOG).unwrap();
    println!("empty: {} MiB resident", resident_mib());
    let (mut took, entries) = (Duration::ZERO, entries());
    for step in 0..entries / 500 {
        let changes = certify(step * 500..step * 500 + 500);
        let start = Instant::now();
        writer.write(changes).unwrap();
        took += start.elapsed();
    }
    println!(
        "{entries} entries, 500 a write: {:.0} a second",
        entries as f64 / took.as_secs_f64()
    );
    println!(
        "{} MiB resident, {} MiB on disk",
        resident_mib(),
        store.disk_bytes().unwrap() >> 20
    );
    let start = Instant::now();
    for n in entries..entries + 100 {
        writer
            .write(Changes {
                journal_sequence: Some(n),
                ..certify(n..n + 1)
            })
            .unwrap();
    }
    println!(
        "one entry a write: {:?} each, signing included",
        start.elapsed() / 100
    );
    let start = Instant::now();
    let page = store.certificates(0, 512, 1 << 20).unwrap();
    println!(
        "a page of {} certificates: {:?}",
        page.len(),
        start.elapsed()
    );
    let start = Instant::now();
    store.verify_log().unwrap();
    println!(
        "verify_log: {:?}; {} MiB resident",
        start.elapsed(),
        resident_mib()
    );
    drop((store, writer));
    let start = Instant::now();
    let (store, _writer) = Store::open(dir.path(), owner(), LOG).unwrap();
    println!(
        "open: {:?}; {} MiB resident",
        start.elapsed(),
        resident_mib()
    );
    assert_eq!(store.certified_count(), entries + 100);
}
