#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::config::testing::leaves;

fn load(text: &str) -> Result<TelemetryConfig, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("telemetry_config.json");
    std::fs::write(&path, text).unwrap();
    TelemetryConfig::load_or_default(&path)
}

#[test]
fn every_key_has_a_rule_and_every_rule_a_key() {
    let settings = serde_json::to_value(TelemetrySettings::default()).unwrap();
    let fields = leaves(&settings, &["headers"]);
    assert_eq!(
        fields,
        KEYS.iter().map(|(key, _)| (*key).to_owned()).collect()
    );
}

#[test]
fn a_file_as_deployments_have_it_is_read() {
    let config = load(
        r##"{"blueprint_version": "v4.3", "enabled": true, "check_interval_seconds": 60, "description": "x",
        "thresholds": {"compliance_score_min": 95, "score_drop_warning": 2.5, "max_violations": 3, "description": "y"},
        "notifications": {"slack": {"enabled": true, "channel": "#ops"},
          "webhook": {"headers": {"Content-Type": "application/json"}},
          "email": {"smtp_port": 465, "to_addresses": ["ops@example.org"]}},
        "compliance": {"no_pii": true}, "documentation": {"a": {"b": 1}}, "examples": {}}"##,
    );
    let config = config.unwrap();
    assert!(config.findings.is_empty(), "{:?}", config.findings);
    let settings = &config.settings;
    assert_eq!(
        (
            settings.check_interval_seconds,
            settings.thresholds.max_violations
        ),
        (60, 3)
    );
    assert_eq!(
        (
            settings.thresholds.score_drop_warning,
            settings.thresholds.score_drop_critical
        ),
        (2.5, 10.0)
    );
    assert!(settings.notifications.slack.enabled && !settings.notifications.discord.enabled);
    assert_eq!(settings.notifications.email.protection(), Security::Tls);
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_secrets_are_not_shown() {
    let text = "{\n \"check_interval_seconds\": 0,\n \"notifications\": {\n  \"slack\": {\"webhook_url\": \"http://example.org/topsecret\"},\n  \
        \"email\": {\"to_addresses\": [\"nobody\"], \"security\": \"ssl\"}}}";
    let Err(ConfigError::Invalid(findings)) = load(text) else {
        panic!("taken")
    };
    let named: Vec<_> = findings
        .iter()
        .map(|f| (f.line.unwrap(), f.key.as_str()))
        .collect();
    let expected = [
        (2, "check_interval_seconds"),
        (4, "notifications.slack.webhook_url"),
        (5, "notifications.email.to_addresses"),
        (5, "notifications.email.security"),
    ];
    assert_eq!(named, expected);
    assert!(
        !ConfigError::Invalid(findings)
            .to_string()
            .contains("topsecret")
    );
    let mistyped = r#"{"notifications": {"slack": {"webhok_url": "https://user:topsecret@example.org/topsecret"}}}"#;
    let finding = load(mistyped).unwrap().findings[0].to_string();
    assert!(
        finding.contains("\"https://example.org/…\"") && !finding.contains("topsecret"),
        "{finding}"
    );
    let unknown = load("{\"tresholds\": {}, \"thresholds\": {\"min\": 1}}").unwrap();
    let named: Vec<_> = unknown.findings.iter().map(|f| f.key.as_str()).collect();
    assert_eq!(named, ["tresholds", "thresholds.min"]);
}

#[test]
fn the_dashboard_is_where_the_file_says_or_in_the_known_places() {
    let paths = RegistryPaths::in_repository(Path::new("/repo"));
    let mut config = load("{}").unwrap();
    let places = config.dashboard_places(&paths);
    let known = ["05_documentation/reports/dashboard", "07_governance_legal"];
    assert_eq!(
        places,
        known.map(|place| Path::new("/repo").join(place).join("dashboard_data.csv"))
    );
    config.settings.dashboard_csv = "scores.csv".into();
    assert_eq!(
        config.dashboard_places(&paths),
        [PathBuf::from("/repo/scores.csv")]
    );
    config.settings.dashboard_csv.clear();
    assert_eq!(
        config
            .dashboard_places(&RegistryPaths::in_data_directory(Path::new("/d")))
            .len(),
        1
    );
}

#[test]
fn protection_follows_the_newer_key_first() {
    let of = |text: &str| load(&format!("{{\"notifications\": {{\"email\": {text}}}}}")).unwrap();
    let of = |text: &str| of(text).settings.notifications.email.protection();
    assert_eq!(of("{}"), Security::Starttls);
    assert_eq!(of("{\"use_tls\": false}"), Security::None);
    assert_eq!(
        of("{\"use_tls\": false, \"security\": \"tls\"}"),
        Security::Tls
    );
    assert_eq!(
        of("{\"smtp_port\": 465, \"security\": \"starttls\"}"),
        Security::Starttls
    );
}
