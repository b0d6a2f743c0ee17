//! What is posted to propose a change of members: a manifest, alone or with hand-overs of the voting
//! keys that it replaces (SPEC §4).

use ssid_protocol::handover::Handover;
use ssid_protocol::json::Json;
use ssid_protocol::limits;
use ssid_protocol::manifest::{Manifest, ManifestError};

/// A change of members, as it is posted.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) manifest: Manifest,
    pub(super) handovers: Vec<Handover>,
}

impl Posted {
    /// Reads a manifest, or an object of exactly `manifest` and `handovers`, an array.
    ///
    /// # Errors
    /// If it is neither, or one of them is not what it should be.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let json = Json::parse(bytes, limits::DOCUMENT_BYTES)?;
        let is_alone = match &json {
            Json::Object(members) => !members.contains_key("manifest"),
            _ => true,
        };
        if is_alone {
            let manifest = Manifest::parse_json(json)?;
            return Ok(Self {
                manifest,
                handovers: Vec::new(),
            });
        }
        let mut fields = json.into_fields("")?;
        let manifest = Manifest::parse_json(fields.value("manifest")?)?;
        let handovers = fields.array("handovers")?.into_iter();
        let handovers = handovers
            .map(Handover::parse_json)
            .collect::<Result<_, _>>()?;
        fields.finish()?;
        Ok(Self {
            manifest,
            handovers,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ssid_protocol::testing;

    use super::*;

    #[test]
    fn a_manifest_is_posted_alone_or_with_hand_overs() {
        let manifest = testing::successor(&testing::manifest(4));
        let alone = Posted::parse(manifest.to_jcs().as_bytes()).unwrap();
        assert_eq!((&alone.manifest, alone.handovers.len()), (&manifest, 0));
        let handover = testing::handover();
        let both = |handovers: &str| {
            let text = format!(
                r#"{{"manifest":{},"handovers":{handovers}}}"#,
                manifest.to_jcs()
            );
            Posted::parse(text.as_bytes())
        };
        let good = format!("[{}]", handover.to_json().to_jcs());
        let posted = both(&good).unwrap();
        assert_eq!(
            (posted.manifest, posted.handovers),
            (manifest.clone(), vec![handover])
        );
        assert!(both("[{}]").unwrap_err().to_string().contains("format"));
        assert!(both("3").is_err());
        assert!(Posted::parse(b"{\"manifest\":{}}").is_err());
    }
}
