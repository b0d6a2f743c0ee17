#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::*;
use crate::wild;

/// A file as people keep it: other sections, descriptions, their own order and layout.
const WILD: &str = r#"{
  "blueprint_version": "v4.4",
  "description": "Configuration of the registry",
  "federation": {
    "enabled": true,
    "mode": "coordinator",
    "description": "Set mode to 'coordinator' or 'participant'"
  },
  "sync_settings": { "interval_minutes": 15, "description": "Timing", "jitter": [1, {"a": 2}] },
  "consensus_settings": {
    "threshold": 1
  },
  "security": {
    "allowed_git_protocols": ["https", "ssh"]
  },
  "advanced": {
    "webhook_on_consensus": null
  },
  "example_nodes": [
    { "node_name": "Partner" }
  ],
  "house_rules": {"by": {"us": 1}}
}
"#;

fn place(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("federation_config.json");
    fs::write(&path, text).unwrap();
    (directory, path)
}

fn wrong(text: &str) -> Vec<Finding> {
    match Config::load(&place(text).1) {
        Err(ConfigError::Invalid(findings)) => findings,
        other => vec![Finding {
            file: format!("{other:?}"),
            line: None,
            key: String::new(),
            value: String::new(),
            allowed: String::new(),
        }],
    }
}

#[test]
fn a_file_of_the_wild_is_read() {
    let (_directory, path) = place(WILD);
    let config = Config::load(&path).unwrap();
    let settings = &config.settings;
    assert_eq!(
        (settings.federation.enabled, settings.federation.mode),
        (true, Mode::Coordinator)
    );
    assert_eq!(settings.sync_settings.interval_minutes, 15);
    assert_eq!(settings.sync_settings.timeout_seconds, 120);
    assert_eq!(settings.consensus_settings.threshold_bp(), 10_000);
    let named: Vec<(String, Option<usize>)> = config
        .check()
        .into_iter()
        .map(|f| (f.key, f.line))
        .collect();
    assert_eq!(
        named,
        [
            ("sync_settings.jitter".to_owned(), Some(9)),
            ("house_rules".to_owned(), Some(22))
        ]
    );
    assert!(
        config.check()[0]
            .to_string()
            .contains("federation_config.json:9: `sync_settings.jitter` is [1,{\"a\":2}]")
    );
}

#[test]
fn a_rewrite_changes_what_was_set_and_nothing_else() {
    let (_directory, path) = place(WILD);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let mut config = Config::load(&path).unwrap();
    config.save_atomic(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), WILD);
    config.settings.sync_settings.interval_minutes = 20;
    config.settings.security.allowed_git_protocols = vec![GitProtocol::Ssh];
    config.settings.consensus_settings.min_participating_nodes = 3;
    config
        .settings
        .endorsement
        .by_event
        .insert("blueprint_tagged".into(), Endorsement::Commit);
    config.save_atomic(&path).unwrap();
    let expected = WILD
        .replace("15", "20")
        .replace("[\"https\", \"ssh\"]", "[\"ssh\"]")
        .replace(
            "\"threshold\": 1\n",
            "\"threshold\": 1,\n    \"min_participating_nodes\": 3\n",
        )
        .replace(
            "{\"by\": {\"us\": 1}}\n",
            r#"{"by": {"us": 1}},
  "endorsement": {
    "by_event": {
      "blueprint_tagged": "commit"
    }
  }
"#,
        );
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o640
    );
    assert_eq!(
        fs::read_dir(path.parent().unwrap()).unwrap().count(),
        1,
        "nothing is left beside it"
    );
    assert_eq!(Config::load(&path).unwrap().settings, config.settings);
}

#[test]
fn what_somebody_else_changed_meanwhile_stays() {
    let (_directory, path) = place(WILD);
    let mut config = Config::load(&path).unwrap();
    fs::write(
        &path,
        WILD.replace("\"threshold\": 1", "\"threshold\": 0.9"),
    )
    .unwrap();
    config.settings.federation.enabled = false;
    config.save_atomic(&path).unwrap();
    let now = Config::load(&path).unwrap().settings;
    assert_eq!(
        (
            now.federation.enabled,
            now.consensus_settings.threshold_bp()
        ),
        (false, 9000)
    );
    fs::write(&path, "{ broken").unwrap();
    config.settings.federation.enabled = true;
    assert!(matches!(
        config.save_atomic(&path),
        Err(ConfigError::Syntax { .. })
    ));
    assert_eq!(fs::read_to_string(&path).unwrap(), "{ broken");
}

#[test]
fn a_new_file_has_every_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("federation_config.json");
    assert!(matches!(Config::load(&path), Err(ConfigError::Missing(_))));
    let mut config = Config::load_or_default(&path).unwrap();
    config.settings.local_node.node_name = "Ada".into();
    config.save_atomic(&path).unwrap();
    let again = Config::load(&path).unwrap();
    assert_eq!(again.settings, config.settings);
    assert!(again.check().is_empty());
    for (key, _) in KEYS {
        assert!(again.document.find(key).is_some(), "{key}");
    }
    assert!(
        config
            .save_atomic(directory.path().join("none/config.json"))
            .is_err()
    );
}

#[test]
fn a_wrong_value_names_file_line_key_value_and_what_is_allowed() {
    let cases = [
        (
            "\"enabled\": true",
            "\"enabled\": \"yes\"",
            5,
            "federation.enabled",
            "true or false",
        ),
        (
            "\"coordinator\",",
            "\"boss\",",
            6,
            "federation.mode",
            "coordinator, participant, observer",
        ),
        (
            "15",
            "0",
            9,
            "sync_settings.interval_minutes",
            "a whole number from 1 to 525600",
        ),
        (
            "15",
            "1.5",
            9,
            "sync_settings.interval_minutes",
            "a whole number",
        ),
        (
            "\"threshold\": 1",
            "\"threshold\": 66",
            11,
            "consensus_settings.threshold",
            "a number from 0.001 to 1",
        ),
        (
            "\"https\"",
            "\"ftp\"",
            14,
            "security.allowed_git_protocols",
            "a list of https, ssh, file",
        ),
        (
            "null",
            "7",
            17,
            "advanced.webhook_on_consensus",
            "an https address (http only on this machine), or null",
        ),
        (
            "{ \"interval_minutes\": 15",
            "15, \"x\": { \"a\": 1",
            9,
            "sync_settings",
            "an object with the keys interval",
        ),
    ];
    for (from, to, line, key, allowed) in cases {
        let found = wrong(&WILD.replacen(from, to, 1));
        assert_eq!(
            (found.len(), found[0].line, found[0].key.as_str()),
            (1, Some(line), key),
            "{found:?}"
        );
        assert!(found[0].allowed.contains(allowed), "{found:?}");
    }
    let two = wrong(r#"{"network": {"listen": ["127.0.0.1"]}, "api": {"listen": "localhost"}}"#);
    let said = ConfigError::Invalid(two).to_string();
    assert!(
        said.contains("`network.listen` is [\"127.0.0.1\"]; allowed: a list of multiaddrs"),
        "{said}"
    );
    assert!(
        said.contains("`api.listen` is \"localhost\"; allowed: an address and port"),
        "{said}"
    );
}

#[test]
fn a_secret_address_is_never_shown() {
    let text = |url: &str| format!("{{\"advanced\": {{\"webhook_on_consensus\": \"{url}\"}}}}");
    let refused = ConfigError::Invalid(wrong(&text("hooks.example.org/topsecret"))).to_string();
    assert!(
        refused.contains("is (hidden)") && !refused.contains("topsecret"),
        "{refused}"
    );
    let config = Config::load(&place(&text("https://example.org/topsecret")).1).unwrap();
    let shown = serde_json::to_string(&config.to_show()).unwrap();
    assert!(
        shown.contains("\"webhook_on_consensus\":\"(hidden)\"") && !shown.contains("topsecret")
    );
    let mut config = Config::default();
    let variable = (
        "SSID_ADVANCED_WEBHOOK_ON_CONSENSUS".to_owned(),
        "http://example.org/topsecret".to_owned(),
    );
    let refused = config.apply_env([variable]).unwrap_err().to_string();
    assert!(
        refused.contains("is (hidden)") && !refused.contains("topsecret"),
        "{refused}"
    );
}

#[test]
fn a_password_in_a_git_address_is_not_shown() {
    for remote in [
        "https://ada:topsecret@git.example/a",
        "ftp://ada:topsecret@git.example/a",
    ] {
        let text = format!("{{\"local_node\": {{\"git_remote\": \"{remote}\"}}}}");
        let config = Config::load(&place(&text).1).unwrap();
        let shown = serde_json::to_string(&config.to_show()).unwrap();
        assert!(
            shown.contains("git.example/a") && !shown.contains("topsecret"),
            "{shown}"
        );
        assert_eq!(config.settings.local_node.git_remote, remote);
    }
}

#[test]
fn what_is_no_json_object_says_where() {
    for text in [
        "",
        "[]",
        "{\"a\": }",
        "{\"a\": 1} more",
        &"[".repeat(100_000),
        "\u{feff}\u{feff}{}",
    ] {
        let refused = Config::load(&place(text).1).unwrap_err().to_string();
        assert!(
            refused.contains("federation_config.json") && refused.contains("line 1"),
            "{refused}"
        );
    }
    assert!(
        Config::load(&place("\u{feff}{}").1)
            .unwrap()
            .check()
            .is_empty()
    );
    let huge = Config::load(&place(&" ".repeat(2_000_000)).1)
        .unwrap_err()
        .to_string();
    assert!(huge.contains("more than 1048576 bytes"));
    let (_directory, path) = place("");
    fs::write(&path, [b'{', 0xff, b'}']).unwrap();
    assert!(Config::load(&path).is_err());
}

#[test]
fn keys_that_stand_twice_are_named_and_the_last_counts() {
    let (_directory, path) = place("{\"federation\": {\"enabled\": true,\n\"enabled\": false}}");
    let mut config = Config::load(&path).unwrap();
    assert!(!config.settings.federation.enabled);
    let findings = config.check();
    assert_eq!((findings.len(), findings[0].line), (1, Some(2)));
    config.settings.federation.enabled = true;
    config.save_atomic(&path).unwrap();
    assert!(Config::load(&path).unwrap().settings.federation.enabled);
}

#[test]
fn the_environment_overrides_and_is_not_saved() {
    let (_directory, path) = place(WILD);
    let mut config = Config::load(&path).unwrap();
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    config.settings.federation.auto_sync = true;
    let variables = [
        set("SSID_SYNC_SETTINGS_INTERVAL_MINUTES", "5"),
        set("SSID_FEDERATION_MODE", "observer"),
        set(
            "SSID_NETWORK_BOOTSTRAP",
            "/ip4/10.0.0.1/tcp/4001, /dns4/a.example/tcp/1",
        ),
        set("SSID_NOTIFICATIONS_EVENTS_SYNC_FAILED", "true"),
        set("SSID_ADVANCED_IPFS_FEDERATION_ENABLED", "true"),
        set(
            "SSID_ENDORSEMENT_BY_EVENT",
            "{\"quarterly_release\": \"operator\"}",
        ),
        set("SSID_API_TOKEN", "secret"),
        set("SSID_DATA", "/data"),
        set("PATH", "/bin"),
        set("SSID_NETWORK_LISTN", "x"),
    ];
    config.apply_env(variables).unwrap();
    let settings = &config.settings;
    assert_eq!(
        (
            settings.sync_settings.interval_minutes,
            settings.federation.mode
        ),
        (5, Mode::Observer)
    );
    assert_eq!(settings.network.bootstrap.len(), 2);
    assert!(settings.notifications.events.sync_failed && settings.advanced.ipfs_federation.enabled);
    assert_eq!(
        settings.endorsement.policy("quarterly_release"),
        Endorsement::Operator
    );
    assert!(settings.federation.auto_sync);
    let last = config.check().pop().unwrap();
    assert_eq!(
        (last.file.as_str(), last.key.as_str()),
        ("environment", "SSID_NETWORK_LISTN")
    );
    config.save_atomic(&path).unwrap();
    let saved = fs::read_to_string(&path).unwrap();
    assert!(
        saved.contains("\"interval_minutes\": 15") && saved.contains("\"auto_sync\": true"),
        "{saved}"
    );

    let refused = config
        .apply_env([set("SSID_FEDERATION_ENABLED", "maybe")])
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains(
            "environment: `SSID_FEDERATION_ENABLED` is \"maybe\"; allowed: true or false"
        ),
        "{refused}"
    );
}

#[test]
fn contradictions_are_named() {
    let text = r#"{"trust_settings": {"initial_trust_score": 90, "max_trust_score": 80},
        "notifications": {"enabled": true},
        "event_filters": {"sync_event_types": ["a"], "exclude_event_types": ["a"]},
        "advanced": {"external_validator_api": "x"}, "a.b": 1, "federation.enabled": true}"#;
    let config = Config::load(&place(text).1).unwrap();
    let named: Vec<String> = config.check().into_iter().map(|f| f.key).collect();
    let expected = [
        "a\\.b",
        "federation\\.enabled",
        "trust_settings.initial_trust_score",
        "event_filters.exclude_event_types",
        "notifications.channels",
        "advanced.external_validator_api",
    ];
    assert_eq!(named, expected);
    assert!(
        !config.settings.event_filters.admits("a")
            && config.settings.event_filters.admits("federation_epoch")
    );
}

#[test]
fn settings_that_are_not_allowed_are_not_saved() {
    let (_directory, path) = place(WILD);
    let mut config = Config::load(&path).unwrap();
    config.settings.voting.observe_timeout_ms = 0;
    let refused = config.save_atomic(&path).unwrap_err().to_string();
    assert!(
        refused.contains("`voting.observe_timeout_ms` is 0; allowed: a whole number from 1"),
        "{refused}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), WILD);
}

#[test]
fn keys_that_do_nothing_are_named_once_they_are_set() {
    assert_eq!(Config::default().check(), [], "the defaults need no remark");
    for (key, _) in keys::WITHOUT_EFFECT {
        let rule = keys::rule_of(KEYS, key).unwrap();
        let other = [
            "false",
            "true",
            "0.5",
            "7",
            "timestamp_priority",
            "elsewhere",
        ]
        .map(|text| rule.read(text));
        let default = value_of(&Settings::default(), key).unwrap();
        let other = other
            .into_iter()
            .find(|value| rule.allows(value) && *value != default)
            .unwrap();
        let mut document = Document::of(&Settings::default());
        document.set(key, &other);
        let config = Config::load(&place(document.text()).1).unwrap();
        let named: Vec<Finding> = config.check();
        assert_eq!(
            named
                .iter()
                .map(|found| found.key.as_str())
                .collect::<Vec<_>>(),
            [*key]
        );
        assert!(
            named[0].line.is_some() && named[0].allowed.contains("no effect"),
            "{}",
            named[0]
        );
    }
}

const SECRET: &str = r#"{"advanced": {"webhook_on_consensus": "https://hooks.example/T0/s3cret"}, "a.b": {"c": [1]}}"#;

proptest! {
    #[test]
    fn any_file_is_refused_or_read_and_every_finding_stands_in_it(text in wild::text(&[WILD, SECRET, "{}"])) {
        let Ok(document) = Document::new(text.clone()) else { return Ok(()) };
        let lines = text.lines().count().max(1);
        let findings = match Config::from_document(document, "f") {
            Ok(config) => config.check(),
            Err(ConfigError::Invalid(findings)) => findings,
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        for finding in findings {
            prop_assert!(finding.line.is_none_or(|line| (1..=lines).contains(&line)), "{finding} in {lines} lines");
            prop_assert!(finding.value.chars().count() <= 81, "{finding}");
        }
    }
}
