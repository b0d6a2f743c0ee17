//! The endorsement policy `commit`: a member's event is voted for once the commit that it names is
//! in that member's repository.

use std::fs;

use ssid_tests::git::{Daemon, bare_repository, commit_files, git};
use ssid_tests::{Cluster, LONG, Node, Organisation, Shape, eventually, free_port};

fn emit(node: &Node, version: &str, commit: &str) {
    let _ = node
        .ssid(&[
            "events",
            "emit",
            "--event",
            "blueprint_tagged",
            "--version",
            version,
            "--commit",
            commit,
        ])
        .well();
}

/// What the only open event waits for, in words.
fn waiting_for(node: &Node) -> Result<String, String> {
    let open = node.ssid_json(&["events", "list", "--state", "review"]);
    let why = open["items"][0]["review"]["explanation"]
        .as_str()
        .map(str::to_owned);
    why.ok_or_else(|| open.to_string())
}

#[test]
fn an_event_is_certified_once_its_commit_is_on_the_default_branch_of_whoever_announced_it() {
    let servers = tempfile::tempdir().unwrap();
    let repository = bare_repository(servers.path(), "a.git");
    git(&repository, &["symbolic-ref", "HEAD", "refs/heads/main"]);
    // the one fetch comes without files, the other with them: not every server can leave them out
    git(&repository, &["config", "uploadpack.allowFilter", "true"]);
    let file: &[u8] = b"policy";
    let first = commit_files(&repository, "main", &[("policy.md", file)], None);
    let later = commit_files(
        &repository,
        "draft",
        &[("policy.md", b"more")],
        Some(&first),
    );
    let daemon = Daemon::start(servers.path());
    let mut cluster = Cluster::make_of(Shape::of(3), |dir| {
        let init = |(name, remote): (&str, String)| {
            let data = dir.join(name);
            fs::create_dir_all(&data).unwrap();
            let config = r#"{"security": {"allowed_git_protocols": ["git"]}}"#;
            fs::write(data.join("federation_config.json"), config).unwrap();
            Organisation::init_at(dir, name, free_port(), None, &["--git-remote", &remote])
        };
        [
            ("node-0", daemon.url("a.git")),
            ("node-1", String::new()),
            ("node-2", daemon.url("gone.git")),
        ]
        .map(init)
        .into()
    });
    for node in cluster.nodes() {
        node.org.configure(|config| {
            config["endorsement"]["default"] = "commit".into();
            config["network"]["fallback_interval_seconds"] = 1.into();
        });
    }
    cluster.start_all();
    emit(cluster.node(0), "v1.0.0", &first[..7]);
    cluster.wait_certified(1, LONG);
    // the announcing member and one that fetched decide; the third may still be fetching
    let objects = |node: &Node| {
        let mirrors = fs::read_dir(node.file("git/commits"))
            .into_iter()
            .flatten()
            .map(|mirror| mirror.unwrap().path());
        let mut fetched = mirrors.filter(|mirror| mirror.join("refs/ssid/fetched").exists());
        let list = [
            "cat-file",
            "--batch-all-objects",
            "--batch-check=%(objecttype)",
        ];
        fetched.next().map(|mirror| git(&mirror, &list))
    };
    let fetched: Vec<String> = cluster.nodes().iter().filter_map(objects).collect();
    assert!(
        !fetched.is_empty() && fetched.iter().all(|types| types == "commit"),
        "{fetched:?}"
    );

    // a commit that stands on another branch is not published
    emit(cluster.node(0), "v1.0.1", &later);
    let name = &later[..12];
    for node in [cluster.node(1), cluster.node(2)] {
        eventually(
            "a node says what it waits for",
            LONG,
            || match waiting_for(node)? {
                why if why.contains(&format!(
                    "waits for commit {name} in node-0's repository, as last fetched at 2"
                )) =>
                {
                    Ok(())
                }
                why => Err(why),
            },
        );
    }
    assert_eq!(
        cluster.node(1).status()["voting"]["awaiting_review"],
        1,
        "{}",
        cluster.node(1).status()
    );
    let history = cluster.node(1).ssid(&["consensus", "history"]).well();
    let _ = history.says(&["1 waiting for your review: ssid events list --state review"]);
    git(&repository, &["update-ref", "refs/heads/main", &later]);
    cluster.wait_certified(2, LONG);

    // members whose repository there is none of, or none that can be fetched
    emit(cluster.node(1), "v1.0.2", &first);
    eventually("no repository", LONG, || {
        match waiting_for(cluster.node(0))? {
            why if why.contains("node-1: it has no Git remote") => Ok(()),
            why => Err(why),
        }
    });
    let open = cluster
        .node(0)
        .ssid_json(&["events", "list", "--state", "review"]);
    let _ = cluster
        .node(0)
        .ssid(&[
            "events",
            "endorse",
            open["items"][0]["event_hash"].as_str().unwrap(),
        ])
        .well();
    cluster.wait_certified(3, LONG);
    emit(cluster.node(2), "v1.0.3", &first);
    eventually("a repository that is gone", LONG, || {
        match waiting_for(cluster.node(0))? {
            why if why.contains("of node-2: not ") => Ok(()),
            why => Err(why),
        }
    });
    assert_eq!(cluster.assert_agreed(), 3);
}
