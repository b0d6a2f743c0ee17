//! What manifests from epoch 1 on say about the change that they are (SPEC §4), and the event that
//! brings one in.

use super::Manifest;
use crate::event::{EPOCH_EMITTER, Event, FEDERATION_EPOCH};
use crate::id::{ManifestHash, NodeId};
use crate::json::{Fields, Json, JsonError};

/// The three keys that a manifest has from epoch 1 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The hash of the manifest before, genesis included: one hash proves all before it.
    pub previous: ManifestHash,
    /// Whose key replaces which.
    pub succeeds: Vec<Succession>,
    /// Why, for those who approve and those who read it later: 1 to 512 bytes.
    pub reason: String,
}

/// A member whose key replaces one that is given up for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Succession {
    /// A member of this manifest and not of the one before.
    pub member: NodeId,
    /// A member of the manifest before and, from now on, of none.
    pub former: NodeId,
}

impl Change {
    pub(super) fn take_from(fields: &mut Fields) -> Result<Self, JsonError> {
        Ok(Self {
            previous: fields.parsed("previous")?,
            succeeds: fields
                .objects("succeeds")?
                .into_iter()
                .map(take_succession)
                .collect::<Result<_, _>>()?,
            reason: fields.text("reason")?,
        })
    }

    pub(super) fn to_members(&self) -> [(String, Json); 3] {
        let succession = |one: &Succession| {
            Json::object([
                ("member", Json::Text(one.member.to_string())),
                ("former", Json::Text(one.former.to_string())),
            ])
        };
        let succeeds = self.succeeds.iter().map(succession).collect();
        [
            ("previous".into(), Json::Text(self.previous.to_string())),
            ("succeeds".into(), Json::Array(succeeds)),
            ("reason".into(), Json::from(self.reason.as_str())),
        ]
    }
}

fn take_succession(mut fields: Fields) -> Result<Succession, JsonError> {
    let succession = Succession {
        member: fields.parsed("member")?,
        former: fields.parsed("former")?,
    };
    fields.finish()?;
    Ok(succession)
}

impl Manifest {
    /// The `federation_epoch` event that brings this manifest in. All its fields follow from the
    /// manifest, so that a manifest has one choice, whoever announces it. It is admissible if the
    /// manifest is a valid one of epoch 1 or later.
    pub fn epoch_event(&self) -> Event {
        let version = self.epoch.to_string();
        Event {
            timestamp: self.created_at.clone(),
            event: FEDERATION_EPOCH.into(),
            blueprint: format!("v{version}"),
            version,
            commit_hash: self.hash().to_string(),
            root_24_lock: String::new(),
            compliance_score: String::new(),
            emitted_by: EPOCH_EMITTER.into(),
        }
    }
}
