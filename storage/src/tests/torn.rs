//! Power goes in the middle of a commit, and any of its pages may be on disk: what was never sent
//! is cut off, what was sent is kept or its loss is told (SPEC §7, *State*).

use std::fs;
use std::path::{Path, PathBuf};

use ssid_protocol::id::LogId;

use crate::fixtures::{LOG, node, owner, precommits};
use crate::{Changes, Journal, JournalRecord, StorageError, Store};

const PAGE: usize = 4096;

fn record(first: u64) -> JournalRecord {
    JournalRecord::Own(precommits(0, first..first + 30).batch().clone())
}

/// A journal of commits of so many records each; where each commit ends, in bytes and in records.
struct Written {
    dir: tempfile::TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
    ends: Vec<(usize, u64)>,
    records: Vec<JournalRecord>,
    /// Where each record ends, in bytes.
    record_ends: Vec<usize>,
}

fn written(commits: &[u64]) -> Written {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("votes.journal");
    let mut journal = Journal::create(&path, node(0)).unwrap();
    let mut records = vec![JournalRecord::Created { node: node(0) }];
    let mut ends = vec![(journal.bytes() as usize, 1)];
    for count in commits {
        let more: Vec<_> = (0..*count)
            .map(|n| record((records.len() as u64 + n) * 100))
            .collect();
        journal.append(&more).unwrap();
        journal.commit().unwrap();
        records.extend(more);
        ends.push((journal.bytes() as usize, journal.sequence()));
    }
    drop(journal);
    let bytes = fs::read(&path).unwrap();
    let mut record_ends = vec![ends[0].0];
    while record_ends.len() < records.len() {
        let start = record_ends[record_ends.len() - 1];
        let length = u32::from_be_bytes(bytes[start..start + 4].try_into().unwrap()) as usize;
        record_ends.push(start + 8 + length);
    }
    Written {
        dir,
        path,
        bytes,
        ends,
        records,
        record_ends,
    }
}

impl Written {
    /// The bytes with these pages as they were before the last commit: zeros behind its beginning.
    fn without_pages(&self, lost: u32) -> Vec<u8> {
        let begun = self.ends[self.ends.len() - 2].0;
        let mut bytes = self.bytes.clone();
        for page in (0..32).filter(|page| lost >> page & 1 == 1) {
            let start = (begun / PAGE + page) * PAGE;
            let end = (start + PAGE).min(bytes.len());
            bytes[start.max(begun)..end].fill(0);
        }
        bytes
    }

    fn pages_of_last_commit(&self) -> u32 {
        let begun = self.ends[self.ends.len() - 2].0;
        (self.bytes.len().div_ceil(PAGE) - begun / PAGE) as u32
    }

    /// How many records are whole at the beginning of these bytes.
    fn whole_records(&self, bytes: &[u8]) -> usize {
        self.record_ends
            .iter()
            .take_while(|end| bytes.get(..**end) == self.bytes.get(..**end))
            .count()
    }
}

fn open(path: &Path, known: u64) -> Result<(u64, Vec<JournalRecord>, u64), StorageError> {
    Journal::open(path, node(0), known)
        .map(|(journal, read, recovery)| (journal.sequence(), read, recovery.torn_bytes))
}

#[test]
fn any_pages_of_a_commit_may_be_lost() {
    let all = written(&[2, 5]);
    let (synced, known) = all.ends[1];
    let pages = all.pages_of_last_commit();
    assert!((4..10).contains(&pages), "{pages} pages");
    for lost in 1..1 << pages {
        let bytes = all.without_pages(lost);
        fs::write(&all.path, &bytes).unwrap();
        let whole = all.whole_records(&bytes);
        assert!(whole as u64 >= known);
        let (sequence, read, torn) =
            open(&all.path, known).unwrap_or_else(|e| panic!("pages {lost:b}: {e}"));
        assert_eq!(
            (sequence, &read[..]),
            (whole as u64, &all.records[..whole]),
            "pages {lost:b}"
        );
        assert_eq!(
            torn as usize,
            all.bytes.len() - all.record_ends[whole - 1],
            "pages {lost:b}"
        );
        assert!(all.record_ends[whole - 1] >= synced);
        // and the next commit stands where the torn one was cut off
        let (mut journal, ..) = Journal::open(&all.path, node(0), known).unwrap();
        journal.append(&[record(9000)]).unwrap();
        journal.commit().unwrap();
        drop(journal);
        let (sequence, read, torn) = open(&all.path, whole as u64 + 1).unwrap();
        assert_eq!(
            (sequence, torn, read.last()),
            (whole as u64 + 1, 0, Some(&record(9000)))
        );
    }
}

#[test]
fn where_no_sequence_is_known_valid_records_behind_a_torn_one_are_damage() {
    let all = written(&[2, 5]);
    let mut damaged = 0;
    for lost in 1..1 << all.pages_of_last_commit() {
        let bytes = all.without_pages(lost);
        fs::write(&all.path, &bytes).unwrap();
        match open(&all.path, 0) {
            Ok((_, read, _)) => assert_eq!(
                read,
                all.records[..all.whole_records(&bytes)],
                "pages {lost:b}"
            ),
            Err(StorageError::JournalDamaged { .. }) => damaged += 1,
            Err(other) => panic!("pages {lost:b}: {other}"),
        }
        assert_eq!(
            fs::read(&all.path).unwrap().len() < bytes.len(),
            open(&all.path, 0).is_ok()
        );
    }
    assert!(damaged > 0);
}

/// A crash between journal and database leaves the database a tick behind; what the journal holds
/// is kept all the same.
#[test]
fn a_database_that_is_a_tick_behind_costs_no_record() {
    let all = written(&[2, 3, 5]);
    let known = all.ends[1].1;
    for lost in [1, 0b10, 0b101, 0b1110] {
        let bytes = all.without_pages(lost);
        fs::write(&all.path, &bytes).unwrap();
        let (sequence, read, _) = open(&all.path, known).unwrap();
        assert!(
            sequence >= all.ends[2].1 && read[..] == all.records[..sequence as usize],
            "pages {lost:b}"
        );
    }
}

/// A journal put back from an older copy, or damaged in what was sent, is never taken for a torn
/// one.
#[test]
fn what_was_sent_is_missed() {
    let all = written(&[2, 3, 2]);
    let known = all.ends[3].1;
    fs::write(&all.path, &all.bytes[..all.ends[2].0]).unwrap();
    let (sequence, _, torn) = open(&all.path, known).unwrap();
    assert_eq!(
        (sequence, torn),
        (all.ends[2].1, 0),
        "fewer than the database knows of: rolled back"
    );
    for byte in (all.ends[0].0..all.ends[3].0).step_by(97) {
        let mut bytes = all.bytes.clone();
        bytes[byte] ^= 4;
        fs::write(&all.path, &bytes).unwrap();
        match open(&all.path, known) {
            Ok((sequence, ..)) => assert!(sequence < known, "byte {byte}: rolled back"),
            Err(StorageError::JournalDamaged { .. }) => {}
            Err(other) => panic!("byte {byte}: {other}"),
        }
    }
}

/// The sequence outlives a database that is set aside, because `log.head` holds it too.
#[test]
fn a_torn_commit_is_known_without_the_database() {
    let all = written(&[2, 5]);
    let known = all.ends[1].1;
    let (_, mut writer) = Store::open(all.dir.path(), owner(), LOG).unwrap();
    writer
        .write(Changes {
            journal_sequence: Some(known),
            ..Changes::default()
        })
        .unwrap();
    drop(writer);
    fs::write(&all.path, all.without_pages(0b10)).unwrap();
    assert!(matches!(
        open(&all.path, 0),
        Err(StorageError::JournalDamaged { .. })
    ));
    fs::remove_dir_all(all.dir.path().join("db")).unwrap();
    let (store, _, aside) =
        Store::open_or_set_aside(all.dir.path(), owner(), LogId([6; 32])).unwrap();
    assert!(aside.is_some());
    assert_eq!(store.journal_sequence(), known);
    let (sequence, read, _) = open(&all.path, store.journal_sequence()).unwrap();
    assert_eq!(read, all.records[..sequence as usize]);
    assert!(sequence >= known);
}
