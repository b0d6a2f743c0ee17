//! Where no node runs and there is a repository: which command reads its files.

use super::*;

#[test]
fn who_asks_no_node_is_told_what_reads_the_repository() {
    let dir = temp();
    let manifests = dir
        .path()
        .join("repo/24_meta_orchestration/registry/manifests");
    let run = |args: &[&str]| {
        let output = ssid(dir.path(), &[args, &["--data", "none"]].concat());
        (output.status.code(), err(&output), output.stdout)
    };
    let cases = [
        (["status", "--repo", "repo"].to_vec(), "--check-status"),
        (["nodes", "list", "--repo", "repo"].to_vec(), "--list-nodes"),
    ];
    for (args, _) in &cases {
        let (code, said, _) = run(args);
        assert_eq!(code, Some(3), "{said}");
        assert!(!said.contains("compat"), "there is nothing to read: {said}");
    }
    fs::create_dir_all(&manifests).unwrap();
    let manifest = r#"{"federation":{"enabled":true},"nodes":[{"node_id":"0123456789abcdef",
        "node_name":"Oslo","organization":"Eksempel","git_remote":"https://git.example/o.git",
        "status":"active"}]}"#;
    fs::write(manifests.join("federation_manifest.json"), manifest).unwrap();
    for (args, flag) in cases {
        let (code, said, _) = run(&args);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("no node answers"), "{said}");
        let told = format!("ssid compat federation-sync-manager {flag} --repo repo");
        assert!(said.contains(&told), "{said}");
        // and so it does
        let words: Vec<&str> = told.split(' ').skip(1).collect();
        let (code, said, read) = run(&words);
        assert_eq!(code, Some(0), "{said}");
        assert!(!read.is_empty());
    }
}
