//! The tour, as people take it.

use std::process::Command;

use serde_json::Value;

#[test]
fn the_demo_holds_and_leaves_nothing_behind() {
    let above = tempfile::tempdir_in("/tmp").unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_ssid"));
    let output = demo
        .args(["demo", "--json"])
        .env("TMPDIR", above.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = document["steps"].as_array().unwrap();
    let names: Vec<_> = steps
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    let all = [
        "nodes",
        "certified",
        "divergence",
        "killed",
        "caught_up",
        "history",
        "trust",
        "certificate",
    ];
    assert_eq!(names, all);
    assert!(document["held"] == true && steps.iter().all(|step| step["held"] == true));
    assert_eq!(
        std::fs::read_dir(above.path()).unwrap().count(),
        0,
        "its directory is gone"
    );
}
