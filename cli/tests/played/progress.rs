//! What is said while a long command is at work.

use std::sync::mpsc::channel;
use std::sync::{Mutex, mpsc::Receiver};

use std::time::Duration;

use serde_json::json;

use super::node::{Answer, Played, Running, line_of};

/// How long the answer waits for the line.
const AT_MOST: Duration = Duration::from_mins(1);

/// Runs a command whose answer to `request` comes once it has said a line that begins with `told`.
fn says_meanwhile(
    args: &[&str],
    request: &'static str,
    answer: Answer,
    others: fn(&str) -> Answer,
    told: &str,
) {
    let (was_told, waits) = channel::<()>();
    let waits: Mutex<Receiver<()>> = Mutex::new(waits);
    let node = Played::new(move |asked| {
        if !asked.starts_with(request) || asked.ends_with("/progress") {
            return others(asked);
        }
        // where nothing is said it ends all the same, and the line is missed
        waits.lock().unwrap().recv_timeout(AT_MOST).ok();
        answer.clone()
    });
    let mut running = Running::start(node.command(args));
    line_of(&mut running.err, |line| line.starts_with(told));
    was_told.send(()).unwrap();
    let ended = running.child.wait().unwrap();
    assert_eq!(ended.code(), Some(0), "{args:?}");

    // who asks for JSON, or for quiet, is not told
    for flag in ["--json", "--quiet"] {
        was_told.send(()).unwrap();
        let said = node.run(&[args, &[flag]].concat());
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{flag}");
    }
}

#[test]
fn verifying_says_how_many_are_verified() {
    let view = json!({ "ok": true, "certificates": 40, "failures": 0, "failed": [],
        "root_matches": true, "root": "aa".repeat(32), "milliseconds": 1 });
    let others = |asked: &str| -> Answer {
        assert!(asked.ends_with("/progress"), "{asked}");
        (
            200,
            json!({ "is_running": true, "verified": 12, "total": 40 }).to_string(),
        )
    };
    says_meanwhile(
        &["consensus", "verify"],
        "GET /v1/consensus/verify",
        (200, view.to_string()),
        others,
        "verifying: 12 of 40 after ",
    );
}

#[test]
fn an_import_says_how_many_are_certified() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    std::fs::write(&log, "{}").unwrap();
    let view = json!({ "events": 2, "accepted": 2, "known": 0, "certified": 0,
        "certified_differently": 0, "refused": 0, "skipped": 0, "old": 0, "ahead": 0,
        "now_certified": 2, "now_certified_differently": 0, "now_in_conflict": 0,
        "still_open": 0, "notes": [] });
    let others = |asked: &str| -> Answer {
        assert_eq!(asked, "GET /v1/stream");
        let certified = json!({ "type": "certified", "sequence": 1, "subject_id": "11".repeat(32),
            "choice": { "event_hash": "22".repeat(32), "content_digest": "33".repeat(32) },
            "event_type": "audit", "event_version": "v1", "round": 0,
            "at": "2026-11-30T10:00:00Z" });
        (200, format!("data: {certified}\n\ndata: {certified}\n\n"))
    };
    says_meanwhile(
        &["events", "import", log.to_str().unwrap(), "--wait"],
        "POST /v1/events/import",
        (200, view.to_string()),
        others,
        "certified: 2 after ",
    );
}

#[test]
fn a_sync_says_that_it_is_at_work() {
    let own = json!({ "remote": null, "branch": "ssid-federation", "commit": null, "lines": 0,
        "error": null });
    let state = json!({ "transport": "live", "uses_git": false, "running": false,
        "last_sync": null, "successful": 0, "failed": 0, "own": own, "members": [] });
    let outcome = json!({ "done": true, "remarks": [], "live_asked": 2, "git_fetched": 0,
        "git_failed": 0, "own_published": null, "plain": null, "state": state });
    let others = |asked: &str| -> Answer { panic!("{asked}") };
    says_meanwhile(
        &["sync", "--force"],
        "POST /v1/sync",
        (200, outcome.to_string()),
        others,
        "syncing: ",
    );
}
