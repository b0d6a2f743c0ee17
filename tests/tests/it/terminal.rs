//! What people see at 80 columns: nothing is wider, and no hash, time or word is broken.

use ssid_tests::{Cluster, Node, SOON, Shape, eventually, ssid_with};

const COLUMNS: usize = 80;

/// What a command says on standard output, with `COLUMNS` as given; without, it is a pipe that says
/// nothing of its width.
fn said(node: &Node, columns: &[(&str, &str)], args: &[&str]) -> String {
    let data = node.org.data.to_str().unwrap();
    ssid_with(&node.org.data, columns, &[&["--data", data], args].concat())
        .well()
        .stdout
}

/// Every line fits; every hash is whole or its first twelve digits; every time is whole.
fn assert_fits(what: &str, text: &str) {
    assert!(!text.trim().is_empty(), "{what} says nothing");
    for line in text.lines() {
        assert!(
            line.chars().count() <= COLUMNS,
            "{what}: {} columns: {line}\n{text}",
            line.chars().count()
        );
        for word in line.split(|c: char| c.is_whitespace() || ",;()…".contains(c)) {
            let is_hex = word.len() > 8 && word.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(
                !is_hex || [12, 64].contains(&word.len()),
                "{what}: a broken hash {word}\n{text}"
            );
            assert!(
                !is_date(word) || [10, 20].contains(&word.len()),
                "{what}: a broken time {word}\n{text}"
            );
        }
    }
}

/// Whether a word begins as a date does, after the month.
fn is_date(word: &str) -> bool {
    let shape: String = word
        .chars()
        .take(8)
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    word.starts_with("20") && shape == "0000-00-"
}

fn federation() -> Cluster {
    let cluster = Cluster::start_shaped(Shape {
        observed_only: true,
        ..Shape::of(4)
    });
    let emit = |node: usize, event: &str, version: &str, commit: &str| {
        let what = ["--event", event, "--version", version, "--commit", commit];
        let at = ["--timestamp", "2026-10-11T20:00:00Z"];
        let _ = cluster
            .node(node)
            .ssid(&[&["events", "emit"], &what[..], &at].concat())
            .well();
    };
    let long = "blueprint_v4.4_readiness_verification_of_the_quarter";
    // whoever differs comes first: after the others its event would come too late
    for (node, commit) in [
        (3, "fffffff"),
        (0, "3dd05d9"),
        (1, "3dd05d9"),
        (2, "3dd05d9"),
    ] {
        emit(node, long, "v4.4.0-release-candidate-17", commit);
    }
    for (node, commit) in [
        (0, "aaaaaaa"),
        (1, "aaaaaaa"),
        (2, "bbbbbbb"),
        (3, "bbbbbbb"),
    ] {
        emit(
            node,
            "quarterly_compliance_audit_of_everything",
            "2026-Q3",
            commit,
        );
    }
    cluster.wait_certified(1, SOON);
    eventually("the conflict is listed", SOON, || {
        let list = cluster.node(0).ssid_json(&["conflicts", "list"]);
        if list["items"][0]["in_conflict"] == true {
            Ok(())
        } else {
            Err(list)
        }
    });
    cluster
}

#[test]
fn tables_fit_80_columns_with_every_hash_and_time_whole() {
    let cluster = federation();
    let node = cluster.node(0);
    let record = &node.history()[0];
    let hash = &record["consensus_hash"].as_str().unwrap()[..12];
    let conflict = node.ssid_json(&["conflicts", "list"])["items"][0]["subject_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let ids: Vec<String> = cluster
        .nodes()
        .iter()
        .map(|node| node.org.node_id()[..12].to_owned())
        .collect();
    let commands: [(&[&str], Vec<&str>); 12] = [
        (&["nodes", "list"], ids.iter().map(String::as_str).collect()),
        (&["consensus", "history"], vec![hash]),
        (&["events", "list"], vec![hash]),
        (&["conflicts", "list"], vec![&conflict[..12]]),
        (&["conflicts", "show", &conflict], vec![&conflict]),
        (
            &["federation", "show"],
            ids.iter().map(String::as_str).collect(),
        ),
        (&["quorum"], ids.iter().map(String::as_str).collect()),
        (&["trust", "list"], ids.iter().map(String::as_str).collect()),
        (&["trust", "explain", "node-3"], vec![]),
        (&["status"], vec![]),
        (&["todo"], vec![]),
        (&["events", "show", hash], vec![]),
    ];
    for (args, whole) in commands {
        let what = args.join(" ");
        for columns in [&[("COLUMNS", "80")][..], &[]] {
            let text = said(node, columns, args);
            assert_fits(&what, &text);
            whole.iter().for_each(|word| {
                assert!(text.contains(word), "{what}: {word} is not whole\n{text}");
            });
        }
    }
    // a wider line has more in it, a narrower one less, and hashes are whole in both
    let wide = said(node, &[("COLUMNS", "160")], &["nodes", "list"]);
    assert!(
        wide.contains("ORGANIZATION")
            && wide.contains("ROLE")
            && wide.contains("Organisation node-3"),
        "{wide}"
    );
    let narrow = said(node, &[("COLUMNS", "60")], &["nodes", "list"]);
    assert!(
        narrow.lines().all(|line| line.chars().count() <= 66) && narrow.contains(&ids[0]),
        "{narrow}"
    );
    assert!(
        said(node, &[("COLUMNS", "160")], &["consensus", "history"]).contains("node-3"),
        "who differs has a name"
    );
}

#[test]
fn the_demo_fits_80_columns() {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let demo = ssid_with(
        dir.path(),
        &[("COLUMNS", "80"), ("TMPDIR", dir.path().to_str().unwrap())],
        &["demo"],
    )
    .well();
    assert_fits("demo", &demo.stdout);
    assert!(demo.stdout.contains("All 8 steps held"), "{}", demo.stdout);
}
