//! What spans crates, with real processes: the names of these tests are the promises that a
//! federation keeps.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod anchoring;
mod backpressure;
mod bad_files;
mod certificates;
mod certify;
mod changes_of_members;
mod children;
mod crash;
mod damage;
mod disk_full;
mod divergence;
mod equivocation;
mod floods;
mod git_commits;
mod git_hostile;
mod git_only;
mod git_own_branch;
mod git_remotes;
mod git_servers;
mod hangs;
mod hostile_logs;
mod keys;
mod kill;
mod legacy_manifest;
mod load;
mod membership;
mod own_registry;
mod plain_git;
mod plain_members;
mod process;
mod quorum;
mod registry_file;
mod restored;
mod rubbish;
mod schemes;
mod telemetry;
mod terminal;
mod vote_history;
mod words;

/// A module that is not named above would never run.
#[test]
fn no_module_is_forgotten() {
    let named: Vec<&str> = include_str!("main.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let files = std::fs::read_dir(here)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for file in files.filter(|file| file != "main.rs") {
        let name = file.strip_suffix(".rs").unwrap_or(&file);
        assert!(
            named.contains(&name),
            "tests/it/{file} is not in main.rs: its tests do not run"
        );
    }
}
