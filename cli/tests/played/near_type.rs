//! A misspelt event type: a remark, not a refusal.

use serde_json::json;

use super::node::{Answer, Played, event, page};

/// A federation in which `compliance_audit` and `sanction_lifted` were certified.
fn federation(request: &str) -> Answer {
    if request.starts_with("POST /v1/events") {
        let mut accepted = event("blueprint_taged", "v1", "3dd05d9");
        let choice = json!({ "event_hash": accepted["event_hash"], "content_digest": accepted["content_digest"] });
        for (name, value) in [
            ("outcome", json!("accepted")),
            ("choice", choice),
            ("state", json!("open")),
            ("record", json!(null)),
            ("repeats", json!(false)),
            ("differences", json!([])),
            ("untimely", json!(null)),
        ] {
            accepted[name] = value;
        }
        return (202, accepted.to_string());
    }
    assert!(
        request.starts_with("GET /v1/events?state=certified&"),
        "{request}"
    );
    let known = ["compliance_audit", "sanction_lifted"].map(|name| event(name, "v1", "3dd05d9"));
    let asked = known.iter().filter(|one| {
        let name = one["event_type"].as_str().unwrap();
        !request.contains("event_type=") || request.ends_with(&format!("event_type={name}"))
    });
    page(&asked.cloned().collect::<Vec<_>>())
}

#[test]
fn a_slip_in_an_event_type_is_remarked_and_the_event_is_offered_all_the_same() {
    let node = Played::new(federation);
    let emit = |event_type: &str, more: &[&str]| {
        let args = ["events", "emit", "--event", event_type, "--version", "v1"];
        let said = node.run(&[&args[..], &["--commit", "3dd05d9"], more].concat());
        assert_eq!(said.code, Some(0), "{event_type}: {}", said.err);
        said
    };
    // near a standard type, and near one that only this federation has
    for (written, meant) in [
        ("blueprint_taged", "blueprint_tagged"),
        ("sanction_lited", "sanction_lifted"),
    ] {
        let said = emit(written, &[]);
        let remark = format!("no event of type {written} was certified yet: did you mean {meant}?");
        assert!(said.err.contains(&remark), "{}", said.err);
        assert!(said.out.starts_with("accepted"), "{}", said.out);
    }
    for right in ["blueprint_tagged", "sanction_lifted", "key_ceremony"] {
        assert_eq!(emit(right, &[]).err, "", "{right}");
    }
    let json = emit("blueprint_taged", &["--json"]);
    assert!(json.err.contains("did you mean blueprint_tagged?"));
    assert_eq!(json.out, emit("key_ceremony", &["--json"]).out);
}
