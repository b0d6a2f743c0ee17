//! Chain files (SPEC §4): JSON Lines, each a link of the chain; and a certificate with its chain,
//! which ends with the line of that certificate.

use super::{ChainError, LineError, Link};
use crate::certificate::Certificate;
use crate::id::Epoch;
use crate::json::Json;
use crate::limits;
use crate::manifest::Manifest;

/// A line of a chain file, or the last one of a certificate with its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainLine {
    /// `manifest` and `certificate`.
    Link(Box<Link>),
    /// `certificate` alone: the one that the chain before it is for.
    Certificate(Box<Certificate>),
}

impl ChainLine {
    /// Reads a line of at most [`limits::DOCUMENT_BYTES`].
    ///
    /// # Errors
    /// If it is no strict JSON, or has not exactly the keys of one of the two, each with its type.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let mut fields = Json::parse(line, limits::DOCUMENT_BYTES)?.into_fields("")?;
        let manifest = if fields.has("manifest") {
            Some(Manifest::parse_json(fields.value("manifest")?)?)
        } else {
            None
        };
        let certificate = Certificate::parse_json(fields.value("certificate")?)?;
        fields.finish()?;
        Ok(match manifest {
            Some(manifest) => Self::Link(Box::new(Link {
                manifest,
                certificate,
            })),
            None => Self::Certificate(Box::new(certificate)),
        })
    }

    /// The line in canonical form, with its line feed.
    pub fn to_text(&self) -> String {
        let json = match self {
            Self::Link(link) => Json::object([
                ("manifest", link.manifest.to_json()),
                ("certificate", link.certificate.to_json()),
            ]),
            Self::Certificate(certificate) => {
                Json::object([("certificate", certificate.to_json())])
            }
        };
        let mut text = json.to_jcs();
        text.push('\n');
        text
    }
}

/// The lines of a file; the last one may lack its line feed.
pub(super) fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = file.strip_suffix(b"\n").unwrap_or(file);
    whole
        .split(|byte| *byte == b'\n')
        .filter(move |_| !file.is_empty())
}

/// The line of `epoch` as a link.
pub(super) fn link(line: &[u8], epoch: Epoch) -> Result<Link, ChainError> {
    let refuse = |source| ChainError::Line { epoch, source };
    match ChainLine::parse(line).map_err(refuse)? {
        ChainLine::Link(link) => Ok(*link),
        ChainLine::Certificate(_) => Err(refuse(LineError::NoLink)),
    }
}
