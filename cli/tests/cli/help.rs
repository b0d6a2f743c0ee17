//! Help, wrong usage, and commands without a node to talk to.

use super::*;

/// The commands that are directly below one, as its help lists them.
fn below(dir: &Path, command: &str) -> (String, Vec<String>) {
    let args: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
    let help = well(dir, &args);
    let listed = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "));
    let names = listed
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    let names = names
        .filter(|name| *name != "help")
        .map(|name| format!("{command} {name}").trim().to_owned())
        .collect();
    (help, names)
}

#[test]
fn every_command_has_help_with_an_example_and_json() {
    let dir = temp();
    let (mut commands, mut seen) = (below(dir.path(), "").1, 0);
    while let Some(command) = commands.pop() {
        let (help, names) = below(dir.path(), &command);
        assert!(
            help.contains(&format!("Usage: ssid {command}")),
            "{command}: {help}"
        );
        let summary: Vec<_> = help.lines().take_while(|line| !line.is_empty()).collect();
        assert!(
            summary.len() == 1 && summary[0].chars().count() <= 96,
            "{command}: its summary is not one line: {summary:?}"
        );
        if names.is_empty() {
            assert!(
                help.contains("Example") && help.contains("--json"),
                "{command}: {help}"
            );
            let mut lines = help.lines();
            lines.find(|line| line.starts_with("Example"));
            assert!(
                lines.next().is_some_and(|line| line.starts_with("  ")),
                "{command}: no example stands on a line of its own\n{help}"
            );
            seen += 1;
        }
        commands.extend(names);
    }
    assert!(seen > 60, "{seen} commands");
    assert!(well(dir.path(), &["--help"]).contains("Exit codes: 0 done"));
    assert!(well(dir.path(), &["--version"]).starts_with("ssid "));
}

#[test]
fn wrong_usage_is_exit_2_also_as_json() {
    let dir = temp();
    fails(dir.path(), &["frobnicate"], 2, &["frobnicate"]);
    fails(dir.path(), &["events", "emit"], 2, &["--event"]);
    let emit = [
        "events",
        "emit",
        "--event",
        "e",
        "--version",
        "v",
        "--commit",
        "c",
        "--timeout",
        "1",
    ];
    fails(dir.path(), &emit, 2, &["--wait"]);
    let said = fails(dir.path(), &["--json", "nodes", "show"], 2, &[]);
    let error: Value = serde_json::from_str(&said).unwrap();
    assert!(
        error["code"] == 2 && error["error"].is_string() && error.get("hint").is_some(),
        "{error}"
    );
}

#[test]
fn without_a_node_commands_are_exit_3_and_say_what_to_do() {
    let dir = temp();
    let emit = [
        "events",
        "emit",
        "--event",
        "a",
        "--version",
        "1",
        "--commit",
        "3dd05d9",
    ];
    for command in [
        &["status"][..],
        &["quorum"],
        &["nodes", "list"],
        &["events", "list"],
        &["events", "watch"],
        &["consensus", "history"],
        &["consensus", "verify"],
        &["conflicts", "list"],
        &["conflicts", "resolve", "aa", "--choose", "bb"],
        &["events", "endorse", "aa"],
        &["events", "refuse", "aa"],
        &["trust", "list"],
        &["trust", "explain", "aa"],
        &["trust", "boost", "aa", "--reason", "r"],
        &["evidence", "list"],
        &["evidence", "show", "aa"],
        &["log", "head"],
        &emit,
    ] {
        let hints = ["no node answers at d/api.sock", "ssid init --data d"];
        fails(dir.path(), &[command, &["--data", "d"]].concat(), 3, &hints);
    }
    let said = fails(dir.path(), &["status", "--json", "--data", "d"], 3, &[]);
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["code"], 3);
    well(dir.path(), &init("A", "d", &[]));
    // a socket that a killed node left behind
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("d/api.sock")).unwrap());
    fails(
        dir.path(),
        &["status", "--data", "d"],
        3,
        &["start one with: ssid run --data d"],
    );
    fails(
        dir.path(),
        &["events", "import", "missing.log", "--data", "d"],
        2,
        &["missing.log"],
    );
}

#[test]
fn quiet_says_errors_only_and_documents_all_the_same() {
    let dir = temp();
    let quiet = init("A", "d", &["-q"]);
    assert_eq!(well(dir.path(), &quiet), "");
    fails(dir.path(), &quiet, 2, &["another directory"]);
    assert!(well(dir.path(), &["-q", "card", "--data", "d"]).contains("node_id"));
    let json = init("A", "e", &["-q", "--json"]);
    assert!(well(dir.path(), &json).contains("node_id"));
}

#[test]
fn a_cluster_that_cannot_run_says_so() {
    let dir = temp();
    fails(
        dir.path(),
        &["cluster", "status", "--dir", "d"],
        2,
        &["no cluster in d", "ssid cluster up"],
    );
    fails(
        dir.path(),
        &["cluster", "up", "--nodes", "1", "--dir", "d"],
        2,
        &["--nodes 1"],
    );
}
