#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::config::EventFilters;
use crate::registry::fixtures::{event, one_line, pretty, stray_quote};
use crate::registry::manifest::{FederationManifest, ManifestNode};
use ssid_protocol::id::UnixMillis;

fn rules() -> Rules {
    // a day after the fixtures' events
    let now = UnixMillis(1_760_284_800_000);
    Rules { threshold_bp: 6600, min_participating: 2, filters: EventFilters::default(), max_age_days: 365, now }
}

/// The event `n` as somebody else has it: of the same subject, a minute later.
fn other(n: u32) -> Event {
    Event { timestamp: event(n).timestamp.replace("T15:", "T16:"), ..event(n) }
}

fn observers(logs: &[Option<PlainLog>]) -> Vec<Observer<'_>> {
    const IDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    logs.iter().zip(IDS).map(|(log, id)| Observer { id, log: log.as_ref() }).collect()
}

fn verdicts(own: &PlainLog, logs: &[Option<PlainLog>], rules: &Rules) -> Vec<(Event, Verdict)> {
    decide(own, "own", &observers(logs), rules).into_iter().map(|d| (d.event, d.verdict)).collect()
}

#[test]
fn a_log_of_the_wild_is_read_whole() {
    let text = format!(
        "Registry events initialized.\n{}\n{}\r\n{}\n{}\n{{\"timestamp\"",
        pretty(&event(1)),
        one_line(&event(2)),
        stray_quote(&event(3)),
        one_line(&event(1)),
    );
    let log = PlainLog::read(text.as_bytes());
    assert_eq!(log.events.len(), 2, "an event that stands twice is one");
    assert_eq!(log.quarantined, 2, "the stray quote and the cut-off end");
}

#[test]
fn logs_are_compared_by_hash_and_subject() {
    let own = PlainLog::of([event(1), event(2), event(3)]);
    let there = PlainLog::of([event(1), other(2), event(4), event(5)]);
    let found = compare(&own, &there);
    assert_eq!(found, Comparison { same: 1, new: 2, missing_there: 1, divergent: 1 });
}

#[test]
fn the_denominator_is_every_node_whether_it_answered_or_not() {
    let own = PlainLog::of([]);
    let has = Some(PlainLog::of([event(1)]));
    // of 4 nodes 3 are a quorum (SPEC §6); 66 % of those who answered would be 2 of 2
    let two = [has.clone(), has.clone(), None];
    assert_eq!(verdicts(&own, &two, &rules()), [(event(1), Verdict::Insufficient)]);
    let three = [has.clone(), has.clone(), has.clone()];
    assert_eq!(verdicts(&own, &three, &rules()), [(event(1), Verdict::Achieved)]);
    let decision = &decide(&own, "own", &observers(&three), &rules())[0];
    assert_eq!((decision.eligible, decision.quorum, decision.node_hashes.len()), (4, 3, 3));
}

#[test]
fn a_majority_for_another_hash_is_not_consensus_on_this_one() {
    let own = PlainLog::of([event(1)]);
    let divergent = Some(PlainLog::of([other(1)]));
    let same = Some(own.clone());
    // 3 of 4 have the own event: the fourth's is asked about, and fails
    let logs = [same.clone(), same, divergent.clone()];
    assert_eq!(verdicts(&own, &logs, &rules()), [(other(1), Verdict::Failed)]);
    let decision = &decide(&own, "own", &observers(&logs), &rules())[0];
    assert_eq!(decision.disagreeing(), ["a", "b", "own"]);
    // outvoted: the majority's event is achieved, what stands here is not touched
    let logs = [divergent.clone(), divergent.clone(), divergent];
    assert_eq!(verdicts(&own, &logs, &rules()), [(other(1), Verdict::Achieved)]);
    // a tie of 2 and 2 decides nothing
    let logs = [Some(own.clone()), Some(PlainLog::of([other(1)])), Some(PlainLog::of([other(1)]))];
    assert_eq!(verdicts(&own, &logs, &rules()), [(other(1), Verdict::Failed)]);
}

#[test]
fn every_rule_of_the_configuration_is_heard() {
    let own = PlainLog::of([]);
    let has = Some(PlainLog::of([event(1)]));
    let logs = [has.clone(), has.clone(), has.clone(), None];
    // 3 of 5 fail at 66 %, and with half as threshold too: two quorums must share an honest voter
    assert_eq!(verdicts(&own, &logs, &rules())[0].1, Verdict::Insufficient);
    let all = [has.clone(), has.clone(), has.clone(), has];
    assert_eq!(verdicts(&own, &all, &rules())[0].1, Verdict::Achieved);
    assert_ne!(verdicts(&own, &all, &Rules { threshold_bp: 10_000, ..rules() })[0].1, Verdict::Achieved);
    assert_ne!(verdicts(&own, &all, &Rules { min_participating: 5, ..rules() })[0].1, Verdict::Achieved);
    assert_eq!(verdicts(&own, &all, &Rules { max_age_days: 0, ..rules() }), []);
    let filters = EventFilters { exclude_event_types: vec![event(1).event], ..EventFilters::default() };
    assert_eq!(verdicts(&own, &all, &Rules { filters, ..rules() }), []);
    let epoch =
        Event { event: "federation_epoch".into(), version: "1".into(), commit_hash: "0".repeat(64), ..event(1) };
    let logs = vec![Some(PlainLog::of([epoch])); 4];
    assert_eq!(verdicts(&own, &logs, &rules()), [], "the federation changes by signed votes only");
}

#[test]
fn what_the_hash_does_not_cover_is_as_most_have_it() {
    let odd = Event { compliance_score: "unknown".into(), ..event(1) };
    let own = PlainLog::of([]);
    let logs = [Some(PlainLog::of([odd.clone()])), Some(PlainLog::of([event(1)])), Some(PlainLog::of([event(1)]))];
    assert_eq!(verdicts(&own, &logs, &rules()), [(event(1), Verdict::Achieved)]);
    let logs = [Some(PlainLog::of([odd.clone()])), Some(PlainLog::of([odd.clone()])), Some(PlainLog::of([event(1)]))];
    assert_eq!(verdicts(&own, &logs, &rules()), [(odd, Verdict::Achieved)]);
}

#[test]
fn a_sync_is_written_down_once() {
    let mut manifest = FederationManifest::empty("t0");
    let node = |name: &str| ManifestNode::new(&format!("https://git.example/{name}.git"), name, "Org", "t0");
    for name in ["a", "b", "c"] {
        manifest.put_node(&node(name), None);
    }
    let own = PlainLog::of([event(2)]);
    let has = Some(PlainLog::of([event(1), other(2)]));
    let logs = [has.clone(), has, Some(PlainLog::of([event(1), event(2)]))];
    let ids: Vec<_> = ["a", "b", "c"].map(|name| node(name).node_id).into();
    let seen: Vec<_> = ids.iter().zip(&logs).map(|(id, log)| Observer { id, log: log.as_ref() }).collect();
    let outcome = Outcome {
        reached: ids[..2].to_vec(),
        failed: ids[2..].to_vec(),
        decisions: decide(&own, "own", &seen, &rules()),
        has_keys: false,
    };
    write_down(&mut manifest, &outcome, "t1", "t2");
    write_down(&mut manifest, &outcome, "t3", "t4");
    let history: Vec<_> = manifest.history().into_iter().flatten().collect();
    assert_eq!(history.len(), 2, "a sync that finds the same again adds nothing");
    let [achieved, failed] = &history[..] else { panic!("{history:?}") };
    assert!(achieved.consensus_achieved && achieved.consensus_hash.as_deref() == Some(achieved.event_hash.as_str()));
    assert_eq!((achieved.transport.as_deref(), achieved.signed), (Some("git"), Some(false)));
    assert_eq!(
        (achieved.completed_at.as_deref(), achieved.eligible_nodes, achieved.quorum),
        (Some("t2"), Some(4), Some(3))
    );
    assert_eq!((failed.resolution.as_str(), failed.consensus_hash.as_ref()), ("consensus_failed", None));
    assert_eq!((failed.agreement_percentage, failed.disagreeing_nodes.len()), (50.0, 2));
    let counts = manifest.statistics();
    assert_eq!((counts.total_syncs, counts.successful_syncs, counts.failed_syncs), (2, 4, 2));
    assert_eq!((counts.consensus_agreements, counts.consensus_disagreements), (1, 1));
    assert_eq!(manifest.text("federation.last_sync"), "t4");
    write_down(&mut manifest, &Outcome { has_keys: true, ..outcome }, "t5", "t6");
    assert_eq!(manifest.statistics(), counts, "a node with a key keeps its own counts");
    let nodes = manifest.known_nodes();
    assert_eq!(nodes.iter().map(|n| n.last_seen.as_deref()).collect::<Vec<_>>(), [Some("t6"), Some("t6"), None]);
    assert!(nodes.iter().all(|n| n.trust_score == Some(50)), "observations without a signature move no trust");
}
