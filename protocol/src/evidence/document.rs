//! The JSON form of evidence, `ssid-evidence/1` (SPEC §7, *Evidence*).

use super::{Evidence, EvidenceError, EvidenceKind, Pair, Signed, Statement};
use crate::certificate::Certificate;
use crate::certificate::document::{
    choice_to_json, event_to_json, proof_to_json, take_choice, take_event, take_proof, whole,
};
use crate::heartbeat::Heartbeat;
use crate::id::{Epoch, Round};
use crate::json::{Fields, Json, JsonError};
use crate::limits;
use crate::vote::{EpochClose, Phase, Proposal, RoundId, Vote};

/// The `format` of every piece of evidence.
pub const FORMAT: &str = "ssid-evidence/1";

const HALVES: [&str; 2] = ["first", "second"];

impl Evidence {
    /// Reads a document of at most [`limits::DOCUMENT_BYTES`]. Whether it proves anything is asked
    /// separately.
    ///
    /// # Errors
    /// If it is no strict JSON, of another format, or has not exactly the keys of evidence, each
    /// with its type.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let mut fields = Json::parse(bytes, limits::DOCUMENT_BYTES)?.into_fields("")?;
        let format = fields.text("format")?;
        if format != FORMAT {
            return Err(EvidenceError::Format(crate::json::excerpt(&format)));
        }
        let federation_id = fields.parsed("federation_id")?;
        let kind = fields.text("kind")?;
        let pair = if kind == EvidenceKind::Certificates.as_str() {
            let [one, other] = HALVES.map(|which| take_certificate(&mut fields, which));
            Pair::Certificates(Box::new([one?, other?]))
        } else {
            let known = "event, vote, log_head, proposal, close or certificates";
            let take = reader_of(&kind).ok_or_else(|| fields.unexpected("kind", known, &kind))?;
            let [one, other] = HALVES.map(|which| take_signed(&mut fields, which, take));
            Pair::Statements(Box::new([one?, other?]))
        };
        fields.finish()?;
        Ok(Self {
            federation_id,
            pair,
        })
    }

    /// The JSON object of the specification.
    pub fn to_json(&self) -> Json {
        let [first, second] = match &self.pair {
            Pair::Statements(pair) => pair.each_ref().map(signed_to_json),
            Pair::Certificates(pair) => pair.each_ref().map(Certificate::to_json),
        };
        Json::object([
            ("format", Json::from(FORMAT)),
            ("federation_id", Json::Text(self.federation_id.to_string())),
            ("kind", Json::from(self.kind().as_str())),
            ("first", first),
            ("second", second),
        ])
    }

    /// The form of files that people read.
    pub fn to_pretty(&self) -> String {
        self.to_json().to_pretty()
    }
}

fn take_certificate(
    fields: &mut Fields,
    which: &'static str,
) -> Result<Certificate, EvidenceError> {
    let json = fields.value(which)?;
    Certificate::parse_json(json).map_err(|reason| EvidenceError::Certificate {
        which,
        reason: Box::new(reason),
    })
}

/// Takes one kind of statement.
type Reader = fn(Json) -> Result<Statement, EvidenceError>;

fn reader_of(kind: &str) -> Option<Reader> {
    let kind = EvidenceKind::ALL
        .into_iter()
        .find(|known| known.as_str() == kind)?;
    Some(match kind {
        EvidenceKind::Event => |json| Ok(Statement::Event(whole(inside(json)?, take_event)?)),
        EvidenceKind::Vote => |json| Ok(Statement::Vote(whole(inside(json)?, take_vote)?)),
        EvidenceKind::LogHead => {
            |json| Ok(Statement::Heartbeat(Box::new(Heartbeat::parse_json(json)?)))
        }
        EvidenceKind::Proposal => {
            |json| Ok(Statement::Proposal(whole(inside(json)?, take_proposal)?))
        }
        EvidenceKind::Close => |json| Ok(Statement::Close(whole(inside(json)?, take_close)?)),
        EvidenceKind::Certificates => return None,
    })
}

fn inside(json: Json) -> Result<Fields, JsonError> {
    json.into_fields("statement")
}

fn take_signed(fields: &mut Fields, which: &str, take: Reader) -> Result<Signed, EvidenceError> {
    let mut half = fields.object(which)?;
    let statement = take(half.value("statement")?)?;
    let proof = whole(half.object("proof")?, take_proof)?;
    half.finish()?;
    Ok(Signed { statement, proof })
}

fn take_vote(fields: &mut Fields) -> Result<Vote, JsonError> {
    Ok(Vote {
        epoch: Epoch(fields.number("epoch")?),
        subject: fields.parsed("subject_id")?,
        round: Round(fields.number_u32("round")?),
        phase: take_phase(fields)?,
        ballot: at_most_one(fields, "ballot", take_choice)?,
        observed: fields.bool("observed")?,
    })
}

fn take_proposal(fields: &mut Fields) -> Result<Proposal, JsonError> {
    Ok(Proposal {
        epoch: Epoch(fields.number("epoch")?),
        subject: fields.parsed("subject_id")?,
        round: Round(fields.number_u32("round")?),
        choice: whole(fields.object("choice")?, take_choice)?,
        valid: at_most_one(fields, "valid", take_round_id)?,
    })
}

fn take_close(fields: &mut Fields) -> Result<EpochClose, JsonError> {
    Ok(EpochClose {
        epoch: Epoch(fields.number("epoch")?),
        next: fields.parsed("next")?,
        certified_count: fields.number("certified_count")?,
        certified_root: fields.parsed("certified_root")?,
        locks_count: fields.number("locks_count")?,
        locks_root: fields.parsed("locks_root")?,
    })
}

fn take_phase(fields: &mut Fields) -> Result<Phase, JsonError> {
    match fields.text("phase")?.as_str() {
        "prevote" => Ok(Phase::Prevote),
        "precommit" => Ok(Phase::Precommit),
        other => Err(fields.unexpected("phase", "prevote or precommit", other)),
    }
}

fn take_round_id(fields: &mut Fields) -> Result<RoundId, JsonError> {
    Ok(RoundId {
        epoch: Epoch(fields.number("epoch")?),
        round: Round(fields.number_u32("round")?),
    })
}

/// An array of no or one object: there is no null.
fn at_most_one<T>(
    fields: &mut Fields,
    key: &str,
    take: impl FnOnce(&mut Fields) -> Result<T, JsonError>,
) -> Result<Option<T>, JsonError> {
    let mut items = fields.objects(key)?;
    let last = items.pop();
    if !items.is_empty() {
        return Err(fields.unexpected(key, "an array of no or one object", "more"));
    }
    last.map(|object| whole(object, take)).transpose()
}

fn signed_to_json(signed: &Signed) -> Json {
    Json::object([
        ("statement", statement_to_json(&signed.statement)),
        ("proof", proof_to_json(&signed.proof)),
    ])
}

fn statement_to_json(statement: &Statement) -> Json {
    let text = |value: &dyn ToString| Json::Text(value.to_string());
    let round = |round: Round| Json::from(u64::from(round.0));
    let one = |json: Option<Json>| Json::Array(json.into_iter().collect());
    match statement {
        Statement::Event(event) => event_to_json(event),
        Statement::Heartbeat(heartbeat) => heartbeat.to_json(),
        Statement::Vote(vote) => Json::object([
            ("epoch", Json::from(vote.epoch.0)),
            ("subject_id", text(&vote.subject)),
            ("round", round(vote.round)),
            (
                "phase",
                Json::from(if vote.phase == Phase::Prevote {
                    "prevote"
                } else {
                    "precommit"
                }),
            ),
            ("ballot", one(vote.ballot.as_ref().map(choice_to_json))),
            ("observed", Json::Bool(vote.observed)),
        ]),
        Statement::Proposal(proposal) => {
            let valid = |at: RoundId| {
                Json::object([
                    ("epoch", Json::from(at.epoch.0)),
                    ("round", round(at.round)),
                ])
            };
            Json::object([
                ("epoch", Json::from(proposal.epoch.0)),
                ("subject_id", text(&proposal.subject)),
                ("round", round(proposal.round)),
                ("choice", choice_to_json(&proposal.choice)),
                ("valid", one(proposal.valid.map(valid))),
            ])
        }
        Statement::Close(close) => Json::object([
            ("epoch", Json::from(close.epoch.0)),
            ("next", text(&close.next)),
            ("certified_count", Json::from(close.certified_count)),
            ("certified_root", text(&close.certified_root)),
            ("locks_count", Json::from(close.locks_count)),
            ("locks_root", text(&close.locks_root)),
        ]),
    }
}
