//! One name for one thing: a walk through `--json` of every command and through every answer of the
//! API.

use std::path::Path;

use serde_json::Value;
use ssid_tests::{Cluster, Node, Organisation, Reply, SOON, Shape, eventually, ssid_in};

/// Names that something had before, or has in the registry's own files, and what every answer calls
/// it.
const OLD_NAMES: [(&str, &str); 8] = [
    ("may_still_fail", "may_fail"),
    ("hearing", "starting"),
    ("index", "sequence"),
    ("label", "trust_label"),
    ("version", "event_version"),
    ("node", "node_id, unless it is an object"),
    ("event", "event_type, unless it is an object"),
    (
        "federation",
        "federation_name or federation_id, unless it is an object",
    ),
];
/// Of these, the names that an object may have: what is told of a thing, not its name.
const OBJECTS: [&str; 3] = ["node", "event", "federation"];
/// Keys whose values are words of a list.
const WORDS: [&str; 16] = [
    "action",
    "health",
    "kind",
    "outcome",
    "phase",
    "resolution",
    "role",
    "severity",
    "state",
    "status",
    "topic",
    "transport",
    "trend",
    "trust_label",
    "type",
    "verdict",
];
/// Keys that hold a time, besides those that end in `_at`.
const TIMES: [&str; 6] = [
    "at",
    "last_seen",
    "last_sync",
    "since",
    "timestamp",
    "until",
];

/// Commands that are not walked, and why.
const NOT_WALKED: [(&str, &str); 16] = [
    (
        "bench",
        "measures a cluster of its own; its report is of machines and times",
    ),
    ("card", "prints the member card of SPEC"),
    ("cluster kill", "below: a cluster of this command's own"),
    ("cluster restart", "below: a cluster of this command's own"),
    ("cluster up", "stays until it is interrupted"),
    ("compat", "speaks the words of the scripts it replaces"),
    ("config show", "prints the registry's configuration file"),
    ("demo", "walked by its own test"),
    ("epochs export", "prints the chain file of SPEC"),
    (
        "key export-public",
        "prints a public key as other programs read it",
    ),
    ("membership draft", "prints a manifest of SPEC"),
    ("membership invite", "prints an invite of SPEC"),
    (
        "events watch",
        "stays until it is interrupted; its words are tested with the stream",
    ),
    ("run", "is the node"),
    (
        "release",
        "prints the release manifest, which is the registry's own",
    ),
    ("telemetry watch", "stays until it is interrupted"),
];

/// What is to be asked about, in a federation in which there is one of everything.
struct Asked {
    certified: String,
    conflict: String,
    candidate: String,
    files: std::path::PathBuf,
}

/// The arguments with which a command is walked; none if there is nothing that it could be asked.
fn arguments(command: &str, asked: &Asked) -> Vec<String> {
    let file = |name: &str| asked.files.join(name).display().to_string();
    let text = match command {
        "anchor cid" => format!("--cid-version 1 {}", file("log")),
        "certificate verify" | "evidence verify" => {
            format!("{} --genesis {}", file("c.json"), file("genesis.json"))
        }
        "ci init" => format!("--repo {}", file("repo")),
        "cluster down" | "cluster status" => format!("--dir {}", file("cluster")),
        "completions" => "bash".to_owned(),
        "conflicts resolve" => format!("{} --choose {}", asked.conflict, asked.candidate),
        "conflicts show" => asked.conflict.clone(),
        "consensus check" | "events show" | "log proof" => asked.certified.clone(),
        "consensus export" => format!("{} -o {}", asked.certified, file("c.json")),
        "events emit" => "--event audit --version v9 --commit 3dd05d9".to_owned(),
        "events endorse" | "events refuse" => asked.candidate.clone(),
        "events import" => file("log"),
        "federation create" => format!(
            "--name f --card {} --card {} --coordinator node-1 -o {}",
            file("node-1/card.json"),
            file("node-2/card.json"),
            file("f.json")
        ),
        "federation join" | "federation show" => file("genesis.json"),
        "evidence show" | "membership show" | "membership approve" | "membership reject" => {
            "ffff".to_owned()
        }
        "epochs show" => "0".to_owned(),
        "import-legacy" => format!("--dry-run --repo {}", file("repo")),
        "restore" => "--old-copy-is-gone".to_owned(),
        "key rotate" => "--dry-run --reason test".to_owned(),
        "init" => format!("--name New --organization New --data {}", file("new")),
        "log verify" => format!(
            "{} --head {} --genesis {}",
            file("c.json"),
            file("c.json"),
            file("genesis.json")
        ),
        "log consistency" => "--from 1".to_owned(),
        "membership propose add" | "nodes add" => {
            format!("{} --dry-run --reason r", file("fifth/card.json"))
        }
        "membership propose remove" | "nodes remove" => "node-3 --dry-run --reason r".to_owned(),
        "membership propose suspend" | "membership propose resume" | "nodes suspend" => {
            "node-3 --dry-run".to_owned()
        }
        "membership propose role" | "nodes role" => "node-3 observer --dry-run".to_owned(),
        "membership propose set" => "--threshold 70 --dry-run".to_owned(),
        "membership propose replace" => {
            format!(
                "node-3 {} --lost --dry-run --reason r",
                file("fifth/card.json")
            )
        }
        "man" => format!("-o {}", file("man")),
        "nodes observe" => {
            "--git-remote https://127.0.0.1:1/x.git --node-name Oslo --organization Eksempel"
                .to_owned()
        }
        "nodes unobserve" => "Oslo".to_owned(),
        "nodes show" | "trust show" | "trust explain" => "node-1".to_owned(),
        "report" => "--month 2026-11".to_owned(),
        "sync" => "--force".to_owned(),
        "telemetry outbox retry" | "telemetry outbox drop" => "7".to_owned(),
        "trust boost" | "trust penalize" => "node-2 --reason because".to_owned(),
        _ => String::new(),
    };
    text.split(' ')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Every command that has none below it, as the help lists them.
fn commands(dir: &Path, above: &[String]) -> Vec<String> {
    let args: Vec<&str> = above.iter().map(String::as_str).chain(["--help"]).collect();
    let help = ssid_in(dir, &args).well().stdout;
    let listed = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "));
    let names = listed
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    let names: Vec<_> = names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect();
    if names.is_empty() {
        return vec![above.join(" ")];
    }
    names
        .into_iter()
        .flat_map(|name| commands(dir, &[above, &[name]].concat()))
        .collect()
}

/// Every fault of a document, each with the place where it is.
fn faults(place: &str, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match value {
        Value::Object(fields) => {
            if fields.contains_key("items") && !fields.contains_key("next") {
                found.push(format!("{place}: a list without next"));
            }
            for (key, value) in fields {
                let place = format!("{place}.{key}");
                found.extend(fault(key, value).map(|why| format!("{place}: {why}: {value}")));
                // documents that others define: the words in them are theirs
                if !["document", "script", "diff", "heartbeat"].contains(&key.as_str()) {
                    found.extend(faults(&place, value));
                }
            }
        }
        Value::Array(items) => {
            found.extend(
                items
                    .iter()
                    .enumerate()
                    .flat_map(|(i, item)| faults(&format!("{place}[{i}]"), item)),
            );
        }
        _ => {}
    }
    found
}

fn fault(key: &str, value: &Value) -> Option<String> {
    let is_text = value.is_string() || value.is_null();
    let old = OLD_NAMES.iter().find(|(old, _)| *old == key);
    if let Some((_, new)) = old
        && !(OBJECTS.contains(&key) && (value.is_object() || value.is_null()))
    {
        return Some(format!("its name is {new}"));
    }
    let is_time = TIMES.contains(&key) || key.ends_with("_at");
    if is_time && !(is_text && value.as_str().is_none_or(is_rfc_3339)) {
        return Some("not a time of RFC 3339 in UTC".to_owned());
    }
    if WORDS.contains(&key) && !value.as_str().is_none_or(is_word) {
        return Some("not a lower-case word".to_owned());
    }
    match key {
        "voters" | "sequence" | "trust_score" | "may_fail"
            if !value.is_number() && !value.is_null() =>
        {
            Some("not a number".to_owned())
        }
        "voter_list" | "items" if !value.is_array() => Some("not a list".to_owned()),
        "node_id" | "node_name" | "event_type" | "event_version" if !is_text => {
            Some("not a text".to_owned())
        }
        _ => None,
    }
}

fn is_word(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_:".contains(&b))
}

/// `2026-11-29T23:35:56Z`, with or without a fraction.
fn is_rfc_3339(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else {
        return false;
    };
    let fraction = rest.strip_suffix('Z').unwrap_or("x");
    fraction.is_empty()
        || fraction
            .strip_prefix('.')
            .is_some_and(|digits| digits.bytes().all(|b| b == b'0'))
}

/// A federation with an event that is certified and one that is in conflict, each node with its own
/// registry.
fn federation() -> (Cluster, Asked) {
    let cluster = Cluster::start_shaped(Shape {
        observed_only: true,
        ..Shape::of(4)
    });
    let emit = |node: usize, version: &str, commit: &str| {
        let what = [
            "--event",
            "blueprint_tagged",
            "--version",
            version,
            "--commit",
            commit,
        ];
        let at = ["--timestamp", "2026-10-11T20:00:00Z"];
        let said = cluster
            .node(node)
            .ssid_json(&[&["events", "emit"], &what[..], &at].concat());
        said["event_hash"].as_str().unwrap().to_owned()
    };
    let certified: Vec<_> = (0..4).map(|node| emit(node, "v1", "3dd05d9")).collect();
    let certified = certified[0].clone();
    cluster.wait_certified(1, SOON);
    let candidate = emit(0, "v2", "aaaaaaa");
    for (node, commit) in [(1, "aaaaaaa"), (2, "bbbbbbb"), (3, "bbbbbbb")] {
        let _ = emit(node, "v2", commit);
    }
    let conflict = eventually("the conflict is listed", SOON, || {
        let list = cluster.node(0).ssid_json(&["conflicts", "list"]);
        let subject = list["items"][0]["subject_id"].as_str().map(str::to_owned);
        subject
            .filter(|_| list["items"][0]["in_conflict"] == true)
            .ok_or(list)
    });
    let files = cluster.dir().to_owned();
    (
        cluster,
        Asked {
            certified,
            conflict,
            candidate,
            files,
        },
    )
}

fn prepare(asked: &Asked, node: &Node) {
    let files = &asked.files;
    std::fs::write(
        files.join("log"),
        "{\"timestamp\": \"2026-10-11T20:00:00Z\", \"event\": \"x\"}\n",
    )
    .unwrap();
    let registry = files.join("repo/24_meta_orchestration/registry/manifests");
    std::fs::create_dir_all(&registry).unwrap();
    std::fs::write(registry.join("federation_manifest.json"), "{\"nodes\": []}").unwrap();
    std::fs::create_dir_all(files.join("repo/07_governance_legal")).unwrap();
    let cluster = files.join("cluster");
    let made = [
        "cluster",
        "up",
        "--nodes",
        "2",
        "--detach",
        "--dir",
        cluster.to_str().unwrap(),
    ];
    let _ = ssid_in(files, &made).well();
    let _ = Organisation::init(files, "fifth");
    let certificate = files.join("c.json");
    let export = [
        "consensus",
        "export",
        &asked.certified,
        "-o",
        certificate.to_str().unwrap(),
    ];
    let _ = node.ssid(&export).well();
    std::fs::copy(node.file("genesis.json"), files.join("genesis.json")).unwrap();
}

#[test]
fn every_command_calls_one_thing_by_one_name() {
    let (cluster, asked) = federation();
    let node = cluster.node(0);
    prepare(&asked, node);
    let is_walked = |command: &&String| {
        !NOT_WALKED
            .iter()
            .any(|(name, _)| *command == name || command.starts_with(&format!("{name} ")))
    };
    let mut found = Vec::new();
    let mut answered = 0;
    for command in commands(cluster.dir(), &[]).iter().filter(is_walked) {
        let words = command.split(' ').map(str::to_owned);
        let args: Vec<String> = words
            .chain(arguments(command, &asked))
            .chain(["--json".to_owned()])
            .collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let own_data = args.contains(&"--data");
        let said = if own_data {
            ssid_in(cluster.dir(), &args)
        } else {
            node.ssid(&args)
        };
        let is_misused = said.code == Some(2)
            && ["argument", "required"]
                .iter()
                .any(|word| said.stderr.contains(word));
        assert!(said.code.is_some() && !is_misused, "{said:#?}");
        // one that was refused says so on standard error, as JSON too
        let text = if said.stdout.is_empty() {
            &said.stderr
        } else {
            &said.stdout
        };
        let value: Value = serde_json::from_str(text)
            .unwrap_or_else(|e| panic!("no JSON document ({e}): {said:#?}"));
        answered += usize::from(!said.stdout.is_empty());
        if value.is_array() {
            found.push(format!("{command}: a list that is no {{items, next}}"));
        }
        found.extend(faults(command, &value));
    }
    assert!(answered > 40, "only {answered} commands had an answer");
    assert_eq!(found, Vec::<String>::new(), "{found:#?}");
}

#[test]
fn every_answer_of_the_api_calls_one_thing_by_one_name() {
    let (cluster, asked) = federation();
    let node = cluster.node(0);
    let list = node.get("/v1").json();
    let mut found = faults("/v1", &list);
    let gets = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|endpoint| endpoint["method"] == "GET");
    let mut answered = 0;
    for path in gets.filter_map(|endpoint| endpoint["path"].as_str()) {
        let path = match path {
            // certificate, chain file and manifest are the documents of SPEC
            "/v1/stream"
            | "/metrics"
            | "/healthz"
            | "/v1/certificates/{hash}"
            | "/v1/epochs/export"
            | "/v1/membership/draft"
            | "/v1/membership/invite" => continue,
            "/v1/log/proof" => format!("{path}?hash={}", asked.certified),
            "/v1/log/consistency" => format!("{path}?from=1"),
            other => other
                .replace("{hash}", &asked.certified)
                .replace("{epoch}", "0")
                .replace("{subject}", &asked.conflict),
        };
        let Reply { status, body } = node.get(&path.replace("{id}", "node-1"));
        let value: Value =
            serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {status} {e}: {body}"));
        if status == 200 {
            answered += 1;
            assert!(value.is_object(), "{path}: {value}");
            found.extend(faults(&path, &value));
        }
    }
    assert!(answered > 20, "only {answered} paths had an answer");
    assert_eq!(found, Vec::<String>::new(), "{found:#?}");
}

#[test]
fn the_walk_sees_what_it_looks_for() {
    let seen = serde_json::json!({
        "voters": [], "state": "Certified", "at": 1_760_212_800_120_u64, "node": "aa", "items": [],
        "inner": [{ "timestamp": "2026-11-29 23:35" }],
    });
    assert_eq!(faults("", &seen).len(), 6, "{:#?}", faults("", &seen));
    let well = serde_json::json!({
        "voters": 4, "state": "certified", "at": "2026-11-29T23:35:56.5Z", "node": {"node_id": "aa"},
        "items": [], "next": null, "until": null,
    });
    assert_eq!(faults("", &well), Vec::<String>::new());
}
