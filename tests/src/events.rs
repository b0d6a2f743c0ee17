//! Registry events, and logs of them in the forms in which they are found.

use std::fmt::Write as _;

use serde_json::Value;
use ssid_node::clock;
use ssid_protocol::event::Event;
use ssid_protocol::id::UnixMillis;

/// Events of one series: different series never share a subject.
#[derive(Clone, Debug)]
pub struct Events {
    series: String,
    base: UnixMillis,
}

impl Events {
    /// A series of events of the last hours.
    pub fn series(name: &str) -> Self {
        Self {
            series: name.to_owned(),
            base: UnixMillis((clock::now().0 / 1000 - 24 * 3600) * 1000),
        }
    }

    /// Its event number `i`.
    pub fn event(&self, i: usize) -> Event {
        Event {
            timestamp: UnixMillis(self.base.0 + 1000 * (i as u64 % 80_000)).iso(),
            event: "blueprint_tagged".to_owned(),
            version: format!("{}-{i}", self.series),
            commit_hash: format!("{:07x}", 0x00ab_cdef_u64 + i as u64),
            blueprint: "v4.4".to_owned(),
            root_24_lock: "LOCKED".to_owned(),
            compliance_score: "100".to_owned(),
            emitted_by: "registry_event_trigger.sh".to_owned(),
        }
    }

    /// Events `range`.
    pub fn range(&self, range: std::ops::Range<usize>) -> Vec<Event> {
        range.map(|i| self.event(i)).collect()
    }

    /// Events `range` as lines of JSON.
    pub fn lines(&self, range: std::ops::Range<usize>) -> String {
        self.range(range)
            .iter()
            .fold(String::new(), |text, event| text + &with_hash(event) + "\n")
    }
}

/// An event as the later tools write it: one line, with its hash.
///
/// # Panics
/// Never: eight strings are always JSON.
pub fn with_hash(event: &Event) -> String {
    let mut value: Value = serde_json::to_value(event).unwrap();
    value["event_hash"] = event.event_hash().to_string().into();
    value.to_string()
}

/// An event as the first tools wrote it: over many lines, without its hash.
///
/// # Panics
/// Never: eight strings are always JSON.
pub fn pretty(event: &Event) -> String {
    serde_json::to_string_pretty(event).unwrap()
}

/// A registry log in the wild form: a byte-order mark, a line of prose, objects over many lines,
/// some with CRLF, a broken object, objects of one line with their hash.
pub fn wild_log(events: &[Event]) -> Vec<u8> {
    let mut text = "\u{feff}Registry events initialized.\r\n".to_owned();
    let (early, late) = events.split_at(events.len() / 2);
    for (i, event) in early.iter().enumerate() {
        let object = pretty(event);
        match i % 3 {
            0 => text += &(object.replace('\n', "\r\n") + "\r\n"),
            _ => text += &(object + "\n"),
        }
        if i == early.len() / 2 {
            text += "{\n  \"timestamp\": \"2026-01-01T00:00:00Z\",\n  \"event\": \"blueprint_ta\n";
        }
    }
    for (i, event) in late.iter().enumerate() {
        let end = if i % 5 == 0 { "\r\n" } else { "\n" };
        // writing to a String does not fail
        let _ = write!(text, "{}{end}", with_hash(event));
    }
    text.into_bytes()
}
