//! What there is to tell, before any channel gives it a form. Messages hold hashes, numbers and the
//! names of nodes and organisations as configured; no personal data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use ssid_protocol::id::{FederationId, NodeId, UnixMillis};
use ssid_protocol::manifest::Manifest;

use crate::text::is_unseen;

/// Characters of a title.
pub const TITLE_CHARS: usize = 140;
/// Characters of one line or fact.
pub const LINE_CHARS: usize = 600;
/// Hex digits of a node's short id.
const SHORT_ID: usize = 12;

/// How urgent it is, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody should look now.
    Critical,
}

impl Severity {
    /// Returns the word for it in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The sign that stands before a title.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Info => "ℹ️",
            Self::Warning => "⚠️",
            Self::Critical => "🚨",
        }
    }
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The compliance score changed.
    ScoreChange,
    /// The dashboard cannot be read.
    DashboardUnknown,
    /// The dashboard shows more violations than allowed.
    Violation,
    /// A release was recorded.
    Release,
    /// A quarterly report was recorded.
    QuarterlyReport,
    /// Another blueprint is in force.
    BlueprintUpdate,
    /// Syncs that succeeded.
    SyncCompleted,
    /// Syncs that failed.
    SyncFailed,
    /// Events were certified.
    ConsensusAchieved,
    /// A vote ended without a decision: people have to choose.
    ConsensusFailed,
    /// A member joined.
    NodeAdded,
    /// A member left.
    NodeRemoved,
    /// A member's trust fell below the threshold.
    TrustScoreLow,
    /// Somebody signed two things that contradict each other.
    Equivocation,
    /// The own registry contradicts what was certified, or lines that were read are changed or
    /// gone.
    Divergence,
    /// A member's Git branch was rewritten.
    HistoryRewritten,
    /// A change of members waits for this node's operator, or none does any more.
    MembershipProposed,
    /// Members changed: another epoch is in force.
    EpochChanged,
    /// Events wait for this node's operator, or none does any more.
    ReviewWaiting,
    /// A voter is away, or back.
    NodeDown,
    /// Too few voters are here to decide anything, or enough again.
    QuorumLost,
    /// This node votes no more until somebody looks, or votes again.
    NodeStopped,
    /// Sent to try a channel.
    Test,
    /// Many messages in one.
    Digest,
}

impl Topic {
    /// The word, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScoreChange => "score_change",
            Self::DashboardUnknown => "dashboard_unknown",
            Self::Violation => "violation",
            Self::Release => "release",
            Self::QuarterlyReport => "quarterly_report",
            Self::BlueprintUpdate => "blueprint_update",
            Self::SyncCompleted => "sync_completed",
            Self::SyncFailed => "sync_failed",
            Self::ConsensusAchieved => "consensus_achieved",
            Self::ConsensusFailed => "consensus_failed",
            Self::NodeAdded => "node_added",
            Self::NodeRemoved => "node_removed",
            Self::TrustScoreLow => "trust_score_low",
            Self::Equivocation => "equivocation",
            Self::Divergence => "divergence",
            Self::HistoryRewritten => "history_rewritten",
            Self::MembershipProposed => "membership_proposed",
            Self::EpochChanged => "epoch_changed",
            Self::ReviewWaiting => "review_waiting",
            Self::NodeDown => "node_down",
            Self::QuorumLost => "quorum_lost",
            Self::NodeStopped => "node_stopped",
            Self::Test => "test",
            Self::Digest => "digest",
        }
    }
}

/// One message, the same for every channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Names what happened: one message a cause and channel.
    pub cause: String,
    /// What it is about.
    pub topic: Topic,
    /// How urgent it is.
    pub severity: Severity,
    /// What happened, in one line.
    pub title: String,
    /// What happened, a sentence or two each.
    pub lines: Vec<String>,
    /// Names and values.
    pub facts: Vec<(String, String)>,
    /// When it was noticed, milliseconds since 1970.
    pub at: UnixMillis,
    /// How many happenings it stands for.
    pub count: u64,
    /// Whose message it is; `None` where no node runs.
    #[serde(default)]
    pub source: Option<Source>,
}

/// Which node of which federation tells people something: there may be several of either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The node that tells it.
    pub node_id: NodeId,
    /// What it is called, or with `compliance.anonymize_node_data` the beginning of its id.
    pub node_name: String,
    /// The federation that it is about.
    pub federation_id: FederationId,
    /// What it is called.
    pub federation_name: String,
}

impl Source {
    /// A node of the federation whose manifest this is.
    pub fn new(manifest: &Manifest, node: NodeId, anonymize: bool) -> Self {
        let members = manifest
            .members
            .iter()
            .map(|member| (member.node_id, member.node_name.clone()));
        Self {
            node_id: node,
            node_name: plain(&Names::new(members, anonymize).of(&node), TITLE_CHARS),
            federation_id: manifest.federation_id(),
            federation_name: plain(&manifest.name, TITLE_CHARS),
        }
    }
}

impl Message {
    /// A message without lines and facts, for one happening.
    pub fn new(
        topic: Topic,
        severity: Severity,
        cause: impl Into<String>,
        title: &str,
        at: UnixMillis,
    ) -> Self {
        let title = plain(title, TITLE_CHARS);
        let lines = Vec::new();
        let facts = Vec::new();
        Self {
            cause: cause.into(),
            topic,
            severity,
            title,
            lines,
            facts,
            at,
            count: 1,
            source: None,
        }
    }

    /// With one more sentence.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(plain(line, LINE_CHARS));
        self
    }

    /// With one more fact.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads better where it is called"
    )]
    pub fn fact(mut self, name: &str, value: impl ToString) -> Self {
        self.facts.push((
            plain(name, TITLE_CHARS),
            plain(&value.to_string(), LINE_CHARS),
        ));
        self
    }

    /// The key under which receivers recognise a message that comes twice: 32 hex digits, the same
    /// for the same cause.
    pub fn idempotency_key(&self) -> String {
        hex::encode(&Sha256::digest(self.cause.as_bytes())[..16])
    }

    /// Whose message it is, then the facts: names and values.
    pub fn details(&self) -> Vec<(String, String)> {
        let source = self.source.iter().flat_map(|source| {
            let node = format!(
                "{} ({})",
                source.node_name,
                short_id(&source.node_id.to_string())
            );
            [
                ("Told By".to_owned(), node),
                ("Federation".to_owned(), source.federation_name.clone()),
            ]
        });
        source.chain(self.facts.iter().cloned()).collect()
    }

    /// Title, lines and facts as plain text.
    pub fn text(&self) -> String {
        let details = self
            .details()
            .into_iter()
            .map(|(name, value)| format!("{name}: {value}"));
        let body: Vec<_> = self.lines.iter().cloned().chain(details).collect();
        format!(
            "{} {}\n\n{}",
            self.severity.sign(),
            self.title,
            body.join("\n")
        )
        .trim_end()
        .to_owned()
    }
}

/// `text` on one line, without control characters, at most `limit` characters.
pub fn plain(text: &str, limit: usize) -> String {
    let clean: String = text
        .chars()
        .map(|c| if is_unseen(c) { ' ' } else { c })
        .collect();
    cut(&clean, limit)
}

/// `text` cut to `limit` characters, the last an ellipsis if something is missing.
pub fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let Some(kept) = limit.checked_sub(1) else {
        return String::new();
    };
    text.chars().take(kept).chain(['…']).collect()
}

/// What members are called in messages.
#[derive(Clone, Debug, Default)]
pub struct Names {
    by_id: BTreeMap<NodeId, String>,
}

impl Names {
    /// The configured names, or with `compliance.anonymize_node_data` none: then short ids stand
    /// for them.
    pub fn new(members: impl IntoIterator<Item = (NodeId, String)>, anonymize: bool) -> Self {
        Self {
            by_id: if anonymize {
                BTreeMap::new()
            } else {
                members.into_iter().collect()
            },
        }
    }

    /// The name of a member, or the beginning of its id.
    pub fn of(&self, node: &NodeId) -> String {
        let named = self.by_id.get(node).filter(|name| !name.is_empty());
        named
            .cloned()
            .unwrap_or_else(|| short_id(&node.to_string()))
    }
}

/// The beginning of an id, as it stands for a name that is not told.
pub fn short_id(id: &str) -> String {
    id.chars().take(SHORT_ID).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_stays_one_line() {
        let message = Message::new(
            Topic::Divergence,
            Severity::Warning,
            "c",
            "a\r\nBcc: x",
            UnixMillis(0),
        );
        assert_eq!(message.title, "a  Bcc: x");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("äöüß", 4), "äöüß");
    }

    #[test]
    fn the_key_follows_the_cause_alone() {
        let at =
            |cause: &str, at| Message::new(Topic::Test, Severity::Info, cause, "t", UnixMillis(at));
        assert_eq!(at("a", 1).idempotency_key(), at("a", 2).idempotency_key());
        assert_ne!(at("a", 1).idempotency_key(), at("b", 1).idempotency_key());
        assert_eq!(at("a", 1).idempotency_key().len(), 32);
    }

    #[test]
    fn a_message_says_whose_it_is() {
        let manifest = ssid_protocol::testing::manifest(4);
        let node = manifest.members[1].node_id;
        let told = |anonymize| {
            let source = Some(Source::new(&manifest, node, anonymize));
            Message {
                source,
                ..Message::new(Topic::Test, Severity::Info, "c", "t", UnixMillis(0))
            }
            .text()
        };
        let (name, short) = (&manifest.members[1].node_name, short_id(&node.to_string()));
        assert!(
            told(false).contains(&format!("Told By: {name} ({short})")),
            "{}",
            told(false)
        );
        assert!(
            told(false).contains(&format!("Federation: {}", manifest.name)),
            "{}",
            told(false)
        );
        assert!(
            !told(true).contains(name) && told(true).contains(&short),
            "{}",
            told(true)
        );
    }

    #[test]
    fn anonymous_members_have_short_ids() {
        let node = NodeId([0xab; 32]);
        let members = [(node, "Berlin".to_owned())];
        assert_eq!(Names::new(members.clone(), false).of(&node), "Berlin");
        assert_eq!(Names::new(members, true).of(&node), "abababababab");
    }
}
