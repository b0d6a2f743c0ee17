//! What stands on a node's Git branch: one strict JSON object a line, and the file that says whose
//! branch it is (SPEC §10 *Git fallback*).
//!
//! A line is a whole signed batch, a statement alone, an event that somebody else announced, or a
//! certificate. Each is checked on its own: a line that does not hold is skipped, and takes no
//! other with it.

use std::collections::BTreeMap;

use crate::batch::{Kind, SignedBatch, Statements};
use crate::certificate::Certificate;
use crate::certificate::document::{event_to_json, proof_to_json, take_event, take_proof, whole};
use crate::evidence::{Signed, Statement};
use crate::id::{FederationId, LogId, NodeId, Sha256Hash};
use crate::json::{Fields, Json, JsonError};
use crate::limits;
use crate::sync::ProvenEvent;
use crate::vote::{Proposal, Vote};

/// Bytes of the longest line, its end not counted; longer ones are neither written nor read.
pub const LINE_BYTES: usize = limits::MESSAGE_BYTES;
/// The `format` of every branch.
pub const FORMAT: &str = "ssid-git/1";
/// The file on the branch that says whose it is.
pub const HEAD_FILE: &str = "head.json";
/// The directory on the branch with the lines.
pub const LINES_DIR: &str = "lines";

/// One line of a branch. Nothing in it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A batch of announcements, votes or proposals, with its statements.
    Batch(SignedBatch),
    /// A vote or proposal of a member that is relayed, alone: little else of its batch is of use.
    Statement(Box<Signed>),
    /// An event voted for that somebody else announced, with the proof of that if the writer has
    /// it.
    Event(Box<ProvenEvent>),
    /// The certificate of a decided subject.
    Certificate(Box<Certificate>),
}

impl Line {
    /// Reads a line of at most [`LINE_BYTES`]. Whether what it says verifies is asked separately.
    ///
    /// # Errors
    /// If it is no strict JSON, or not exactly one of the four objects.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let mut fields = Json::parse(bytes, LINE_BYTES)?.into_fields("")?;
        let line = match fields.keys().first().map(String::as_str) {
            Some("batch") => Self::Batch(whole(fields.object("batch")?, take_batch)?),
            Some("statement") => {
                Self::Statement(Box::new(whole(fields.object("statement")?, take_signed)?))
            }
            Some("event") => Self::Event(Box::new(whole(fields.object("event")?, take_proven)?)),
            _ => Self::Certificate(Box::new(take_certificate(&mut fields)?)),
        };
        fields.finish()?;
        Ok(line)
    }

    /// The line without its end; `None` for what does not travel by Git: heartbeats and closes, and
    /// events in this form.
    ///
    /// ```
    /// use ssid_protocol::batch::{Statements, VerifiedBatch};
    /// use ssid_protocol::git_lines::Line;
    /// use ssid_protocol::testing::{event, federation};
    ///
    /// let (_, id, _, keys) = federation(4);
    /// let batch = VerifiedBatch::sign(&keys[0], &id, Statements::Events(vec![event("release", "v1")]));
    /// let line = Line::Batch(batch.unwrap().batch().clone());
    /// assert_eq!(Line::parse(line.to_text().unwrap().as_bytes()), Ok(line));
    /// ```
    pub fn to_text(&self) -> Option<String> {
        let json = match self {
            Self::Batch(batch) => Json::object([("batch", batch_to_json(batch)?)]),
            Self::Statement(signed) => Json::object([("statement", signed_to_json(signed)?)]),
            Self::Event(proven) => Json::object([("event", proven_to_json(proven))]),
            Self::Certificate(certificate) => {
                Json::object([("certificate", certificate.to_json())])
            }
        };
        Some(json.to_jcs())
    }
}

fn take_certificate(fields: &mut Fields) -> Result<Certificate, JsonError> {
    let refused = |reason: String| JsonError::Refused {
        path: "certificate".to_owned(),
        reason,
    };
    Certificate::parse_json(fields.value("certificate")?).map_err(|e| refused(e.to_string()))
}

fn take_proven(fields: &mut Fields) -> Result<ProvenEvent, JsonError> {
    let event = whole(fields.object("body")?, take_event)?;
    let announced = fields
        .has("announced")
        .then(|| whole(fields.object("announced")?, take_proof))
        .transpose()?;
    Ok(ProvenEvent { event, announced })
}

fn proven_to_json(proven: &ProvenEvent) -> Json {
    let mut json = Json::object([("body", event_to_json(&proven.event))]);
    if let (Json::Object(members), Some(proof)) = (&mut json, &proven.announced) {
        members.insert("announced".to_owned(), proof_to_json(proof));
    }
    json
}

fn take_batch(fields: &mut Fields) -> Result<SignedBatch, JsonError> {
    let (signer, signature) = (fields.parsed("signer")?, fields.parsed("signature")?);
    let statements = match fields.number("kind")? {
        1 => Statements::Events(
            fields
                .objects("statements")?
                .into_iter()
                .map(|event| whole(event, take_event))
                .collect::<Result<_, _>>()?,
        ),
        2 => Statements::Votes(take_leaves(fields, "a vote", Vote::from_leaf_bytes)?),
        4 => Statements::Proposals(take_leaves(
            fields,
            "a proposal",
            Proposal::from_leaf_bytes,
        )?),
        kind => return Err(fields.unexpected("kind", "1, 2 or 4", &kind.to_string())),
    };
    Ok(SignedBatch {
        signer,
        signature,
        statements,
    })
}

/// A statement as the hex form of the bytes that are signed, and its proof.
fn take_signed(fields: &mut Fields) -> Result<Signed, JsonError> {
    let leaf = fields.text("leaf")?;
    let bytes = hex::decode(&leaf).ok().filter(|_| is_lower(&leaf));
    let statement = bytes.and_then(|bytes| {
        let vote = Vote::from_leaf_bytes(&bytes).map(Statement::Vote);
        vote.or_else(|| Proposal::from_leaf_bytes(&bytes).map(Statement::Proposal))
    });
    let statement =
        statement.ok_or_else(|| fields.unexpected("leaf", "a vote or a proposal", &leaf))?;
    if fields.number("kind")? != u64::from(statement.batch_kind().byte()) {
        return Err(fields.unexpected("kind", "that of the leaf", "another"));
    }
    Ok(Signed {
        statement,
        proof: whole(fields.object("proof")?, take_proof)?,
    })
}

fn signed_to_json(signed: &Signed) -> Option<Json> {
    matches!(
        signed.statement,
        Statement::Vote(_) | Statement::Proposal(_)
    )
    .then(|| {
        Json::object([
            (
                "kind",
                Json::from(u64::from(signed.statement.batch_kind().byte())),
            ),
            (
                "leaf",
                Json::Text(hex::encode(signed.statement.leaf_bytes())),
            ),
            ("proof", proof_to_json(&signed.proof)),
        ])
    })
}

/// Statements as the hex form of the bytes that are signed.
fn take_leaves<T>(
    fields: &mut Fields,
    what: &str,
    of: impl Fn(&[u8]) -> Option<T>,
) -> Result<Vec<T>, JsonError> {
    let texts = fields.texts("statements")?;
    let read = |text: &String| {
        hex::decode(text)
            .ok()
            .filter(|_| is_lower(text))
            .and_then(|bytes| of(&bytes))
    };
    texts
        .iter()
        .map(|text| read(text).ok_or_else(|| fields.unexpected("statements", what, text)))
        .collect()
}

fn is_lower(text: &str) -> bool {
    !text.bytes().any(|b| b.is_ascii_uppercase())
}

fn batch_to_json(batch: &SignedBatch) -> Option<Json> {
    let leaves = |leaves: Vec<Vec<u8>>| {
        Json::Array(
            leaves
                .iter()
                .map(|leaf| Json::Text(hex::encode(leaf)))
                .collect(),
        )
    };
    let (kind, statements) = match &batch.statements {
        Statements::Events(all) => (
            Kind::Events,
            Json::Array(all.iter().map(event_to_json).collect()),
        ),
        Statements::Votes(all) => (
            Kind::Votes,
            leaves(all.iter().map(Vote::leaf_bytes).collect()),
        ),
        Statements::Proposals(all) => (
            Kind::Proposals,
            leaves(all.iter().map(Proposal::leaf_bytes).collect()),
        ),
        Statements::Heartbeat(_) | Statements::Closes(_) | Statements::Ready(_) => return None,
    };
    Some(Json::object([
        ("kind", Json::from(u64::from(kind.byte()))),
        ("signer", Json::Text(batch.signer.to_string())),
        ("signature", Json::Text(batch.signature.to_string())),
        ("statements", statements),
    ]))
}

/// Whose branch it is, how much of that node's log stands on it, and whom it has heard.
///
/// A node that starts signs nothing before a quorum has told it what it signed earlier (SPEC §7
/// *State*). Over Git it asks by a new `start`, and a member has answered when its branch names
/// that under `heard`: by then it holds what that member has of the asking node's statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchHead {
    /// The federation that the branch belongs to.
    pub federation_id: FederationId,
    /// The node that writes it.
    pub node_id: NodeId,
    /// The log whose certificates it holds.
    pub log_id: LogId,
    /// Those before this sequence number.
    pub log_size: u64,
    /// Random, new with each start of the node.
    pub start: Sha256Hash,
    /// The starts of other members that this branch answers.
    pub heard: BTreeMap<NodeId, Sha256Hash>,
}

impl BranchHead {
    /// Reads `head.json`.
    ///
    /// # Errors
    /// If it is no strict JSON, of another format, or has not exactly these keys.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let mut fields = Json::parse(bytes, LINE_BYTES)?.into_fields("")?;
        fields.literal("format", FORMAT)?;
        let head = Self {
            federation_id: fields.parsed("federation_id")?,
            node_id: fields.parsed("node_id")?,
            log_id: fields.parsed("log_id")?,
            log_size: fields.number("log_size")?,
            start: fields.parsed("start")?,
            heard: whole(fields.object("heard")?, take_heard)?,
        };
        fields.finish()?;
        Ok(head)
    }

    /// The file's text.
    pub fn to_pretty(&self) -> String {
        let text = |value: &dyn ToString| Json::Text(value.to_string());
        let heard = self
            .heard
            .iter()
            .map(|(node, start)| (node.to_string(), text(start)));
        Json::object([
            ("format", Json::from(FORMAT)),
            ("federation_id", text(&self.federation_id)),
            ("node_id", text(&self.node_id)),
            ("log_id", text(&self.log_id)),
            ("log_size", Json::from(self.log_size)),
            ("start", text(&self.start)),
            ("heard", Json::Object(heard.collect())),
        ])
        .to_pretty()
    }
}

fn take_heard(fields: &mut Fields) -> Result<BTreeMap<NodeId, Sha256Hash>, JsonError> {
    let mut heard = BTreeMap::new();
    for key in fields.keys().into_iter().take(limits::MEMBERS) {
        let node = key
            .parse()
            .map_err(|_| fields.unexpected("", "a node id", &key))?;
        heard.insert(node, fields.parsed(&key)?);
    }
    Ok(heard)
}

/// The path on the branch of the lines' file number `segment`.
///
/// ```
/// assert_eq!(ssid_protocol::git_lines::segment_name(7), "00000007.jsonl");
/// ```
pub fn segment_name(segment: u64) -> String {
    format!("{segment:08}.jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::VerifiedBatch;
    use crate::id::{Epoch, Round, SubjectId};
    use crate::testing::{event, heartbeat, key};
    use crate::vote::{Phase, RoundId};

    const FEDERATION: FederationId = FederationId([1; 32]);

    fn vote(round: u32, ballot: bool) -> Vote {
        Vote {
            epoch: Epoch(0),
            subject: SubjectId([3; 32]),
            round: Round(round),
            phase: if round == 0 {
                Phase::Prevote
            } else {
                Phase::Precommit
            },
            ballot: ballot.then(|| event("a", "1").choice()),
            observed: round == 0 && ballot,
        }
    }

    fn proposal(valid: bool) -> Proposal {
        Proposal {
            epoch: Epoch(2),
            subject: SubjectId([3; 32]),
            round: Round(1),
            choice: event("a", "1").choice(),
            valid: valid.then_some(RoundId {
                epoch: Epoch(2),
                round: Round(0),
            }),
        }
    }

    fn signed(statements: Statements) -> Line {
        Line::Batch(
            VerifiedBatch::sign(&key(0), &FEDERATION, statements)
                .unwrap()
                .batch()
                .clone(),
        )
    }

    #[test]
    fn every_line_reads_back_as_it_was_written() {
        let announced = VerifiedBatch::sign(
            &key(0),
            &FEDERATION,
            Statements::Events(vec![event("a", "1")]),
        )
        .unwrap();
        let proven = |announced| {
            Line::Event(Box::new(ProvenEvent {
                event: event("a", "1"),
                announced,
            }))
        };
        let lines = [
            signed(Statements::Events(vec![
                event("a", "1"),
                event("b", "\u{e9}\"2"),
            ])),
            signed(Statements::Votes(vec![vote(0, true), vote(7, false)])),
            signed(Statements::Proposals(vec![proposal(true), proposal(false)])),
            proven(announced.proof(0)),
            proven(None),
        ];
        for line in lines {
            let text = line.to_text().unwrap();
            assert!(!text.contains('\n'));
            assert_eq!(Line::parse(text.as_bytes()).unwrap(), line, "{text}");
        }
        assert_eq!(
            signed(Statements::Heartbeat(Box::new(heartbeat(1)))).to_text(),
            None
        );
    }

    #[test]
    fn the_largest_batches_fit_a_line() {
        for statements in [
            Statements::Votes(vec![vote(1, true); limits::BATCH_STATEMENTS]),
            Statements::Proposals(vec![proposal(true); limits::BATCH_STATEMENTS]),
        ] {
            let text = signed(statements).to_text().unwrap();
            assert!(
                text.len() <= LINE_BYTES && Line::parse(text.as_bytes()).is_ok(),
                "{}",
                text.len()
            );
        }
    }

    #[test]
    fn what_is_not_exactly_a_line_is_refused() {
        let good = signed(Statements::Votes(vec![vote(0, true)]))
            .to_text()
            .unwrap();
        let bad = [
            "{}".to_owned(),
            "[]".to_owned(),
            good.replace("\"kind\":2", "\"kind\":3"),
            good.replace("\"kind\":2", "\"kind\":4"),
            good.replace("\"kind\":2", "\"kind\":2,\"more\":1"),
            good.replace("{\"batch\"", "{\"z\":1,\"batch\""),
            good.replace("\"statements\":[\"0", "\"statements\":[\""),
            good.replace("\"statements\":[\"0000", "\"statements\":[\"00G0"),
            good.replace("\"statements\":[\"", "\"statements\":[\"00"),
            format!("{good} {good}"),
            format!(
                "{{\"event\":{{\"body\":{{}}}},\"x\":\"{}\"}}",
                "y".repeat(LINE_BYTES)
            ),
            "{\"certificate\":{\"format\":\"other\"}}".to_owned(),
        ];
        for text in bad {
            assert_ne!(text, good);
            let refused = Line::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(refused.len() < 500, "{refused}");
        }
    }

    #[test]
    fn a_branch_says_whose_it_is() {
        let head = BranchHead {
            federation_id: FEDERATION,
            node_id: NodeId([2; 32]),
            log_id: LogId([3; 32]),
            log_size: 7,
            start: Sha256Hash([4; 32]),
            heard: BTreeMap::from([(NodeId([5; 32]), Sha256Hash([6; 32]))]),
        };
        assert_eq!(
            BranchHead::parse(head.to_pretty().as_bytes()).unwrap(),
            head
        );
        assert!(
            BranchHead::parse(
                head.to_pretty()
                    .replace("ssid-git/1", "ssid-git/2")
                    .as_bytes()
            )
            .is_err()
        );
    }
}
