//! Slack's incoming webhooks: blocks within their limits, peers' text escaped, so that nobody can
//! address a channel through an event's name. Slack answers with a status and a word; only 429 and
//! 5xx are worth another attempt.

use serde_json::{Value, json};

use super::attempt::Attempt;
use super::http::{Answer, Request};
use crate::config::Channel;
use crate::telemetry::config::SlackSettings;
use crate::telemetry::message::{Message, cut};
use crate::telemetry::secret::{SecretUrl, Secrets};

/// Characters of a header block.
const HEADER: usize = 150;
/// Characters of a section's text.
const SECTION: usize = 3000;
/// Characters of one of a section's fields.
const FIELD: usize = 2000;
/// Fields of a section.
const FIELDS: usize = 10;
/// Characters of all blocks together stay well below the 13,200 at which Slack has been seen to
/// refuse.
const TOTAL: usize = 10_000;
/// Characters of the line that notifications show.
const SUMMARY: usize = 300;

/// An incoming webhook.
#[derive(Clone, Debug)]
pub struct Slack {
    pub(super) url: SecretUrl,
    settings: SlackSettings,
}

impl Slack {
    pub(super) fn new(settings: &SlackSettings, secrets: &Secrets) -> Result<Self, String> {
        let url = secrets.address(
            "SLACK_WEBHOOK_URL",
            "notifications.slack.webhook_url",
            &settings.webhook_url,
        )?;
        Ok(Self {
            url,
            settings: SlackSettings {
                webhook_url: String::new(),
                ..settings.clone()
            },
        })
    }

    pub(super) fn request(&self, message: &Message) -> Request {
        Request::json(self.url.clone(), &render(&self.settings, message))
    }
}

/// The document that is posted.
fn render(settings: &SlackSettings, message: &Message) -> Value {
    // Slack refuses what is too long together, and shows none of it
    let mut left = TOTAL;
    let mut take = |text: &str, limit: usize| {
        let escaped = escape(text, limit.min(left));
        left -= escaped.chars().count();
        escaped
    };
    let title = format!("{} {}", message.severity.sign(), message.title);
    // plain text is shown as it is: nothing in it addresses anybody, and escapes would be shown too
    let mut blocks = vec![
        json!({"type": "header", "text": {"type": "plain_text", "text": cut(&title, HEADER)}}),
    ];
    // what notifications on a phone show, where blocks are not drawn
    let summary = escape(&title, SUMMARY);
    let lines = take(&message.lines.join("\n"), SECTION);
    if !lines.is_empty() {
        blocks.push(
            json!({"type": "section", "text": {"type": "mrkdwn", "text": lines, "verbatim": true}}),
        );
    }
    let mut fields = Vec::new();
    // names are the node's own and short; values may be anything
    for (name, value) in message.details().iter().take(FIELDS) {
        let field = format!("*{}*\n{}", take(name, FIELD / 4), take(value, FIELD / 2));
        fields.push(json!({"type": "mrkdwn", "text": field, "verbatim": true}));
    }
    if !fields.is_empty() {
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": "SSID Governance Telemetry"}]}));
    // nothing in text of others is made a link, a mention or a preview of
    let mut document = json!({
        "text": summary, "blocks": blocks, "mrkdwn": false, "link_names": false, "unfurl_links": false, "unfurl_media": false,
    });
    // an empty one means the webhook's own: the key is left out
    for (key, value) in [
        ("channel", &settings.channel),
        ("username", &settings.username),
        ("icon_emoji", &settings.icon_emoji),
    ] {
        if !value.is_empty() {
            document[key] = json!(value);
        }
    }
    document
}

/// Escapes what has a meaning, and cuts to `limit` characters of what comes out, never within an
/// escape.
fn escape(text: &str, limit: usize) -> String {
    let mut escaped = String::new();
    let mut length = 0;
    for c in text.chars() {
        let piece = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            // Slack has no escape for its marks
            '*' => "∗",
            '`' => "ˋ",
            '~' => "∼",
            _ => "",
        };
        // the size of what comes out: an escape is longer than its character
        let size = piece.chars().count().max(1);
        // one character is kept for the sign that something is missing
        if length + size >= limit {
            if length < limit {
                escaped.push('…');
            }
            break;
        }
        length += size;
        if piece.is_empty() {
            escaped.push(c);
        } else {
            escaped.push_str(piece);
        }
    }
    escaped
}

/// What an answer means.
pub(super) fn meaning(answer: &Answer) -> Attempt {
    answer.usual_meaning(Channel::Slack, &[404, 410])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::tests::monster;
    use super::*;
    use crate::telemetry::message::{Severity, Topic};
    use ssid_protocol::id::UnixMillis;

    #[test]
    fn the_largest_message_stays_within_every_limit() {
        let document = render(&SlackSettings::default(), &monster());
        let blocks = document["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50);
        let length = |value: &Value| value.as_str().unwrap().chars().count();
        assert!(length(&blocks[0]["text"]["text"]) <= 150);
        assert!(length(&blocks[1]["text"]["text"]) <= 3000);
        let fields = blocks[2]["fields"].as_array().unwrap();
        assert!(fields.len() <= 10 && fields.iter().all(|field| length(&field["text"]) <= 2000));
        assert!(document.to_string().chars().count() < 13_200);
        for marked in [&blocks[1], &blocks[2], &document["text"]] {
            assert!(!marked.to_string().contains("<!channel>"), "{marked}");
        }
    }

    #[test]
    fn a_score_change_reads_as_people_know_it() {
        let message = Message::new(
            Topic::ScoreChange,
            Severity::Warning,
            "c",
            "SSID Governance Score Changed",
            UnixMillis(0),
        );
        let message = message
            .line("Compliance score: 95/100 (declining).")
            .fact("Violations", 0);
        let document = render(&SlackSettings::default(), &message);
        assert_eq!(document["text"], "⚠️ SSID Governance Score Changed");
        assert_eq!(
            document["blocks"][1]["text"]["text"],
            "Compliance score: 95/100 (declining)."
        );
        assert_eq!(
            document["blocks"][2]["fields"][0]["text"],
            "*Violations*\n0"
        );
    }

    #[test]
    fn what_the_webhook_may_choose_follows_the_settings() {
        let message = Message::new(Topic::Test, Severity::Info, "c", "t", UnixMillis(0));
        let plain = render(&SlackSettings::default(), &message);
        assert!(
            ["channel", "username", "icon_emoji"]
                .iter()
                .all(|key| plain.get(*key).is_none())
        );
        let settings = SlackSettings {
            channel: "#ops".into(),
            username: "Bot".into(),
            icon_emoji: ":shield:".into(),
            ..SlackSettings::default()
        };
        let chosen = render(&settings, &message);
        assert_eq!(
            (&chosen["channel"], &chosen["username"]),
            (&json!("#ops"), &json!("Bot"))
        );
        assert_eq!(chosen["icon_emoji"], ":shield:");
    }

    #[test]
    fn text_of_others_is_shown_as_it_is() {
        let line = "<https://evil.example|APPROVE> *now* `x`";
        let message = Message::new(Topic::Test, Severity::Info, "c", "t", UnixMillis(0)).line(line);
        let document = render(&SlackSettings::default(), &message);
        let section = &document["blocks"][1]["text"];
        assert_eq!(
            section["text"],
            "&lt;https://evil.example|APPROVE&gt; ∗now∗ ˋxˋ"
        );
        assert_eq!(
            (&section["verbatim"], &document["unfurl_links"]),
            (&json!(true), &json!(false))
        );
    }

    #[test]
    fn an_escape_is_never_cut() {
        assert_eq!(escape("a&b", 100), "a&amp;b");
        for limit in 0..9 {
            let escaped = escape("a&&&&", limit);
            assert!(escaped.chars().count() <= limit, "{limit}: {escaped}");
            assert!(
                escaped
                    .replace("&amp;", "")
                    .chars()
                    .all(|c| c == 'a' || c == '…'),
                "{limit}: {escaped}"
            );
        }
    }
}
