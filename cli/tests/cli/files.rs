//! What stands in the place of a file that a command is given: pipes, devices, directories, sockets,
//! and files without end. Nothing is waited for, nothing grows, and the file is named.

use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::*;

/// How long a refusal may take on a machine that is busy.
const AT_ONCE: Duration = Duration::from_secs(20);

/// Runs a command, which must end by itself.
fn run(dir: &Path, args: &[&str]) -> Output {
    let mut child = command(dir, args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + AT_ONCE;
    while child.try_wait().unwrap().is_none() {
        let is_late = Instant::now() > deadline;
        if is_late {
            child.kill().unwrap();
        }
        assert!(!is_late, "{args:?} has not ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// A directory with a card, a genesis file, and what is none of either.
fn scene() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["a", "b"] {
        let address = ["--address", "/ip4/127.0.0.1/tcp/4170"];
        well(dir.path(), &init(name, name, &address));
        fs::write(
            at(&format!("{name}.json")),
            well(dir.path(), &["card", "--data", name]),
        )
        .unwrap();
    }
    let create = [
        "federation",
        "create",
        "--name",
        "f",
        "--card",
        "a.json",
        "--card",
        "b.json",
        "--coordinator",
        "a",
        "-o",
        "genesis.json",
    ];
    well(dir.path(), &create);
    assert!(
        Command::new("mkfifo")
            .arg(at("pipe"))
            .status()
            .unwrap()
            .success()
    );
    fs::create_dir(at("directory")).unwrap();
    fs::write(at("directory/x.txt"), "").unwrap();
    symlink("/dev/zero", at("endless")).unwrap();
    symlink("/dev/tty", at("terminal")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(at("socket")).unwrap());
    // a hole: nothing of it is on disk
    fs::File::create(at("huge"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    dir
}

const NONE_IS_A_FILE: [&str; 6] = ["pipe", "directory", "endless", "terminal", "socket", "huge"];

#[test]
fn whatever_stands_in_the_place_of_a_file_is_refused_by_name_and_at_once() {
    let scene = scene();
    let dir = scene.path();
    let reading: [&[&str]; 12] = [
        &["federation", "show", "FILE"],
        &["federation", "join", "FILE", "--data", "a"],
        &[
            "federation",
            "create",
            "--name",
            "f",
            "--card",
            "FILE",
            "--card",
            "a.json",
            "--coordinator",
            "a",
            "-o",
            "-",
        ],
        &["certificate", "verify", "FILE", "--genesis", "genesis.json"],
        &["certificate", "verify", "a.json", "--genesis", "FILE"],
        &["evidence", "verify", "FILE", "--genesis", "genesis.json"],
        &[
            "log",
            "verify",
            "a.json",
            "--head",
            "FILE",
            "--genesis",
            "genesis.json",
        ],
        &["log", "proof", "aaaa", "--head", "FILE", "--data", "a"],
        &["events", "import", "FILE", "--data", "a"],
        &["release", "verify", "FILE"],
        &["anchor", "cid", "FILE", "--data", "a"],
        &[
            "federation",
            "create",
            "--name",
            "f",
            "--card",
            "a.json",
            "--card",
            "b.json",
            "--coordinator",
            "a",
            "-o",
            "FILE",
        ],
    ];
    for args in reading {
        for file in NONE_IS_A_FILE {
            let is_large_enough = file == "huge" && args[0] == "anchor";
            let is_directory = file == "directory" && args[1] == "verify";
            if is_large_enough || is_directory && args[0] == "certificate" && args[2] == "FILE" {
                continue;
            }
            let args: Vec<&str> = args
                .iter()
                .map(|arg| if *arg == "FILE" { file } else { arg })
                .collect();
            let output = run(dir, &args);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{args:?}");
            assert!(said.contains(file), "{args:?}: {said}");
            assert!(!said.contains("panicked"), "{args:?}: {said}");
        }
    }
}

#[test]
fn keys_and_configuration_that_are_no_files_are_refused_by_name_and_at_once() {
    let scene = scene();
    let dir = scene.path();
    let commands: [(&str, &[&str]); 5] = [
        ("voting.key", &["run", "--data", "a"]),
        ("card.json", &["card", "--data", "a"]),
        (
            "federation_config.json",
            &["config", "check", "--data", "a"],
        ),
        (
            "telemetry_config.json",
            &["telemetry", "check", "--data", "a"],
        ),
        ("known_members.json", &["sync", "--data", "c"]),
    ];
    fs::create_dir(dir.join("c")).unwrap();
    for (name, args) in commands {
        let data = args[args.len() - 1];
        let place = dir.join(data).join(name);
        let aside = dir.join("aside");
        let was_there = fs::rename(&place, &aside).is_ok();
        for file in ["pipe", "directory", "endless", "socket"] {
            symlink(dir.join(file), &place).unwrap();
            let output = run(dir, args);
            let said = String::from_utf8_lossy(&output.stderr).into_owned()
                + &String::from_utf8_lossy(&output.stdout);
            assert!(!output.status.success(), "{name} {file}: {said}");
            assert!(said.contains(name), "{name} {file}: {said}");
            assert!(!said.contains("panicked"), "{name} {file}: {said}");
            fs::remove_file(&place).unwrap();
        }
        if was_there {
            fs::rename(&aside, &place).unwrap();
        }
    }
}

#[test]
fn what_the_shell_puts_in_the_place_of_a_file_is_read() {
    let scene = scene();
    let shell = |script: &str| {
        let mut bash = Command::new("bash");
        bash.arg("-c")
            .arg(script)
            .arg(env!("CARGO_BIN_EXE_ssid"))
            .current_dir(scene.path())
            .env("HOME", scene.path())
            .output()
            .unwrap()
    };
    for script in [
        "\"$0\" federation show <(cat genesis.json)",
        "\"$0\" federation show /dev/stdin < genesis.json",
        "cat genesis.json | \"$0\" federation show /dev/stdin",
    ] {
        let output = shell(script);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {said}");
    }
    let endless = shell("\"$0\" federation show <(cat /dev/zero)");
    let said = String::from_utf8_lossy(&endless.stderr);
    assert!(said.contains("it has more than"), "{said}");
}

#[test]
fn workflows_are_written_into_the_repository_only() {
    let scene = scene();
    let dir = scene.path();
    fs::create_dir_all(dir.join("repo/.github/workflows")).unwrap();
    fs::create_dir(dir.join("outside")).unwrap();
    fs::write(dir.join("outside/rc"), "mine").unwrap();
    let place = dir.join("repo/.github/workflows/federated_sync.yml");
    symlink("../../../outside/rc", &place).unwrap();
    let init = ["ci", "init", "--repo", "repo", "--force"];
    let output = run(dir, &init);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("leads out"),
        "{said}"
    );
    fs::remove_dir_all(dir.join("repo/.github")).unwrap();
    symlink("../outside", dir.join("repo/.github")).unwrap();
    assert!(!run(dir, &init).status.success());
    assert_eq!(fs::read_to_string(dir.join("outside/rc")).unwrap(), "mine");
    assert_eq!(fs::read_dir(dir.join("outside")).unwrap().count(), 1);
    fs::remove_file(dir.join("repo/.github")).unwrap();
    well(dir, &init);
    assert!(place.is_file());
}

#[test]
fn a_token_in_an_address_is_no_name() {
    let scene = scene();
    let dir = scene.path();
    let manifests = dir.join("repo/24_meta_orchestration/registry/manifests");
    fs::create_dir_all(&manifests).unwrap();
    let manifest = manifests.join("federation_manifest.json");
    fs::write(&manifest, r#"{"federation":{"enabled":false},"nodes":[]}"#).unwrap();
    for address in [
        "https://ada:s3cret@git.example",
        "https://s3cret@git.example/",
        "https://git.example/north.git?token=s3cret",
        "https://ada:s3cret@git.example:8443",
    ] {
        let add = [
            "compat",
            "federation-sync-manager",
            "--repo",
            "repo",
            "--data",
            "d",
            "--add-node",
            address,
        ];
        let output = run(dir, &add);
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("s3cret"), "{address}: {said}");
        let kept = fs::read_to_string(&manifest).unwrap();
        assert!(!kept.contains("s3cret"), "{address}: {kept}");
    }
}

#[test]
fn members_whose_names_differ_by_case_only_are_refused() {
    let scene = scene();
    let dir = scene.path();
    let address = ["--address", "/ip4/127.0.0.1/tcp/4171"];
    well(dir, &init("A", "c", &address));
    fs::write(dir.join("c.json"), well(dir, &["card", "--data", "c"])).unwrap();
    let output = run(
        dir,
        &[
            "federation",
            "create",
            "--name",
            "f",
            "--card",
            "a.json",
            "--card",
            "c.json",
            "--coordinator",
            "a",
            "-o",
            "other.json",
        ],
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(r#"called "a" and "A""#), "{said}");
    for (cards, why) in [
        (&["a.json"][..], "at least two members"),
        (
            &["a.json", "b.json", "a.json"],
            "the card of a is given twice",
        ),
    ] {
        let mut args = vec!["federation", "create", "--name", "f", "--coordinator", "a"];
        cards.iter().for_each(|card| args.extend(["--card", card]));
        args.extend(["-o", "other.json"]);
        let output = run(dir, &args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
    assert!(!dir.join("other.json").exists());
}
