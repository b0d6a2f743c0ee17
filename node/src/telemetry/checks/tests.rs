#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;

use super::*;
use crate::telemetry::config::TelemetrySettings;

/// 2026-11-22T00:00:00Z.
const NOW: UnixMillis = UnixMillis(1_795_305_600_000);

fn dashboard(scores: &[(&str, &str)]) -> Dashboard {
    let mut text = "timestamp,compliance_score,violations,blueprint_version\n".to_owned();
    for (n, (score, violations)) in scores.iter().enumerate() {
        let _ = writeln!(text, "2026-01-{:02},{score},{violations},v4.3", n + 1);
    }
    Dashboard::parse(text.as_bytes()).unwrap()
}

fn event(name: &str, version: &str, blueprint: &str) -> Event {
    Event {
        timestamp: "2026-01-01T00:00:00Z".into(),
        event: name.into(),
        version: version.into(),
        commit_hash: "3dd05d9".into(),
        blueprint: blueprint.into(),
        root_24_lock: "active".into(),
        compliance_score: "100".into(),
        emitted_by: "test".into(),
    }
}

/// A check of scores and events, and the next one's state.
fn step(
    settings: &TelemetrySettings,
    state: &mut State,
    scores: &[(&str, &str)],
    events: &[Event],
) -> Vec<Message> {
    let dashboard = dashboard(scores);
    let seen = Seen {
        dashboard: Some(&dashboard),
        unreadable: None,
        events: Some(events),
        members: None,
        names: &Names::default(),
        now: NOW,
    };
    let checked = check(settings, state, seen);
    *state = checked.state;
    checked.messages
}

#[test]
fn a_drop_from_100_to_89_is_one_critical_message_and_then_none() {
    let (settings, mut state) = (TelemetrySettings::default(), State::default());
    assert!(step(&settings, &mut state, &[("100", "0")], &[]).is_empty());
    let messages = step(&settings, &mut state, &[("100", "0"), ("89", "0")], &[]);
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(
        (messages[0].topic, messages[0].severity),
        (Topic::ScoreChange, Severity::Critical)
    );
    let text = messages[0].text();
    assert!(
        text.contains("89/100 (declining). It was 100: a change of -11."),
        "{text}"
    );
    assert!(
        text.contains("below the critical score 90") && text.contains("Blueprint Version: v4.3"),
        "{text}"
    );
    assert!(step(&settings, &mut state, &[("100", "0"), ("89", "0")], &[]).is_empty());
    let rising = step(&settings, &mut state, &[("89", "0"), ("100", "0")], &[]);
    assert_eq!(rising[0].severity, Severity::Info);
    assert!(
        rising[0]
            .text()
            .contains("(improving). It was 89: a change of +11.")
    );
}

#[test]
fn without_a_state_the_dashboard_itself_says_what_was_before() {
    let settings = TelemetrySettings::default();
    let first = step(
        &settings,
        &mut State::default(),
        &[("100", "0"), ("89", "0")],
        &[],
    );
    assert_eq!((first.len(), first[0].severity), (1, Severity::Critical));
    let low = step(&settings, &mut State::default(), &[("91", "0")], &[]);
    assert_eq!((low.len(), low[0].severity), (1, Severity::Warning));
    assert!(step(&settings, &mut State::default(), &[("99", "0")], &[]).is_empty());
}

#[test]
fn each_threshold_and_filter_makes_a_difference() {
    fn severity(
        change: impl FnOnce(&mut TelemetrySettings),
        scores: [&str; 2],
    ) -> Option<Severity> {
        let mut settings = TelemetrySettings::default();
        let limits = &mut settings.thresholds;
        // only what the test sets can tell
        (
            limits.compliance_score_min,
            limits.compliance_score_critical,
        ) = (0.0, 0.0);
        (limits.score_drop_warning, limits.score_drop_critical) = (100.0, 100.0);
        change(&mut settings);
        let rows = scores.map(|score| (score, "0"));
        step(&settings, &mut State::default(), &rows, &[])
            .first()
            .map(|message| message.severity)
    }
    let scores = ["100", "94"];
    assert_eq!(severity(|_| {}, scores), Some(Severity::Info));
    assert_eq!(
        severity(|s| s.thresholds.compliance_score_min = 95.0, scores),
        Some(Severity::Warning)
    );
    assert_eq!(
        severity(|s| s.thresholds.compliance_score_critical = 95.0, scores),
        Some(Severity::Critical)
    );
    assert_eq!(
        severity(|s| s.thresholds.score_drop_warning = 6.0, scores),
        Some(Severity::Warning)
    );
    assert_eq!(
        severity(|s| s.thresholds.score_drop_warning = 6.5, scores),
        Some(Severity::Info)
    );
    assert_eq!(
        severity(|s| s.thresholds.score_drop_critical = 6.0, scores),
        Some(Severity::Critical)
    );
    assert_eq!(
        severity(|s| s.event_filters.notify_on_score_change = false, scores),
        None
    );
    assert_eq!(severity(|s| s.enabled = false, scores), None);
    assert_eq!(
        severity(|s| s.thresholds.score_drop_warning = 0.0, ["94", "100"]),
        Some(Severity::Info)
    );
}

#[test]
fn violations_above_the_limit_are_told_once() {
    let (mut settings, mut state) = (TelemetrySettings::default(), State::default());
    let told = step(&settings, &mut state, &[("100", "2")], &[]);
    assert_eq!(
        (told.len(), told[0].topic, told[0].severity),
        (1, Topic::Violation, Severity::Critical)
    );
    assert!(step(&settings, &mut state, &[("100", "2")], &[]).is_empty());
    assert_eq!(step(&settings, &mut state, &[("100", "3")], &[]).len(), 1);
    assert!(step(&settings, &mut state, &[("100", "0")], &[]).is_empty());
    settings.thresholds.max_violations = 3;
    assert!(step(&settings, &mut State::default(), &[("100", "3")], &[]).is_empty());
    settings.thresholds.max_violations = 0;
    settings.event_filters.notify_on_violation = false;
    assert!(step(&settings, &mut State::default(), &[("100", "3")], &[]).is_empty());
}

#[test]
fn the_registry_tells_releases_quarters_and_blueprints_but_no_history() {
    let (mut settings, mut state) = (TelemetrySettings::default(), State::default());
    let mut events = vec![event("release_published", "v1", "v4.2")];
    assert!(
        step(&settings, &mut state, &[("100", "0")], &events).is_empty(),
        "history is no news"
    );
    events.push(event("release_published", "v2", "v4.2"));
    events.push(event("quarterly_release", "v3", "v4.2"));
    events.push(event("blueprint_tagged", "v4.4", "v4.4"));
    let told = step(&settings, &mut state, &[("100", "0")], &events);
    let topics: Vec<_> = told.iter().map(|message| message.topic).collect();
    assert_eq!(
        topics,
        [
            Topic::Release,
            Topic::QuarterlyReport,
            Topic::BlueprintUpdate
        ]
    );
    assert_eq!(told[0].cause, format!("release:{}", events[1].event_hash()));
    assert!(step(&settings, &mut state, &[("100", "0")], &events).is_empty());
    let flips: [fn(&mut TelemetrySettings); 3] = [
        |s| s.event_filters.notify_on_release = false,
        |s| s.event_filters.notify_on_quarterly_report = false,
        |s| s.event_filters.notify_on_blueprint_update = false,
    ];
    for (flip, missing) in flips.into_iter().zip(topics) {
        settings = TelemetrySettings::default();
        flip(&mut settings);
        let mut state = State::default();
        step(&settings, &mut state, &[("100", "0")], &events[..1]);
        let told = step(&settings, &mut state, &[("100", "0")], &events);
        assert!(
            told.len() == 2 && told.iter().all(|message| message.topic != missing),
            "{told:?}"
        );
    }
}

#[test]
fn a_registry_that_was_replaced_is_not_told_again() {
    let (settings, mut state) = (TelemetrySettings::default(), State::default());
    step(&settings, &mut state, &[], &[event("release", "v1", "b")]);
    let others: Vec<_> = (0..9)
        .map(|n| event("release", &format!("w{n}"), "b"))
        .collect();
    assert!(step(&settings, &mut state, &[], &others).is_empty());
    assert_eq!(state.last_event, others.last().map(Event::event_hash));
}

#[test]
fn members_that_join_and_leave_are_told() {
    let settings = TelemetrySettings::default();
    let of = |bytes: &[u8]| -> BTreeMap<NodeId, String> {
        bytes
            .iter()
            .map(|byte| (NodeId([*byte; 32]), format!("Node {byte}")))
            .collect()
    };
    let (first, second) = (of(&[1, 2]), of(&[2, 3]));
    let names = Names::new(first.clone().into_iter().chain(second.clone()), false);
    let look = |state: &State, members: &BTreeMap<NodeId, String>| {
        let seen = Seen {
            dashboard: None,
            unreadable: None,
            events: None,
            members: Some(members),
            names: &names,
            now: NOW,
        };
        check(&settings, state, seen)
    };
    let checked = look(&State::default(), &first);
    assert!(checked.messages.is_empty() && checked.notes[0].contains("not known"));
    let told = look(&checked.state, &second).messages;
    let titles: Vec<_> = told.iter().map(|message| message.title.as_str()).collect();
    assert_eq!(
        titles,
        ["Node 3 joined the federation", "Node 1 left the federation"]
    );
}

#[test]
fn unknown_scores_are_noted_and_change_nothing() {
    let (settings, mut state) = (TelemetrySettings::default(), State::default());
    step(&settings, &mut state, &[("100", "0")], &[]);
    let dashboard = dashboard(&[("100", "0"), ("unknown", "n/a")]);
    let seen = Seen {
        dashboard: Some(&dashboard),
        unreadable: None,
        events: None,
        members: None,
        names: &Names::default(),
        now: NOW,
    };
    let checked = check(&settings, &state, seen);
    assert!(
        checked.messages.is_empty() && checked.notes.len() == 2,
        "{:?}",
        checked.notes
    );
    assert_eq!(checked.state.last_score, Some(100.0));
}

#[test]
fn the_same_check_again_has_the_same_causes() {
    let settings = TelemetrySettings::default();
    let mut state = State::default();
    step(&settings, &mut state, &[("100", "0")], &[]);
    let again = || {
        step(
            &settings,
            &mut state.clone(),
            &[("100", "0"), ("80", "5")],
            &[],
        )
    };
    let causes: Vec<_> = again().into_iter().map(|message| message.cause).collect();
    assert_eq!(causes.len(), 2);
    assert_eq!(
        causes,
        again()
            .into_iter()
            .map(|message| message.cause)
            .collect::<Vec<_>>()
    );
}
