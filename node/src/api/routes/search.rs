//! Which events a list is asked for: by type, version, commit, member and time.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use ssid_protocol::event::Event;
use ssid_protocol::id::NodeId;
use ssid_protocol::record::ConsensusRecord;

use crate::api::ApiState;
use crate::api::error::Failure;
use crate::view::EventState;

/// Log entries that one request looks at; the next goes on from there.
pub(super) const LOOKED_AT: usize = 10_000;
/// Entries read at once.
const AT_ONCE: usize = 1000;

/// What is asked for, as it is written.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Filter {
    /// Only those that stand there.
    pub(super) state: Option<EventState>,
    /// Only those that wait for this node's operator.
    #[serde(default)]
    pub(super) review: bool,
    pub(super) limit: Option<usize>,
    pub(super) before: Option<String>,
    event_type: Option<String>,
    event_version: Option<String>,
    commit: Option<String>,
    member: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

/// The same, understood.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    event_type: Option<String>,
    event_version: Option<String>,
    commit: Option<String>,
    member: Option<NodeId>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// A record with its place in the log and its event.
type Found = (u64, ConsensusRecord, Event);

impl Filter {
    pub(super) fn wanted(&self, state: &ApiState) -> Result<Wanted, Failure> {
        let member = self
            .member
            .as_deref()
            .map(|name| state.find_member(name))
            .transpose()?;
        let time = |name: &str, text: &Option<String>| {
            text.as_deref().map(|text| moment(name, text)).transpose()
        };
        Ok(Wanted {
            event_type: self.event_type.clone(),
            event_version: self.event_version.clone(),
            commit: self.commit.as_deref().map(commit).transpose()?,
            member: member.map(|member| member.node_id),
            since: time("since", &self.since)?,
            until: time("until", &self.until)?,
        })
    }
}

/// The beginning of a commit hash, as events name commits.
pub(super) fn commit(text: &str) -> Result<String, Failure> {
    // asked here: it is compared as text, and what is no hash would silently find nothing
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::bad_request(
            "commit takes the beginning of a commit hash: hex digits",
        ));
    }
    Ok(text.to_ascii_lowercase())
}

/// `2026-11-29`, its first moment in UTC, or a time of RFC 3339.
fn moment(name: &str, text: &str) -> Result<Timestamp, Failure> {
    // a time without its offset would be read as a date, too, and forgotten but for its day
    let date = || {
        let day = Some(text).filter(|text| text.len() == "2026-11-29".len())?;
        day.parse::<Date>()
            .ok()?
            .to_zoned(TimeZone::UTC)
            .ok()
            .map(|at| at.timestamp())
    };
    let time = text.parse::<Timestamp>().ok();
    time.or_else(date).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        Failure::bad_request(format!(
            "{name}={shown:?} is no time: 2026-11-29 or 2026-11-29T23:35:56Z are"
        ))
    })
}

impl Wanted {
    /// Whether every event is.
    pub(super) fn is_all(&self) -> bool {
        self.event_type.is_none()
            && self.event_version.is_none()
            && self.commit.is_none()
            && self.member.is_none()
            && self.since.is_none()
            && self.until.is_none()
    }

    /// Whether an event is, by its fields.
    pub(super) fn has(&self, event: &Event) -> bool {
        let is = |wanted: &Option<String>, found: &String| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        let is_commit = self
            .commit
            .as_ref()
            .is_none_or(|wanted| event.commit_hash.starts_with(wanted));
        is(&self.event_type, &event.event)
            && is(&self.event_version, &event.version)
            && is_commit
            && self.is_in_time(event)
    }

    fn is_in_time(&self, event: &Event) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let Ok(at) = event.timestamp.parse::<Timestamp>() else {
            return false;
        };
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }

    /// Whether a member announced an event that is being voted on.
    pub(super) fn is_by(&self, announced_by: Option<NodeId>) -> bool {
        self.member
            .is_none_or(|member| announced_by == Some(member))
    }

    /// Whether a record may be of one: what it says of type, version and member, before the event
    /// is read.
    fn may_have(&self, record: &ConsensusRecord) -> bool {
        let is = |wanted: &Option<String>, found: &String| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        let is_members = |member| record.node_hashes.get(&member) == Some(&record.choice);
        is(&self.event_type, &record.event_type)
            && is(&self.event_version, &record.event_version)
            && self.member.is_none_or(is_members)
    }

    /// The latest records before an entry that may be of one, at most `limit`, and where the next
    /// request goes on.
    pub(super) fn records(
        &self,
        state: &ApiState,
        limit: usize,
        mut before: Option<u64>,
    ) -> Result<(Vec<Found>, Option<u64>), Failure> {
        let mut found = Vec::new();
        let mut looked_at = 0;
        // without a filter every record is one: more than a page is not read
        let page = if self.is_all() {
            limit.min(AT_ONCE)
        } else {
            AT_ONCE
        };
        // a filter that fits nothing would read the whole log in one request: the answer names
        // where to go on
        while found.len() < limit && looked_at < LOOKED_AT {
            let records = state.known.store.records_latest(page, before)?;
            let is_last = records.len() < page;
            for (sequence, record) in records {
                looked_at += 1;
                before = Some(sequence);
                // by the record first: events are larger and one look-up each
                if self.may_have(&record) {
                    let event = state.known.store.event(&record.choice.content_digest)?;
                    let lost =
                        || Failure::internal(format!("the event of log entry {sequence} is lost"));
                    let event = event.ok_or_else(lost)?;
                    if self.has(&event) {
                        found.push((sequence, record, event));
                    }
                }
                if found.len() == limit {
                    break;
                }
            }
            // the beginning of the log was reached: there is no further page
            if is_last && found.len() < limit {
                return Ok((found, None));
            }
        }
        Ok((found, before.filter(|sequence| *sequence > 0)))
    }
}

#[cfg(test)]
mod tests {
    use ssid_protocol::testing;

    use super::*;

    #[test]
    fn days_and_times_are_read_and_others_refused() {
        let read = |text| moment("since", text).map(|at| at.to_string());
        assert_eq!(read("2026-11-29").unwrap(), "2026-11-29T00:00:00Z");
        assert_eq!(
            read("2026-11-29T23:35:56+01:00").unwrap(),
            "2026-11-29T22:35:56Z"
        );
        for wrong in [
            "",
            "yesterday",
            "2026-13-01",
            "29.11.2026",
            "2026-11-29T25:00:00Z",
        ] {
            assert_eq!(read(wrong).unwrap_err().0.status, 400, "{wrong}");
        }
    }

    #[test]
    fn events_are_found_by_their_fields() {
        let event = testing::event("blueprint_tagged", "v4.4.0");
        assert!(Wanted::default().is_all() && Wanted::default().has(&event));
        let day = |text: &str| moment("since", text).ok();
        let of = |wanted: Wanted| wanted.has(&event);
        assert!(of(Wanted {
            event_type: Some("blueprint_tagged".into()),
            ..Wanted::default()
        }));
        assert!(!of(Wanted {
            event_type: Some("blueprint".into()),
            ..Wanted::default()
        }));
        assert!(!of(Wanted {
            event_version: Some("v4.4".into()),
            ..Wanted::default()
        }));
        assert!(of(Wanted {
            commit: Some(event.commit_hash[..4].into()),
            ..Wanted::default()
        }));
        assert!(!of(Wanted {
            commit: Some("ffff".into()),
            ..Wanted::default()
        }));
        let date = &event.timestamp[..10];
        assert!(of(Wanted {
            since: day(date),
            ..Wanted::default()
        }));
        assert!(!of(Wanted {
            until: day(date),
            ..Wanted::default()
        }));
        assert!(!of(Wanted {
            since: day("2099-01-01"),
            ..Wanted::default()
        }));
    }
}
