//! A federation whose live network is down decides through Git alone, and finds itself again when
//! it is back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ssid_tests::git::{Daemon, HttpServer, SshServer, bare_repository};
use ssid_tests::{
    Cluster, Events, LONG, Node, Organisation, Relay, SOON, Shape, eventually, free_port,
};

/// Writes what a configuration says before a node is made with it.
fn allow_all(data: &Path) {
    fs::create_dir_all(data).unwrap();
    let config =
        r#"{"security": {"allowed_git_protocols": ["https", "ssh", "file", "http", "git"]}}"#;
    fs::write(data.join("federation_config.json"), config).unwrap();
}

fn import(node: &Node, dir: &Path, events: &Events, range: std::ops::Range<usize>) {
    let log = dir.join(format!("log-{}", range.start));
    fs::write(&log, events.lines(range)).unwrap();
    let _ = node
        .ssid(&["events", "import", log.to_str().unwrap()])
        .well();
}

#[test]
fn four_nodes_without_a_live_network_certify_through_their_repositories_alone() {
    let servers = tempfile::tempdir().unwrap();
    let root = servers.path();
    let repositories: Vec<_> = (0..4)
        .map(|i| bare_repository(root, &format!("{i}.git")))
        .collect();
    let (daemon, http) = (Daemon::start(root), HttpServer::start(root));
    let ssh = SshServer::start(root, &root.join("keys"));
    let file = |i: usize| format!("file://{}", repositories[i].display());
    // one repository by each transport there is
    let remotes = [
        daemon.url("0.git"),
        http.url("1.git"),
        ssh.as_ref().map_or_else(|| file(2), |ssh| ssh.url("2.git")),
        file(3),
    ];
    let ports: Vec<_> = (0..4).map(|_| (free_port(), free_port())).collect();
    let mut relays: Vec<_> = ports
        .iter()
        .map(|(reached, own)| Relay::closed(*reached, *own))
        .collect();
    let mut cluster = Cluster::make_of(Shape::of(4), |dir| {
        let init = |(i, (reached, own)): (usize, &(u16, u16))| {
            let name = format!("node-{i}");
            allow_all(&dir.join(&name));
            Organisation::init_at(
                dir,
                &name,
                *own,
                Some(*reached),
                &["--git-remote", &remotes[i]],
            )
        };
        ports.iter().enumerate().map(init).collect()
    });
    for node in cluster.nodes() {
        node.org.configure(|config| {
            config["network"]["fallback_after_seconds"] = 1.into();
            config["network"]["fallback_interval_seconds"] = 1.into();
        });
        // the user's own credential helper and SSH command are used
        let credentials = node.file("credentials");
        let helper = format!(
            "[credential]\n\thelper = store --file={}\n",
            credentials.display()
        );
        fs::write(
            &credentials,
            http.url_with("ada", "open%20sesame", "") + "\n",
        )
        .unwrap();
        fs::write(
            node.file(".gitconfig"),
            helper
                + &ssh
                    .as_ref()
                    .map(SshServer::client_config)
                    .unwrap_or_default(),
        )
        .unwrap();
    }
    for i in 0..4 {
        cluster.node_mut(i).start_answering();
    }
    for node in cluster.nodes() {
        eventually(&format!("{} may sign", node.org.name), SOON, || {
            let status = node.status();
            let ready =
                status["transport"]["kind"] == "git" && status["voting"]["starting"].is_null();
            if ready {
                Ok(())
            } else {
                Err(format!(
                    "{} {}",
                    status["voting"],
                    node.get("/v1/sync").body
                ))
            }
        });
    }
    let events = Events::series("git");
    import(cluster.node(0), cluster.dir(), &events, 0..25);
    import(cluster.node(3), cluster.dir(), &events, 25..50);
    cluster.wait_certified(50, LONG);
    assert_eq!(cluster.assert_agreed(), 50);
    for node in cluster.nodes() {
        let status = node.status();
        assert_eq!(
            (
                &status["transport"]["connected_peers"],
                &status["transport"]["kind"]
            ),
            (&0.into(), &"git".into())
        );
        let transports: Vec<_> = node
            .history()
            .iter()
            .map(|record| record["transport"].clone())
            .collect();
        assert!(
            transports.iter().all(|transport| transport == "git"),
            "{transports:?}"
        );
        assert!(
            node.metric("ssid_git_lines_total", "taken") > 0
                && node.metric("ssid_git_fallback", "") == 1
        );
    }

    for relay in &mut relays {
        relay.open();
    }
    cluster.wait_ready();
    for node in cluster.nodes() {
        eventually(&format!("{} is live again", node.org.name), SOON, || {
            let kind = node.status()["transport"]["kind"].clone();
            if kind == "live" { Ok(()) } else { Err(kind) }
        });
    }
    import(cluster.node(1), cluster.dir(), &events, 50..60);
    cluster.wait_certified(60, Duration::from_secs(30));
    assert_eq!(cluster.assert_agreed(), 60);
    let newest = cluster
        .node(2)
        .history()
        .first()
        .map(|record| record["transport"].clone());
    assert_eq!(newest, Some("live".into()));
}
