//! Registry files that mean harm, or are none: counted, named by line, survived.

use std::fs;

use serde_json::Value;
use ssid_tests::{Cluster, Events, Outcome, SOON, eventually, pretty, with_hash};

/// Imports bytes as a file.
fn import(cluster: &Cluster, bytes: &[u8]) -> Outcome {
    let log = cluster.dir().join("hostile.log");
    fs::write(&log, bytes).unwrap();
    cluster.node(0).ssid(&[
        "--json",
        "events",
        "import",
        log.to_str().unwrap(),
        "--wait",
    ])
}

fn counts(said: &Value) -> [u64; 3] {
    ["events", "accepted", "refused"].map(|key| said[key].as_u64().unwrap())
}

#[test]
fn hostile_registry_logs_are_counted_named_and_survived() {
    let cluster = Cluster::start(2);
    let events = Events::series("hostile");
    let mut next = 0;
    let mut good = || {
        next += 1;
        events.event(next)
    };
    let deep_array = "[".repeat(1 << 20);
    let deep_object = "{\"a\":".repeat(200_000);
    let closed_deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let long_line = "x".repeat(1 << 20);
    let long_object = format!("{{\"timestamp\":\"{}\"}}", "9".repeat(1 << 20));
    let (nuls, brackets) = ("\0".repeat(100_000), "}{".repeat(100_000));
    let quotes = format!("{{\"{}", "\\\"".repeat(100_000));
    let stretches: [(&str, &[u8]); 12] = [
        ("garbage", b"\x01\x02\xff\xfe\x80 {{{ ]]] \"unfinished"),
        ("one long line", long_line.as_bytes()),
        ("a long object", long_object.as_bytes()),
        ("deep arrays", deep_array.as_bytes()),
        ("deep objects", deep_object.as_bytes()),
        ("deep arrays, closed", closed_deep.as_bytes()),
        ("NULs", nuls.as_bytes()),
        ("brackets", brackets.as_bytes()),
        ("an unfinished string", quotes.as_bytes()),
        (
            "invalid UTF-8 in an object",
            b"{\"timestamp\":\"\xff\xfe\",\"event\":\"x\"}",
        ),
        (
            "other JSON",
            b"[1,2,{\"a\":null}] 7 true \"text\" {\"event\":5}",
        ),
        ("nothing", b""),
    ];
    for (what, stretch) in stretches {
        let (before, after) = (good(), good());
        let mut bytes = (with_hash(&before) + "\n").into_bytes();
        bytes.extend(stretch);
        bytes.extend(format!("\n{}\n{}\n", pretty(&after), with_hash(&good())).bytes());
        let outcome = import(&cluster, &bytes);
        let said = outcome.clone().well().json();
        let [found, accepted, refused] = counts(&said);
        assert_eq!(
            (found, accepted, refused),
            (3, 3, 0),
            "{what} hides no event: {said}"
        );
        assert_eq!(said["now_certified"], 3, "{what}: {said}");
        let is_named = said["skipped"].as_u64().unwrap() > 0;
        let is_prose = ["one long line", "nothing", "NULs"].contains(&what);
        assert!(is_named || is_prose, "{what} is not named: {said}");
        assert!(
            outcome.stdout.len() < 100_000,
            "{what} is repeated in the answer: {} bytes",
            outcome.stdout.len()
        );
    }
    cluster.wait_certified(36, SOON);
    assert_eq!(cluster.assert_agreed(), 36);
}

#[test]
fn events_that_break_a_rule_are_refused_one_by_one_with_line_field_and_rule() {
    let cluster = Cluster::start(2);
    let events = Events::series("rules");
    let broken = |i: usize, field: &str, value: &str| {
        let mut event: Value = serde_json::to_value(events.event(i)).unwrap();
        event[field] = value.into();
        event.to_string()
    };
    let long = "x".repeat(5000);
    let lines = [
        with_hash(&events.event(0)),
        broken(1, "timestamp", "2026-02-30T00:00:00Z"),
        broken(2, "event", "Blueprint Tagged"),
        broken(3, "version", "a|b"),
        broken(4, "commit_hash", "3DD05D9"),
        broken(5, "blueprint", "4.4"),
        broken(6, "emitted_by", &long),
        broken(7, "root_24_lock", "a\u{7}b"),
        with_hash(&events.event(8)).replace("LOCKED", "OPEN"),
        with_hash(&events.event(9)).replace("v4.4\"", "v4.5\""),
    ];
    let outcome = import(&cluster, (lines.join("\n") + "\n").as_bytes());
    let said = outcome.clone().json();
    let (accepted, refused, skipped) = (&said["accepted"], &said["refused"], &said["skipped"]);
    // event 8 differs only in what its hash does not cover; event 9's hash is another
    assert_eq!(
        (
            accepted,
            refused.as_u64().unwrap() + skipped.as_u64().unwrap()
        ),
        (&2.into(), 8),
        "{said}"
    );
    for (line, word) in [
        (2, "timestamp"),
        (3, "event"),
        (4, "version"),
        (5, "commit_hash"),
        (6, "blueprint"),
        (7, "emitted_by"),
        (8, "root_24_lock"),
        (10, "hash"),
    ] {
        let notes = said["notes"].as_array().unwrap();
        let note = notes.iter().find(|note| note["line"] == line);
        let reason = note.unwrap_or_else(|| panic!("line {line} is not named: {said}"))["reason"]
            .as_str()
            .unwrap();
        assert!(
            reason.contains(word) && reason.len() < 600,
            "line {line}: {reason}"
        );
    }
    if refused.as_u64() > Some(0) {
        let _ = outcome.exits(1).says(&["refused"]);
    }
    cluster.wait_certified(2, SOON);
}

#[test]
fn a_file_that_is_none_is_exit_2() {
    let cluster = Cluster::start(2);
    let import = |path: &str| cluster.node(0).ssid(&["events", "import", path]);
    let _ = import("/nonexistent/log")
        .exits(2)
        .says(&["/nonexistent/log"]);
    let _ = import(cluster.dir().to_str().unwrap()).exits(2);
    let empty = cluster.dir().join("empty");
    fs::write(&empty, "").unwrap();
    let _ = import(empty.to_str().unwrap())
        .exits(1)
        .says(&["there is no event in", "/empty"]);
}

#[test]
fn a_registry_file_turned_hostile_while_the_node_runs_is_survived() {
    let cluster = Cluster::start(2);
    let path = cluster.node(0).file("registry_events.log");
    let event = Events::series("turned").event(0);
    let mut bytes = b"\xff\xfe\0\0{\"a\":[[[[[[ \n}}}}\n{\"timestamp\": 5}\n".to_vec();
    bytes.extend("[".repeat(300_000).bytes());
    bytes.extend(format!("\n{}\n", with_hash(&event)).bytes());
    fs::write(&path, &bytes).unwrap();
    cluster.wait_certified(1, SOON);
    eventually("what was skipped is said", SOON, || {
        let log = cluster.node(0).log_tail();
        if log.contains("skipped in the registry file") {
            Ok(())
        } else {
            Err(log)
        }
    });
    assert!(
        fs::read(&path).unwrap().starts_with(&bytes),
        "it is not rewritten"
    );
    assert_eq!(cluster.assert_agreed(), 1);
}
