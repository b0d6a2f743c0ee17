//! Discord's webhooks: one embed within its limits, no mentions whatever peers write, `?wait=true`
//! because without it a message that was not saved gives no error. A webhook that answers 404 is
//! gone and must not be used again: too many such answers ban the address that asks.

use serde_json::{Value, json};

use super::attempt::Attempt;
use super::http::{Answer, Request};
use crate::config::Channel;
use crate::telemetry::config::DiscordSettings;
use crate::telemetry::message::{Message, Severity, cut};
use crate::telemetry::secret::{SecretUrl, Secrets};

/// Characters of a title.
const TITLE: usize = 256;
/// Characters of a description.
const DESCRIPTION: usize = 4096;
/// Fields of an embed.
const FIELDS: usize = 25;
/// Characters of a field's name.
const NAME: usize = 256;
/// Characters of a field's value.
const VALUE: usize = 1024;
/// Characters of all of an embed.
const TOTAL: usize = 6000;
/// Characters of a user name.
const USERNAME: usize = 80;
/// What stands under every embed.
const FOOTER: &str = "SSID Governance Telemetry";

/// A webhook of Discord's.
#[derive(Clone, Debug)]
pub struct Discord {
    pub(super) url: SecretUrl,
    settings: DiscordSettings,
}

impl Discord {
    pub(super) fn new(settings: &DiscordSettings, secrets: &Secrets) -> Result<Self, String> {
        let name = settings.username.to_lowercase();
        if let Some(word) = ["discord", "clyde"]
            .into_iter()
            .find(|word| name.contains(word))
        {
            return Err(format!(
                "notifications.discord.username may not contain {word:?}: Discord refuses it"
            ));
        }
        let key = "notifications.discord.webhook_url";
        let url = secrets.address("DISCORD_WEBHOOK_URL", key, &settings.webhook_url)?;
        Ok(Self {
            url,
            settings: DiscordSettings {
                webhook_url: String::new(),
                ..settings.clone()
            },
        })
    }

    pub(super) fn request(&self, message: &Message) -> Request {
        Request::json(self.url.clone(), &render(&self.settings, message)).query("wait", "true")
    }
}

/// The document that is posted.
fn render(settings: &DiscordSettings, message: &Message) -> Value {
    // Discord counts all texts of a message together and refuses a longer one whole
    let mut left = TOTAL - FOOTER.len();
    let mut take = |text: &str, limit: usize| {
        let kept = escape(text, limit.min(left));
        left -= kept.chars().count();
        kept
    };
    let title = take(
        &format!("{} {}", message.severity.sign(), message.title),
        TITLE,
    );
    // half its limit: the fields, which say what to do with it, are to fit as well
    let mut description = take(&message.lines.join("\n"), DESCRIPTION / 2);
    let mut fields = Vec::new();
    for (name, value) in message.details().iter().take(FIELDS) {
        let name = take(name, NAME);
        let value = take(value, VALUE);
        // both have to have a character
        if !name.is_empty() && !value.is_empty() {
            fields
                .push(json!({"name": name, "value": value, "inline": value.chars().count() < 40}));
        }
    }
    // a message that has nothing but a title would be refused as empty
    if description.is_empty() && fields.is_empty() {
        description.clone_from(&title);
    }
    let color = match message.severity {
        Severity::Info => 0x34_98_db,
        Severity::Warning => 0xf3_9c_12,
        Severity::Critical => 0xe7_4c_3c,
    };
    let embed = json!({
        "title": title, "description": description, "color": color, "fields": fields,
        "footer": {"text": FOOTER}, "timestamp": message.at.iso(),
    });
    // whatever names stand in the texts, nobody is called by them
    let mut document = json!({"embeds": [embed], "allowed_mentions": {"parse": []}});
    if !settings.username.is_empty() {
        document["username"] = json!(cut(&settings.username, USERNAME));
    }
    if !settings.avatar_url.is_empty() {
        document["avatar_url"] = json!(settings.avatar_url);
    }
    document
}

/// Escapes what Discord would make links, mentions, headings or formatting of, and cuts to `limit`
/// characters of what comes out, never within an escape: text of others cannot become a link to
/// somewhere.
fn escape(text: &str, limit: usize) -> String {
    let mut escaped = String::new();
    let mut length = 0;
    for c in text.chars() {
        let is_marked = "\\*_~`|>#[]()<@-".contains(c);
        let size = 1 + usize::from(is_marked);
        if length + size >= limit {
            if length < limit {
                escaped.push('…');
            }
            break;
        }
        length += size;
        if is_marked {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// What an answer means.
pub(super) fn meaning(answer: &Answer) -> Attempt {
    answer.usual_meaning(Channel::Discord, &[401, 403, 404])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::tests::monster;
    use super::*;
    use crate::telemetry::message::Topic;
    use ssid_protocol::id::UnixMillis;

    #[test]
    fn the_largest_message_stays_within_every_limit() {
        let document = render(&DiscordSettings::default(), &monster());
        let embed = &document["embeds"][0];
        let length = |value: &Value| value.as_str().unwrap().chars().count();
        assert!(length(&embed["title"]) <= 256 && length(&embed["description"]) <= 4096);
        let fields = embed["fields"].as_array().unwrap();
        assert!(fields.len() <= 25);
        let mut total = length(&embed["title"])
            + length(&embed["description"])
            + length(&embed["footer"]["text"]);
        for field in fields {
            assert!(
                (1..=256).contains(&length(&field["name"]))
                    && (1..=1024).contains(&length(&field["value"]))
            );
            total += length(&field["name"]) + length(&field["value"]);
        }
        assert!(total <= 6000, "{total}");
        assert_eq!(document["allowed_mentions"], json!({"parse": []}));
    }

    #[test]
    fn text_of_others_becomes_no_link() {
        let line = "[APPROVE](https://evil.example/) **now** `x`";
        let message = Message::new(Topic::Test, Severity::Info, "c", "t", UnixMillis(0))
            .line(line)
            .fact("Version", line);
        let document = render(&DiscordSettings::default(), &message);
        let escaped = r"\[APPROVE\]\(https://evil.example/\) \*\*now\*\* \`x\`";
        assert_eq!(document["embeds"][0]["description"], escaped);
        assert_eq!(document["embeds"][0]["fields"][0]["value"], escaped);
        for limit in 0..20 {
            let cut = escape("[[[[[[[[", limit);
            assert!(
                cut.chars().count() <= limit && !cut.trim_end_matches('…').ends_with('\\'),
                "{limit}: {cut}"
            );
        }
    }

    #[test]
    fn names_follow_the_settings_and_forbidden_ones_are_refused() {
        let message = Message::new(Topic::Test, Severity::Info, "c", "t", UnixMillis(0));
        let plain = render(&DiscordSettings::default(), &message);
        assert!(plain.get("username").is_none() && plain.get("avatar_url").is_none());
        let mut settings = DiscordSettings {
            username: "Bot".into(),
            ..DiscordSettings::default()
        };
        settings.avatar_url = "https://example.org/a.png".into();
        let chosen = render(&settings, &message);
        assert_eq!(
            (&chosen["username"], &chosen["avatar_url"]),
            (&json!("Bot"), &json!("https://example.org/a.png"))
        );
        settings.username = "My Discord Bot".into();
        assert!(
            Discord::new(&settings, &Secrets::default())
                .unwrap_err()
                .contains("may not contain \"discord\"")
        );
    }
}
