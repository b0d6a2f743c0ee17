//! Damage on disk: certificates can be fetched again, own votes cannot.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use ssid_tests::{Cluster, Events, LONG, SOON, eventually};

const EVENTS: usize = 150;

/// Four nodes with a certified log; the first has ended in order.
fn cluster_with_log() -> Cluster {
    let mut cluster = Cluster::start(4);
    let log = cluster.dir().join("log");
    fs::write(&log, Events::series("damage").lines(0..EVENTS)).unwrap();
    let _ = cluster
        .node(0)
        .ssid(&["events", "import", log.to_str().unwrap(), "--wait"])
        .well();
    cluster.wait_certified(EVENTS, LONG);
    assert!(cluster.node_mut(0).terminate().0.success());
    cluster
}

/// One more event at another node.
fn emit_one(cluster: &Cluster, version: &str) {
    let emit = [
        "events",
        "emit",
        "--event",
        "tick",
        "--version",
        version,
        "--commit",
        "0123abc",
        "--wait",
    ];
    let _ = cluster.node(1).ssid(&emit).well();
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// The database's file with the records.
fn largest_file(dir: &Path) -> PathBuf {
    files_below(dir)
        .into_iter()
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap()
}

fn cut(path: &Path, keep: u64) {
    OpenOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(keep)
        .unwrap();
}

fn zero(path: &Path, from: u64, bytes: usize) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(from)).unwrap();
    file.write_all(&vec![0; bytes]).unwrap();
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

type Damage = fn(&Path);

#[test]
fn a_damaged_database_is_set_aside_and_filled_again_from_peers() {
    let mut cluster = cluster_with_log();
    let (db, kept) = (cluster.node(0).file("db"), cluster.dir().join("kept"));
    copy_dir(&db, &kept);
    let head = fs::read(cluster.node(0).file("log.head")).unwrap();

    let damages: [(&str, Damage); 5] = [
        ("its end cut off", |db| {
            cut(
                &largest_file(db),
                fs::metadata(largest_file(db)).unwrap().len() / 2,
            );
        }),
        ("a page of zeros in its middle", |db| {
            zero(
                &largest_file(db),
                fs::metadata(largest_file(db)).unwrap().len() / 3,
                16384,
            );
        }),
        ("a page of zeros at its beginning", |db| {
            zero(&largest_file(db), 0, 4096);
        }),
        ("every file emptied", |db| {
            files_below(db).iter().for_each(|file| cut(file, 0));
        }),
        ("its directory gone", |db| fs::remove_dir_all(db).unwrap()),
    ];
    for (what, damage) in damages {
        if db.exists() {
            fs::remove_dir_all(&db).unwrap();
        }
        copy_dir(&kept, &db);
        fs::write(cluster.node(0).file("log.head"), &head).unwrap();
        damage(&db);
        eprintln!("damage: {what}");
        let node = cluster.node_mut(0);
        let before = node.log().len();
        node.start_answering();
        cluster.wait_certified(EVENTS, LONG);
        assert_eq!(cluster.assert_agreed(), EVENTS, "{what}");
        let log = cluster.node(0).log()[before..].to_owned();
        assert!(
            !log.contains("panicked") || log.contains("set aside"),
            "{what}: {log}"
        );
        assert!(log.contains("set aside"), "{what} is not said: {log}");
        // it votes on: its vote history is whole
        let status = cluster.node(0).status();
        assert!(status["voting"]["abstaining"].is_null(), "{what}: {status}");
        assert!(cluster.node_mut(0).terminate().0.success());
    }
}

#[test]
fn without_its_vote_history_a_node_abstains_says_why_and_the_others_go_on() {
    let mut cluster = cluster_with_log();
    fs::remove_file(cluster.node(0).file("votes.journal")).unwrap();
    cluster.node_mut(0).start_answering();
    cluster.wait_ready();
    let voting = cluster.node(0).ssid_json(&["status"])["voting"].clone();
    assert!(
        voting["abstaining"]
            .as_str()
            .is_some_and(|why| why.contains("votes.journal")),
        "{voting}"
    );
    assert!(
        voting["waiting_for"].to_string().contains("vote history"),
        "{voting}"
    );
    let text = cluster.node(0).ssid(&["status"]).well().stdout;
    assert!(
        text.contains("vote history") && text.contains("votes.journal"),
        "{text}"
    );
    assert_eq!(cluster.node(0).get("/readyz").status, 503);
    let emit = [
        "events",
        "emit",
        "--event",
        "tick",
        "--version",
        "own",
        "--commit",
        "0123abc",
    ];
    let _ = cluster
        .node(0)
        .ssid(&emit)
        .exits(1)
        .says(&["abstains", "votes.journal"]);

    emit_one(&cluster, "while-abstaining");
    cluster.wait_certified(EVENTS + 1, SOON);
    let own = cluster.node(0).org.node_id();
    let check = cluster.node(1).history()[0].clone();
    assert!(
        check["node_hashes"][&own].is_null(),
        "it has signed nothing: {check}"
    );
    // the reason stays over a restart: the new journal is no complete history
    cluster.node_mut(0).kill();
    cluster.node_mut(0).start_answering();
    assert!(cluster.node(0).status()["voting"]["abstaining"].is_string());
    cluster.wait_ready();
    assert_eq!(cluster.assert_agreed(), EVENTS + 1);
}

#[test]
fn a_vote_history_that_was_rolled_back_is_noticed() {
    let mut cluster = cluster_with_log();
    let journal = cluster.node(0).file("votes.journal");
    let old = fs::read(&journal).unwrap();
    cluster.node_mut(0).start_answering();
    cluster.wait_ready();
    emit_one(&cluster, "later");
    cluster.wait_certified(EVENTS + 1, SOON);
    assert!(cluster.node_mut(0).terminate().0.success());
    fs::write(&journal, old).unwrap();
    cluster.node_mut(0).start_answering();
    let status = cluster.node(0).status();
    assert!(
        status["voting"]["abstaining"]
            .to_string()
            .contains("rolled back"),
        "{status}"
    );
}

#[test]
fn a_torn_end_of_the_vote_history_is_cut_off_and_the_node_votes_on() {
    let mut cluster = cluster_with_log();
    let journal = cluster.node(0).file("votes.journal");
    // half a record, as a power cut leaves it: it was never synced, so it was never sent
    let mut file = File::options().append(true).open(&journal).unwrap();
    file.write_all(&[0, 0, 1, 0, 0xde, 0xad, 0xbe]).unwrap();
    drop(file);
    cluster.node_mut(0).start_answering();
    cluster.wait_ready();
    let log = cluster.node(0).log();
    assert!(
        log.contains("torn record"),
        "{}",
        cluster.node(0).log_tail()
    );
    assert!(cluster.node(0).status()["voting"]["abstaining"].is_null());
    emit_one(&cluster, "after-the-cut");
    cluster.wait_certified(EVENTS + 1, SOON);
    let own = cluster.node(0).org.node_id();
    eventually("its vote is in the record", SOON, || {
        let record = cluster.node(1).history()[0].clone();
        if record["endorsing_nodes"][&own].is_string() {
            Ok(())
        } else {
            Err(record)
        }
    });
}

#[test]
fn a_vote_history_damaged_in_its_middle_makes_the_node_abstain() {
    let mut cluster = cluster_with_log();
    let journal = cluster.node(0).file("votes.journal");
    let middle = fs::metadata(&journal).unwrap().len() / 2;
    zero(&journal, middle, 64);
    cluster.node_mut(0).start_answering();
    let status = cluster.node(0).status();
    assert!(
        status["voting"]["abstaining"]
            .to_string()
            .contains("damaged"),
        "{status}"
    );
    emit_one(&cluster, "without-it");
    cluster.wait_certified(EVENTS + 1, SOON);
}
