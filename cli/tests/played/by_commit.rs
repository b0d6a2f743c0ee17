//! `events show` and `conflicts show` of a commit.

use serde_json::{Value, json};

use super::node::{Answer, Played, event, missing, page};

const ALONE: &str = "3dd05d9aa";
const SHARED: &str = "4ee16e0bb";

fn conflict(number: usize, commit: &str) -> Value {
    let choice = |of: &str| json!({ "event_hash": of.repeat(32), "content_digest": of.repeat(32) });
    let (one, other) = (choice("a1"), choice("b2"));
    let candidate = |choice: &Value, commit: &str| {
        let mut candidate = json!({ "announced_by": null, "own": false, "prevoted_by": [] });
        candidate["event_hash"] = choice["event_hash"].clone();
        candidate["content_digest"] = choice["content_digest"].clone();
        candidate["event"] = event("audit", "v1", commit);
        candidate
    };
    json!({
        "subject_id": format!("{number:064}"),
        "subject": { "event_type": "audit", "event_version": format!("v{number}"), "occurrence": "" },
        "epoch": 0, "round": 1, "in_conflict": true, "since": "2026-11-30T10:00:00Z",
        "candidates": [candidate(&one, commit), candidate(&other, "ffffffff")],
        "votes": [], "awaiting_review": false, "locked": null, "standing": null, "review": null,
        "no_choice_because": null, "quorum": 3, "decisions": [],
        "next_step": "choose",
    })
}

/// One event and one conflict of [`ALONE`], two of [`SHARED`], and no hash or id that begins so.
fn federation(request: &str) -> Answer {
    let events = [
        event("audit", "v1", ALONE),
        event("audit", "v2", SHARED),
        event("release", "v2", SHARED),
    ];
    let whole =
        format!("GET /v1/events/{}:{}", "ab".repeat(32), "cd".repeat(32)).replace(':', "%3A");
    let conflicts = [conflict(1, ALONE), conflict(2, SHARED), conflict(3, SHARED)];
    let commit_of = |one: &Value| {
        let event = one.pointer("/candidates/0/event").unwrap_or(one);
        event["commit_hash"].as_str().unwrap().to_owned()
    };
    if let Some((path, commit)) = request.split_once("commit=") {
        let commit = commit.split('&').next().unwrap().to_lowercase();
        let all = if path.starts_with("GET /v1/conflicts?") {
            &conflicts
        } else {
            &events
        };
        let fits = |one: &&Value| commit_of(one).starts_with(&commit);
        return page(&all.iter().filter(fits).cloned().collect::<Vec<_>>());
    }
    match request {
        _ if request.replace(':', "%3A") == whole => (200, events[0].to_string()),
        _ if request.starts_with("GET /v1/nodes") => page(&[]),
        _ => missing("such thing"),
    }
}

#[test]
fn an_event_is_found_by_its_commit_where_no_hash_begins_so() {
    let node = Played::new(federation);
    let one = node.run(&["events", "show", &ALONE[..7]]);
    assert_eq!(one.code, Some(0), "{}", one.err);
    assert!(
        one.out.contains(ALONE) && one.out.contains("Event hash"),
        "{}",
        one.out
    );
    let several = node.run(&["events", "show", SHARED, "--json"]);
    let listed: Value = serde_json::from_str(&several.out).unwrap();
    assert_eq!(
        listed["items"].as_array().map(Vec::len),
        Some(2),
        "{listed}"
    );
    let several = node.run(&["events", "show", SHARED]).out;
    assert!(
        several.trim_start().starts_with("HASH") && several.contains("release"),
        "{several}"
    );
    // too short, or of nothing: there is no such event
    for none in [&ALONE[..6], "5555555"] {
        let said = node.run(&["events", "show", none]);
        assert_eq!(said.code, Some(1), "{none}: {}", said.out);
        assert!(said.err.contains("there is no such thing"), "{}", said.err);
    }
}

#[test]
fn a_conflict_is_found_by_the_commit_of_a_candidate() {
    let node = Played::new(federation);
    let one = node.run(&["conflicts", "show", &ALONE[..7].to_uppercase()]);
    assert_eq!(one.code, Some(0), "{}", one.err);
    assert!(
        one.out.starts_with("audit v1") && one.out.contains("in conflict"),
        "{}",
        one.out
    );
    let several = node.run(&["conflicts", "show", SHARED]).out;
    assert!(
        several.trim_start().starts_with("SUBJECT") && several.lines().count() == 3,
        "{several}"
    );
    let said = node.run(&["conflicts", "show", "5555555"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.err.contains("there is no such thing"), "{}", said.err);
}
