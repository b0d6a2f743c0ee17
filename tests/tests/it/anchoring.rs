//! Anchoring on IPFS by real nodes and commands. Tests that need a real IPFS node run where
//! `SSID_TEST_IPFS_API` names its RPC and `SSID_TEST_IPFS_GATEWAY` its gateway;
//! `tests/peers/ipfs/ipfs.sh start` gives both.

use std::fs;
use std::io::{Read as _, Write as _, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};
use ssid_tests::{Cluster, LONG, Node, Outcome, Shape, eventually, ssid_in, ssid_with};
use tempfile::TempDir;

/// A real IPFS node.
struct Ipfs {
    api: String,
    gateway: String,
}

/// The IPFS node to test with, or a word on standard error about what is skipped and why.
fn ipfs(test: &str) -> Option<Ipfs> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let found = set("SSID_TEST_IPFS_API")
        .zip(set("SSID_TEST_IPFS_GATEWAY"))
        .map(|(api, gateway)| Ipfs { api, gateway });
    if found.is_none() {
        // not through the macro: what that writes is shown of failed tests only
        let why = "SSID_TEST_IPFS_API and SSID_TEST_IPFS_GATEWAY name no IPFS node (tests/peers/ipfs/ipfs.sh start)";
        let _ = writeln!(std::io::stderr(), "SKIPPED: anchoring::{test}: {why}");
    }
    found
}

fn configure(config: &mut Value, api: &str, gateways: &[&str]) {
    config["anchoring"] = json!({ "local_api": api, "gateways": gateways, "timeout_seconds": 60 });
}

/// An address of this machine where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Lets connections to `from` reach `to`, from now on.
fn forward(from: SocketAddr, to: &str) {
    forward_those(TcpListener::bind(from).unwrap(), to, |_, _| true);
}

/// As a server elsewhere is kept: whose first request on a connection has no such token is refused.
/// Its address.
fn behind_a_token(to: &str, token: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    forward_those(listener, to, move |incoming, outgoing| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            incoming.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let text = String::from_utf8(head.clone())
            .unwrap()
            .to_ascii_lowercase();
        if text.contains(&format!("authorization: bearer {token}\r\n")) {
            outgoing.write_all(&head).unwrap();
            return true;
        }
        let refusal = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        incoming.write_all(refusal.as_bytes()).unwrap();
        // what was sent besides is read, lest the answer is lost with a reset connection
        let _ = copy(incoming, &mut std::io::sink());
        false
    });
    address
}

/// Lets connections that `admit` takes reach `to`.
fn forward_those(
    listener: TcpListener,
    to: &str,
    admit: impl Fn(&mut TcpStream, &mut TcpStream) -> bool + Send + Sync + Copy + 'static,
) {
    let to = to
        .trim_start_matches("http://")
        .trim_end_matches("/ipfs/")
        .to_owned();
    thread::spawn(move || {
        for mut incoming in listener.incoming().map_while(Result::ok) {
            let mut outgoing = TcpStream::connect(&to).unwrap();
            if !admit(&mut incoming, &mut outgoing) {
                continue;
            }
            for (mut source, mut sink) in [
                (incoming.try_clone().unwrap(), outgoing.try_clone().unwrap()),
                (outgoing, incoming),
            ] {
                thread::spawn(move || {
                    // a side that hangs up in the middle is the other side's to notice
                    let _ = copy(&mut source, &mut sink);
                    let _ = sink.shutdown(Shutdown::Write);
                });
            }
        }
    });
}

/// A repository with a registry log and compliance reports, and no node.
struct Repository(TempDir);

impl Repository {
    fn new(api: &str, gateways: &[&str], reports: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let mut config = json!({});
        configure(&mut config, api, gateways);
        write(
            "07_governance_legal/federation_config.json",
            &config.to_string(),
        );
        let event = json!({
            "timestamp": "2025-10-11T20:00:00Z", "event": "quarterly_review", "version": "2025-Q4",
            "commit_hash": "3dd05d9", "blueprint": "v4.3", "root_24_lock": "active", "compliance_score": "100/100",
            "emitted_by": "test",
        });
        write(
            "24_meta_orchestration/registry/logs/registry_events.log",
            &format!("{event}\n"),
        );
        for n in 0..reports {
            write(
                &format!("05_documentation/reports/compliance_{n:03}.md"),
                &format!("report {n} of {}", home.path().display()),
            );
        }
        Self(home)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn ssid(&self, args: &[&str]) -> Outcome {
        let root = self.0.path().to_str().unwrap();
        ssid_in(
            self.0.path(),
            &[&["--repo", root, "--data", root], args].concat(),
        )
    }

    fn configure(&self, change: impl FnOnce(&mut Value)) {
        let path = self.path("07_governance_legal/federation_config.json");
        let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut config);
        fs::write(path, config.to_string()).unwrap();
    }

    fn ssid_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Outcome {
        let root = self.0.path().to_str().unwrap();
        ssid_with(
            self.0.path(),
            variables,
            &[&["--repo", root, "--data", root, "--json"], args].concat(),
        )
    }

    fn json(&self, args: &[&str]) -> Value {
        self.ssid(&[&["--json"], args].concat()).well().json()
    }

    fn manifest(&self) -> Value {
        let path = self.path("24_meta_orchestration/registry/manifests/ipfs_anchor_manifest.json");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }
}

const REPORT: &str = "05_documentation/reports/compliance_000.md";

fn count(value: &Value) -> usize {
    value.as_array().unwrap().len()
}

#[test]
fn an_ipfs_node_that_is_down_is_said_and_nothing_is_recorded() {
    let api = format!("http://{}", nobody());
    let repository = Repository::new(&api, &[], 2);
    let _ = repository.ssid(&["anchor", "run"]).exits(1).says(&[
        "cannot be reached",
        "ipfs daemon",
        "no node runs here",
    ]);
    assert!(
        !repository
            .path("24_meta_orchestration/registry/manifests")
            .exists()
    );
    let listed = repository.json(&["anchor", "list"]);
    assert_eq!(
        (count(&listed["items"]), &listed["waiting"]),
        (0, &json!(0))
    );
    let _ = repository.ssid(&["anchor", "verify"]).well();
}

#[test]
fn a_record_that_cannot_be_proven_ends_with_5_and_one_nobody_delivers_with_1() {
    let api = format!("http://{}", nobody());
    let repository = Repository::new(&api, &[], 0);
    let path =
        repository.path("24_meta_orchestration/registry/manifests/ipfs_anchor_manifest.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let anchor = |cid: &str| json!({ "anchors": [{ "file_path": "a", "file_hash": "00".repeat(32), "ipfs_cid": cid }] });
    fs::write(
        &path,
        anchor("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH").to_string(),
    )
    .unwrap();
    let _ = repository.ssid(&["anchor", "verify"]).exits(1).says(&[
        "1 of the anchors could not be reached",
        "anchoring.gateways",
    ]);
    fs::write(&path, anchor("no CID").to_string()).unwrap();
    let _ = repository
        .ssid(&["anchor", "verify"])
        .exits(5)
        .says(&["1 of the anchors are not what was recorded"]);
}

#[test]
fn a_hundred_files_are_anchored_proven_and_anchored_again_when_one_byte_changes() {
    let Some(ipfs) =
        ipfs("a_hundred_files_are_anchored_proven_and_anchored_again_when_one_byte_changes")
    else {
        return;
    };
    let repository = Repository::new(&ipfs.api, &[&ipfs.gateway], 99);
    let run = repository.ssid(&["--json", "anchor", "run"]).well();
    let _ = writeln!(
        std::io::stderr(),
        "anchored 100 small files on a real IPFS node in {:?}",
        run.took
    );
    assert_eq!(count(&run.json()["anchored"]), 100);
    assert_eq!(repository.manifest()["statistics"]["total_anchors"], 100);
    assert_eq!(
        repository.manifest()["anchors"][0]["event_type"],
        "quarterly_review"
    );
    assert_eq!(
        repository.json(&["anchor", "verify", "--everywhere"])["proven"],
        100
    );
    let again = repository.json(&["anchor", "run"]);
    assert_eq!(
        (count(&again["anchored"]), &again["unchanged"]),
        (0, &json!(100))
    );

    let mut bytes = fs::read(repository.path(REPORT)).unwrap();
    bytes[0] ^= 1;
    fs::write(repository.path(REPORT), bytes).unwrap();
    let changed = repository.json(&["anchor", "run"]);
    assert_eq!(
        (
            count(&changed["anchored"]),
            &changed["anchored"][0]["file_path"]
        ),
        (1, &json!(REPORT))
    );
    assert_eq!(
        repository.json(&["anchor", "verify"])["proven"],
        101,
        "the old content is still there"
    );

    let manifest =
        repository.path("24_meta_orchestration/registry/manifests/ipfs_anchor_manifest.json");
    let mut edited = repository.manifest();
    edited["anchors"][3]["file_hash"] = edited["anchors"][4]["file_hash"].clone();
    fs::write(manifest, edited.to_string()).unwrap();
    let _ = repository.ssid(&["anchor", "verify"]).exits(5);
}

#[test]
fn a_large_file_has_the_same_cid_here_and_on_a_real_node_in_either_version() {
    let Some(ipfs) =
        ipfs("a_large_file_has_the_same_cid_here_and_on_a_real_node_in_either_version")
    else {
        return;
    };
    for version in [0, 1] {
        let repository = Repository::new(&ipfs.api, &[], 0);
        repository.configure(|config| config["anchoring"]["cid_version"] = json!(version));
        // more chunks than a node has links: two levels
        let bytes: Vec<u8> = (0..(175 * 256 * 1024 + 1) / 8_u64)
            .flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
            .collect();
        fs::create_dir_all(repository.path("05_documentation/reports")).unwrap();
        fs::write(repository.path(REPORT), bytes).unwrap();
        let run = repository.json(&["anchor", "run"]);
        assert_eq!(
            (count(&run["anchored"]), count(&run["failed"])),
            (2, 0),
            "{run}"
        );
        let cid = run["anchored"][0]["ipfs_cid"].as_str().unwrap();
        assert!(cid.starts_with(["Qm", "bafy"][version]), "{cid}");
        let named = repository
            .ssid(&[
                "anchor",
                "cid",
                "--cid-version",
                &version.to_string(),
                REPORT,
            ])
            .well();
        assert_eq!(named.stdout, format!("{cid}  {REPORT}\n"));
        assert_eq!(repository.json(&["anchor", "verify"])["proven"], 2);
    }
}

#[test]
fn a_remote_node_wants_its_token_and_is_taken_where_the_local_one_is_down() {
    let Some(ipfs) = ipfs("a_remote_node_wants_its_token_and_is_taken_where_the_local_one_is_down")
    else {
        return;
    };
    let down = format!("http://{}", nobody());
    let repository = Repository::new(&down, &[], 3);
    let remote = behind_a_token(&ipfs.api, "topsecret");
    repository.configure(|config| {
        config["anchoring"]["providers"] = json!(["local", "remote"]);
        config["anchoring"]["remote_api"] = json!(remote);
    });
    let here = ("SSID_IPFS_TOKEN_HOST", "127.0.0.1");
    let unnamed = repository
        .ssid_with(&[("SSID_IPFS_TOKEN", "hidden")], &["anchor", "run"])
        .exits(2);
    let unnamed = unnamed.says(&["is not sent to 127.0.0.1", "SSID_IPFS_TOKEN_HOST=127.0.0.1"]);
    assert!(!unnamed.stderr.contains("hidden"), "{unnamed:?}");
    let wrong = [("SSID_IPFS_TOKEN", "hidden"), here];
    let wrong = repository
        .ssid_with(&wrong, &["anchor", "run"])
        .exits(1)
        .says(&["401"]);
    assert!(
        !wrong.stderr.contains("hidden") && !wrong.stdout.contains("hidden"),
        "a token is a secret: {wrong:?}"
    );
    let _ = repository
        .ssid_with(&[], &["anchor", "run"])
        .exits(2)
        .says(&["SSID_IPFS_TOKEN"]);

    let token = repository.path("token");
    fs::write(&token, "topsecret\n").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let variables = [("SSID_IPFS_TOKEN_FILE", token.to_str().unwrap()), here];
    let run = repository
        .ssid_with(&variables, &["anchor", "run"])
        .well()
        .json();
    assert_eq!(
        (
            count(&run["anchored"]),
            &run["anchored"][0]["storage_provider"]
        ),
        (4, &json!("remote")),
        "{run}"
    );

    // through a gateway alone, which knows neither token nor manifest
    let _ = repository
        .ssid_with(&[], &["anchor", "verify"])
        .exits(1)
        .says(&["4 of the anchors could not be reached"]);
    repository.configure(|config| config["anchoring"]["gateways"] = json!([down, ipfs.gateway]));
    assert_eq!(repository.json(&["anchor", "verify"])["proven"], 4);
}

fn anchors(node: &Node) -> Value {
    node.ssid_json(&["anchor", "list"])
}

#[test]
fn certified_events_are_anchored_and_wait_while_the_ipfs_node_is_down() {
    let Some(ipfs) = ipfs("certified_events_are_anchored_and_wait_while_the_ipfs_node_is_down")
    else {
        return;
    };
    let down = nobody();
    let mut cluster = Cluster::make(Shape::of(4));
    cluster.node(0).org.configure(|config| {
        configure(config, &format!("http://{down}"), &[&ipfs.gateway]);
        config["anchoring"]["after_certified"] = true.into();
        config["advanced"]["ipfs_federation"] =
            json!({ "enabled": true, "pin_consensus_records": true });
    });
    cluster.start_all();
    let emit = |version: &str| {
        let args = [
            "events",
            "emit",
            "--event",
            "blueprint_tagged",
            "--version",
            version,
            "--commit",
            "3dd05d9",
            "--wait",
        ];
        let _ = cluster.node(1).ssid(&args).well();
    };
    emit("v1");
    let node = cluster.node(0);
    eventually("the certified event waits to be anchored", LONG, || {
        let listed = anchors(node);
        if listed["waiting"] == 1 && listed["problem"].is_string() {
            Ok(())
        } else {
            Err(listed)
        }
    });
    let _ = node
        .ssid(&["anchor", "run"])
        .exits(1)
        .says(&["ipfs daemon", "go out by themselves"]);

    forward(down, &ipfs.api);
    eventually("what waited is anchored", LONG, || {
        let listed = anchors(node);
        if listed["waiting"] == 0 && count(&listed["items"]) >= 3 {
            Ok(())
        } else {
            Err(listed)
        }
    });
    emit("v2");
    eventually("the log is anchored again", LONG, || {
        let listed = anchors(node);
        let logs = listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|a| a["name"] == "registry_events.log")
            .count();
        if listed["waiting"] == 0 && logs >= 2 {
            Ok(())
        } else {
            Err(listed)
        }
    });
    let proven = node.ssid_json(&["anchor", "verify", "--everywhere"]);
    assert_eq!(
        (&proven["differ"], &proven["unreachable"]),
        (&json!(0), &json!(0)),
        "{proven}"
    );
    assert!(proven["proven"].as_u64().unwrap() >= 6, "{proven}");
    let run = node.ssid_json(&["anchor", "run"]);
    assert_eq!(
        (count(&run["anchored"]), count(&run["failed"])),
        (0, 0),
        "{run}"
    );
    assert!(Path::new(&node.file("ipfs_anchor_manifest.json")).exists());
}
