//! A registry log, as it is found, becomes certificates on every node.

use std::fs;

use ssid_tests::{Cluster, Events, LONG, Node, SOON, eventually, ssid_in, wild_log, with_hash};

const EVENTS: usize = 200;

#[test]
fn four_nodes_certify_200_events_of_a_log_in_the_wild_form() {
    let cluster = Cluster::start(4);
    let events = Events::series("wild").range(0..EVENTS);
    let log = cluster.dir().join("registry_events.log");
    fs::write(&log, wild_log(&events)).unwrap();

    let said = cluster
        .node(0)
        .ssid_json(&["events", "import", log.to_str().unwrap(), "--wait"]);
    assert_eq!(
        (&said["events"], &said["accepted"], &said["refused"]),
        (&200.into(), &200.into(), &0.into()),
        "{said}"
    );
    assert_eq!(
        (&said["now_certified"], &said["still_open"]),
        (&200.into(), &0.into()),
        "{said}"
    );
    assert_eq!(
        said["skipped"], 2,
        "the prose and the broken object: {said}"
    );
    let (prose, broken) = (&said["notes"][0], &said["notes"][1]);
    assert_eq!(
        (&prose["line"], &prose["last_line"]),
        (&1.into(), &1.into()),
        "{said}"
    );
    assert!(
        broken["line"].as_u64() > Some(1) && broken["reason"].as_str().unwrap().contains("object"),
        "{said}"
    );

    cluster.wait_certified(EVENTS, LONG);
    assert_eq!(cluster.assert_agreed(), EVENTS);
    let expected: std::collections::BTreeSet<_> =
        events.iter().map(|e| e.event_hash().to_string()).collect();
    let certified = cluster
        .node(3)
        .certified_set()
        .into_iter()
        .map(|[_, hash, _]| hash)
        .collect();
    assert_eq!(expected, certified);

    // every certificate of another node, offline, by the command that people type
    let folder = cluster.dir().join("certificates");
    fs::create_dir(&folder).unwrap();
    for (i, hash) in expected.iter().enumerate() {
        let file = folder.join(format!("{i}.json"));
        let exported = cluster.node(2).get(&format!("/v1/certificates/{hash}"));
        assert_eq!(exported.status, 200, "{exported:?}");
        fs::write(&file, exported.body).unwrap();
        let args = [
            "certificate",
            "verify",
            file.to_str().unwrap(),
            "--genesis",
            cluster.genesis().to_str().unwrap(),
        ];
        let verified = ssid_in(cluster.dir(), &[&["--json"], &args[..]].concat())
            .well()
            .json();
        assert_eq!(
            (&verified["valid"], verified["event_hash"].as_str()),
            (&true.into(), Some(hash.as_str()))
        );
        assert!(
            verified["signers"].as_array().unwrap().len() >= 3,
            "{verified}"
        );
    }

    // all of them at once, and as a table
    let (node, all) = (cluster.node(2), cluster.dir().join("all"));
    let export = ["consensus", "export", "--all", "-o", all.to_str().unwrap()];
    assert_eq!(node.ssid_json(&export)["written"], 200);
    assert_eq!(
        node.ssid_json(&export)["present"],
        200,
        "what is there stays"
    );
    let genesis = cluster.genesis().to_str().unwrap();
    let verify = [
        "certificate",
        "verify",
        all.to_str().unwrap(),
        "--genesis",
        genesis,
    ];
    let said = ssid_in(cluster.dir(), &verify).well().stdout;
    assert!(
        said.ends_with("200 certificates verified, 0 invalid\n")
            && said.contains("blueprint_tagged"),
        "{said}"
    );
    let csv = node.ssid(&["consensus", "export", "--csv"]).well().stdout;
    assert_eq!(
        (
            csv.lines().count(),
            csv.lines()
                .nth(1)
                .unwrap()
                .starts_with("0,blueprint_tagged,")
        ),
        (201, true)
    );
    let one = fs::read_dir(&all).unwrap().next().unwrap().unwrap().path();
    fs::write(
        &one,
        fs::read_to_string(&one)
            .unwrap()
            .replace("blueprint_tagged", "blueprint_taggee"),
    )
    .unwrap();
    let refused = ssid_in(cluster.dir(), &[&["--json"], &verify[..]].concat()).exits(5);
    let refused = refused.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["valid"] == false)
        .cloned();
    assert_eq!(refused.unwrap()["file"], one.to_str().unwrap());
    // … and found by what they say
    let commit = &events[7].commit_hash;
    let found = node.ssid_json(&[
        "events",
        "list",
        "--commit",
        commit,
        "--event",
        "blueprint_tagged",
    ]);
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(
        found["items"][0]["event_hash"],
        events[7].event_hash().to_string(),
        "{found}"
    );

    // the same log again, at any node, changes nothing
    let again = cluster
        .node(1)
        .ssid_json(&["events", "import", log.to_str().unwrap(), "--wait"]);
    assert_eq!(
        (&again["certified"], &again["accepted"]),
        (&200.into(), &0.into()),
        "{again}"
    );
}

#[test]
fn an_event_is_emitted_watched_shown_and_proven() {
    let cluster = Cluster::start(4);
    let (first, last) = (cluster.node(0), cluster.node(3));
    let emit = [
        "events",
        "emit",
        "--event",
        "blueprint_tagged",
        "--version",
        "v4.4.0",
        "--commit",
        "3dd05d9",
        "--wait",
    ];
    let emitted = first.ssid_json(&emit);
    let hash = emitted["event_hash"].as_str().unwrap();
    assert_eq!(
        (&emitted["outcome"], &emitted["state"]),
        (&"accepted".into(), &"certified".into()),
        "{emitted}"
    );
    cluster.wait_certified(1, SOON);

    let check = last.ssid_json(&["consensus", "check", &hash[..12]]);
    assert_eq!(check["certified_as_asked"], true, "{check}");
    let record = &check["record"];
    assert_eq!(
        (&record["resolution"], &record["transport"]),
        (&"consensus_achieved".into(), &"live".into()),
        "{record}"
    );
    let shown = last.ssid_json(&["events", "show", hash]);
    assert_eq!(
        (&shown["state"], &shown["sequence"]),
        (&"certified".into(), &0.into()),
        "{shown}"
    );
    let head = last.ssid_json(&["log", "head"]);
    let proof = last.ssid_json(&["log", "proof", hash]);
    assert_eq!(
        (&proof["root"], &head["size"]),
        (&head["root"], &1.into()),
        "{proof}"
    );
    // somebody else verifies it, with the head that the node signed and the genesis file
    let (head_file, proof_file) = (
        cluster.dir().join("head.json"),
        cluster.dir().join("proof.json"),
    );
    eventually("the node has signed the head of its log", LONG, || {
        let signed = last.ssid(&["log", "head", "--signed"]);
        fs::write(&head_file, &signed.stdout).unwrap();
        let is_there = signed.code == Some(0) && signed.json()["heartbeat"]["log_size"] == 1;
        if is_there { Ok(()) } else { Err(signed) }
    });
    let proven = last
        .ssid(&[
            "log",
            "proof",
            hash,
            "--head",
            head_file.to_str().unwrap(),
            "--json",
        ])
        .well()
        .stdout;
    fs::write(&proof_file, &proven).unwrap();
    let genesis = cluster.genesis().to_str().unwrap();
    let verify = [
        "log",
        "verify",
        proof_file.to_str().unwrap(),
        "--head",
        head_file.to_str().unwrap(),
    ];
    let verify = [&verify[..], &["--genesis", genesis]].concat();
    let said = ssid_in(cluster.dir(), &[&["--json"], &verify[..]].concat())
        .well()
        .json();
    assert_eq!(
        (&said["sequence"], &said["node_name"], &said["size"]),
        (&0.into(), &"node-3".into(), &1.into()),
        "{said}"
    );
    let swapped = proven.replace(&proof["content_digest"].as_str().unwrap()[..8], "00000000");
    fs::write(&proof_file, swapped).unwrap();
    let _ = ssid_in(cluster.dir(), &verify)
        .exits(5)
        .says(&["path does not lead"]);
    fs::write(&proof_file, &proven).unwrap();
    let forged = fs::read_to_string(&head_file)
        .unwrap()
        .replace("\"log_size\": 1", "\"log_size\": 2");
    fs::write(&head_file, forged).unwrap();
    let _ = ssid_in(cluster.dir(), &verify)
        .exits(5)
        .says(&["head.json", "signature"]);
    // late prevotes still enter the record
    eventually("all four observations are in the record", SOON, || {
        let record = first.ssid_json(&["consensus", "check", hash])["record"].clone();
        let has_all = record["participating_nodes"]
            .as_array()
            .is_some_and(|nodes| nodes.len() == 4);
        if has_all && record["agreement_percentage"] == 100.0 {
            Ok(())
        } else {
            Err(record)
        }
    });
    // another event for the subject comes too late
    let other = [
        "events",
        "emit",
        "--event",
        "blueprint_tagged",
        "--version",
        "v4.4.0",
        "--commit",
        "abcdef9",
        "--wait",
    ];
    let refused = last
        .ssid(&other)
        .exits(4)
        .says(&["certified for another event", "3dd05d9, not abcdef9"]);
    let hint = refused
        .stderr
        .lines()
        .find_map(|line| line.trim().strip_prefix("see: ssid "))
        .unwrap();
    let _ = last.ssid(&hint.split(' ').collect::<Vec<_>>()).well();
}

#[test]
fn the_same_fact_again_is_done_already_and_status_shows_what_was_waited_for() {
    let cluster = Cluster::start(4);
    let first = cluster.node(0);
    for version in 0..20 {
        let version = format!("v{version}");
        let emit = [
            "events",
            "emit",
            "--event",
            "ci_release",
            "--version",
            &version,
            "--commit",
            "abcdef1234",
            "--wait",
        ];
        let _ = first.ssid(&emit).well();
        // what is certified for a caller is in the status that the same caller sees next
        let counts = first.status()["statistics"].clone();
        assert_eq!(counts["open"], 0, "{counts}");
    }
    let again = |node: &Node, commit: &str, more: &[&str]| {
        let emit = [
            "events",
            "emit",
            "--event",
            "ci_release",
            "--version",
            "v0",
            "--commit",
            commit,
            "--wait",
        ];
        node.ssid(&[&emit, more].concat())
    };
    cluster.wait_certified(20, SOON);
    // the time is another, and the commit may be longer: as every retry of a pipeline says it, at
    // whatever node
    for (node, commit, at) in [
        (0, "abcdef1234", "2026-10-11T20:00:00Z"),
        (3, "abcdef1234ff", "2026-10-12T20:00:00Z"),
    ] {
        let said = again(cluster.node(node), commit, &["--timestamp", at]).well();
        assert!(
            said.stdout.contains("certified already, entry"),
            "{said:#?}"
        );
        let said = again(cluster.node(node), commit, &["--timestamp", at, "--json"])
            .well()
            .json();
        assert_eq!(
            (&said["repeats"], &said["state"]),
            (&true.into(), &"certified".into()),
            "{said}"
        );
        assert_eq!(
            said["differences"].as_array().unwrap().last().unwrap()["offered"],
            at,
            "{said}"
        );
    }
    let _ = again(first, "bbbbbbb", &[])
        .exits(4)
        .says(&["another commit_hash: abcdef1234, not bbbbbbb"]);
    let _ = again(first, "abcdef1234", &["--blueprint", "v9"])
        .exits(4)
        .says(&["another blueprint: v4.4, not v9"]);
}

/// Ends the cluster also when the test fails.
struct Down<'a>(&'a dyn Fn(&[&str]) -> ssid_tests::Outcome);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        (self.0)(&["cluster", "down"]);
    }
}

#[test]
fn the_cluster_command_makes_kills_restarts_and_ends_a_federation() {
    let cluster = Cluster::make(ssid_tests::Shape::of(2)); // for its turn and its directory
    let dir = cluster.dir().join("fed");
    let at = dir.to_str().unwrap();
    let ssid = |args: &[&str]| ssid_in(cluster.dir(), &[args, &["--dir", at]].concat());
    let _down = Down(&ssid);
    let _ = ssid(&["cluster", "up", "--nodes", "4", "--detach"]).well();
    let data = |i: usize| dir.join(format!("node-{i}")).display().to_string();
    let log = cluster.dir().join("log");
    fs::write(&log, Events::series("cluster").lines(0..5)).unwrap();
    let import = [
        "events",
        "import",
        log.to_str().unwrap(),
        "--wait",
        "--data",
        &data(0),
    ];
    let _ = ssid_in(cluster.dir(), &import).well();
    let _ = ssid(&["cluster", "kill", "2"]).well();
    let _ = ssid_in(cluster.dir(), &["status", "--data", &data(2)])
        .exits(3)
        .says(&["no node answers", "ssid run"]);
    let one = with_hash(&Events::series("cluster").event(5));
    fs::write(&log, one).unwrap();
    let _ = ssid_in(cluster.dir(), &import).well();
    let _ = ssid(&["cluster", "restart", "2"]).well();
    eventually("the restarted node has caught up", SOON, || {
        let history = ssid_in(
            cluster.dir(),
            &["consensus", "history", "--json", "--data", &data(2)],
        );
        if history.stdout.matches("\"sequence\"").count() == 6 {
            Ok(())
        } else {
            Err(history)
        }
    });
    let _ = ssid(&["cluster", "down"]).well();
    for i in 0..4 {
        let _ = ssid_in(cluster.dir(), &["status", "--data", &data(i)]).exits(3);
    }
}
