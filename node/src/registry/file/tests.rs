#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;

use super::*;
use crate::registry::append::append_to;
use crate::registry::fixtures::{event, one_line, pretty};

struct Log {
    directory: tempfile::TempDir,
    file: RegistryFile,
}

impl Log {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registry_events.log");
        fs::write(&path, text).unwrap();
        Self {
            directory,
            file: RegistryFile::open(path).unwrap(),
        }
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file.path()).unwrap()
    }

    fn set(&self, text: &str) {
        fs::write(self.file.path(), text).unwrap();
    }

    fn read(&mut self) -> Vec<Event> {
        match self.file.read_new().unwrap() {
            Change::Appended(log) => log.entries.into_iter().map(|e| e.event).collect(),
            Change::Unchanged => Vec::new(),
            drift @ Change::Drift { .. } => panic!("{drift:?}"),
        }
    }

    /// As if the file had been left alone for a while.
    fn age(&mut self) {
        self.file.quiet_after = Duration::ZERO;
    }
}

#[test]
fn a_file_is_followed_as_it_grows() {
    let mut log = Log::new(&format!(
        "Registry events initialized.\n{}\n",
        pretty(&event(1))
    ));
    assert_eq!(log.read(), [event(1)]);
    assert_eq!(log.file.read_new().unwrap(), Change::Unchanged);
    let text = log.text();
    log.set(&format!("{text}{}", &pretty(&event(2))[..50]));
    let Change::Appended(cut_off) = log.file.read_new().unwrap() else {
        panic!()
    };
    assert!(cut_off.entries.is_empty() && cut_off.incomplete.is_some());
    assert_eq!(log.file.read_new().unwrap(), Change::Unchanged);
    log.age();
    log.set(&format!(
        "{text}{}\n{}\n",
        pretty(&event(2)),
        one_line(&event(3))
    ));
    assert_eq!(log.read(), [event(2), event(3)]);
    log.age();
    assert_eq!(log.file.read_new().unwrap(), Change::Unchanged);
    assert_eq!(log.file.position().offset, log.text().len() as u64);
}

#[test]
fn edits_cuts_and_replacements_are_drift() {
    let text = format!("{}\n{}\n", pretty(&event(1)), one_line(&event(2)));
    let mut log = Log::new(&text);
    assert_eq!(log.read().len(), 2);
    let drift_of = |log: &mut Log| match log.file.read_new().unwrap() {
        Change::Drift { from_line, what } => (from_line, what),
        other => panic!("{other:?}"),
    };
    log.set(&text.replace("active\",\n", "broken\",\n"));
    assert_eq!(
        drift_of(&mut log),
        (7, "lines that had been read have been changed".to_owned())
    );
    log.set(&text[..text.len() - 10]);
    assert_eq!(
        drift_of(&mut log),
        (11, "lines that had been read are gone".to_owned())
    );
    fs::remove_file(log.file.path()).unwrap();
    assert_eq!(drift_of(&mut log), (1, "the file is gone".to_owned()));
    log.set(&text);
    assert_eq!(
        log.file.read_new().unwrap(),
        Change::Unchanged,
        "it is as it was"
    );
    let other = log.directory.path().join("other");
    fs::write(&other, text.replace("v4.2.1", "v4.2.9")).unwrap();
    fs::rename(other, log.file.path()).unwrap();
    assert_eq!(drift_of(&mut log).0, 4);
    assert_eq!(drift_of(&mut log).0, 4, "it is told until somebody looks");
    log.file.start_over();
    assert_eq!(log.read().len(), 2);
}

#[test]
fn an_edit_within_the_same_tick_is_noticed() {
    let text = one_line(&event(1)) + "\n";
    let mut log = Log::new(&text);
    log.read();
    log.set(&text.replace("active", "Active"));
    assert!(matches!(
        log.file.read_new().unwrap(),
        Change::Drift { from_line: 1, .. }
    ));
}

#[test]
fn appending_makes_what_is_missing_and_is_harmless_to_repeat() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory
        .path()
        .join("24_meta_orchestration/registry/logs/registry_events.log");
    let mut file = RegistryFile::open(&path).unwrap();
    assert_eq!(file.read_new().unwrap(), Change::Unchanged);
    assert_eq!(file.append(&[]).unwrap(), 0);
    assert!(!path.exists());
    assert_eq!(file.append(&[event(1), event(2), event(1)]).unwrap(), 2);
    let line = serde_json::to_string(&event(1)).unwrap();
    let hash = event(1).event_hash();
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with(&format!(
            "{},\"event_hash\":\"{hash}\"}}\n",
            &line[..line.len() - 1]
        )),
        "{text}"
    );
    assert_eq!(
        file.append(&[event(1), event(2)]).unwrap(),
        0,
        "they are there"
    );
    assert_eq!(
        file.read_new().unwrap(),
        Change::Unchanged,
        "what it appended itself is not read back"
    );
    assert_eq!(file.position().offset, text.len() as u64);
    let mut fresh = RegistryFile::open(&path).unwrap();
    assert_eq!(
        fresh.append(&[event(1), event(2)]).unwrap(),
        0,
        "unread, but there"
    );
    let Change::Appended(log) = fresh.read_new().unwrap() else {
        panic!()
    };
    assert_eq!(log.entries.len(), 2);
    assert_eq!(log.entries[0].stated_hash, Some(hash));
    let mut same_hash = event(1);
    same_hash.emitted_by = "another".into();
    assert_eq!(
        file.append(&[event(2), same_hash.clone(), event(3)])
            .unwrap(),
        2
    );
    assert_eq!(
        RegistryFile::open(&path)
            .unwrap()
            .append(&[same_hash, event(3)])
            .unwrap(),
        0
    );
}

#[test]
fn a_cut_off_line_is_ended_and_written_again() {
    let own = serde_json::to_string(&event(2)).unwrap();
    for cut in [1, 2, 15, 40, own.len() - 1] {
        for old in [String::new(), pretty(&event(1)), pretty(&event(1)) + "\n"] {
            let mut log = Log::new(&format!("{old}{}", &own[..cut]));
            assert_eq!(log.file.append(&[event(2)]).unwrap(), 1);
            assert!(log.text().starts_with(&format!("{old}{}\n", &own[..cut])));
            assert_eq!(log.read().last(), Some(&event(2)));
            assert_eq!(log.file.append(&[event(2)]).unwrap(), 0);
        }
    }
    let mut whole = Log::new(&pretty(&event(1)));
    assert_eq!(whole.file.append(&[event(1), event(2)]).unwrap(), 1);
    assert_eq!(whole.read(), [event(1), event(2)]);
}

#[test]
fn what_was_removed_by_hand_does_not_stop_appending() {
    let mut log = Log::new(&format!(
        "{}\n{}\n",
        one_line(&event(1)),
        one_line(&event(2))
    ));
    log.read();
    log.set("Registry events initialized.\n");
    assert_eq!(log.file.append(&[event(3)]).unwrap(), 1);
    assert!(log.text().starts_with("Registry events initialized.\n{"));
    assert!(matches!(
        log.file.read_new().unwrap(),
        Change::Drift { from_line: 1, .. }
    ));
}

#[test]
fn large_files_are_read_in_parts() {
    let line = one_line(&event(1)) + "\n";
    let lines = 2 * READ_BYTES / line.len() + 10;
    let mut log = Log::new(&line.repeat(lines));
    let (mut parts, mut found) = (0, 0);
    loop {
        let events = log.read();
        if events.is_empty() {
            break;
        }
        parts += 1;
        found += events.len();
    }
    assert_eq!((parts, found), (3, lines));
}

#[test]
fn errors_name_the_file_and_say_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let error = RegistryFile::open(directory.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&directory.path().display().to_string())
            && error.contains("not a regular file")
    );
    let full = Err::<(), _>(io::Error::from(io::ErrorKind::StorageFull));
    let full = FileError::from(full.context("append to", "/x.log").unwrap_err()).to_string();
    assert!(full.starts_with("cannot append to '/x.log': ") && full.contains("free space"));
    let below_a_file = directory.path().join("file/x.log");
    fs::write(directory.path().join("file"), "").unwrap();
    assert!(RegistryFile::open(&below_a_file).is_err());
    let sparse = directory.path().join("sparse.log");
    File::create(&sparse)
        .unwrap()
        .set_len(FILE_BYTES + 1)
        .unwrap();
    assert!(
        RegistryFile::open(&sparse)
            .unwrap_err()
            .to_string()
            .contains("archive it")
    );
}

#[test]
fn a_full_disk_is_an_error() {
    let full = Path::new("/dev/full");
    let file = File::options().read(true).append(true).open(full).unwrap();
    let error = append_to(file, full, "{}\n").unwrap_err();
    assert!(
        matches!(
            &error,
            FileError::Io(PathError {
                action: "append to",
                ..
            })
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("free space on that disk"),
        "{error}"
    );
}

#[test]
fn an_object_in_the_middle_of_being_written_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("registry_events.log");
    let file = RegistryFile::open(&path).unwrap();
    assert!(!file.is_being_written().unwrap(), "nothing there");
    fs::write(
        &path,
        "Registry events initialized.\n{\n  \"timestamp\": \"2025-10",
    )
    .unwrap();
    assert!(file.is_being_written().unwrap());
    fs::write(&path, "Registry events initialized.\n").unwrap();
    assert!(
        !file.is_being_written().unwrap(),
        "complete, however recent"
    );
}

#[test]
fn a_file_is_quiet_also_where_the_clock_was_set_back_since_it_was_touched() {
    let stamp = |seconds| Stamp {
        size: 1,
        modified: (seconds, 0),
        changed: (seconds, 0),
        file: (1, 1),
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
    let is_within = |seconds| stamp(seconds).is_within(QUIET_AFTER, now);
    assert!([999, 1_000, 1_001].into_iter().all(is_within));
    assert!(![1, 997, 1_003, 5_000].into_iter().any(is_within));
}
