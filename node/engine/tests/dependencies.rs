//! The engine is a value: nothing that it is built on runs tasks, opens sockets or counts for
//! Prometheus, and nothing in it looks at a clock, a file or chance.

use std::path::Path;
use std::process::Command;

#[test]
fn it_is_built_on_neither_tokio_nor_libp2p_nor_prometheus() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "-p", "ssid-engine", "-e", "normal"])
        .args(["--prefix", "none", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tree.stderr);
    assert!(tree.status.success(), "cargo tree: {said}");
    let names = String::from_utf8(tree.stdout).unwrap();
    assert!(names.contains("ssid-storage"), "it lists what there is");
    for name in names.lines().filter_map(|line| line.split(' ').next()) {
        for kept_out in [
            "tokio",
            "libp2p",
            "prometheus",
            "futures",
            "rand",
            "reqwest",
        ] {
            assert!(
                name != kept_out && !name.starts_with(&format!("{kept_out}-")),
                "the engine is built on {name}"
            );
        }
    }
}

#[test]
fn it_looks_at_no_clock_no_file_and_no_chance() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut read = 0;
    for entry in std::fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "rs") || path.ends_with("tests.rs") {
            continue;
        }
        read += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for outside in [
            "SystemTime",
            "Instant",
            "std::fs",
            "std::net",
            "std::thread",
            "std::process",
            "std::env",
            "async fn",
            "rand::",
        ] {
            assert!(
                !product.contains(outside),
                "{} uses {outside}",
                path.display()
            );
        }
    }
    assert!(read > 20, "{read} files");
}
