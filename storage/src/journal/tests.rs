use std::fs;

use proptest::prelude::*;
use ssid_protocol::id::SubjectId;

use super::frame::{DONE_SUBJECTS, HEADER_BYTES};
use super::sink::Fault;
use super::*;
use crate::codec::FORMAT;
use crate::fixtures::{event, node, precommits};
use crate::replace::beside;

fn sample(seed: u64) -> JournalRecord {
    match seed % 10 {
        0 => JournalRecord::Own(precommits(0, seed..seed + 2).batch().clone()),
        1 => JournalRecord::Support(precommits(1, seed..seed + 1).batch().clone()),
        2 => JournalRecord::Done(vec![SubjectId([seed as u8; 32]); (seed % 4) as usize]),
        3 => JournalRecord::Abstain(format!("reason {seed}")),
        6 => JournalRecord::Entered(Epoch(seed)),
        8 => JournalRecord::OldCopyGone(UnixMillis(seed)),
        9 => JournalRecord::Returns { after: Epoch(seed) },
        7 => JournalRecord::Succeeds {
            former: node(1),
            epoch: Epoch(seed),
        },
        5 => JournalRecord::SupportAlone(Box::new(
            Signed::of(&precommits(1, seed..seed + 3), 1).unwrap(),
        )),
        _ => {
            let choice = seed.is_multiple_of(2).then(|| event(seed).choice());
            JournalRecord::Note(OperatorNote {
                subject: SubjectId([1; 32]),
                kind: NoteKind::Stand,
                choice,
            })
        }
    }
}

/// A journal with `count` records after `Created`, each committed alone; and where each record
/// ends.
fn journal(path: &Path, count: u64) -> (Vec<JournalRecord>, Vec<usize>) {
    let mut journal = Journal::create(path, node(0)).unwrap();
    let mut records = vec![JournalRecord::Created { node: node(0) }];
    let mut ends = vec![journal.bytes() as usize];
    for seed in 0..count {
        records.push(sample(seed));
        journal.append(&records[records.len() - 1..]).unwrap();
        journal.commit().unwrap();
        ends.push(journal.bytes() as usize);
    }
    assert_eq!(journal.sequence(), count + 1);
    (records, ends)
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("votes.journal");
    (dir, path)
}

#[test]
fn what_is_committed_is_read_back_and_nothing_else() {
    let (_dir, path) = place();
    assert!(matches!(
        Journal::open(&path, node(0), 0),
        Err(StorageError::JournalMissing(_))
    ));
    let (records, ends) = journal(&path, 9);
    assert!(matches!(
        Journal::create(&path, node(0)),
        Err(StorageError::JournalExists(_))
    ));
    let (mut journal, read, recovery) = Journal::open(&path, node(0), 0).unwrap();
    assert_eq!((read, recovery), (records, Recovery { torn_bytes: 0 }));
    assert_eq!(
        (journal.sequence(), journal.bytes()),
        (10, *ends.last().unwrap() as u64)
    );
    journal.append(&[sample(4)]).unwrap();
    assert!(matches!(
        Journal::open(&path, node(0), 0),
        Err(StorageError::InUse(_))
    ));
    drop(journal);
    let (_, read, _) = Journal::open(&path, node(0), 0).unwrap();
    assert_eq!(
        read.len(),
        10,
        "an appended record without commit is not there"
    );
    assert!(matches!(
        Journal::open(&path, node(1), 0),
        Err(StorageError::OtherNode { .. })
    ));
}

#[test]
fn every_truncation_keeps_every_whole_record_or_says_damaged() {
    let (_dir, path) = place();
    let (records, ends) = journal(&path, 8);
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let kept = ends.iter().filter(|&&end| end <= length).count();
        match Journal::open(&path, node(0), 0) {
            Ok((journal, read, recovery)) => {
                assert_eq!(read, records[..kept], "cut at {length}");
                assert_eq!(recovery.torn_bytes as usize, length - ends[kept - 1]);
                assert_eq!(fs::metadata(&path).unwrap().len() as usize, ends[kept - 1]);
                assert_eq!(journal.sequence() as usize, kept);
            }
            Err(StorageError::JournalDamaged { .. }) => {
                assert!(length < ends[0], "cut at {length}");
            }
            Err(other) => panic!("cut at {length}: {other}"),
        }
    }
}

#[test]
fn a_cut_journal_goes_on_after_the_last_whole_record() {
    let (_dir, path) = place();
    let (records, ends) = journal(&path, 4);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..ends[4] - 3]).unwrap();
    let (mut journal, ..) = Journal::open(&path, node(0), 0).unwrap();
    journal.append(&[sample(11)]).unwrap();
    journal.commit().unwrap();
    drop(journal);
    let (_, read, recovery) = Journal::open(&path, node(0), 0).unwrap();
    assert_eq!(read, [&records[..4], &[sample(11)]].concat());
    assert_eq!(recovery.torn_bytes, 0);
}

#[test]
fn a_flipped_bit_is_damage_or_a_torn_end_never_another_record() {
    let (_dir, path) = place();
    let (records, ends) = journal(&path, 4);
    let whole = fs::read(&path).unwrap();
    for byte in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[byte] ^= 1 << (byte % 8);
        fs::write(&path, &bytes).unwrap();
        match Journal::open(&path, node(0), 0) {
            Ok((_, read, _)) => assert!(byte >= ends[3] && read == records[..4], "byte {byte}"),
            Err(StorageError::JournalDamaged { offset, .. }) => {
                assert!(byte < ends[3], "byte {byte}");
                let start = ends.iter().rfind(|&&end| end <= byte).copied();
                let expected = if byte < HEADER_BYTES {
                    0
                } else {
                    start.unwrap_or(HEADER_BYTES)
                };
                assert_eq!(offset as usize, expected, "byte {byte}");
            }
            Err(other) => panic!("byte {byte}: {other}"),
        }
    }
}

#[test]
fn a_tail_of_zeros_or_noise_is_cut_off() {
    let (_dir, path) = place();
    let (records, _) = journal(&path, 3);
    let whole = fs::read(&path).unwrap();
    let noise: Vec<u8> = (0..100_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for tail in [vec![0; 100_000], vec![1; 100_000], noise] {
        fs::write(&path, [&whole[..], &tail].concat()).unwrap();
        let (_, read, recovery) = Journal::open(&path, node(0), 0).unwrap();
        assert_eq!(
            (read.as_slice(), recovery.torn_bytes),
            (&records[..], 100_000)
        );
    }
}

#[test]
fn a_newer_format_is_named_and_not_cut_off() {
    let (_dir, path) = place();
    let (_, ends) = journal(&path, 2);
    let whole = fs::read(&path).unwrap();
    let mut newer_record = whole.clone();
    newer_record[ends[1] + 8] = FORMAT + 1;
    let checksum = crc32fast::hash(&newer_record[ends[1] + 8..]);
    newer_record[ends[1] + 4..ends[1] + 8].copy_from_slice(&checksum.to_be_bytes());
    let mut newer_file = whole;
    newer_file[6] = FORMAT + 1;
    let checksum = crc32fast::hash(&newer_file[..23]);
    newer_file[23..27].copy_from_slice(&checksum.to_be_bytes());
    for bytes in [newer_record, newer_file] {
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(
            Journal::open(&path, node(0), 0),
            Err(StorageError::NewerFormat { found: 2, .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn after_a_failed_write_or_sync_nothing_goes_on() {
    for room in [0, 1, 9, 100] {
        let (_dir, path) = place();
        let (records, _) = journal(&path, 2);
        let (mut journal, ..) = Journal::open(&path, node(0), 0).unwrap();
        journal.sink.fault = Some(Fault::FullAfter(room));
        journal.append(&[sample(0)]).unwrap();
        let error = journal.commit().unwrap_err();
        assert!(
            error.is_fatal() && error.to_string().contains("votes.journal"),
            "{error}"
        );
        journal.sink.fault = None;
        assert!(matches!(
            journal.commit(),
            Err(StorageError::JournalPoisoned(_))
        ));
        assert!(matches!(
            journal.append(&[]),
            Err(StorageError::JournalPoisoned(_))
        ));
        assert!(matches!(
            journal.rewrite(vec![]),
            Err(StorageError::JournalPoisoned(_))
        ));
        assert_eq!(journal.sequence(), 3);
        drop(journal);
        let (_, read, recovery) = Journal::open(&path, node(0), 0).unwrap();
        assert_eq!((read, recovery.torn_bytes as usize), (records, room));
    }
    let (_dir, path) = place();
    let mut journal = Journal::create(&path, node(0)).unwrap();
    journal.sink.fault = Some(Fault::Sync);
    journal.append(&[sample(0)]).unwrap();
    assert!(journal.commit().is_err());
    journal.sink.fault = None;
    assert!(matches!(
        journal.commit(),
        Err(StorageError::JournalPoisoned(_))
    ));
}

#[test]
fn compaction_keeps_the_sequence_and_what_is_not_committed() {
    let (_dir, path) = place();
    journal(&path, 20);
    let (mut journal, ..) = Journal::open(&path, node(0), 0).unwrap();
    let before = journal.bytes();
    fs::write(
        beside(&path),
        b"left over by a crash, and longer than what is written now".repeat(100),
    )
    .unwrap();
    journal.append(&[sample(1)]).unwrap();
    let done = JournalRecord::Done(vec![SubjectId([3; 32])]);
    journal
        .rewrite(vec![JournalRecord::Created { node: node(0) }, done.clone()])
        .unwrap();
    assert_eq!(journal.sequence(), 21);
    assert!(journal.bytes() < before);
    assert!(!beside(&path).exists());
    journal.commit().unwrap();
    assert_eq!(journal.sequence(), 22);
    assert!(
        matches!(
            Journal::open(&path, node(0), 0),
            Err(StorageError::InUse(_))
        ),
        "the new file is locked too"
    );
    drop(journal);
    let (journal, read, _) = Journal::open(&path, node(0), 0).unwrap();
    assert_eq!(
        read,
        [JournalRecord::Created { node: node(0) }, done, sample(1)]
    );
    assert_eq!(
        (journal.sequence(), journal.bytes()),
        (22, fs::metadata(&path).unwrap().len())
    );
    drop(journal);
    // what compaction wrote was synced as a whole: a cut in it is no torn write
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..100]).unwrap();
    assert!(matches!(
        Journal::open(&path, node(0), 0),
        Err(StorageError::JournalDamaged { .. })
    ));
}

#[test]
fn a_list_of_any_length_fits_and_an_oversize_record_is_refused() {
    let (_dir, path) = place();
    let mut journal = Journal::create(&path, node(0)).unwrap();
    let subjects = vec![SubjectId([9; 32]); DONE_SUBJECTS * 2 + 1];
    journal
        .rewrite(vec![JournalRecord::Done(subjects.clone())])
        .unwrap();
    journal.append(&[JournalRecord::Done(subjects)]).unwrap();
    journal.commit().unwrap();
    assert_eq!(journal.sequence(), 4);
    let mut events = event(1);
    events.emitted_by = "x".repeat(5 << 20);
    let statements = ssid_protocol::batch::Statements::Events(vec![events]);
    let batch = precommits(0, 0..1).batch().clone();
    let oversize = JournalRecord::Own(SignedBatch {
        statements,
        ..batch
    });
    assert!(matches!(
        journal.append(&[sample(1), oversize]),
        Err(StorageError::RecordTooLarge { .. })
    ));
    journal.commit().unwrap();
    drop(journal);
    let (journal, read, _) = Journal::open(&path, node(0), 0).unwrap();
    let lengths: Vec<_> = read
        .iter()
        .map(|r| {
            if let JournalRecord::Done(d) = r {
                d.len()
            } else {
                0
            }
        })
        .collect();
    assert_eq!(
        lengths,
        [
            0,
            DONE_SUBJECTS,
            DONE_SUBJECTS,
            1,
            DONE_SUBJECTS,
            DONE_SUBJECTS,
            1
        ]
    );
    assert_eq!(journal.sequence(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_commits_are_read_back(commits in prop::collection::vec(prop::collection::vec(0..1000_u64, 0..4), 0..6)) {
        let (_dir, path) = place();
        let mut journal = Journal::create(&path, node(2)).unwrap();
        let mut records = vec![JournalRecord::Created { node: node(2) }];
        for commit in commits {
            let more: Vec<_> = commit.into_iter().map(sample).collect();
            journal.append(&more).unwrap();
            journal.commit().unwrap();
            records.extend(more);
        }
        prop_assert_eq!(journal.sequence(), records.len() as u64);
        drop(journal);
        prop_assert_eq!(Journal::open(&path, node(2), 0).unwrap().1, records);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), start in 0..200_usize) {
        let (_dir, path) = place();
        journal(&path, 2);
        let mut contents = fs::read(&path).unwrap();
        contents.truncate(start);
        contents.extend(bytes);
        fs::write(&path, contents).unwrap();
        drop(Journal::open(&path, node(0), 0));
    }
}
