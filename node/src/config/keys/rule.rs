//! What a key may be set to: whether a value is that, how it is said, and how a variable's text is
//! read.

use serde_json::Value;
use ssid_protocol::event::is_event_type;

use super::forms::{is_branch, is_mailbox, is_url, is_variable, is_web_address};

/// What a key may be set to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    Flag,
    FlagOrNull,
    Text,
    TextOrNull,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number between these.
    Whole(u64, u64),
    /// A number between these, in thousandths.
    Share(u32, u32),
    Texts,
    Words(&'static [&'static str]),
    EventTypes,
    Multiaddrs,
    /// Address and port, empty, or null.
    SocketAddress,
    /// An HTTP address without a user or password in it, or empty.
    Url,
    Urls,
    /// The name of an environment variable with a token.
    Variable,
    /// The name of a Git branch.
    Branch,
    /// One of these words for each event type.
    WordByEvent(&'static [&'static str]),
    /// A whole number up to this for each event type.
    WholeByEvent(u64),
    /// Where a webhook is: https, or http on this machine; empty for nowhere.
    WebAddress,
    /// The same, or null.
    WebAddressOrNull,
    /// A mail address; empty for none.
    Mailbox,
    Mailboxes,
    /// Names and texts.
    Headers,
}

impl Rule {
    /// Whether a key with this rule may be set to `value`.
    pub(crate) fn allows(self, value: &Value) -> bool {
        // of lists and objects each part has to fit: one bad entry would be passed over in silence
        // later
        let every = |holds: &dyn Fn(&str) -> bool| {
            value
                .as_array()
                .is_some_and(|list| list.iter().all(|item| item.as_str().is_some_and(holds)))
        };
        let by_event = |holds: &dyn Fn(&Value) -> bool| {
            value.as_object().is_some_and(|map| {
                map.iter()
                    .all(|(event, item)| is_event_type(event) && holds(item))
            })
        };
        let text = value.as_str();
        match self {
            Self::Flag => value.is_boolean(),
            Self::FlagOrNull => value.is_boolean() || value.is_null(),
            Self::Text => value.is_string(),
            Self::TextOrNull => value.is_string() || value.is_null(),
            Self::Word(words) => text.is_some_and(|t| words.contains(&t)),
            Self::Whole(least, most) => value.as_u64().is_some_and(|n| (least..=most).contains(&n)),
            // in thousandths, so that the rules are whole numbers and can be compared
            Self::Share(least, most) => value
                .as_f64()
                .is_some_and(|n| (f64::from(least)..=f64::from(most)).contains(&(n * 1000.0))),
            Self::Texts => every(&|_| true),
            Self::Words(words) => every(&|t| words.contains(&t)),
            Self::EventTypes => every(&is_event_type),
            Self::Multiaddrs => every(&|t| t.parse::<libp2p::Multiaddr>().is_ok()),
            Self::SocketAddress => {
                value.is_null()
                    || text
                        .is_some_and(|t| t.is_empty() || t.parse::<std::net::SocketAddr>().is_ok())
            }
            Self::Url => text.is_some_and(|t| t.is_empty() || is_url(t)),
            Self::Urls => every(&is_url),
            Self::Variable => text.is_some_and(is_variable),
            Self::Branch => text.is_some_and(is_branch),
            Self::WordByEvent(words) => {
                by_event(&|item| item.as_str().is_some_and(|t| words.contains(&t)))
            }
            Self::WholeByEvent(most) => by_event(&|item| item.as_u64().is_some_and(|n| n <= most)),
            Self::WebAddress => text.is_some_and(|t| t.is_empty() || is_web_address(t)),
            Self::WebAddressOrNull => value.is_null() || Self::WebAddress.allows(value),
            Self::Mailbox => text.is_some_and(|t| t.is_empty() || is_mailbox(t)),
            Self::Mailboxes => every(&is_mailbox),
            Self::Headers => value
                .as_object()
                .is_some_and(|map| map.values().all(Value::is_string)),
        }
    }

    /// What a key with this rule may be set to, in words.
    pub(crate) fn allowed(self) -> String {
        match self {
            Self::Flag => "true or false".to_owned(),
            Self::FlagOrNull => "true, false or null".to_owned(),
            Self::Text => "text".to_owned(),
            Self::TextOrNull => "text or null".to_owned(),
            Self::Word(words) => words.join(", "),
            Self::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Self::Share(least, most) => {
                format!(
                    "a number from {} to {}",
                    f64::from(least) / 1000.0,
                    f64::from(most) / 1000.0
                )
            }
            Self::Texts => "a list of texts".to_owned(),
            Self::Words(words) => format!("a list of {}", words.join(", ")),
            Self::EventTypes => "a list of event types such as blueprint_tagged".to_owned(),
            Self::Multiaddrs => "a list of multiaddrs such as /ip4/0.0.0.0/tcp/4001".to_owned(),
            Self::SocketAddress => "an address and port such as 127.0.0.1:8080, or null".to_owned(),
            Self::Url => {
                "an address such as http://127.0.0.1:5001, without user and password, or empty"
                    .to_owned()
            }
            Self::Urls => "a list of addresses such as https://ipfs.io/ipfs/".to_owned(),
            Self::Variable => {
                "the name of an environment variable such as SSID_MY_TOKEN".to_owned()
            }
            Self::Branch => {
                "the name of a Git branch, of letters, digits, -, _, . and /".to_owned()
            }
            Self::WordByEvent(words) => format!("for each event type one of {}", words.join(", ")),
            Self::WholeByEvent(most) => {
                format!("for each event type a whole number from 0 to {most}")
            }
            Self::WebAddress => "an https address (http only on this machine), or empty".to_owned(),
            Self::WebAddressOrNull => {
                "an https address (http only on this machine), or null".to_owned()
            }
            Self::Mailbox => "a mail address such as ops@example.org, or empty".to_owned(),
            Self::Mailboxes => "a list of mail addresses such as ops@example.org".to_owned(),
            Self::Headers => "an object of header names and texts".to_owned(),
        }
    }

    /// The value that the text of an environment variable stands for; lists are separated by
    /// commas, or JSON.
    pub(in crate::config) fn read(self, text: &str) -> Value {
        let text_itself = || Value::String(text.to_owned());
        // what is no JSON stays text, which the rule then refuses by name
        let json = || serde_json::from_str(text).unwrap_or_else(|_| text_itself());
        match self {
            // an empty variable is how a setting is taken back
            Self::TextOrNull | Self::FlagOrNull | Self::WebAddressOrNull if text.is_empty() => {
                Value::Null
            }
            Self::Text
            | Self::TextOrNull
            | Self::Word(_)
            | Self::SocketAddress
            | Self::Url
            | Self::Variable
            | Self::Branch
            | Self::WebAddress
            | Self::WebAddressOrNull
            | Self::Mailbox => text_itself(),
            Self::Flag
            | Self::FlagOrNull
            | Self::Whole(..)
            | Self::Share(..)
            | Self::WordByEvent(_)
            | Self::WholeByEvent(_)
            | Self::Headers => json(),
            // lists with commas in their items can be given as JSON
            _ if text.starts_with('[') => json(),
            Self::Texts
            | Self::Words(_)
            | Self::EventTypes
            | Self::Multiaddrs
            | Self::Urls
            | Self::Mailboxes => {
                let items = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty());
                Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_carry_no_secrets() {
        let allows = |text: &str| Rule::Url.allows(&Value::from(text));
        assert!(allows("") && allows("http://127.0.0.1:5001") && allows("https://a.example/psa"));
        assert!(
            !allows("https://me:secret@a.example") && !allows("https://a.example/?token=secret")
        );
        assert!(!allows("file:///etc/passwd") && !allows("a.example"));
        assert!(!Rule::Urls.allows(&serde_json::json!([""])));
    }
}
