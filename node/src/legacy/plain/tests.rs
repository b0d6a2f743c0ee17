#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{self, Read};

use ssid_protocol::event::Event;
use ssid_protocol::id::UnixMillis;
use ssid_protocol::testing::epoch_event;

use super::decide::{Comparison, Decision, Rules, Verdict, needed, weigh};
use super::gather::{GatherError, Gathered, Gatherer, OWN};
use super::record::{Observation, Outcome, observations, write_down};
use super::tally::Tally;
use crate::config::EventFilters;
use crate::registry::fixtures::{event, one_line, pretty, stray_quote};
use crate::registry::manifest::{FederationManifest, ManifestNode};

fn rules() -> Rules {
    // a day after the fixtures' events
    let now = UnixMillis(1_760_284_800_000);
    Rules {
        threshold_bp: 6600,
        min_participating: 2,
        filters: EventFilters::default(),
        max_age_days: 365,
        now,
    }
}

/// The event `n` as somebody else has it: of the same subject, an hour later.
fn other(n: u32) -> Event {
    Event {
        timestamp: event(n).timestamp.replace("T15:", "T16:"),
        ..event(n)
    }
}

/// What the nodes' logs hold; none for a node that could not be reached.
type Logs<'a> = &'a [Option<&'a [Event]>];

fn text(events: &[Event]) -> String {
    events.iter().map(|event| pretty(event) + "\n").collect()
}

fn gathered(own: &[Event], logs: Logs<'_>, rules: &Rules) -> Gathered {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("own.log");
    std::fs::write(&path, text(own)).unwrap();
    let mut gatherer = Gatherer::new(dir.path(), rules.clone()).unwrap();
    for (place, log) in logs.iter().enumerate() {
        if let Some(log) = log {
            assert_eq!(
                gatherer
                    .add(place as u16 + 1, text(log).as_bytes())
                    .unwrap(),
                0
            );
        }
    }
    gatherer.add_own(&path.into()).unwrap();
    gatherer.finish().unwrap()
}

/// Every decision with its event, in order of time, and the comparisons.
fn weighed(
    own: &[Event],
    logs: Logs<'_>,
    rules: &Rules,
) -> (Vec<(Event, Decision)>, Vec<Comparison>) {
    let gathered = gathered(own, logs, rules);
    let mut decisions = Vec::new();
    let comparisons = weigh(&gathered, logs.len(), |decision| {
        decisions.push((gathered.event(decision.text).unwrap(), decision));
        Ok(())
    });
    decisions.sort_by_key(|(_, decision)| (decision.at, decision.hash));
    (decisions, comparisons.unwrap())
}

fn verdicts(own: &[Event], logs: Logs<'_>, rules: &Rules) -> Vec<(Event, Verdict)> {
    weighed(own, logs, rules)
        .0
        .into_iter()
        .map(|(event, decision)| (event, decision.verdict))
        .collect()
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
    let dir = tempfile::tempdir().unwrap();
    let mut gatherer = Gatherer::new(dir.path(), rules()).unwrap();
    assert_eq!(
        gatherer.add(1, text.as_bytes()).unwrap(),
        2,
        "the stray quote and the cut-off end"
    );
    let mut decisions = 0;
    let comparisons = weigh(&gatherer.finish().unwrap(), 1, |_| {
        decisions += 1;
        Ok(())
    });
    assert_eq!(
        (decisions, comparisons.unwrap()[1].new),
        (2, 2),
        "an event that stands twice is one"
    );
}

#[test]
fn logs_are_compared_by_hash_and_subject() {
    let own = [event(1), event(2), event(3)];
    let there = [event(1), other(2), event(4), event(5), event(5)];
    let (_, found) = weighed(&own, &[Some(&there), None], &rules());
    assert_eq!(
        found[1],
        Comparison {
            same: 1,
            new: 2,
            missing_there: 1,
            divergent: 1
        }
    );
    assert_eq!(found[2].missing_there, 3);
}

#[test]
fn the_denominator_is_every_node_whether_it_answered_or_not() {
    let log = [event(1)];
    let has = Some(&log[..]);
    // of 4 nodes 3 are a quorum (SPEC §6); 66 % of those who answered would be 2 of 2
    assert_eq!(
        verdicts(&[], &[has, has, None], &rules()),
        [(event(1), Verdict::Insufficient)]
    );
    assert_eq!(
        verdicts(&[], &[has, has, has], &rules()),
        [(event(1), Verdict::Achieved)]
    );
    assert_eq!(needed(3, &rules()), (4, 3));
    assert_eq!(
        weighed(&[], &[has, has, has], &rules()).0[0]
            .1
            .observed
            .len(),
        3
    );
}

#[test]
fn a_majority_for_another_hash_is_not_consensus_on_this_one() {
    let (own, theirs) = ([event(1)], [other(1)]);
    let (same, divergent) = (Some(&own[..]), Some(&theirs[..]));
    // 3 of 4 have the own event: the fourth's is asked about, and fails
    let logs = [same, same, divergent];
    assert_eq!(
        verdicts(&own, &logs, &rules()),
        [(other(1), Verdict::Failed)]
    );
    let observed = &weighed(&own, &logs, &rules()).0[0].1.observed;
    assert_eq!(
        observed
            .iter()
            .filter(|(_, hash)| *hash == own[0].event_hash())
            .map(|(o, _)| *o)
            .collect::<Vec<_>>(),
        [OWN, 1, 2]
    );
    // outvoted: the majority's event is achieved, what stands here is not touched
    assert_eq!(
        verdicts(&own, &[divergent; 3], &rules()),
        [(other(1), Verdict::Achieved)]
    );
    // a tie of 2 and 2 decides nothing
    assert_eq!(
        verdicts(&own, &[same, divergent, divergent], &rules()),
        [(other(1), Verdict::Failed)]
    );
}

#[test]
fn every_rule_of_the_configuration_is_heard() {
    let log = [event(1)];
    let has = Some(&log[..]);
    // 3 of 5 fail at 66 %, and with half as threshold too: two quorums must share an honest voter
    assert_eq!(
        verdicts(&[], &[has, has, has, None], &rules())[0].1,
        Verdict::Insufficient
    );
    let all = [has; 4];
    assert_eq!(verdicts(&[], &all, &rules())[0].1, Verdict::Achieved);
    assert_ne!(
        verdicts(
            &[],
            &all,
            &Rules {
                threshold_bp: 10_000,
                ..rules()
            }
        )[0]
        .1,
        Verdict::Achieved
    );
    assert_ne!(
        verdicts(
            &[],
            &all,
            &Rules {
                min_participating: 5,
                ..rules()
            }
        )[0]
        .1,
        Verdict::Achieved
    );
    assert_eq!(
        verdicts(
            &[],
            &all,
            &Rules {
                max_age_days: 0,
                ..rules()
            }
        ),
        []
    );
    let filters = EventFilters {
        exclude_event_types: vec![event(1).event],
        ..EventFilters::default()
    };
    assert_eq!(verdicts(&[], &all, &Rules { filters, ..rules() }), []);
    let epoch = [epoch_event("1")];
    assert_eq!(
        verdicts(&[], &[Some(&epoch[..]); 4], &rules()),
        [],
        "the federation changes by signed votes only"
    );
}

#[test]
fn what_the_hash_does_not_cover_is_as_most_have_it() {
    let (odd, usual) = (
        [Event {
            compliance_score: "unknown".into(),
            ..event(1)
        }],
        [event(1)],
    );
    let (odd_log, usual_log) = (Some(&odd[..]), Some(&usual[..]));
    let logs = [odd_log, usual_log, usual_log];
    assert_eq!(
        verdicts(&[], &logs, &rules()),
        [(event(1), Verdict::Achieved)]
    );
    let logs = [odd_log, odd_log, usual_log];
    assert_eq!(
        verdicts(&[], &logs, &rules()),
        [(odd[0].clone(), Verdict::Achieved)]
    );
}

#[test]
fn a_log_that_breaks_off_or_is_too_long_counts_for_nothing() {
    struct Breaks;
    impl Read for Breaks {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("none.log");
    let log = text(&[event(1), event(2)]);
    let mut gatherer = Gatherer::new(dir.path(), rules()).unwrap().with_limit(3);
    gatherer.add(1, log.as_bytes()).unwrap();
    assert!(matches!(
        gatherer.add(2, log.as_bytes()),
        Err(GatherError::TooMany)
    ));
    assert!(gatherer.add(3, log.as_bytes().chain(Breaks)).is_err());
    gatherer.add_own(&own.into()).unwrap();
    let mut having = Vec::new();
    let comparisons = weigh(&gatherer.finish().unwrap(), 3, |decision| {
        having.extend(decision.observed.iter().map(|(observer, _)| *observer));
        Ok(())
    });
    assert_eq!((having, comparisons.unwrap()[2].new), (vec![1, 1], 0));
}

fn node(name: &str) -> ManifestNode {
    ManifestNode::new(
        &format!("https://git.example/{name}.git"),
        name,
        "Org",
        "t0",
    )
}

/// What a sync with these logs finds, the last node failing if `fails`.
fn outcome(manifest: &FederationManifest, own: &[Event], logs: Logs<'_>, fails: bool) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let gathered = gathered(own, logs, &rules());
    let before: Vec<_> = manifest.history().into_iter().flatten().collect();
    let mut tally = Tally::new(&before, dir.path().to_owned());
    let comparisons = weigh(&gathered, logs.len(), |decision| tally.take(decision)).unwrap();
    let failed = |place: usize| fails && place + 1 == logs.len();
    let nodes = comparisons
        .into_iter()
        .skip(1)
        .enumerate()
        .map(|(place, found)| {
            let error = failed(place).then(|| "away".to_owned());
            let observation = Observation {
                at: "t".into(),
                comparison: Some(found),
                quarantined: 0,
                error,
            };
            (node(&format!("n{place}")), observation)
        });
    Outcome {
        nodes: nodes.collect(),
        own_id: "own".to_owned(),
        quorum: needed(logs.len(), &rules()),
        decided: Some(tally.finish(&gathered, |_| Ok(())).unwrap()),
        applied: false,
    }
}

#[test]
fn a_sync_is_written_down_once() {
    let mut manifest = FederationManifest::empty("t0");
    let (a, b) = ([event(1), other(2)], [event(1), event(2)]);
    let logs = [Some(&a[..]), Some(&a[..]), Some(&b[..])];
    for (began, at) in [("t1", "t2"), ("t3", "t4")] {
        let outcome = outcome(&manifest, &[event(2)], &logs, true);
        write_down(&mut manifest, &outcome, began, at);
    }
    let history: Vec<_> = manifest.history().into_iter().flatten().collect();
    assert_eq!(
        history.len(),
        2,
        "a sync that finds the same again adds nothing"
    );
    let [achieved, failed] = &history[..] else {
        panic!("{history:?}")
    };
    assert!(
        achieved.consensus_achieved
            && achieved.consensus_hash.as_deref() == Some(achieved.event_hash.as_str())
    );
    assert_eq!(
        (achieved.transport.as_deref(), achieved.signed),
        (Some("git"), Some(false))
    );
    assert_eq!(
        (
            achieved.completed_at.as_deref(),
            achieved.eligible_nodes,
            achieved.quorum
        ),
        (Some("t2"), Some(4), Some(3))
    );
    assert_eq!(
        (failed.resolution.as_str(), failed.consensus_hash.as_ref()),
        ("consensus_failed", None)
    );
    assert_eq!(
        (failed.agreement_percentage, failed.disagreeing_nodes.len()),
        (50.0, 2)
    );
    let counts = manifest.statistics();
    assert_eq!(
        (
            counts.total_syncs,
            counts.successful_syncs,
            counts.failed_syncs
        ),
        (2, 4, 2)
    );
    assert_eq!(
        (counts.consensus_agreements, counts.consensus_disagreements),
        (1, 1)
    );
    assert_eq!(manifest.text("federation.last_sync"), "t4");
    let before = (manifest.history().len(), counts);
    let observed = Outcome {
        decided: None,
        ..outcome(&manifest, &[event(3)], &logs, true)
    };
    write_down(&mut manifest, &observed, "t5", "t6");
    assert_eq!(
        (manifest.history().len(), manifest.statistics()),
        before,
        "a node with a key keeps both itself"
    );
    let nodes = manifest.known_nodes();
    assert_eq!(
        nodes
            .iter()
            .map(|n| n.last_seen.as_deref())
            .collect::<Vec<_>>(),
        [Some("t6"), Some("t6"), None]
    );
    assert!(
        nodes.iter().all(|n| n.trust_score == Some(50)),
        "observations without a signature move no trust"
    );
    let said = &observations(&manifest);
    assert_eq!(
        (said[&nodes[0].node_id].comparison.unwrap().new, said.len()),
        (2, 3)
    );
    assert_eq!(said[&nodes[2].node_id].error.as_deref(), Some("away"));
}

#[test]
fn more_decisions_than_the_history_holds_are_counted_once_and_the_latest_are_kept() {
    let mut manifest = FederationManifest::empty("t0");
    let many: Vec<_> = (0..250).map(event).collect();
    let sync = |manifest: &mut FederationManifest, own: &[Event], theirs: &[Event], at: &str| {
        let outcome = outcome(manifest, own, &[Some(theirs); 3], false);
        write_down(manifest, &outcome, at, at);
        let history: Vec<_> = manifest
            .history()
            .into_iter()
            .flatten()
            .map(|r| (r.event_version, r.initiated_at))
            .collect();
        (manifest.statistics().consensus_agreements, history)
    };
    let (counted, history) = sync(&mut manifest, &[], &many[..240], "t1");
    assert_eq!((counted, history.len()), (240, 100));
    assert_eq!(
        (history[0].0.as_str(), history[99].0.as_str()),
        ("v4.2.140", "v4.2.239")
    );
    assert_eq!(
        sync(&mut manifest, &[], &many[..240], "t2"),
        (240, history.clone()),
        "the same again is nothing new"
    );
    let (counted, history) = sync(&mut manifest, &[], &many, "t3");
    assert_eq!(
        (counted, history[99].clone()),
        (250, ("v4.2.249".to_owned(), "t3".to_owned()))
    );
    assert_eq!(
        sync(&mut manifest, &[], &many, "t4"),
        (250, history.clone())
    );
    // what has come into the own log meanwhile is decided no more, and what remains was counted
    assert_eq!(
        sync(&mut manifest, &many[..100], &many, "t5"),
        (250, history)
    );
    let one_more: Vec<_> = many.iter().cloned().chain([event(300)]).collect();
    assert_eq!(sync(&mut manifest, &many[..100], &one_more, "t6").0, 251);
}
