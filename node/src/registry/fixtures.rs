//! Registry logs of every shape that is found in the wild, for tests.

use ssid_protocol::event::Event;

/// An admissible event; `n` makes it one of its own.
pub(crate) fn event(n: u32) -> Event {
    Event {
        timestamp: format!("2025-10-11T15:{:02}:{:02}Z", n / 60 % 60, n % 60),
        event: "blueprint_v4.4_readiness_verification".into(),
        version: format!("v4.2.{n}"),
        commit_hash: "7050f93".into(),
        blueprint: "v4.2".into(),
        root_24_lock: "active".into(),
        compliance_score: "100/100".into(),
        emitted_by: "registry_event_trigger.sh".into(),
    }
}

/// As the trigger script writes it: pretty-printed, eight keys, no final newline.
pub(crate) fn pretty(event: &Event) -> String {
    let keys = KEYS
        .iter()
        .zip(event.fields())
        .map(|(key, value)| format!("  \"{key}\": \"{value}\""));
    format!("{{\n{}\n}}", keys.collect::<Vec<_>>().join(",\n"))
}

/// As the old sync script writes it: one line with the hash as a ninth key, no final newline.
pub(crate) fn one_line(event: &Event) -> String {
    let keys = KEYS
        .iter()
        .zip(event.fields())
        .map(|(key, value)| format!("\"{key}\": \"{value}\", "));
    format!(
        "{{{}\"event_hash\": \"{}\"}}",
        keys.collect::<String>(),
        event.event_hash()
    )
}

/// As a release writes it: with further keys, one of them nested.
pub(crate) fn release(event: &Event) -> String {
    let more = ",\n  \"quarter\": \"2025-Q4\",\n  \"files\": [\n    {\n      \"bundle_hash\": null\n    }\n  ]\n}";
    pretty(event).replace("\n}", more)
}

/// As the trigger script writes it when `--event` holds a quote: no JSON, and its strings seem not
/// to end.
pub(crate) fn stray_quote(event: &Event) -> String {
    pretty(event).replace("blueprint_v4.4", "blueprint\"v4.4")
}

const KEYS: [&str; 8] = [
    "timestamp",
    "event",
    "version",
    "commit_hash",
    "blueprint",
    "root_24_lock",
    "compliance_score",
    "emitted_by",
];
