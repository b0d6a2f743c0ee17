//! Making nodes and federations, and what is refused.

use ssid_protocol::manifest::Manifest;

use ssid_protocol::invite::{Invite, InvitePeer};

use super::*;

#[test]
fn addresses_that_nobody_can_dial_are_refused_before_anything_is_made() {
    let dir = temp();
    for (address, why) in [
        ("/ip4/0.0.0.0/tcp/4170", "no destination"),
        ("/ip4/127.0.0.1/tcp/0", "port 0"),
        ("/ip4/192.0.2.7/tcp/4170/ws", "does not speak"),
        ("/ip4/192.0.2.7/udp/4170/quic", "quic-v1"),
        ("/dns4/berlin example/tcp/4170", "no host name"),
        (
            "/ip4/192.0.2.7/tcp/4170/p2p/12D3KooWBJ9xNqD9w4RA2XfGmFG41aJ1JsEQwNcupCuzNTCyGE1D",
            "leave /p2p out",
        ),
    ] {
        let init = init("A", "d", &["--address", address]);
        fails(dir.path(), &init, 2, &[address, why]);
        assert!(!dir.path().join("d").exists(), "{address}");
    }
}

#[test]
fn a_failed_init_leaves_nothing_and_a_repository_gets_its_folder() {
    let dir = temp();
    let dir = dir.path();
    let again = init("A", "d", &[]);
    let listed = || {
        let names = fs::read_dir(dir.join("d"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    well(dir, &again);
    let (key, before) = (fs::read(dir.join("d/voting.key")).unwrap(), listed());
    fails(dir, &again, 2, &["voting.key", "another directory"]);
    assert_eq!(
        (fs::read(dir.join("d/voting.key")).unwrap(), listed()),
        (key, before)
    );
    // the keys are gone, the vote history is there: no new keys beside it
    for name in ["voting.key", "network.key"] {
        fs::remove_file(dir.join("d").join(name)).unwrap();
    }
    let before = listed();
    fails(dir, &again, 2, &["votes.journal", "together"]);
    assert_eq!(listed(), before);

    let repo = dir.join("repo");
    fs::create_dir_all(&repo).unwrap();
    let with_repo = init("A", "e", &["--repo", repo.to_str().unwrap()]);
    well(dir, &with_repo);
    assert!(
        repo.join("07_governance_legal/federation_config.json")
            .exists()
    );
}

/// Three nodes and their cards in `dir`.
fn three_nodes(dir: &Path) {
    for name in ["Berlin", "Paris", "Rome"] {
        let address = ["--address", "/dns4/node.example/tcp/4170"];
        well(dir, &init(name, name, &address));
        fs::write(
            dir.join(format!("{name}.json")),
            well(dir, &["card", "--data", name]),
        )
        .unwrap();
    }
}

fn create(coordinator: &str) -> Vec<&str> {
    let cards = "federation create --name demo --card Berlin.json Paris.json Rome.json -o genesis.json --coordinator";
    cards.split(' ').chain([coordinator]).collect()
}

#[test]
fn nodes_are_made_and_form_a_federation() {
    let dir = temp();
    let dir = dir.path();
    three_nodes(dir);
    let made = well(dir, &create("Berlin"));
    assert!(
        made.contains("quorum     2 of 3") && made.contains("1 member may be away"),
        "{made}"
    );
    for name in ["Berlin", "Paris", "Rome", "Rome"] {
        well(dir, &["federation", "join", "genesis.json", "--data", name]);
    }
    let shown: Value = serde_json::from_str(&well(
        dir,
        &["federation", "show", "--data", "Paris", "--json"],
    ))
    .unwrap();
    let genesis = Manifest::parse(&fs::read(dir.join("genesis.json")).unwrap()).unwrap();
    assert_eq!(shown["federation_id"], genesis.federation_id().to_string());
    assert_eq!(
        (
            shown["members"][0]["role"].as_str(),
            shown["quorum"].as_u64()
        ),
        (Some("coordinator"), Some(2))
    );
    assert!(well(dir, &["config", "check", "--data", "Rome"]).contains("federation_config.json"));
    fs::write(
        dir.join("Rome/telemetry_config.json"),
        r#"{"tresholds": {}}"#,
    )
    .unwrap();
    let found = well(dir, &["config", "check", "--data", "Rome"]);
    assert!(
        found.contains("telemetry_config.json:1") && found.contains("tresholds"),
        "{found}"
    );
    fs::remove_file(dir.join("Rome/telemetry_config.json")).unwrap();
    let path = dir.join("Rome/federation_config.json");
    let kept = fs::read_to_string(&path).unwrap();
    let mut config: Value = serde_json::from_str(&kept).unwrap();
    (
        config["federation"]["enabled"],
        config["federation"]["mode"],
    ) = (false.into(), "observer".into());
    config["membership"]["auto_approve"] = true.into();
    fs::write(&path, config.to_string()).unwrap();
    let found = well(dir, &["config", "check", "--data", "Rome"]);
    assert!(
        found.contains("federation.mode is observer here and participant in"),
        "{found}"
    );
    assert!(
        found.contains("`membership.auto_approve` is true") && found.contains("no effect"),
        "{found}"
    );
    fails(
        dir,
        &["run", "--data", "Rome"],
        2,
        &["federation.enabled is false", "set it to true in", "Rome"],
    );
    fs::write(&path, kept).unwrap();
    let config: Value =
        serde_json::from_str(&well(dir, &["config", "show", "--data", "Rome", "--json"])).unwrap();
    assert_eq!(config["local_node"]["node_name"], "Rome");
    assert_eq!(config["network"]["listen"][0], "/ip4/0.0.0.0/tcp/4170");
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let dir = temp();
    let dir = dir.path();
    three_nodes(dir);
    fails(dir, &init("X", "Berlin", &[]), 2, &["is there already"]);
    fails(
        dir,
        &init("X", "n", &["--address", "berlin:4170"]),
        2,
        &["multiaddress", "/dns4/"],
    );
    fails(dir, &init("", "n", &[]), 2, &["--name"]);
    fails(dir, &create("Madrid"), 2, &["Madrid", "Berlin", "Paris"]);
    fails(
        dir,
        &[create("Berlin"), vec!["--threshold", "101"]].concat(),
        2,
        &["--threshold"],
    );
    fails(
        dir,
        &["federation", "show", "--data", "Berlin"],
        2,
        &["genesis.json", "federation join"],
    );
    let card = fs::read_to_string(dir.join("Rome.json")).unwrap();
    fs::write(dir.join("Rome.json"), card.replace("\"Org\"", "\"Other\"")).unwrap();
    fails(dir, &create("Berlin"), 5, &["signature"]);
    fs::write(dir.join("Rome.json"), &card).unwrap();
    well(dir, &create("Berlin"));
    fails(dir, &create("Berlin"), 2, &["not overwritten"]);
    well(dir, &init("Oslo", "Oslo", &[]));
    fails(
        dir,
        &["federation", "join", "genesis.json", "--data", "Oslo"],
        2,
        &["not a member", "ssid card"],
    );
    fails(
        dir,
        &["run", "--data", "nowhere"],
        2,
        &["ssid init --data nowhere"],
    );
    fs::write(
        dir.join("Rome/federation_config.json"),
        r#"{"sync_settings": {"timeout_seconds": "soon"}}"#,
    )
    .unwrap();
    fails(
        dir,
        &["config", "check", "--data", "Rome"],
        2,
        &["federation_config.json:1", "timeout_seconds", "soon"],
    );
}

/// An invite to the federation of `genesis.json`, in `name`.
fn write_invite(dir: &Path, name: &str, change: impl Fn(&mut Invite)) {
    let genesis = Manifest::parse(&fs::read(dir.join("genesis.json")).unwrap()).unwrap();
    let mut invite = Invite {
        federation_id: genesis.federation_id(),
        epoch: genesis.epoch,
        manifest_hash: genesis.hash(),
        proposal: None,
        peers: genesis.members.iter().map(InvitePeer::of).collect(),
        genesis,
    };
    change(&mut invite);
    fs::write(dir.join(name), invite.to_pretty()).unwrap();
}

#[test]
fn a_newcomer_joins_by_an_invite_once_pin_and_key_are_compared() {
    let dir = temp();
    let dir = dir.path();
    three_nodes(dir);
    well(dir, &create("Berlin"));
    well(dir, &init("Oslo", "Oslo", &[]));
    let card = ssid(dir, &["card", "-o", "oslo.card.json", "--data", "Oslo"]);
    let id = fs::read_to_string(dir.join("oslo.card.json")).unwrap();
    let id: Value = serde_json::from_str(&id).unwrap();
    let key = ssid_node::text::spoken(&id["node_id"].as_str().unwrap());
    assert_eq!(key.len(), 39, "{key}");
    assert!(
        err(&card).contains(&format!("its key is {key}: read this")),
        "{card:?}"
    );
    write_invite(dir, "oslo.invite.json", |_| ());
    let join = ["federation", "join", "oslo.invite.json", "--data", "Oslo"];
    // who cannot be asked has to say that it was compared
    fails(dir, &join, 1, &["nothing is taken", "--yes"]);
    assert!(!dir.join("Oslo/invite.json").exists());
    let said = well(dir, &[&join[..], &["--yes"]].concat());
    let genesis = Manifest::parse(&fs::read(dir.join("genesis.json")).unwrap()).unwrap();
    let pin = ssid_node::text::spoken(&genesis.hash());
    for words in [&key, &pin, "Berlin, Paris, Rome", "ssid run"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let taken = fs::read(dir.join("Oslo/invite.json")).unwrap();
    assert_eq!(Invite::parse(&taken).unwrap().genesis, genesis);
    assert!(well(dir, &["federation", "show", "--data", "Oslo"]).contains("Federation demo"));
}

#[test]
fn an_invite_that_contradicts_itself_or_is_to_another_federation_is_refused() {
    let dir = temp();
    let dir = dir.path();
    three_nodes(dir);
    well(dir, &create("Berlin"));
    well(dir, &init("Oslo", "Oslo", &[]));
    let join = |name| {
        let command = ["federation", "join", name, "--yes", "--data", "Oslo"];
        command.map(str::to_owned)
    };
    let refused = |name, code, words: &[&str]| {
        let args = join(name);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        fails(dir, &args, code, words);
    };
    write_invite(dir, "a.json", |invite| invite.federation_id.0[0] ^= 1);
    refused("a.json", 5, &["a.json", "`federation_id`"]);
    write_invite(dir, "b.json", |invite| invite.peers.clear());
    refused("b.json", 5, &["b.json", "`peers` must be 1 to 16"]);
    assert!(!dir.join("Oslo/invite.json").exists());
    write_invite(dir, "c.json", |_| ());
    let args = join("c.json");
    well(dir, &args.iter().map(String::as_str).collect::<Vec<_>>());
    write_invite(dir, "d.json", |invite| {
        invite.genesis.name = "another".into();
        invite.federation_id = invite.genesis.federation_id();
        invite.manifest_hash = invite.genesis.hash();
    });
    refused(
        "d.json",
        2,
        &["belongs to federation", "data directory of its own"],
    );
}

#[test]
fn keys_are_for_their_owner_and_may_have_a_passphrase() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = temp();
    let init = |data: &str, passphrase: &str| {
        let output = command(dir.path(), &init("A", data, &["--json"]))
            .env("SSID_KEY_PASSPHRASE", passphrase)
            .output()
            .unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(init("plain", "")["encrypted"], false);
    assert_eq!(init("sealed", "correct horse")["encrypted"], true);
    let mode = fs::metadata(dir.path().join("plain/voting.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(dir.path().join("plain/votes.journal").exists());
    fails(
        dir.path(),
        &["run", "--data", "sealed"],
        2,
        &["SSID_KEY_PASSPHRASE"],
    );
}

#[test]
fn tokens_in_addresses_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = temp();
    let data = dir.path().join("d");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let remote = "https://bot:s3cret@git.example.org/r.git";
    well(dir.path(), &init("B", "d", &["--git-remote", remote]));
    let mode = fs::metadata(data.join("federation_config.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!well(dir.path(), &["config", "show", "--data", "d"]).contains("s3cret"));
    // a repository's files are read by others: nothing is made
    let repo = dir.path().join("r/07_governance_legal");
    fs::create_dir_all(&repo).unwrap();
    let said = fails(
        dir.path(),
        &init("B", "e", &["--repo", "r", "--git-remote", remote]),
        2,
        &["--git-remote", "SSID_LOCAL_NODE_GIT_REMOTE"],
    );
    assert!(!said.contains("s3cret") && !dir.path().join("e").exists());
}

#[test]
fn keys_are_shown_without_a_passphrase_and_exported_for_other_programs() {
    let dir = temp();
    let dir = dir.path();
    well(dir, &init("A", "d", &[]));
    let card: Value = serde_json::from_str(&well(dir, &["card", "--data", "d"])).unwrap();
    let said = well(dir, &["key", "show", "--json", "--data", "d"]);
    let shown: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(shown["voting"]["node_id"], card["node_id"]);
    assert_eq!(shown["network"]["peer_id"], card["peer_id"]);
    assert_eq!(shown["next_voting"], Value::Null);
    let id = card["node_id"].as_str().unwrap();
    let said = well(dir, &["key", "show", "--data", "d"]);
    let groups = format!("{} {}", &id[..4], &id[4..8]);
    for part in [&groups, "voting.key (not encrypted)", "network.key"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let pem = well(dir, &["key", "export-public", "--data", "d"]);
    assert!(
        pem.starts_with("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA"),
        "{pem}"
    );
    let next = ["key", "export-public", "--next", "--data", "d"];
    fails(dir, &next, 2, &["voting.next.key"]);
}

#[test]
fn a_node_that_takes_the_place_of_a_lost_key_is_told_how() {
    let dir = temp();
    let dir = dir.path();
    let former = "ab".repeat(32);
    let made = well(dir, &init("A", "d", &["--succeeds", &former]));
    for part in [
        &format!("membership propose replace {former} a.json --lost"),
        "--epochs epochs.jsonl",
        "ssid key show",
    ] {
        assert!(made.contains(part), "{part}: {made}");
    }
    fails(
        dir,
        &init("B", "e", &["--succeeds", "abcd"]),
        2,
        &["--succeeds"],
    );
}
