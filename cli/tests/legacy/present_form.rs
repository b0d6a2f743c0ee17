//! A repository in the registry's present form, carried over: the log in the wild form of twelve
//! events.

use std::fs;

use serde_json::{Value, json};

use super::deployment::*;

#[test]
fn a_deployment_is_carried_over_once_and_only_its_manifest_is_touched() {
    let (_dir, repo) = repository();
    let import = ["import-legacy", "--repo", "."];
    let (shown, _) = runs(&repo, &import, 0);
    has_all(
        &shown,
        &[
            "Partner-Node-1",
            "85 HIGH",
            "observed only",
            "12 events",
            "1 part that is no event",
            "--yes",
        ],
    );
    has_all(&shown, &["120: 118 successful, 2 failed"]);
    assert_eq!(
        git(&repo, &["status", "--porcelain"]),
        "",
        "nothing is done without being asked"
    );
    assert_eq!(
        json_of(&repo, &[&import[..], &["--dry-run"]].concat())["done"],
        false
    );
    let done = json_of(&repo, &[&import[..], &["--yes"]].concat());
    assert_eq!(
        (&done["done"], &done["carries"]["statistics"]["total_syncs"]),
        (&json!(true), &json!(120))
    );
    assert_eq!(git(&repo, &["diff", "--name-only"]).trim(), MANIFEST);
    let after = fs::read(repo.join(MANIFEST)).unwrap();
    has_all(
        &runs(&repo, &[&import[..], &["--yes"]].concat(), 0).0,
        &["Carried over before"],
    );
    assert_eq!(fs::read(repo.join(MANIFEST)).unwrap(), after);
    let manifest: Value = serde_json::from_slice(&after).unwrap();
    assert_eq!(
        manifest["ssid"]["carried_over"]["trust_scores"]["0011223344556677"],
        85
    );
    assert_eq!(manifest["statistics"]["total_syncs"], 120);
    assert_eq!(
        manifest["nodes"][0].as_object().unwrap().len(),
        6,
        "the old scripts refuse nodes with other keys"
    );
    let removed: Vec<_> = git(&repo, &["diff"])
        .lines()
        .filter(|l| l.starts_with("- "))
        .map(str::to_owned)
        .collect();
    assert!(
        removed
            .iter()
            .all(|line| line.contains("last_updated") || line.trim_end().ends_with('}')),
        "{removed:?}"
    );
    runs(&repo, &["import-legacy"], 2);
    runs(&repo, &["import-legacy", "--repo", ".git"], 2);
}

#[test]
fn a_repository_of_the_present_form_is_carried_over_synced_and_verified_by_additions_alone() {
    let (dir, repo) = repository();
    federate(&repo, &partners(&repo, 3));
    let (log, manifest, root) = (
        fs::read_to_string(repo.join(LOG)).unwrap(),
        read_json(&repo, MANIFEST),
        at_root(&repo),
    );
    let data = dir.path().join("data");
    let here = |args: &[&str]| {
        runs(
            &repo,
            &[&["--data", data.to_str().unwrap(), "--repo", "."], args].concat(),
            0,
        )
        .0
    };
    for time in ["once", "twice"] {
        here(&["import-legacy", "--yes"]);
        here(&["sync", "--force"]);
        has_all(
            &here(&["compat", "consensus-validator", "--verify"]),
            &["Valid: 13", "Invalid: 0", "Skipped: 1"],
        );
        assert_eq!(
            git(&repo, &["status", "--porcelain"]),
            format!(" M {LOG}\n M {MANIFEST}\n"),
            "{time}"
        );
        assert_eq!(at_root(&repo), root);
        let after = fs::read_to_string(repo.join(LOG)).unwrap();
        assert_eq!(
            after.strip_prefix(&log).unwrap().lines().count(),
            1,
            "{time}: one line is added, none changed"
        );
        let numbers = git(&repo, &["diff", "--numstat", "--", LOG]);
        assert_eq!(
            numbers.split_whitespace().take(2).collect::<Vec<_>>(),
            ["1", "0"]
        );
        let after = read_json(&repo, MANIFEST);
        assert_only_grew(&manifest, &after, "");
        assert_eq!(after["statistics"]["consensus_agreements"], 96, "{time}");
        assert_eq!(
            after["consensus_history"].as_array().unwrap().len(),
            2,
            "{time}"
        );
        assert_eq!(
            after["ssid"]["carried_over"]["statistics"]["consensus_agreements"],
            95
        );
    }
}

/// Whether everything that stood there stands there still: only times and counts of what was done
/// have other values.
fn assert_only_grew(before: &Value, after: &Value, place: &str) {
    const MOVES: [&str; 7] = [
        "/last_updated",
        "/federation/last_sync",
        "/statistics/total_nodes",
        "/statistics/active_nodes",
        "/statistics/total_syncs",
        "/statistics/successful_syncs",
        "/statistics/consensus_agreements",
    ];
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                let place = format!("{place}/{key}");
                assert_only_grew(
                    value,
                    after.get(key).unwrap_or_else(|| panic!("{place} is gone")),
                    &place,
                );
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            assert!(before.len() <= after.len(), "{place}");
            for (at, (before, after)) in before.iter().zip(after).enumerate() {
                assert_only_grew(before, after, &format!("{place}/{at}"));
            }
        }
        _ => assert!(
            before == after || MOVES.contains(&place),
            "{place}: {before} became {after}"
        ),
    }
}
