//! The parser of the registry log, taken in by its files: the node's crate would bring all of
//! libp2p, instrumented.

#![allow(dead_code, unreachable_pub, reason = "the node uses more of it")]

#[path = "../../../node/src/registry/fixtures.rs"]
mod fixtures;
#[path = "../../../node/src/registry/parse.rs"]
pub mod parse;
#[path = "../../../node/src/registry/promises.rs"]
mod promises;
#[path = "../../../node/src/registry/prose.rs"]
mod prose;
#[path = "../../../node/src/registry/scan.rs"]
mod scan;

/// Small, so that objects past it are met.
const SMALL: usize = 300;

/// Asks every promise, the log cut where its own bytes say; whether there is an event in it.
pub fn check(bytes: &[u8]) -> bool {
    let cut = |at: usize| {
        bytes
            .get(at)
            .map_or(0, |byte| usize::from(*byte) * (bytes.len() + 1) / 256)
    };
    let cuts = [cut(bytes.len() / 2), cut(bytes.len() / 3)];
    promises::keeps_its_promises(bytes, SMALL, &cuts);
    promises::keeps_its_promises(bytes, parse::OBJECT_BYTES, &cuts) > 0
}

/// Logs as they are found.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    use fixtures::{event, one_line, pretty, release, stray_quote};
    let log = |name: &str, text: String| (name.to_owned(), text.into_bytes());
    vec![
        log(
            "as_the_script_leaves_it",
            format!("Registry events initialized.\n{}\n", pretty(&event(1))),
        ),
        log("one_line", one_line(&event(2)) + "\n"),
        log("release", release(&event(3)) + "\r\n"),
        log(
            "stray_quote",
            format!("{}\n{}\n", stray_quote(&event(4)), pretty(&event(5))),
        ),
        log(
            "cut_off",
            format!(
                "\u{feff}{}\n{{\n  \"timestamp\": \"2025",
                one_line(&event(6))
            ),
        ),
    ]
}
