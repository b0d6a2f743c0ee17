//! The JSON form of certificates (SPEC §8).

use super::{Certificate, CertificateError};
use crate::batch::BatchProof;
use crate::event::Event;
use crate::id::{Choice, Epoch, Round};
use crate::json::{Fields, Json, JsonError};
use crate::limits;
use crate::subject::Subject;

/// The `format` of every certificate.
pub const FORMAT: &str = "ssid-certificate/1";

impl Certificate {
    /// Reads a certificate of at most [`limits::DOCUMENT_BYTES`]. Whether it verifies is asked
    /// separately.
    ///
    /// ```
    /// use ssid_protocol::certificate::Certificate;
    ///
    /// let refused = Certificate::parse(br#"{"format": "ssid-certificate/2"}"#).unwrap_err();
    /// assert!(refused.to_string().contains("ssid-certificate/1"));
    /// ```
    ///
    /// # Errors
    /// If it is no strict JSON, of another format, or has not exactly the keys of a certificate,
    /// each with its type.
    pub fn parse(bytes: &[u8]) -> Result<Self, CertificateError> {
        Self::parse_json(Json::parse(bytes, limits::DOCUMENT_BYTES)?)
    }

    /// Reads a certificate that is part of a larger document.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_json(json: Json) -> Result<Self, CertificateError> {
        let mut fields = json.into_fields("")?;
        let format = fields.text("format")?;
        // first: of another format nothing is known, not even which keys it has
        if format != FORMAT {
            return Err(CertificateError::Format(crate::json::excerpt(&format)));
        }
        let certificate = Self {
            federation_id: fields.parsed("federation_id")?,
            epoch: Epoch(fields.number("epoch")?),
            subject: whole(fields.object("subject")?, take_subject)?,
            round: Round(fields.number_u32("round")?),
            choice: whole(fields.object("choice")?, take_choice)?,
            event: whole(fields.object("event")?, take_event)?,
            precommits: fields
                .objects("precommits")?
                .into_iter()
                .map(|fields| whole(fields, take_proof))
                .collect::<Result<_, _>>()?,
        };
        // a key that is left over is one that the verifier would not have checked
        fields.finish()?;
        Ok(certificate)
    }

    /// The JSON object of the specification.
    pub fn to_json(&self) -> Json {
        let text = |value: &dyn ToString| Json::Text(value.to_string());
        Json::object([
            ("format", Json::from(FORMAT)),
            ("federation_id", text(&self.federation_id)),
            ("epoch", Json::from(self.epoch.0)),
            ("subject", subject_to_json(&self.subject)),
            ("round", Json::from(u64::from(self.round.0))),
            ("choice", choice_to_json(&self.choice)),
            ("event", event_to_json(&self.event)),
            (
                "precommits",
                Json::Array(self.precommits.iter().map(proof_to_json).collect()),
            ),
        ])
    }

    /// The form of files that people read.
    pub fn to_pretty(&self) -> String {
        self.to_json().to_pretty()
    }
}

/// Takes all of an object.
pub(crate) fn whole<T>(
    mut fields: Fields,
    take: impl FnOnce(&mut Fields) -> Result<T, JsonError>,
) -> Result<T, JsonError> {
    let value = take(&mut fields)?;
    fields.finish()?;
    Ok(value)
}

fn take_subject(fields: &mut Fields) -> Result<Subject, JsonError> {
    Ok(Subject {
        event: fields.text("event")?,
        version: fields.text("version")?,
        occurrence: fields.text("occurrence")?,
    })
}

pub(crate) fn take_choice(fields: &mut Fields) -> Result<Choice, JsonError> {
    Ok(Choice {
        event_hash: fields.parsed("event_hash")?,
        content_digest: fields.parsed("content_digest")?,
    })
}

pub(crate) fn take_event(fields: &mut Fields) -> Result<Event, JsonError> {
    Ok(Event {
        timestamp: fields.text("timestamp")?,
        event: fields.text("event")?,
        version: fields.text("version")?,
        commit_hash: fields.text("commit_hash")?,
        blueprint: fields.text("blueprint")?,
        root_24_lock: fields.text("root_24_lock")?,
        compliance_score: fields.text("compliance_score")?,
        emitted_by: fields.text("emitted_by")?,
    })
}

pub(crate) fn take_proof(fields: &mut Fields) -> Result<BatchProof, JsonError> {
    Ok(BatchProof {
        signer: fields.parsed("node_id")?,
        index: fields.number_u32("index")?,
        count: fields.number_u32("count")?,
        path: fields.parsed_array("path")?,
        signature: fields.parsed("signature")?,
    })
}

pub(crate) fn choice_to_json(choice: &Choice) -> Json {
    Json::object([
        ("event_hash", Json::Text(choice.event_hash.to_string())),
        (
            "content_digest",
            Json::Text(choice.content_digest.to_string()),
        ),
    ])
}

fn subject_to_json(subject: &Subject) -> Json {
    Json::object([
        ("event", Json::from(subject.event.as_str())),
        ("version", Json::from(subject.version.as_str())),
        ("occurrence", Json::from(subject.occurrence.as_str())),
    ])
}

pub(crate) fn event_to_json(event: &Event) -> Json {
    Json::object([
        ("timestamp", Json::from(event.timestamp.as_str())),
        ("event", Json::from(event.event.as_str())),
        ("version", Json::from(event.version.as_str())),
        ("commit_hash", Json::from(event.commit_hash.as_str())),
        ("blueprint", Json::from(event.blueprint.as_str())),
        ("root_24_lock", Json::from(event.root_24_lock.as_str())),
        (
            "compliance_score",
            Json::from(event.compliance_score.as_str()),
        ),
        ("emitted_by", Json::from(event.emitted_by.as_str())),
    ])
}

pub(crate) fn proof_to_json(proof: &BatchProof) -> Json {
    Json::object([
        ("node_id", Json::Text(proof.signer.to_string())),
        ("index", Json::from(u64::from(proof.index))),
        ("count", Json::from(u64::from(proof.count))),
        (
            "path",
            Json::Array(
                proof
                    .path
                    .iter()
                    .map(|hash| Json::Text(hash.to_string()))
                    .collect(),
            ),
        ),
        ("signature", Json::Text(proof.signature.to_string())),
    ])
}
