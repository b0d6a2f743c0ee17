//! An event in the API's words: registry logs call its type `event` and its version `version`,
//! every JSON document of the API says `event_type` and `event_version`. Used with `#[serde(with)]`
//! and `#[serde(flatten, with)]`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ssid_protocol::event::Event;

/// The eight fields of an event, each once.
#[derive(Serialize, Deserialize)]
struct Fields {
    timestamp: String,
    event_type: String,
    event_version: String,
    commit_hash: String,
    blueprint: String,
    root_24_lock: String,
    compliance_score: String,
    emitted_by: String,
}

impl From<Event> for Fields {
    fn from(event: Event) -> Self {
        Self {
            timestamp: event.timestamp,
            event_type: event.event,
            event_version: event.version,
            commit_hash: event.commit_hash,
            blueprint: event.blueprint,
            root_24_lock: event.root_24_lock,
            compliance_score: event.compliance_score,
            emitted_by: event.emitted_by,
        }
    }
}

impl From<Fields> for Event {
    fn from(fields: Fields) -> Self {
        Self {
            timestamp: fields.timestamp,
            event: fields.event_type,
            version: fields.event_version,
            commit_hash: fields.commit_hash,
            blueprint: fields.blueprint,
            root_24_lock: fields.root_24_lock,
            compliance_score: fields.compliance_score,
            emitted_by: fields.emitted_by,
        }
    }
}

pub(super) fn serialize<S: Serializer>(event: &Event, serializer: S) -> Result<S::Ok, S::Error> {
    Fields::from(event.clone()).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Event, D::Error> {
    Fields::deserialize(deserializer).map(Event::from)
}

/// The same for an event that may not be known: `null` then.
pub(super) mod optional {
    use super::{Deserialize as _, Deserializer, Event, Fields, Serialize as _, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands over the field itself")]
    pub(in super::super) fn serialize<S: Serializer>(
        event: &Option<Event>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        event.clone().map(Fields::from).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Event>, D::Error> {
        Ok(Option::<Fields>::deserialize(deserializer)?.map(Event::from))
    }
}

/// A subject that may not be known: `null` then.
pub(super) mod subject {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use ssid_protocol::subject::Subject;

    #[derive(Serialize, Deserialize)]
    struct Words {
        event_type: String,
        event_version: String,
        occurrence: String,
    }

    #[expect(clippy::ref_option, reason = "serde hands over the field itself")]
    pub(in super::super) fn serialize<S: Serializer>(
        subject: &Option<Subject>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let words = subject.clone().map(|subject| Words {
            event_type: subject.event,
            event_version: subject.version,
            occurrence: subject.occurrence,
        });
        words.serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Subject>, D::Error> {
        let words = Option::<Words>::deserialize(deserializer)?;
        Ok(words.map(|words| Subject {
            event: words.event_type,
            version: words.event_version,
            occurrence: words.occurrence,
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::json;
    use ssid_protocol::event::Event;
    use ssid_protocol::subject::Subject;
    use ssid_protocol::testing;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Document {
        #[serde(flatten, with = "super")]
        event: Event,
        #[serde(with = "super::optional")]
        other: Option<Event>,
        #[serde(with = "super::subject")]
        subject: Option<Subject>,
    }

    #[test]
    fn events_are_written_in_the_apis_words_and_read_back() {
        let event = testing::event("blueprint_tagged", "v4.4.0");
        let subject = Subject {
            event: "tick".into(),
            version: "v1".into(),
            occurrence: "now".into(),
        };
        let whole = Document {
            event: event.clone(),
            other: Some(event),
            subject: Some(subject),
        };
        let text = serde_json::to_value(&whole).unwrap();
        assert_eq!(
            (&text["event_type"], &text["event_version"]),
            (&json!("blueprint_tagged"), &json!("v4.4.0"))
        );
        assert_eq!(text["other"]["event_type"], "blueprint_tagged");
        assert_eq!(
            text["subject"],
            json!({"event_type": "tick", "event_version": "v1", "occurrence": "now"})
        );
        assert!(
            text.get("event").is_none() && text["other"].get("version").is_none(),
            "{text}"
        );
        assert_eq!(serde_json::from_value::<Document>(text).unwrap(), whole);

        let bare = Document {
            other: None,
            subject: None,
            ..whole
        };
        let text = serde_json::to_value(&bare).unwrap();
        assert!(
            text["other"].is_null() && text["subject"].is_null(),
            "{text}"
        );
        assert_eq!(serde_json::from_value::<Document>(text).unwrap(), bare);
    }
}
