#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};

use super::*;
use crate::registry::fixtures::{event, one_line, pretty};
use ssid_protocol::event::Event;

fn repository() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "05_documentation/reports/2025-Q4/COMPLIANCE_REPORT.md",
        "# Q4\n**Overall Compliance Score:** 98/100\n",
    );
    write(
        "05_documentation/reports/dashboard/SSID_Governance_Dashboard.md",
        "# Dashboard\n",
    );
    write(
        "24_meta_orchestration/registry/logs/registry_events.log",
        &format!("begun\n{}\n", pretty(&event(1))),
    );
    write("README.md", "# Registry\n");
    dir
}

fn options() -> ReleaseOptions {
    ReleaseOptions {
        quarter: Quarter::parse("2025-Q4").unwrap(),
        blueprint: "v4.4".into(),
        git_commit: "3dd05d9".into(),
        allow_missing: false,
        at: "t1".into(),
    }
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let (one, two) = (repository(), repository());
    let first = bundle(&RegistryPaths::in_repository(one.path()), &options()).unwrap();
    let other = ReleaseOptions {
        at: "t2".into(),
        git_commit: String::new(),
        ..options()
    };
    let second = bundle(&RegistryPaths::in_repository(two.path()), &other).unwrap();
    assert_eq!(first.hash, second.hash);
    assert_eq!(
        fs::read(one.path().join(&first.artifact)).unwrap(),
        fs::read(two.path().join(&second.artifact)).unwrap()
    );
    assert_eq!(
        (first.version.as_str(), first.compliance_score.as_str()),
        ("v4.4-Q4-2025", "98/100")
    );
    assert_eq!(first.file_count, 4);
    let again = bundle(&RegistryPaths::in_repository(one.path()), &other).unwrap();
    assert_eq!(
        (again.created_at.as_str(), again.git_commit.as_str()),
        ("t1", "3dd05d9"),
        "the same bundle is made once"
    );
    fs::write(one.path().join("README.md"), "# Another\n").unwrap();
    assert_ne!(
        bundle(&RegistryPaths::in_repository(one.path()), &other)
            .unwrap()
            .hash,
        first.hash
    );
}

#[test]
fn what_is_recorded_after_the_release_does_not_change_it() {
    let dir = repository();
    let first = bundle(&RegistryPaths::in_repository(dir.path()), &options()).unwrap();
    let released = Event {
        event: RELEASE_EVENT.into(),
        version: first.version.clone(),
        ..event(2)
    };
    let path = RegistryPaths::in_repository(dir.path()).registry_log;
    let mut log = fs::read_to_string(&path).unwrap();
    log += &(one_line(&released) + "\n" + &one_line(&event(3)) + "\n");
    fs::write(&path, log).unwrap();
    assert_eq!(
        bundle(&RegistryPaths::in_repository(dir.path()), &options()).unwrap(),
        first
    );
}

#[test]
fn a_bundle_is_verified_and_a_spoiled_one_named() {
    let dir = repository();
    let made = bundle(&RegistryPaths::in_repository(dir.path()), &options()).unwrap();
    let path = dir.path().join(&made.artifact);
    let contents = verify(&path).unwrap();
    assert_eq!(
        contents
            .files
            .iter()
            .map(|f| f.name.as_str())
            .collect::<Vec<_>>(),
        made.files_included
    );
    let text = fs::read(&path).unwrap();
    let at = text.windows(8).position(|w| w == b"# Regist").unwrap();
    let mut spoiled = text.clone();
    spoiled[at + 2] ^= 1;
    fs::write(&path, &spoiled).unwrap();
    assert!(matches!(verify(&path), Err(ReleaseError::Spoiled { .. })));
    fs::write(&path, "no ZIP").unwrap();
    assert!(matches!(verify(&path), Err(ReleaseError::Spoiled { .. })));
    let mut zip = ZipWriter::new(File::create(&path).unwrap());
    zip.start_file(
        "README.md",
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored),
    )
    .unwrap();
    zip.finish().unwrap();
    assert!(
        verify(&path)
            .unwrap_err()
            .to_string()
            .contains("no MANIFEST.json")
    );
}

#[test]
fn what_is_missing_is_named() {
    let dir = repository();
    fs::remove_file(
        dir.path()
            .join("05_documentation/reports/2025-Q4/COMPLIANCE_REPORT.md"),
    )
    .unwrap();
    let refused = bundle(&RegistryPaths::in_repository(dir.path()), &options())
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("2025-Q4/COMPLIANCE_REPORT.md") && refused.contains("--allow-missing"),
        "{refused}"
    );
    assert!(
        !dir.path().join("05_documentation/releases").exists(),
        "half a release is none"
    );
    let made = bundle(
        &RegistryPaths::in_repository(dir.path()),
        &ReleaseOptions {
            allow_missing: true,
            ..options()
        },
    )
    .unwrap();
    assert_eq!(made.compliance_score, "unknown");
    assert!(
        made.files_missing
            .iter()
            .any(|file| file.ends_with("COMPLIANCE_REPORT.md"))
    );
}

#[test]
fn quarters_are_read_and_found() {
    assert_eq!(
        Quarter::at("2025-12-31T23:59:59Z".parse().unwrap()).to_string(),
        "2025-Q4"
    );
    assert_eq!(
        Quarter::at("2026-01-01T00:00:00Z".parse().unwrap()).to_string(),
        "2026-Q1"
    );
    for bad in [
        "2025-Q5", "2025-Q0", "25-Q1", "2025Q1", "2025-Q11", "../../x", "-025-Q1",
    ] {
        assert!(Quarter::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn nothing_from_outside_the_repository_is_packed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "TOP SECRET").unwrap();
    let releases = "05_documentation/releases";
    for link in [
        "README.md",
        "05_documentation/reports/2025-Q4/COMPLIANCE_REPORT.md",
        releases,
    ] {
        let dir = repository();
        let path = dir.path().join(link);
        fs::remove_file(&path).ok();
        let target = if link == releases {
            outside.path().to_owned()
        } else {
            outside.path().join("secret")
        };
        std::os::unix::fs::symlink(target, &path).unwrap();
        let refused = bundle(&RegistryPaths::in_repository(dir.path()), &options())
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains(link) && refused.contains("leads out of"),
            "{refused}"
        );
        assert_eq!(
            fs::read_dir(outside.path()).unwrap().count(),
            1,
            "nothing is written there"
        );
    }
}
