#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use super::*;

const FILES: &[&str] = &[
    "24_meta_orchestration/registry/logs/registry_events.log",
    "24_meta_orchestration/registry/manifests/quarterly_release_manifest_2025-Q4.json",
    "24_meta_orchestration/registry/manifests/federation_manifest.json",
    "05_documentation/releases/ssid_2025-Q4.zip",
    "05_documentation/releases/2025/old.ZIP",
    "05_documentation/releases/notes.txt",
    "05_documentation/reports/compliance_2025.md",
    "05_documentation/reports/2025/compliance_q4.json",
    "05_documentation/reports/other.md",
    "05_documentation/reports/dashboard/dashboard_data.csv",
    "05_documentation/reports/dashboard/governance_dashboard.md",
    "05_documentation/reports/dashboard/chart.svg",
    "07_governance_legal/charter.md",
    "07_governance_legal/telemetry_config.json",
    "07_governance_legal/.hidden.md",
    ".env",
];

fn repository() -> (tempfile::TempDir, RegistryPaths) {
    let home = tempfile::tempdir().unwrap();
    for file in FILES {
        let path = home.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    let paths = RegistryPaths::in_repository(home.path());
    (home, paths)
}

fn event(kind: &str, hour: u8) -> Event {
    Event {
        timestamp: format!("2025-10-11T{hour:02}:00:00Z"),
        event: kind.to_owned(),
        version: format!("v{hour}"),
        commit_hash: "3dd05d9".to_owned(),
        blueprint: "v4.3".to_owned(),
        root_24_lock: String::new(),
        compliance_score: String::new(),
        emitted_by: String::new(),
    }
}

fn chosen(paths: &RegistryPaths, kinds: &[&str]) -> Vec<Candidate> {
    let mut wanted = Wanted::default();
    (0..)
        .zip(kinds)
        .for_each(|(hour, kind)| wanted.add(&event(kind, hour)));
    wanted.files(paths).unwrap()
}

fn names(paths: &RegistryPaths, kind: &str) -> Vec<String> {
    let name = |c: Candidate| c.relative.rsplit('/').next().unwrap().to_owned();
    chosen(paths, &[kind]).into_iter().map(name).collect()
}

#[test]
fn each_kind_of_event_calls_for_its_files() {
    let (_home, paths) = repository();
    let log = "registry_events.log";
    assert_eq!(names(&paths, "blueprint_tagged"), [log]);
    let release = names(&paths, "Blueprint_RELEASE_committed");
    assert_eq!(
        release,
        [
            "old.ZIP",
            "ssid_2025-Q4.zip",
            log,
            "quarterly_release_manifest_2025-Q4.json"
        ]
    );
    let quarterly = names(&paths, "quarterly_review");
    assert_eq!(
        quarterly,
        [
            "compliance_q4.json",
            "compliance_2025.md",
            "dashboard_data.csv",
            log
        ]
    );
    let dashboard = names(&paths, "dashboard_updated");
    assert_eq!(
        dashboard,
        ["dashboard_data.csv", "governance_dashboard.md", log]
    );
    let governance = names(&paths, "governance_activation_committed");
    assert_eq!(
        governance,
        [
            "chart.svg",
            "dashboard_data.csv",
            "governance_dashboard.md",
            "charter.md",
            log
        ]
    );
}

#[test]
fn secrets_and_configuration_are_never_chosen() {
    let (home, paths) = repository();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.md"), "x").unwrap();
    std::os::unix::fs::symlink(outside.path(), home.path().join("07_governance_legal/link"))
        .unwrap();
    std::os::unix::fs::symlink(
        outside.path().join("secret.md"),
        home.path().join("07_governance_legal/s.md"),
    )
    .unwrap();
    let all = chosen(&paths, &["quarterly_governance_dashboard_release"]);
    // a link that leads out is found, and refused by name when it is to be read
    let (refused, all): (Vec<_>, Vec<_>) = all.into_iter().partition(|c| c.place.open().is_err());
    assert_eq!(
        refused
            .iter()
            .map(|c| c.relative.as_str())
            .collect::<Vec<_>>(),
        ["07_governance_legal/s.md"]
    );
    assert_eq!(all.len(), 10, "{all:?}");
    assert!(all.iter().all(|c| {
        !["config", "hidden", "env", "secret"]
            .iter()
            .any(|w| c.relative.contains(w))
    }));
}

#[test]
fn links_in_the_place_of_directories_and_files_are_refused_by_name() {
    let (home, paths) = repository();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.zip"), "TOP").unwrap();
    let replace = |path: &Place| {
        if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        }
        .unwrap();
        std::os::unix::fs::symlink(outside.path(), path).unwrap();
    };
    for path in [&paths.releases, &paths.dashboard_csv, &paths.registry_log] {
        replace(path);
    }
    let all = chosen(&paths, &["release", "quarterly"]);
    let refused: Vec<_> = all
        .iter()
        .filter(|c| c.place.open().is_err())
        .map(|c| c.relative.as_str())
        .collect();
    let named = [
        "05_documentation/releases",
        "05_documentation/reports/dashboard/dashboard_data.csv",
        "24_meta_orchestration/registry/logs/registry_events.log",
    ];
    assert_eq!(refused, named);
    assert!(
        all.iter().all(|c| !c.relative.contains("secret")),
        "{all:?}"
    );
    drop(home);
}

#[test]
fn a_data_directory_is_looked_at_by_name_only() {
    let home = tempfile::tempdir().unwrap();
    for name in [
        "registry_events.log",
        "voting.key",
        "notes.csv",
        "dashboard_data.csv",
        "db.zip",
    ] {
        fs::write(home.path().join(name), name).unwrap();
    }
    let paths = RegistryPaths::in_data_directory(home.path());
    let all = chosen(&paths, &["quarterly_governance_dashboard_release"]);
    let names: Vec<&str> = all.iter().map(|c| c.relative.as_str()).collect();
    assert_eq!(names, ["dashboard_data.csv", "registry_events.log"]);
}

#[test]
fn a_file_is_anchored_for_the_latest_event_that_calls_for_it() {
    let (_home, paths) = repository();
    let all = chosen(
        &paths,
        &["dashboard_updated", "governance_x", "blueprint_tagged"],
    );
    let version = |name: &str| {
        all.iter()
            .find(|c| c.relative.ends_with(name))
            .unwrap()
            .trigger
            .version
            .clone()
    };
    assert_eq!(
        (
            version("registry_events.log"),
            version("governance_dashboard.md")
        ),
        ("v2".into(), "v1".into())
    );
}
