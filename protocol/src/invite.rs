//! Invites: what a newcomer begins with (SPEC §4): which federation it is, which manifest is in
//! force, and whom it can ask. Unsigned: what protects it is the pin, compared by voice.

use std::collections::BTreeSet;

use crate::id::{Epoch, FederationId, ManifestHash, NodeId};
use crate::identity::{IdentityError, VerifyKey};
use crate::json::{Fields, Json, JsonError};
use crate::limits;
use crate::manifest::{Manifest, ManifestError};
use crate::member::Member;

/// The `format` of every invite.
pub const FORMAT: &str = "ssid-invite/1";

/// What a newcomer is handed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// The federation's name, which follows from `genesis`.
    pub federation_id: FederationId,
    /// The manifest of epoch 0.
    pub genesis: Manifest,
    /// The epoch that was in force when the invite was written.
    pub epoch: Epoch,
    /// The pin: the hash of that epoch's manifest. A chain without it is refused.
    pub manifest_hash: ManifestHash,
    /// The hash of the proposed manifest that would admit the newcomer, if one is proposed.
    pub proposal: Option<ManifestHash>,
    /// Whom the newcomer asks: 1 to [`limits::INVITE_PEERS`].
    pub peers: Vec<InvitePeer>,
}

/// A member that a newcomer can ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitePeer {
    /// Its voting key.
    pub node_id: NodeId,
    /// Its libp2p identity.
    pub peer_id: String,
    /// What people call the node.
    pub node_name: String,
    /// Multiaddresses at which it can be reached, at most [`limits::INVITE_ADDRESSES`] of at most
    /// [`limits::INVITE_TEXT_BYTES`] each.
    pub addresses: Vec<String>,
}

/// Why an invite is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// It has not the shape of one.
    #[error("invite: {0}")]
    Shape(#[from] JsonError),
    /// Its genesis manifest is none.
    #[error("invite field `genesis`: {0}")]
    Genesis(#[from] ManifestError),
    /// The genesis manifest is that of another federation.
    #[error("invite field `federation_id` must be {expected}, as `genesis` says; it is {found}")]
    Federation {
        /// What follows from its genesis manifest.
        expected: FederationId,
        /// What it names.
        found: FederationId,
    },
    /// It is of epoch 0, whose manifest is genesis, and pins another.
    #[error("invite field `manifest_hash` must be {expected}, that of `genesis`; it is {found}")]
    Pin {
        /// The hash of its genesis manifest.
        expected: ManifestHash,
        /// What it names.
        found: ManifestHash,
    },
    /// A peer's voting key is none.
    #[error("invite field `peers[{index}].node_id`: {error}")]
    Key {
        /// Which of them.
        index: usize,
        /// What is wrong with it.
        error: IdentityError,
    },
    /// A list or a text of a peer breaks a rule.
    #[error("invite field `{field}` must be {rule}; it is {value}")]
    Invalid {
        /// Which field, for example `peers[3].addresses`.
        field: String,
        /// What it must be.
        rule: String,
        /// What it is, cut to 80 characters.
        value: String,
    },
}

impl Invite {
    /// Reads an invite of at most [`limits::DOCUMENT_BYTES`] and checks it.
    ///
    /// ```
    /// use ssid_protocol::invite::Invite;
    /// use ssid_protocol::testing::invite;
    ///
    /// let invite = invite();
    /// assert_eq!(Invite::parse(invite.to_pretty().as_bytes()), Ok(invite));
    /// ```
    ///
    /// # Errors
    /// If it is no strict JSON, has not exactly the keys of an invite, each with its type, or breaks
    /// a rule of [`Self::check`].
    pub fn parse(bytes: &[u8]) -> Result<Self, InviteError> {
        let mut fields = Json::parse(bytes, limits::DOCUMENT_BYTES)?.into_fields("")?;
        fields.literal("format", FORMAT)?;
        let genesis = Manifest::parse_json(fields.value("genesis")?)?;
        let mut proposals = fields.parsed_array("proposal")?;
        if proposals.len() > 1 {
            let what = format!("{} hashes", proposals.len());
            return Err(fields
                .unexpected("proposal", "no or one hash", &what)
                .into());
        }
        let invite = Self {
            federation_id: fields.parsed("federation_id")?,
            genesis,
            epoch: Epoch(fields.number("epoch")?),
            manifest_hash: fields.parsed("manifest_hash")?,
            proposal: proposals.pop(),
            peers: fields
                .objects("peers")?
                .into_iter()
                .map(InvitePeer::take_all)
                .collect::<Result<_, _>>()?,
        };
        fields.finish()?;
        invite.check()?;
        Ok(invite)
    }

    /// Whether genesis is a valid genesis manifest, the federation is its, the pin of epoch 0 is its
    /// hash, and the peers are within their bounds and distinct.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self) -> Result<(), InviteError> {
        self.genesis.validate_genesis()?;
        let expected = self.genesis.federation_id();
        if self.federation_id != expected {
            return Err(InviteError::Federation {
                expected,
                found: self.federation_id,
            });
        }
        let expected = self.genesis.hash();
        if self.epoch == Epoch::ZERO && self.manifest_hash != expected {
            return Err(InviteError::Pin {
                expected,
                found: self.manifest_hash,
            });
        }
        self.check_peers()
    }

    fn check_peers(&self) -> Result<(), InviteError> {
        let peers = 1..=limits::INVITE_PEERS;
        if !peers.contains(&self.peers.len()) {
            let rule = format!("1 to {} members", limits::INVITE_PEERS);
            return Err(invalid("peers", rule, &self.peers.len()));
        }
        let (mut node_ids, mut peer_ids) = (BTreeSet::new(), BTreeSet::new());
        for (index, peer) in self.peers.iter().enumerate() {
            VerifyKey::parse(peer.node_id).map_err(|error| InviteError::Key { index, error })?;
            peer.check(&format!("peers[{index}]"))?;
            if !node_ids.insert(peer.node_id) || !peer_ids.insert(&peer.peer_id) {
                let rule = "another member than those before it".to_owned();
                return Err(invalid(&format!("peers[{index}]"), rule, &peer.node_id));
            }
        }
        Ok(())
    }

    /// The JSON object of the specification.
    pub fn to_json(&self) -> Json {
        let text = |value: &dyn ToString| Json::Text(value.to_string());
        let proposal = self.proposal.iter().map(|hash| text(hash)).collect();
        let peers = self.peers.iter().map(InvitePeer::to_json).collect();
        Json::object([
            ("format", Json::from(FORMAT)),
            ("federation_id", text(&self.federation_id)),
            ("genesis", self.genesis.to_json()),
            ("epoch", Json::from(self.epoch.0)),
            ("manifest_hash", text(&self.manifest_hash)),
            ("proposal", Json::Array(proposal)),
            ("peers", Json::Array(peers)),
        ])
    }

    /// The form of files that people read.
    pub fn to_pretty(&self) -> String {
        self.to_json().to_pretty()
    }
}

impl InvitePeer {
    /// A member of a manifest, as an invite names it: addresses past the bounds of an invite are
    /// left out.
    pub fn of(member: &Member) -> Self {
        let fits = |address: &&String| address.len() <= limits::INVITE_TEXT_BYTES;
        let addresses = member.addresses.iter().filter(fits).cloned();
        Self {
            node_id: member.node_id,
            peer_id: member.peer_id.clone(),
            node_name: member.node_name.clone(),
            addresses: addresses.take(limits::INVITE_ADDRESSES).collect(),
        }
    }

    fn take_all(mut fields: Fields) -> Result<Self, JsonError> {
        let peer = Self {
            node_id: fields.parsed("node_id")?,
            peer_id: fields.text("peer_id")?,
            node_name: fields.text("node_name")?,
            addresses: fields.texts("addresses")?,
        };
        fields.finish()?;
        Ok(peer)
    }

    fn check(&self, path: &str) -> Result<(), InviteError> {
        if self.addresses.len() > limits::INVITE_ADDRESSES {
            let rule = format!("at most {}", limits::INVITE_ADDRESSES);
            let field = format!("{path}.addresses");
            return Err(invalid(&field, rule, &self.addresses.len()));
        }
        let texts = [
            ("peer_id", 1, &self.peer_id),
            ("node_name", 0, &self.node_name),
        ];
        let addresses = self.addresses.iter().map(|text| ("addresses", 1, text));
        for (key, least, text) in texts.into_iter().chain(addresses) {
            if !(least..=limits::INVITE_TEXT_BYTES).contains(&text.len()) {
                let rule = format!("{least} to {} bytes", limits::INVITE_TEXT_BYTES);
                let value = format!("{} bytes", text.len());
                return Err(invalid(&format!("{path}.{key}"), rule, &value));
            }
        }
        Ok(())
    }

    fn to_json(&self) -> Json {
        Json::object([
            ("node_id", Json::Text(self.node_id.to_string())),
            ("peer_id", Json::from(self.peer_id.as_str())),
            ("node_name", Json::from(self.node_name.as_str())),
            ("addresses", Json::texts(&self.addresses)),
        ])
    }
}

fn invalid(field: &str, rule: String, value: &dyn std::fmt::Display) -> InviteError {
    InviteError::Invalid {
        field: field.to_owned(),
        rule,
        value: value.to_string().chars().take(80).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{invite, manifest};

    #[test]
    fn every_form_reads_back() {
        let mut later = invite();
        later.epoch = Epoch(3);
        later.manifest_hash = ManifestHash([7; 32]);
        later.proposal = Some(ManifestHash([8; 32]));
        for invite in [invite(), later] {
            for form in [invite.to_pretty(), invite.to_json().to_jcs()] {
                assert_eq!(Invite::parse(form.as_bytes()).as_ref(), Ok(&invite));
            }
        }
    }

    #[test]
    fn every_refusal_names_what_is_wrong() {
        type Case = (fn(&mut Invite), &'static str);
        let cases: &[Case] = &[
            (|i| i.federation_id.0[0] ^= 1, "`federation_id` must be"),
            (|i| i.manifest_hash.0[0] ^= 1, "`manifest_hash` must be"),
            (
                |i| i.genesis.threshold_bp = 0,
                "`genesis`: manifest field `threshold_bp`",
            ),
            (|i| i.genesis = manifest(5), "`federation_id` must be"),
            (|i| i.peers.clear(), "`peers` must be 1 to 16"),
            (
                |i| i.peers[1] = i.peers[0].clone(),
                "`peers[1]` must be another",
            ),
            (
                |i| i.peers[1].peer_id = i.peers[0].peer_id.clone(),
                "`peers[1]` must be another",
            ),
            (
                |i| i.peers[2].node_id = NodeId([0; 32]),
                "`peers[2].node_id`:",
            ),
            (
                |i| i.peers[0].peer_id.clear(),
                "`peers[0].peer_id` must be 1 to 256",
            ),
            (
                |i| i.peers[0].node_name = "x".repeat(257),
                "`peers[0].node_name` must be",
            ),
            (
                |i| i.peers[0].addresses = vec!["/ip4/1.2.3.4/tcp/1".into(); 17],
                "`peers[0].addresses` must be at most 16",
            ),
            (
                |i| i.peers[0].addresses = vec!["x".repeat(257)],
                "`peers[0].addresses` must be 1 to 256",
            ),
        ];
        for (i, (spoil, says)) in cases.iter().enumerate() {
            let mut spoiled = invite();
            spoil(&mut spoiled);
            let error = Invite::parse(spoiled.to_pretty().as_bytes()).unwrap_err();
            assert!(error.to_string().contains(says), "case {i}: {error}");
        }
    }

    #[test]
    fn it_has_exactly_its_keys() {
        let text = invite().to_json().to_jcs();
        let refusal = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            Invite::parse(text.replacen(from, to, 1).as_bytes())
                .unwrap_err()
                .to_string()
        };
        let hash = format!("\"{}\"", ManifestHash([1; 32]));
        let two = format!("\"proposal\":[{hash},{hash}]");
        assert!(refusal("ssid-invite/1", "ssid-invite/2").contains("`format`"));
        assert!(refusal("\"epoch\":0,\"federation_id\"", "\"federation_id\"").contains("`epoch`"));
        assert!(refusal("\"proposal\":[]", &two).contains("no or one hash, found \"2 hashes\""));
        assert!(refusal("\"proposal\":[]", "\"more\":1,\"proposal\":[]").contains("`more` is not"));
        assert!(refusal("\"peers\":[{", "\"peers\":[{\"role\":\"x\",").contains("`peers[0].role`"));
    }

    #[test]
    fn of_a_member_it_takes_what_an_invite_may_have() {
        let mut member = manifest(2).members.remove(0);
        member.addresses = vec!["x".repeat(257), "/ip4/1.2.3.4/tcp/1".into()];
        member
            .addresses
            .extend(vec!["/ip4/1.2.3.4/tcp/2".into(); 20]);
        let peer = InvitePeer::of(&member);
        assert_eq!(peer.check("peers[0]"), Ok(()));
        assert_eq!(peer.addresses.len(), limits::INVITE_ADDRESSES);
        assert_eq!(peer.addresses[0], "/ip4/1.2.3.4/tcp/1");
    }
}
