//! Damage to the database's files ends in the database being set aside and named, or in nothing
//! being lost; never in silent loss, a panic or a start on half of the data.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use ssid_protocol::id::{LogId, UnixMillis};
use ssid_protocol::record::ConsensusRecord;
use ssid_protocol::trust::{TrustChange, TrustReason};

use crate::database::Batch;
use crate::fixtures::{LOG, certify, check_certificate, node, owner, record};
use crate::tables;
use crate::{Changes, OutboxRow, StorageError, Store};

const ENTRIES: u64 = 2400;
const NEW_LOG: LogId = LogId([0xee; 32]);

/// Fills a store with log entries and, last, with rows that no log tells of.
fn fill(dir: &Path) {
    let (_store, mut writer) = Store::open(dir, owner(), LOG).unwrap();
    for step in 0..ENTRIES / 200 {
        writer.write(certify(step * 200..step * 200 + 200)).unwrap();
        // and values that replace others
        let late = |n| {
            (
                n,
                ConsensusRecord {
                    completed_at: UnixMillis(step),
                    ..record(n)
                },
            )
        };
        writer
            .write(Changes {
                records: (0..step * 50).map(late).collect(),
                ..Changes::default()
            })
            .unwrap();
    }
    let change = |at| TrustChange {
        member: node(1),
        reason: TrustReason::SyncFailed,
        points: -3,
        at: UnixMillis(at),
        origin: None,
        reference: String::new(),
        note: None,
    };
    let outbox = (0..20_u8)
        .map(|n| OutboxRow {
            kind: n,
            payload: vec![n; 100],
        })
        .collect();
    let changes = Changes {
        trust: (0..20).map(change).collect(),
        outbox,
        ..Changes::default()
    };
    writer
        .write(Changes {
            journal_sequence: Some(77),
            ..changes
        })
        .unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Whether the store was set aside; if not, everything is there. Either way it can be used.
fn ends_well(dir: &Path, what: &str) -> bool {
    let refused = match Store::open(dir, owner(), NEW_LOG) {
        Ok(_) => None,
        Err(StorageError::Damaged { reason, .. }) => Some(reason),
        Err(other) => panic!("{what}: {other}"),
    };
    let (store, mut writer, aside) = Store::open_or_set_aside(dir, owner(), NEW_LOG).unwrap();
    assert_eq!(store.journal_sequence(), 77, "{what}");
    if let Some(aside) = &aside {
        assert!(
            refused.is_some() && aside.moved_to.join("log.head").exists(),
            "{what}: {aside:?}"
        );
        assert_eq!(
            (store.certified_count(), store.log_head().log_id),
            (0, NEW_LOG)
        );
        writer.write(certify(0..2)).unwrap();
    } else {
        assert_eq!(refused, None, "{what}");
        assert_eq!(
            (store.certified_count(), store.log_head().log_id),
            (ENTRIES, LOG),
            "{what}"
        );
        assert_eq!(store.verify_log().unwrap(), ENTRIES);
        (0..ENTRIES)
            .step_by(137)
            .for_each(|n| check_certificate(&store, n, n));
        assert_eq!(
            (store.trust().count(), store.outbox_len()),
            (20, 20),
            "{what}"
        );
    }
    aside.is_some()
}

#[test]
fn zeroed_pages_and_cut_files_are_never_silent() {
    let original = tempfile::tempdir().unwrap();
    fill(original.path());
    let data = Path::new("db").join("db");
    let length = fs::metadata(original.path().join(&data)).unwrap().len();
    let mut set_aside = 0;
    let dir = tempfile::tempdir().unwrap();
    copy(original.path(), dir.path());
    assert!(!ends_well(dir.path(), "an unharmed copy"));
    let cuts = [512, 4096, 100 * 1024, 1024 * 1024, 3 * 1024 * 1024]
        .into_iter()
        .filter(|&cut| cut < length);
    for cut in cuts {
        let dir = tempfile::tempdir().unwrap();
        copy(original.path(), dir.path());
        fs::OpenOptions::new()
            .write(true)
            .open(dir.path().join(&data))
            .unwrap()
            .set_len(length - cut)
            .unwrap();
        set_aside += usize::from(ends_well(dir.path(), &format!("cut by {cut}")));
    }
    for nth in 0..18 {
        let dir = tempfile::tempdir().unwrap();
        copy(original.path(), dir.path());
        let at = length * nth / 18 / 4096 * 4096;
        let file = fs::OpenOptions::new()
            .write(true)
            .open(dir.path().join(&data))
            .unwrap();
        file.write_all_at(&[0; 4096], at).unwrap();
        set_aside += usize::from(ends_well(
            dir.path(),
            &format!("zeroed at {at} of {length}"),
        ));
    }
    assert!(set_aside > 0, "something was damaged");
}

#[test]
fn a_missing_database_head_or_file_of_it_is_damage() {
    type Damage = (&'static str, fn(&Path));
    let original = tempfile::tempdir().unwrap();
    fill(original.path());
    let damages: [Damage; 3] = [
        ("no db", |dir| fs::remove_dir_all(dir.join("db")).unwrap()),
        ("empty db", |dir| {
            fs::remove_dir_all(dir.join("db")).unwrap();
            fs::create_dir(dir.join("db")).unwrap();
        }),
        ("emptied file", |dir| {
            drop(fs::File::create(dir.join("db").join("db")).unwrap());
        }),
    ];
    for (what, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        copy(original.path(), dir.path());
        damage(dir.path());
        assert!(ends_well(dir.path(), what), "{what}");
    }
    for contents in [None, Some(&b"no head"[..])] {
        let dir = tempfile::tempdir().unwrap();
        copy(original.path(), dir.path());
        let head = dir.path().join("log.head");
        contents
            .map_or_else(
                || fs::remove_file(&head),
                |contents| fs::write(&head, contents),
            )
            .unwrap();
        let (store, _writer, aside) =
            Store::open_or_set_aside(dir.path(), owner(), NEW_LOG).unwrap();
        assert!(aside.unwrap().reason.contains("log.head") && store.certified_count() == 0);
    }
}

/// A database put back from an older copy is whole in itself; only the head knows that it is short.
#[test]
fn an_older_database_under_a_newer_head_is_damage() {
    let (dir, older) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(dir.path());
    copy(dir.path(), older.path());
    {
        let (_store, mut writer) = Store::open(dir.path(), owner(), LOG).unwrap();
        writer
            .write(Changes {
                journal_sequence: Some(77),
                outbox: vec![OutboxRow {
                    kind: 0,
                    payload: vec![],
                }],
                ..Changes::default()
            })
            .unwrap();
    }
    fs::remove_dir_all(dir.path().join("db")).unwrap();
    copy(&older.path().join("db"), &dir.path().join("db"));
    assert!(ends_well(dir.path(), "rolled back"));
    // and set aside once more, beside the first
    fs::remove_dir_all(dir.path().join("db")).unwrap();
    let (.., aside) = Store::open_or_set_aside(dir.path(), owner(), NEW_LOG).unwrap();
    assert!(aside.unwrap().moved_to.ends_with("db.damaged-2"));
}

/// A database that is ahead of its head is what a crash between the two leaves behind.
#[test]
fn a_newer_database_over_an_older_head_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let head = fs::read(dir.path().join("log.head")).unwrap();
    let (store, mut writer) = Store::open(dir.path(), owner(), LOG).unwrap();
    writer.write(certify(ENTRIES..ENTRIES + 5)).unwrap();
    drop((store, writer));
    fs::write(dir.path().join("log.head"), head).unwrap();
    let (store, mut writer) = Store::open(dir.path(), owner(), LOG).unwrap();
    assert_eq!(store.certified_count(), ENTRIES + 5);
    writer.write(certify(ENTRIES + 5..ENTRIES + 6)).unwrap();
    drop((store, writer));
    assert_eq!(
        Store::open(dir.path(), owner(), LOG)
            .unwrap()
            .0
            .certified_count(),
        ENTRIES + 6
    );
}

/// Rows changed by hand: the log's own check names the entry, a start sets the database aside.
#[test]
fn a_changed_log_entry_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let (store, writer) = Store::open(dir.path(), owner(), LOG).unwrap();
    let mut entry = store.log_entry(333).unwrap().unwrap();
    entry.choice.content_digest.0[0] ^= 1;
    let mut batch = Batch::default();
    batch.insert(tables::LOG.key(&333), tables::LOG.value(&entry).unwrap());
    store.database().apply(batch).unwrap();
    assert_eq!(store.verify_log(), Err(333));
    let mut batch = Batch::default();
    batch.remove(tables::LOG.key(&100));
    store.database().apply(batch).unwrap();
    assert_eq!(store.verify_log(), Err(100));
    drop((store, writer));
    let error = Store::open(dir.path(), owner(), LOG).unwrap_err();
    assert!(
        error.to_string().contains("log entry 100 is missing"),
        "{error}"
    );
}
