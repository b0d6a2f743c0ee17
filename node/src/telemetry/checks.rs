//! What is new since the last check, as messages: a pure function of what was seen then and what is
//! there now.

use std::collections::BTreeMap;

use jiff::civil::Date;
use ssid_protocol::event::Event;
use ssid_protocol::id::{NodeId, UnixMillis};

use super::config::{TelemetrySettings, Thresholds};
use super::dashboard::{Dashboard, Row};
use super::message::{Message, Names, Severity, Topic};
use super::state::State;
use super::trend::{Trend, anomaly, number};

/// What is there now. What could not be read is `None`, and says nothing.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The dashboard, if there is one.
    pub dashboard: Option<&'a Dashboard>,
    /// Why the dashboard that is there cannot be read.
    pub unreadable: Option<&'a str>,
    /// The registry's events in the order of the file.
    pub events: Option<&'a [Event]>,
    /// The federation's members, and what they are called.
    pub members: Option<&'a BTreeMap<NodeId, String>>,
    /// How messages call members.
    pub names: &'a Names,
    /// The time, milliseconds since 1970.
    pub now: UnixMillis,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The score there is now; `None` if it is not known.
    pub score: Option<f64>,
    /// The violations there are now; `None` if it is not known.
    pub violations: Option<u64>,
    /// What is to be told, in the order found.
    pub messages: Vec<Message>,
    /// What the next check compares with.
    pub state: State,
    /// What deserves a remark and no message.
    pub notes: Vec<String>,
}

/// The day of a time, in UTC.
pub fn day_of(now: UnixMillis) -> Date {
    let millis = i64::try_from(now.0).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    at.to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// Compares what is there with what was there.
pub fn check(settings: &TelemetrySettings, previous: &State, seen: Seen<'_>) -> Checked {
    let messages = Vec::new();
    let notes = Vec::new();
    let mut checking = Checking {
        settings,
        seen,
        state: previous.clone(),
        score: None,
        violations: None,
        messages,
        notes,
    };
    // switched off, the state stays as it is: switched on again, it is compared with what was told
    // last
    if settings.enabled {
        checking.dashboard();
        checking.registry();
        checking.members();
        checking.state.last_check = Some(seen.now.iso());
    } else {
        checking.notes.push(
            "telemetry is switched off: `enabled` is false in telemetry_config.json".to_owned(),
        );
    }
    let Checking {
        state,
        score,
        violations,
        messages,
        notes,
        ..
    } = checking;
    Checked {
        score,
        violations,
        messages,
        state,
        notes,
    }
}

struct Checking<'a> {
    settings: &'a TelemetrySettings,
    seen: Seen<'a>,
    state: State,
    score: Option<f64>,
    violations: Option<u64>,
    messages: Vec<Message>,
    notes: Vec<String>,
}

impl Checking<'_> {
    /// A message about a change, unless its filter is off. The cause is numbered: the same change
    /// later is another one, the same check again is not.
    fn tell(
        &mut self,
        wanted: bool,
        topic: Topic,
        severity: Severity,
        what: &str,
        title: &str,
    ) -> Option<Message> {
        self.state.changes += 1;
        let cause = format!("{}:{}:{what}", topic.as_str(), self.state.changes);
        wanted.then(|| Message::new(topic, severity, cause, title, self.seen.now))
    }

    fn dashboard(&mut self) {
        let Some(dashboard) = self.seen.dashboard else {
            self.notes
                .push("no dashboard: score and violations are not known".to_owned());
            // told once, by a flag of the state, and not for a dashboard that never was
            match self.seen.unreadable {
                Some(why) => self.unknown(why),
                None => self.gone("it is not there any more"),
            }
            return;
        };
        self.notes.extend(
            dashboard
                .problems
                .iter()
                .map(|problem| format!("dashboard: {problem}")),
        );
        // rows of days to come are plans, not what the score is today
        let rows = dashboard.until(day_of(self.seen.now));
        let Some((row, earlier)) = rows.split_last() else {
            self.notes.push(
                "the dashboard has no row up to today: score and violations are not known"
                    .to_owned(),
            );
            match dashboard.problems.first() {
                Some(problem) => self.unknown(problem),
                None => self.gone("it has no row up to today any more"),
            }
            return;
        };
        // the row itself, not an earlier one: an old score must not pass for the current one
        match &row.problem {
            Some(problem) => self.unknown(problem),
            None => self.state.dashboard_unknown = false,
        }
        self.score(row, earlier);
        self.violations(row);
        if let Some(blueprint) = &row.blueprint {
            // the registry knows better, where there is one
            if self.seen.events.is_none_or(<[Event]>::is_empty) {
                self.blueprint(blueprint);
            }
        }
    }

    /// What was known is not any more; what never was is not missed.
    fn gone(&mut self, why: &str) {
        if self.state.last_score.is_some() {
            self.unknown(why);
        }
    }

    /// The last score must not pass for the current one. Told once, until the dashboard can be read
    /// again.
    fn unknown(&mut self, why: &str) {
        if std::mem::replace(&mut self.state.dashboard_unknown, true) {
            return;
        }
        let title = "The dashboard cannot be read: score and violations are not known";
        if let Some(message) =
            self.tell(true, Topic::DashboardUnknown, Severity::Warning, "", title)
        {
            self.messages
                .push(message.line(why).line("See also: ssid telemetry check"));
        }
    }

    fn score(&mut self, row: &Row, earlier: &[Row]) {
        let Some(score) = row.score else {
            self.notes.push(format!(
                "the dashboard's current row, line {}, has no score: it is not known",
                row.line
            ));
            return;
        };
        self.score = Some(score);
        let known: Vec<f64> = earlier.iter().filter_map(|row| row.score).collect();
        // the first check knows no score of its own; the row before then says whether it moved
        let is_first = self.state.last_score.is_none();
        let previous = self.state.last_score.or_else(|| known.last().copied());
        let limits = &self.settings.thresholds;
        let severity = score_severity(limits, previous, score);
        let trend = Trend::between(previous.unwrap_or(score), score);
        self.state.last_score = Some(score);
        // kept over checks that change nothing: how it moved last is what people ask
        if trend != Trend::Stable || is_first {
            self.state.trend = Some(trend.as_str().to_owned());
        }
        // at the first check a low score is news, and so is a change in the dashboard itself
        let is_news = trend != Trend::Stable || (is_first && severity > Severity::Info);
        if !is_news {
            return;
        }
        let wanted = self.settings.event_filters.notify_on_score_change;
        let what = format!("{}:{}", row.date, number(score));
        let title = "SSID Governance Score Changed";
        let Some(mut message) = self.tell(wanted, Topic::ScoreChange, severity, &what, title)
        else {
            return;
        };
        message = message.line(&match previous {
            Some(before) if trend != Trend::Stable => format!(
                "Compliance score: {}/100 ({}). It was {}: a change of {}{}.",
                number(score),
                trend.as_str(),
                number(before),
                if score > before { "+" } else { "" },
                number(score - before),
            ),
            _ => format!("Compliance score: {}/100.", number(score)),
        });
        // only the worse of the two: who is below critical is below the other anyway
        for (limit, word) in [
            (limits.compliance_score_critical, "critical"),
            (limits.compliance_score_min, "least"),
        ] {
            if score < limit {
                message = message.line(&format!(
                    "That is below the {word} score {}.",
                    number(limit)
                ));
                break;
            }
        }
        if let Some(words) = anomaly(&known, score) {
            message = message.line(&words);
        }
        self.messages.push(facts(message, row));
    }

    fn violations(&mut self, row: &Row) {
        let Some(violations) = row.violations else {
            self.notes.push(format!(
                "the dashboard's current row, line {}, does not say how many violations",
                row.line
            ));
            return;
        };
        // shown in any case; whether it is told is asked below
        self.violations = Some(violations);
        let before = self.state.last_violations.replace(violations);
        let most = self.settings.thresholds.max_violations;
        // a number that stays is told once; a change above the limit is news, also one for the
        // better
        if violations <= most || before == Some(violations) {
            return;
        }
        let wanted = self.settings.event_filters.notify_on_violation;
        let what = format!("{}:{violations}", row.date);
        let title = "SSID Governance Violation Detected";
        if let Some(message) = self.tell(wanted, Topic::Violation, Severity::Critical, &what, title)
        {
            let message = message.line(&format!(
                "Violations: {violations}; at most {most} are allowed."
            ));
            self.messages.push(facts(message, row));
        }
    }

    fn blueprint(&mut self, blueprint: &str) {
        let before = self.state.last_blueprint.replace(blueprint.to_owned());
        let Some(before) = before.filter(|before| before != blueprint) else {
            return;
        };
        let wanted = self.settings.event_filters.notify_on_blueprint_update;
        let title = "SSID Blueprint Updated";
        if let Some(message) = self.tell(
            wanted,
            Topic::BlueprintUpdate,
            Severity::Info,
            blueprint,
            title,
        ) {
            self.messages.push(message.line(&format!(
                "Blueprint {blueprint} is in force; before it was {before}."
            )));
        }
    }

    fn registry(&mut self) {
        let Some(events) = self.seen.events else {
            return;
        };
        let new = self.new_events(events);
        for event in new {
            self.registry_event(event);
        }
        if let Some(last) = events.last() {
            self.state.last_event = Some(last.event_hash());
            self.blueprint(&last.blueprint);
        }
    }

    /// Events after the last one looked at; none at the first check, which tells no history.
    fn new_events<'e>(&mut self, events: &'e [Event]) -> &'e [Event] {
        let Some(last) = self.state.last_event else {
            return &[];
        };
        if let Some(place) = events.iter().rposition(|event| event.event_hash() == last) {
            return &events[place + 1..];
        }
        self.notes.push(
            "the last event looked at is no longer in the registry: beginning anew at its end"
                .to_owned(),
        );
        &[]
    }

    fn registry_event(&mut self, event: &Event) {
        let filters = &self.settings.event_filters;
        // a quarterly release is named after the report: this is asked first
        let (topic, wanted, title) = if event.event.contains("quarterly") {
            (
                Topic::QuarterlyReport,
                filters.notify_on_quarterly_report,
                "SSID Quarterly Report",
            )
        } else if event.event.contains("release") {
            (Topic::Release, filters.notify_on_release, "SSID Release")
        } else {
            return;
        };
        if !wanted {
            return;
        }
        // the hash as cause: the same event read again is the same message
        let hash = event.event_hash();
        let message = Message::new(
            topic,
            Severity::Info,
            format!("{}:{hash}", topic.as_str()),
            title,
            self.seen.now,
        );
        let message = message.line(&format!(
            "The registry records {} {}.",
            event.event, event.version
        ));
        let message = message
            .fact("Event Hash", hash)
            .fact("Commit", &event.commit_hash);
        self.messages.push(
            message
                .fact("Blueprint Version", &event.blueprint)
                .fact("Recorded", &event.timestamp),
        );
    }

    fn members(&mut self) {
        // without a node nobody knows; with one the first look has nothing to compare with
        let Some(members) = self.seen.members else {
            return;
        };
        let Some(before) = self.state.members.replace(members.clone()) else {
            return;
        };
        let added = members.keys().filter(|node| !before.contains_key(node));
        let removed = before.keys().filter(|node| !members.contains_key(node));
        let changes: Vec<_> = added
            .map(|node| (*node, true))
            .chain(removed.map(|node| (*node, false)))
            .collect();
        for (node, is_added) in changes {
            let (topic, verb) = if is_added {
                (Topic::NodeAdded, "joined")
            } else {
                (Topic::NodeRemoved, "left")
            };
            let name = self.seen.names.of(&node);
            let title = format!("{name} {verb} the federation");
            let severity = if is_added {
                Severity::Info
            } else {
                Severity::Warning
            };
            // the federation's own filters are applied where it is sent
            if let Some(message) = self.tell(true, topic, severity, &node.to_string(), &title) {
                self.messages
                    .push(message.fact("Node", node).fact("Members", members.len()));
            }
        }
    }
}

fn score_severity(limits: &Thresholds, previous: Option<f64>, score: f64) -> Severity {
    let drop = previous.map_or(0.0, |before| before - score);
    if score < limits.compliance_score_critical
        || (drop > 0.0 && drop >= limits.score_drop_critical)
    {
        Severity::Critical
    } else if score < limits.compliance_score_min
        || (drop > 0.0 && drop >= limits.score_drop_warning)
    {
        Severity::Warning
    } else {
        Severity::Info
    }
}

/// What the dashboard says besides, under the names that people know.
fn facts(message: Message, row: &Row) -> Message {
    let unknown = || "unknown".to_owned();
    message
        .fact(
            "Compliance Score",
            row.score
                .map_or_else(unknown, |score| format!("{}/100", number(score))),
        )
        .fact(
            "Blueprint Version",
            row.blueprint.clone().unwrap_or_else(unknown),
        )
        .fact(
            "Root-24-LOCK",
            row.root_lock.clone().unwrap_or_else(unknown),
        )
        .fact(
            "Violations",
            row.violations
                .map_or_else(unknown, |count| count.to_string()),
        )
        .fact("Date", row.date)
}

#[cfg(test)]
mod tests;
