//! Keys, configuration and genesis as they should not be: the message names the thing and the next
//! step.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ssid_tests::{Cluster, Shape};

fn made() -> Cluster {
    Cluster::make(Shape::of(2))
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let cluster = made();
    let node = cluster.node(0);
    for name in ["voting.key", "network.key"] {
        let key = node.file(name);
        for mode in [0o644, 0o640, 0o660] {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            let _ = node.ssid_run().exits(2).says(&[
                key.to_str().unwrap(),
                &format!("mode {mode:04o}"),
                "chmod 600",
            ]);
        }
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::set_permissions(node.data(), fs::Permissions::from_mode(0o777)).unwrap();
    let _ = node
        .ssid_run()
        .exits(2)
        .says(&["others can write", node.data(), "chmod 700"]);
}

#[test]
fn a_damaged_key_file_is_named_and_nothing_of_it_is_shown() {
    let cluster = made();
    let node = cluster.node(0);
    for name in ["voting.key", "network.key"] {
        let key = node.file(name);
        let good = fs::read_to_string(&key).unwrap();
        let seed = good
            .lines()
            .find_map(|line| line.strip_prefix("seed "))
            .unwrap();
        let wrong = good.replace(
            &seed[..8],
            if seed.starts_with("00000000") {
                "11111111"
            } else {
                "00000000"
            },
        );
        for bad in [
            "",
            "nonsense",
            &good[..good.len() / 2],
            &wrong,
            &good.replace("ssid-key/1", "ssid-key/9"),
            &"x".repeat(1 << 20),
        ] {
            fs::write(&key, bad).unwrap();
            let said = node.ssid_run().exits(2).says(&[key.to_str().unwrap()]);
            assert!(
                !said.stderr.contains(&seed[8..24]) && said.stderr.len() < 1000,
                "{said:#?}"
            );
        }
        fs::remove_file(&key).unwrap();
        let _ = node.ssid_run().exits(2).says(&[key.to_str().unwrap()]);
        fs::write(&key, good).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_wrong_configuration_names_file_line_key_value_and_what_is_allowed() {
    let cluster = made();
    let node = cluster.node(0);
    let path = node.file("federation_config.json");
    let good = fs::read_to_string(&path).unwrap();
    let wrong = [
        (
            "\"max_event_age_days\": 365",
            "\"max_event_age_days\": \"soon\"",
            "security.max_event_age_days",
            "soon",
        ),
        (
            "\"max_event_age_days\": 365",
            "\"max_event_age_days\": 0",
            "security.max_event_age_days",
            "0",
        ),
        (
            "\"interval_minutes\": 60",
            "\"interval_minutes\": -1",
            "sync_settings.interval_minutes",
            "-1",
        ),
        (
            "\"threshold\": 0.66",
            "\"threshold\": 66",
            "consensus_settings.threshold",
            "66",
        ),
        (
            "\"mode\": \"participant\"",
            "\"mode\": \"boss\"",
            "federation.mode",
            "boss",
        ),
        (
            "\"default\": \"trusted\"",
            "\"default\": \"blindly\"",
            "endorsement.default",
            "blindly",
        ),
    ];
    for (from, to, key, value) in wrong {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        fs::write(&path, &text).unwrap();
        let line = 1 + text.lines().position(|line| line.contains(to)).unwrap();
        let place = format!("{}:{line}", path.display());
        for command in [&["run"][..], &["config", "check"]] {
            let _ = node
                .ssid(command)
                .exits(2)
                .says(&[&place, key, value, "allowed: "]);
        }
    }
    for (bad, word) in [
        ("{", "federation_config.json"),
        ("", "federation_config.json"),
        ("[]", "federation_config.json"),
    ] {
        fs::write(&path, bad).unwrap();
        for command in [&["run"][..], &["config", "check"]] {
            let _ = node.ssid(command).exits(2).says(&[word]);
        }
    }
    fs::write(&path, good.replacen("/ip4/127.0.0.1", "/ip9/127.0.0.1", 1)).unwrap();
    let _ = node
        .ssid_run()
        .exits(2)
        .says(&["network.listen", "/ip9/127.0.0.1"]);
    fs::write(&path, &good).unwrap();
    let _ = node.ssid(&["config", "check"]).well();
}

#[test]
fn a_missing_or_damaged_genesis_file_is_named_with_the_way_to_get_it() {
    let cluster = made();
    let node = cluster.node(0);
    let path = node.file("genesis.json");
    let good = fs::read_to_string(&path).unwrap();
    let doubled = good.replacen("\"name\":", "\"name\": \"x\", \"name\":", 1);
    let later = good.replacen("\"epoch\": 0", "\"epoch\": 7", 1);
    let greedy = good.replacen("\"threshold_bp\": 6600", "\"threshold_bp\": 10001", 1);
    assert!(later != good && greedy != good && doubled != good);
    for bad in [
        "",
        "{}",
        "nonsense",
        &good[..good.len() / 2],
        &doubled,
        &later,
        &greedy,
        &"[".repeat(50_000),
    ] {
        fs::write(&path, bad).unwrap();
        let said = node
            .ssid_run()
            .exits(2)
            .says(&[path.to_str().unwrap(), "ssid federation join"]);
        assert!(said.stderr.len() < 1500, "{said:#?}");
    }
    fs::remove_file(&path).unwrap();
    let _ = node
        .ssid_run()
        .exits(2)
        .says(&[path.to_str().unwrap(), "ssid federation join"]);
    // another federation's, over a directory that belongs to this one
    let renamed = good.replacen("\"name\": \"test\"", "\"name\": \"tset\"", 1);
    assert_ne!(renamed, good);
    fs::write(&path, &good).unwrap();
    let mut cluster = cluster;
    cluster.node_mut(0).start_answering();
    assert!(cluster.node_mut(0).terminate().0.success());
    fs::write(&path, renamed).unwrap();
    let said = cluster.node(0).ssid_run();
    assert!(
        matches!(said.code, Some(1 | 2)) && said.stderr.contains("federation"),
        "{said:#?}"
    );
}

#[test]
fn a_missing_data_directory_says_how_to_make_one() {
    let cluster = made();
    let missing = cluster.dir().join("missing");
    let data = missing.to_str().unwrap();
    let run = ssid_tests::ssid_in(cluster.dir(), &["run", "--data", data]);
    let _ = run
        .exits(2)
        .says(&["there is no data directory", data, "ssid init --data"]);
    let _ = ssid_tests::ssid_in(cluster.dir(), &["status", "--data", data])
        .exits(3)
        .says(&["ssid init --data"]);
    fs::write(&missing, "a file").unwrap();
    let _ = ssid_tests::ssid_in(cluster.dir(), &["run", "--data", data])
        .exits(2)
        .says(&["is not a directory", data]);
}
