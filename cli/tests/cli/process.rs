//! The program as a process: its pipes, its memory, arguments that are no Unicode, what a terminal
//! is shown.

use super::*;

#[test]
fn completions_and_manual_pages_are_made_and_a_closed_pipe_is_no_error() {
    let dir = temp();
    for shell in ["bash", "zsh", "fish"] {
        assert!(well(dir.path(), &["completions", shell]).contains("ssid"));
    }
    well(dir.path(), &["man", "-o", "man1"]);
    assert!(
        dir.path().join("man1/ssid.1").exists()
            && dir.path().join("man1/ssid-events-emit.1").exists()
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssid"));
    command
        .args(["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), err(&ended)), (Some(0), String::new()));
}

/// The settings are compiled in by `.cargo/config.toml`, which a build from another directory does
/// not read.
#[test]
fn the_allocator_has_its_settings() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ssid"));
    let output = command
        .arg("--version")
        .env("_RJEM_MALLOC_CONF", "stats_print:true")
        .output()
        .unwrap();
    let said = err(&output);
    for setting in [
        "opt.narenas: 2\n",
        "opt.dirty_decay_ms: 100 ",
        "opt.muzzy_decay_ms: 0 ",
        "opt.tcache_max: 1024\n",
    ] {
        assert!(said.contains(setting), "{setting:?} is not in: {said}");
    }
}

#[test]
fn paths_that_are_not_unicode_are_paths() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = temp();
    let odd = dir.path().join(OsStr::from_bytes(b"nu\xff"));
    fs::create_dir(&odd).unwrap();
    let (data, repo) = (odd.join("n"), odd.join("r"));
    fs::create_dir_all(repo.join("24_meta_orchestration/registry/logs")).unwrap();
    let run = |args: &str, path: &Path| {
        let args: Vec<_> = args
            .split(' ')
            .map(|arg| {
                if arg == "@" {
                    path.as_os_str()
                } else {
                    arg.as_ref()
                }
            })
            .collect();
        let output = ssid(dir.path(), &args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", err(&output));
    };
    run(
        "init --data @ --name B --organization E --address /ip4/127.0.0.1/tcp/4999",
        &data,
    );
    run("config check --data @", &data);
    run("config check --data @ --json", &data);
    run(
        "compat registry-event-trigger --repo @ --event blueprint_tagged --version v9 --hash 3dd05d9",
        &repo,
    );
    run("import-legacy --repo @ --dry-run --json", &repo);
}

#[test]
fn escapes_in_files_of_others_do_not_reach_the_terminal() {
    let dir = temp();
    let path = dir.path().join("g.json");
    fs::write(&path, "{\"\\u001b]0;owned\\u0007\\u001b[2J\\u202e\": 1}").unwrap();
    for command in [
        &["federation", "show", "g.json"][..],
        &["certificate", "verify", "g.json", "--genesis", "g.json"],
    ] {
        let output = ssid(dir.path(), command);
        let said = err(&output) + &String::from_utf8_lossy(&output.stdout);
        assert_ne!(output.status.code(), Some(0));
        assert!(
            !said.contains(['\u{1b}', '\u{7}', '\u{202e}']),
            "{command:?}: {said:?}"
        );
    }
}
