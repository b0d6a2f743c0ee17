//! Reads what a check compares: the dashboard, the registry, the members. What cannot be read is
//! noted, and says nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use ssid_protocol::event::Event;
use ssid_protocol::id::{NodeId, UnixMillis};

use super::checks::{Checked, Seen, check};
use super::config::TelemetryConfig;
use super::dashboard::Dashboard;
use super::message::Names;
use super::state::State;
use crate::place::Place;
use crate::registry::parse::{Position, parse};
use crate::registry::paths::RegistryPaths;

/// Bytes of the largest registry log that is looked at.
const LOG_BYTES: u64 = 256 << 20;

/// Where telemetry finds what it needs.
#[derive(Clone, Debug)]
pub struct Places {
    /// Thresholds, filters, channels.
    pub config: TelemetryConfig,
    /// The registry's files.
    pub paths: RegistryPaths,
}

impl Places {
    /// Where the state is.
    pub fn state(&self) -> Place {
        State::path(&self.paths.registry_log)
    }

    /// The dashboard, and where it was found; what is wrong with it otherwise.
    pub fn dashboard(&self) -> Result<Option<(PathBuf, Dashboard)>, String> {
        let places = self.config.dashboard_places(&self.paths);
        Dashboard::read_first(&places).map_err(|error| error.to_string())
    }

    /// Looks at everything and compares it with `previous`.
    pub fn look(
        &self,
        previous: &State,
        members: Option<&BTreeMap<NodeId, String>>,
        names: &Names,
        now: UnixMillis,
    ) -> Checked {
        let mut notes = Vec::new();
        // unreadable is not absent: a file that somebody is writing must not be told as gone
        let (dashboard, unreadable) = match self.dashboard() {
            Ok(dashboard) => (dashboard, None),
            Err(error) => (None, Some(error)),
        };
        notes.extend(unreadable.clone());
        // without the registry the dashboard is looked at all the same
        let events = registry(&self.paths.registry_log).unwrap_or_else(|error| {
            notes.push(error);
            None
        });
        let dashboard = dashboard.as_ref().map(|(_, dashboard)| dashboard);
        let unreadable = unreadable.as_deref();
        let events = events.as_deref();
        let seen = Seen {
            dashboard,
            unreadable,
            events,
            members,
            names,
            now,
        };
        let mut checked = check(&self.config.settings, previous, seen);
        notes.append(&mut checked.notes);
        Checked { notes, ..checked }
    }
}

/// The events of the registry log; `None` if there is none.
fn registry(path: &Place) -> Result<Option<Vec<Event>>, String> {
    let bytes = match path.read(LOG_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Err(format!(
                "'{}' has more than {LOG_BYTES} bytes: releases are not looked for",
                path.display()
            ));
        }
        Err(error) => return Err(format!("cannot read '{}': {error}", path.display())),
    };
    Ok(Some(
        parse(&bytes, Position::START)
            .entries
            .into_iter()
            .map(|entry| entry.event)
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fmt::Write as _;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::telemetry::message::Topic;

    /// Prints how long a check takes over 10,000 rows and 10,000 events; a generous limit catches
    /// what is wrong by a power of ten.
    #[test]
    fn a_check_of_ten_thousand_rows_and_events_is_quick() {
        let directory = tempfile::tempdir().unwrap();
        let paths = RegistryPaths::in_data_directory(directory.path());
        let mut csv = "date,compliance_score,violations\n".to_owned();
        let mut log = "Registry events initialized.\n".to_owned();
        for n in 0..10_000 {
            let _ = writeln!(
                csv,
                "{}-{:02}-{:02},{},0",
                1990 + n / 336,
                n / 28 % 12 + 1,
                n % 28 + 1,
                90 + n % 11
            );
            let _ = writeln!(
                log,
                "{{\n  \"timestamp\": \"2025-10-11T20:00:00Z\",\n  \"event\": \"release\",\n  \"version\": \"v{n}\",\n  \
                 \"commit_hash\": \"3dd05d9\",\n  \"blueprint\": \"v4.2\",\n  \"root_24_lock\": \"active\",\n  \
                 \"compliance_score\": \"100/100\",\n  \"emitted_by\": \"test\"\n}}"
            );
        }
        std::fs::write(&paths.dashboard_csv, csv).unwrap();
        std::fs::write(&paths.registry_log, log).unwrap();
        let config = TelemetryConfig::load_or_default(&paths.telemetry_config).unwrap();
        let places = Places { config, paths };
        let begun = Instant::now();
        let checked = places.look(
            &State::default(),
            None,
            &Names::default(),
            UnixMillis(1_795_305_600_000),
        );
        let took = begun.elapsed();
        println!("telemetry check over 10,000 rows and 10,000 events: {took:.1?}");
        assert!(
            checked.state.last_event.is_some() && checked.state.last_score.is_some(),
            "{:?}",
            checked.notes
        );
        assert!(took < Duration::from_secs(5), "{took:?}");
    }

    #[test]
    fn what_is_not_there_is_noted() {
        let directory = tempfile::tempdir().unwrap();
        let paths = RegistryPaths::in_data_directory(directory.path());
        std::fs::write(&paths.dashboard_csv, "a,b\n").unwrap();
        let config = TelemetryConfig::load_or_default(&paths.telemetry_config).unwrap();
        let places = Places { config, paths };
        let look = |state: &State| {
            places.look(
                state,
                None,
                &Names::default(),
                UnixMillis(1_795_305_600_000),
            )
        };
        let checked = look(&State::default());
        assert!(
            checked.notes[0].contains("is no dashboard"),
            "{:?}",
            checked.notes
        );
        let told: Vec<_> = checked
            .messages
            .iter()
            .map(|message| message.topic)
            .collect();
        assert_eq!((told, checked.score), (vec![Topic::DashboardUnknown], None));
        std::fs::remove_file(&places.paths.dashboard_csv).unwrap();
        assert!(
            look(&State::default()).messages.is_empty(),
            "there never was one"
        );
    }

    #[test]
    fn what_was_known_is_unknown_and_told_once_when_it_cannot_be_read_any_more() {
        let directory = tempfile::tempdir().unwrap();
        let paths = RegistryPaths::in_data_directory(directory.path());
        let config = TelemetryConfig::load_or_default(&paths.telemetry_config).unwrap();
        let places = Places { config, paths };
        let mut state = State::default();
        let mut look = |text: Option<&str>| {
            match text {
                Some(text) => std::fs::write(&places.paths.dashboard_csv, text).unwrap(),
                None => std::fs::remove_file(&places.paths.dashboard_csv).unwrap(),
            }
            let checked = places.look(
                &state,
                None,
                &Names::default(),
                UnixMillis(1_795_305_600_000),
            );
            state = checked.state;
            (
                checked.score,
                checked
                    .messages
                    .iter()
                    .map(|message| message.topic)
                    .collect::<Vec<_>>(),
            )
        };
        let good = "date,compliance_score,violations\n2026-03-31,100,0\n";
        let bad_score = "date,compliance_score,violations\n2026-03-31,100,0\n2026-06-30,1O,0\n";
        for unreadable in [
            Some("a;b\n1;2\n"),
            Some("date,compliance_score\n31.03.2026,12\n"),
            Some(bad_score),
            None,
        ] {
            assert_eq!(look(Some(good)), (Some(100.0), vec![]));
            assert_eq!(
                look(unreadable),
                (None, vec![Topic::DashboardUnknown]),
                "{unreadable:?}"
            );
            if unreadable.is_some() {
                assert_eq!(look(unreadable), (None, vec![]), "{unreadable:?}");
            }
        }
    }
}
