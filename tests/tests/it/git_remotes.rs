//! Addresses that could make Git run something never reach Git.

use ssid_tests::{Organisation, ssid_in};

#[test]
fn a_remote_that_could_run_something_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let org = Organisation::init(dir.path(), "node-0");
    let trap = dir.path().join("touched");
    let add = |remote: &str| {
        let data = org.data.to_str().unwrap();
        ssid_in(
            dir.path(),
            &[
                "--data",
                data,
                "nodes",
                "observe",
                "--git-remote",
                remote,
                "--node-name",
                "Oslo",
                "--organization",
                "Eksempel",
            ],
        )
    };
    let touch = trap.display();
    for remote in [
        format!("ext::sh -c touch% {touch}"),
        "fd::0".to_owned(),
        format!("--upload-pack=touch {touch}"),
        format!("--upload-pack=touch% {touch} https://git.example/a"),
        format!("ssh://-oProxyCommand=touch%20{touch}/x"),
        "git@-host:a".to_owned(),
        "https://git.example/a\nb".to_owned(),
    ] {
        let _ = add(&remote).exits(2).says(&["Git remote"]);
        let data = dir.path().join("other");
        let init = [
            "init",
            "--data",
            data.to_str().unwrap(),
            "--name",
            "N",
            "--organization",
            "O",
            "--git-remote",
            &remote,
        ];
        let _ = ssid_in(dir.path(), &init).exits(2).says(&["Git remote"]);
        assert!(!data.exists(), "{remote}");
    }
    let _ = add("file:///srv/a.git")
        .exits(2)
        .says(&["file is not allowed", "security.allowed_git_protocols"]);
    let _ = add("https://ada:s3cret@git.example/a?x=ext::y")
        .exits(2)
        .says(&["credential helper"]);
    let _ = add("https://ada:s3cret@git.example/a/x=ext::y").well();
    let _ = add("https://git.example/b").exits(2).says(&["Oslo"]);
    assert!(!trap.exists());
    assert!(org.data.join("known_members.json").exists());
}

#[test]
fn what_is_secret_in_an_address_is_not_on_the_card() {
    let dir = tempfile::tempdir().unwrap();
    let remote = "https://ada:s3cret@git.example/a.git";
    let org = Organisation::init_at(dir.path(), "node-0", 4170, None, &["--git-remote", remote]);
    let card = std::fs::read_to_string(org.data.join("card.json")).unwrap();
    assert!(
        card.contains("https://git.example/a.git") && !card.contains("s3cret"),
        "{card}"
    );
    let config = std::fs::read_to_string(org.data.join("federation_config.json")).unwrap();
    assert!(config.contains(remote));
}
