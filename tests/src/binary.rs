//! The `ssid` program that is tested: the one cargo has built beside these tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// How to get one.
const BUILD: &str =
    "build it with: cargo test --workspace   (or: cargo build --workspace --all-targets)";

/// The program's file.
///
/// # Panics
/// If there is none, or if it is older than a file it is made of: a test of yesterday's program
/// proves nothing.
pub fn ssid_binary() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let own = std::env::current_exe().unwrap();
        // target/debug/deps/it-0123456789abcdef
        let dir = own.parent().and_then(Path::parent).unwrap();
        let binary = dir.join("ssid");
        assert!(
            binary.exists(),
            "there is no program to test at {}\n  {BUILD}",
            binary.display()
        );
        if let Some(newer) = newer_source(&binary) {
            panic!("{} is older than {newer}\n  {BUILD}", binary.display());
        }
        binary
    })
}

/// A file that the program is made of, by cargo's own list, and that has changed since. What is
/// gone says nothing: `cargo test` builds the program anew and leaves the list as it was.
fn newer_source(binary: &Path) -> Option<String> {
    let built = fs::metadata(binary)
        .and_then(|meta| meta.modified())
        .unwrap();
    let list = fs::read_to_string(binary.with_extension("d")).unwrap_or_default();
    let (_, files) = list.trim_end().split_once(": ")?;
    // a blank inside a name is written with a backslash before it
    let names = files.replace("\\ ", "\0");
    let changed = |file: &String| {
        fs::metadata(file)
            .and_then(|meta| meta.modified())
            .is_ok_and(|at| at > built)
    };
    names
        .split(' ')
        .map(|name| name.replace('\0', " "))
        .find(changed)
}
