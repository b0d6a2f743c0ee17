//! `kill -9` at any instant loses nothing that was acknowledged. The test's own binary is the
//! victim: started again with [`CHILD`] set, it writes and says so, line by line, until it is
//! killed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::fixtures::{LOG, certify, check_certificate, node, owner, precommits};
use crate::{Changes, Journal, JournalRecord, OutboxRow, StorageError, Store};

/// Names the victim's data directory.
const CHILD: &str = "SSID_STORAGE_TEST_CHILD";
/// Subjects certified by one write.
const STEP: u64 = 3;

fn victim(dir: &Path, shell: Option<&str>) -> Child {
    let exe = std::env::current_exe().unwrap();
    let args = [
        "--exact",
        "tests::crash::child",
        "--nocapture",
        "--test-threads=1",
    ];
    let mut command = match shell {
        None => Command::new(&exe),
        Some(before) => {
            let mut command = Command::new("bash");
            command
                .args(["-c", &format!("{before}; exec \"$0\" \"$@\"")])
                .arg(&exe);
            command
        }
    };
    command
        .args(args)
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Not a test of its own: the victim. Each step is a journal commit and then a write, as the engine
/// does it.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else {
        return;
    };
    let dir = Path::new(&dir);
    let (store, mut writer) = match Store::open(dir, owner(), LOG) {
        Ok(opened) => opened,
        Err(error) => return println!("refused {error}"),
    };
    let (mut journal, ..) = Journal::open(
        &dir.join("votes.journal"),
        node(0),
        store.journal_sequence(),
    )
    .unwrap();
    for step in writer.store().certified_count() / STEP.. {
        let numbers = step * STEP..(step + 1) * STEP;
        journal
            .append(&[JournalRecord::Own(
                precommits(0, numbers.clone()).batch().clone(),
            )])
            .unwrap();
        journal.commit().unwrap();
        println!("signed {}", journal.sequence());
        let outbox = vec![OutboxRow {
            kind: 1,
            payload: step.to_be_bytes().to_vec(),
        }];
        let changes = Changes {
            outbox,
            journal_sequence: Some(journal.sequence()),
            ..certify(numbers)
        };
        match writer.write(changes) {
            Ok(written) => println!("written {}", written.head.size),
            Err(error) => return println!("failed {} {error}", error.is_fatal()),
        }
        std::io::stdout().flush().unwrap();
    }
}

/// What a victim said, by its last lines.
#[derive(Debug, Default)]
struct Said {
    signed: u64,
    written: u64,
    failed: Option<String>,
}

fn listen(child: &mut Child) -> Said {
    let mut said = Said::default();
    for line in BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
    {
        // the harness puts its own words in front of the first line
        let words = |word: &str| line.split_once(word).map(|(_, rest)| rest.to_owned());
        if let Some(n) = words("signed ").and_then(|n| n.parse().ok()) {
            said.signed = n;
        } else if let Some(n) = words("written ").and_then(|n| n.parse().ok()) {
            said.written = n;
        } else if let Some(rest) = words("failed ").or_else(|| words("refused ")) {
            said.failed = Some(rest);
        }
    }
    said
}

/// Everything the victim acknowledged is there.
fn check(dir: &Path, said: &Said) {
    let (store, writer, aside) = Store::open_or_set_aside(dir, owner(), LOG).unwrap();
    assert_eq!(aside, None);
    let size = store.certified_count();
    assert!(
        size >= said.written && size.is_multiple_of(STEP),
        "{size} of {said:?}"
    );
    assert_eq!(store.verify_log().unwrap(), size);
    assert_eq!(
        store.outbox(1, usize::MAX).unwrap().len() as u64,
        size / STEP
    );
    (0..size).for_each(|sequence| check_certificate(&store, sequence, sequence));
    let (journal, records, _) = Journal::open(
        &dir.join("votes.journal"),
        node(0),
        store.journal_sequence(),
    )
    .unwrap();
    assert!(journal.sequence() >= said.signed && journal.sequence() >= store.journal_sequence());
    assert_eq!(records.len() as u64, journal.sequence());
    drop(writer);
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    drop(Journal::create(&dir.path().join("votes.journal"), node(0)).unwrap());
    let mut written = 0;
    for round in 0..6 {
        let mut child = victim(dir.path(), None);
        std::thread::sleep(Duration::from_millis(250 + round * 83));
        child.kill().unwrap();
        let said = listen(&mut child);
        child.wait().unwrap();
        assert_eq!(said.failed, None);
        check(dir.path(), &said);
        written = written.max(said.written);
    }
    assert!(written > 0, "the victims wrote");
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Store::open(dir.path(), owner(), LOG).unwrap();
    let mut child = victim(dir.path(), None);
    let said = listen(&mut child);
    child.wait().unwrap();
    let expected = StorageError::InUse(dir.path().join("log.head")).to_string();
    assert_eq!(said.failed, Some(expected));
    drop(opened);
}

/// A limit on file size (in KiB) stands in for a full disk: writes past it fail.
#[test]
fn a_full_disk_is_fatal_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    drop(Journal::create(&dir.path().join("votes.journal"), node(0)).unwrap());
    let mut child = victim(dir.path(), Some("trap '' XFSZ; ulimit -f 6000"));
    let said = listen(&mut child);
    child.wait().unwrap();
    let failed = said.failed.clone().unwrap();
    assert!(failed.starts_with("true "), "{failed}");
    check(dir.path(), &said);
}
