//! Measurements, run by hand: `cargo test -p ssid-storage --release -- --ignored --nocapture speed`.

use std::time::Instant;

use crate::fixtures::{LOG, certify, owner};
use crate::{Changes, Store};

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

#[test]
#[ignore = "a measurement"]
fn ten_thousand_entries() {
    let dir = tempfile::tempdir().unwrap();
    let prepared: Vec<Changes> = (0..20).map(|step| certify(step * 500..step * 500 + 500)).collect();
    println!("prepared: {} MiB resident", resident_mib());
    let (store, mut writer) = Store::open(dir.path(), owner(), LOG).unwrap();
    let start = Instant::now();
    for changes in prepared {
        writer.write(changes).unwrap();
    }
    let took = start.elapsed();
    println!("10,000 entries in {took:?}: {:.0} a second", 10_000.0 / took.as_secs_f64());
    println!("{} MiB resident, {} MiB on disk", resident_mib(), store.disk_bytes().unwrap() >> 20);
    let start = Instant::now();
    for n in 10_000..10_100 {
        writer.write(certify(n..n + 1)).unwrap();
    }
    println!("one entry a write: {:?} each, signing included", start.elapsed() / 100);
    let start = Instant::now();
    let page = store.certificates(0, 512, 1 << 20).unwrap();
    println!("a page of {} certificates: {:?}", page.len(), start.elapsed());
    let start = Instant::now();
    store.verify_log().unwrap();
    println!("verify_log: {:?}", start.elapsed());
    drop((store, writer));
    let start = Instant::now();
    let (store, _writer) = Store::open(dir.path(), owner(), LOG).unwrap();
    println!("open: {:?}; {} MiB resident", start.elapsed(), resident_mib());
    assert_eq!(store.certified_count(), 10_100);
}
