//! Registries that differ: a majority decides and says who differs; without one, people are asked.

use serde_json::Value;
use ssid_tests::{Cluster, Node, SOON, Shape, eventually};

fn emit(node: &Node, commit: &str, wait: &[&str]) -> ssid_tests::Outcome {
    let timestamp = "2026-10-11T20:00:00Z";
    let what = [
        "--event",
        "blueprint_tagged",
        "--version",
        "v4.4.0",
        "--commit",
        commit,
        "--timestamp",
        timestamp,
    ];
    node.ssid(&[&["--json", "events", "emit"], &what[..], wait].concat())
}

fn hash_of(said: &Value) -> String {
    said["event_hash"].as_str().unwrap().to_owned()
}

/// Four nodes that vote for what stands in their own registry.
fn four_with_registries_of_their_own() -> Cluster {
    Cluster::start_shaped(Shape {
        observed_only: true,
        ..Shape::of(4)
    })
}

/// Two of the four find one commit in their registries, two another; the hashes of both events.
fn two_and_two(cluster: &Cluster) -> [String; 2] {
    let [first, _, second, _] = [
        (0, "aaaaaaa"),
        (1, "aaaaaaa"),
        (2, "bbbbbbb"),
        (3, "bbbbbbb"),
    ]
    .map(|(i, commit)| hash_of(&emit(cluster.node(i), commit, &[]).well().json()));
    [first, second]
}

/// The only conflict, once `node` lists it as one.
fn conflict_at(node: &Node) -> Value {
    eventually(
        &format!("{} lists the conflict", node.org.name),
        SOON,
        || {
            let list = node.ssid_json(&["conflicts", "list"]);
            match list["items"].as_array().unwrap().as_slice() {
                [one] if one["in_conflict"] == true => Ok(one.clone()),
                _ => Err(list),
            }
        },
    )
}

/// What every node records of the decision for `hash`, once it has one.
fn assert_recorded(cluster: &Cluster, hash: &str, resolution: &str) {
    cluster.wait_certified(1, SOON);
    for node in cluster.nodes() {
        let check = node.ssid_json(&["consensus", "check", hash]);
        let record = &check["record"];
        assert_eq!(
            (&record["resolution"], &record["consensus_hash"]),
            (&resolution.into(), &hash.into()),
            "{record}"
        );
        assert_eq!(record["consensus_achieved"], true, "{record}");
        assert!(
            record["round"].as_u64().is_some_and(|round| round >= 1),
            "{record}"
        );
        assert_eq!(
            node.ssid_json(&["conflicts", "list"])["items"],
            serde_json::json!([]),
            "{}",
            node.org.name
        );
    }
    assert_eq!(cluster.assert_agreed(), 1);
}

#[test]
fn of_three_and_one_the_majority_is_certified_and_every_record_names_the_one() {
    let cluster = four_with_registries_of_their_own();
    let odd = cluster.node(3);
    let theirs = hash_of(&emit(odd, "bad0bad", &[]).well().json());
    let hashes: Vec<String> = (0..3)
        .map(|i| hash_of(&emit(cluster.node(i), "3dd05d9", &[]).well().json()))
        .collect();
    cluster.wait_certified(1, SOON);

    let odd_id = odd.org.node_id();
    for node in cluster.nodes() {
        // the odd one's vote may come after the decision, and still counts
        let check = eventually(
            &format!("{} names the odd one", node.org.name),
            SOON,
            || {
                let check = node.ssid_json(&["consensus", "check", &hashes[0]]);
                let names = &check["record"]["disagreeing_nodes"];
                let has_all = check["record"]["participating_nodes"]
                    .as_array()
                    .is_some_and(|nodes| nodes.len() == 4);
                if *names == serde_json::json!([odd_id]) && has_all {
                    Ok(check)
                } else {
                    Err(check)
                }
            },
        );
        let record = &check["record"];
        assert_eq!(record["consensus_hash"], hashes[0].as_str(), "{record}");
        assert_eq!(
            (
                &record["agreement_percentage"],
                &record["consensus_achieved"]
            ),
            (&75.0.into(), &true.into())
        );
        assert_eq!(record["node_hashes"][&odd_id], theirs.as_str(), "{record}");
        assert_eq!(node.status()["statistics"]["consensus_disagreements"], 1);
    }
    // its own event lost, and it says so
    let _ = odd
        .ssid(&["consensus", "check", &theirs])
        .exits(4)
        .says(&["certified for another event"]);
    let health = cluster.node(0).ssid_json(&["quorum"]);
    let voters = health["voter_list"].as_array().unwrap();
    let of_odd = voters
        .iter()
        .find(|voter| voter["node_id"] == odd_id.as_str())
        .unwrap();
    assert_eq!(of_odd["health"], "disagrees", "{health}");
    // trust: what the others think of it, and why
    for node in &cluster.nodes()[..3] {
        let trust = node.ssid_json(&["trust", "explain", &odd_id[..8]]);
        let changes = trust["changes"].as_array().unwrap();
        let why = changes
            .iter()
            .find(|change| change["reason"] == "disagreement")
            .unwrap_or_else(|| panic!("{trust}"));
        assert_eq!(why["points"], -5, "{trust}");
        assert_eq!(
            changes.last().unwrap()["trust_score"],
            trust["trust_score"],
            "the running sum"
        );
        let sum: i64 = changes
            .iter()
            .map(|change| change["points"].as_i64().unwrap())
            .sum();
        assert_eq!(trust["trust_score"], 50 + sum, "{trust}");
        let list = node.ssid(&["trust", "list"]).well().stdout;
        assert!(
            list.contains("node-3") && list.contains(&trust["trust_score"].to_string()),
            "{list}"
        );
    }
    cluster.assert_agreed();
}

#[test]
fn of_two_and_two_nothing_is_certified_and_all_four_show_the_conflict() {
    let cluster = four_with_registries_of_their_own();
    let first = hash_of(&emit(cluster.node(0), "aaaaaaa", &[]).well().json());
    let _ = emit(cluster.node(1), "aaaaaaa", &[]).well();
    let _ = emit(cluster.node(2), "bbbbbbb", &[]).well();
    let waited = emit(cluster.node(3), "bbbbbbb", &["--wait"])
        .exits(4)
        .says(&["in conflict"])
        .json();
    assert_eq!(
        (&waited["state"], &waited["record"]),
        (&"conflict".into(), &Value::Null),
        "{waited}"
    );
    let second = hash_of(&waited);
    for node in cluster.nodes() {
        let conflict = conflict_at(node);
        assert_eq!(conflict["subject"]["event_version"], "v4.4.0");
        let mut candidates: Vec<_> = conflict["candidates"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["event_hash"].clone())
            .collect();
        candidates.sort_by_key(ToString::to_string);
        let mut expected = [Value::from(first.as_str()), Value::from(second.as_str())];
        expected.sort_by_key(ToString::to_string);
        assert_eq!(candidates, expected);
        let subject = conflict["subject_id"].as_str().unwrap();
        let page = node
            .ssid(&["conflicts", "show", &subject[..10]])
            .well()
            .stdout;
        assert!(
            page.contains("aaaaaaa") && page.contains("bbbbbbb") && page.contains("in conflict"),
            "{page}"
        );
        let _ = node
            .ssid(&["consensus", "history"])
            .well()
            .says(&["1 in conflict: ssid conflicts list"]);
        for hash in [&first, &second] {
            let _ = node
                .ssid(&["consensus", "check", hash])
                .exits(4)
                .says(&["in conflict", "ssid conflicts show"]);
            let _ = node
                .ssid(&["consensus", "export", hash])
                .exits(4)
                .says(&["not certified"]);
        }
        let status = node.status();
        assert_eq!(
            (
                &status["statistics"]["conflicts"],
                &status["statistics"]["certified"]
            ),
            (&1.into(), &0.into())
        );
    }
}

#[test]
fn a_conflict_that_three_operators_settle_alike_is_certified_and_the_fourth_follows() {
    let cluster = four_with_registries_of_their_own();
    let [first, second] = two_and_two(&cluster);
    let conflicts: Vec<Value> = cluster.nodes().iter().map(conflict_at).collect();
    let subject = &conflicts[0]["subject_id"].as_str().unwrap()[..12];
    let resolve = |i: usize, hash: &str| {
        let resolve = ["conflicts", "resolve", subject, "--choose", hash];
        cluster.node(i).ssid(
            &[
                &resolve[..],
                &["--reason", "the tag was moved", "--by", "Ada"],
            ]
            .concat(),
        )
    };
    let _ = resolve(0, "ffffff").exits(1).says(&["ffffff"]);
    // the fourth decides nothing
    let todo = |i: usize| {
        let all = cluster.node(i).ssid_json(&["todo"])["items"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        Value::Array(
            all.into_iter()
                .filter(|one| one["kind"] == "conflict")
                .collect(),
        )
    };
    let waits = todo(0);
    assert!(
        waits[0]["since"].is_string() && waits[0]["otherwise"].is_string(),
        "{waits}"
    );
    let commands = waits[0]["commands"].to_string();
    assert!(
        commands.contains(&format!("--choose {}", &second[..12])),
        "{commands}"
    );
    let said = [0, 1, 2].map(|i| resolve(i, &second[..12]).well().stdout.replace("\n  ", " "));
    assert!(
        said[0].contains("1 of 3 needed votes") && said[0].contains("still to choose: node-1"),
        "{said:?}"
    );
    assert_eq!(
        todo(0),
        serde_json::json!([]),
        "nothing waits for who has chosen"
    );
    assert!(
        said[2].starts_with("certified"),
        "the last to choose is told what came of it: {said:?}"
    );
    assert_recorded(&cluster, &second, "manual_review");
    // who decided and why, and the round in which people did, stand in the report
    let report = cluster.node(0).file(&format!(
        "conflicts/{}.md",
        conflicts[0]["subject_id"].as_str().unwrap()
    ));
    eventually("the report tells of the end", SOON, || {
        let page = std::fs::read_to_string(&report).unwrap_or_default();
        let has = |words: &str| page.contains(words);
        let is_whole =
            has("Ada (") && has(": the tag was moved") && has("- Operator's choice: candidate");
        let is_over = has("resolved (manual_review)") && has("| 1 | precommit |");
        if is_whole && is_over {
            Ok(())
        } else {
            Err(page)
        }
    });
    for node in cluster.nodes() {
        let _ = node
            .ssid(&["consensus", "check", &first])
            .exits(4)
            .says(&["certified for another event"]);
    }
}

#[test]
fn a_conflict_in_a_federation_that_settles_them_itself_is_certified_without_anyone() {
    let shape = Shape {
        observed_only: true,
        auto_resolve: true,
        ..Shape::of(4)
    };
    let cluster = Cluster::start_shaped(shape);
    // of the same instant: the lower hash
    let winner = two_and_two(&cluster).into_iter().min().unwrap();
    assert_recorded(&cluster, &winner, "tie_break:timestamp_priority");
}
