//! Hand-overs: the holder of a voting key says which key follows it (SPEC §4). A change of members
//! that replaces a key shows one, unless the former key is lost.

use crate::card::MemberCard;
use crate::id::{FederationId, ManifestHash, NodeId, Signature};
use crate::identity::{IdentityError, VerifyKey, VotingKey};
use crate::json::{Json, JsonError};
use crate::limits;

/// The `format` of every hand-over.
pub const FORMAT: &str = "ssid-handover/1";

/// A voting key handed over to the key of a card, for the manifest after one that is named: a
/// hand-over that was given up is of no use to whoever finds its key later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The federation that both keys are in.
    pub federation_id: FederationId,
    /// The manifest in force when it was signed.
    pub previous: ManifestHash,
    /// The key that is given up, which signs.
    pub former: NodeId,
    /// The card of the key that follows, signed by that.
    pub card: MemberCard,
    /// By the former key.
    pub signature: Signature,
}

/// Why a hand-over proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandoverError {
    /// It belongs to another federation.
    #[error("hand-over field `federation_id` must be {expected}; it is {found}")]
    Federation {
        /// That of whoever verifies it.
        expected: FederationId,
        /// The one that it names.
        found: FederationId,
    },
    /// It was signed under another manifest than the one in force.
    #[error("hand-over field `previous` must be the manifest in force, {expected}; it is {found}")]
    Previous {
        /// The hash of the manifest in force.
        expected: ManifestHash,
        /// The one that it was signed under.
        found: ManifestHash,
    },
    /// The key follows itself.
    #[error("hand-over field `card.node_id` must be another than `former`, {0}")]
    SameKey(NodeId),
    /// The card does not verify.
    #[error("hand-over field `card`: {0}")]
    Card(IdentityError),
    /// The former key did not sign it.
    #[error("hand-over field `signature`: {0}")]
    Signature(IdentityError),
}

impl Handover {
    /// Signs a hand-over with the former key.
    pub fn sign(
        federation_id: FederationId,
        previous: ManifestHash,
        former: &VotingKey,
        card: MemberCard,
    ) -> Self {
        let unsigned = Self {
            federation_id,
            previous,
            former: former.node_id(),
            card,
            signature: Signature([0; 64]),
        };
        let signature = former.sign(&unsigned.signed_message());
        Self {
            signature,
            ..unsigned
        }
    }

    /// Reads a hand-over of at most [`limits::MESSAGE_BYTES`]. Whether it verifies is asked
    /// separately.
    ///
    /// # Errors
    /// If it is no strict JSON, of another format, or has not exactly the keys of a hand-over, each
    /// with its type.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        Self::parse_json(Json::parse(bytes, limits::MESSAGE_BYTES)?)
    }

    /// Reads a hand-over that is part of a larger document.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_json(json: Json) -> Result<Self, JsonError> {
        let mut fields = json.into_fields("")?;
        fields.literal("format", FORMAT)?;
        let handover = Self {
            federation_id: fields.parsed("federation_id")?,
            previous: fields.parsed("previous")?,
            former: fields.parsed("former")?,
            card: MemberCard::take_all(fields.object("card")?)?,
            signature: fields.parsed("signature")?,
        };
        fields.finish()?;
        Ok(handover)
    }

    /// Checks both signatures, and that it is of this federation and was signed under the manifest
    /// in force.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn verify(
        &self,
        federation_id: &FederationId,
        in_force: &ManifestHash,
    ) -> Result<(), HandoverError> {
        if self.federation_id != *federation_id {
            return Err(HandoverError::Federation {
                expected: *federation_id,
                found: self.federation_id,
            });
        }
        if self.previous != *in_force {
            return Err(HandoverError::Previous {
                expected: *in_force,
                found: self.previous,
            });
        }
        if self.card.member.node_id == self.former {
            return Err(HandoverError::SameKey(self.former));
        }
        self.card.verify().map_err(HandoverError::Card)?;
        VerifyKey::parse(self.former)
            .and_then(|key| key.verify(&self.signed_message(), &self.signature))
            .map_err(HandoverError::Signature)
    }

    /// The JSON object of the specification.
    pub fn to_json(&self) -> Json {
        let text = |value: &dyn ToString| Json::Text(value.to_string());
        Json::object([
            ("format", Json::from(FORMAT)),
            ("federation_id", text(&self.federation_id)),
            ("previous", text(&self.previous)),
            ("former", text(&self.former)),
            ("card", self.card.to_json()),
            ("signature", text(&self.signature)),
        ])
    }

    /// The form of files that people read.
    pub fn to_pretty(&self) -> String {
        self.to_json().to_pretty()
    }

    /// `"ssid/handover/1\0" ‖ federation_id ‖ previous ‖ former ‖ JCS(card without signature)`.
    fn signed_message(&self) -> Vec<u8> {
        [
            &b"ssid/handover/1\0"[..],
            &self.federation_id.0,
            &self.previous.0,
            &self.former.0,
            self.card.member.to_json().to_jcs().as_bytes(),
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{handover, key, manifest};

    fn verify(handover: &Handover) -> Result<(), HandoverError> {
        let genesis = manifest(4);
        handover.verify(&genesis.federation_id(), &genesis.hash())
    }

    #[test]
    fn a_hand_over_reads_back_and_verifies() {
        let read = Handover::parse(handover().to_pretty().as_bytes()).unwrap();
        assert_eq!(read, handover());
        assert_eq!(verify(&read), Ok(()));
    }

    #[test]
    fn every_refusal_names_what_is_wrong() {
        type Case = (fn(&mut Handover), fn(&HandoverError) -> bool);
        let cases: &[Case] = &[
            (
                |h| h.federation_id.0[0] ^= 1,
                |e| matches!(e, HandoverError::Federation { .. }),
            ),
            (
                |h| h.previous.0[0] ^= 1,
                |e| matches!(e, HandoverError::Previous { .. }),
            ),
            (
                |h| h.former = h.card.member.node_id,
                |e| matches!(e, HandoverError::SameKey(_)),
            ),
            (
                |h| h.card.member.weight += 1,
                |e| matches!(e, HandoverError::Card(_)),
            ),
            // another card, good in itself
            (
                |h| {
                    h.card.member.weight += 1;
                    h.card = MemberCard::sign(h.card.member.clone(), &key(9));
                },
                |e| matches!(e, HandoverError::Signature(_)),
            ),
            (
                |h| h.former = key(2).node_id(),
                |e| matches!(e, HandoverError::Signature(_)),
            ),
            (
                |h| h.former = NodeId([0; 32]),
                |e| matches!(e, HandoverError::Signature(_)),
            ),
            (
                |h| h.signature.0[0] ^= 1,
                |e| matches!(e, HandoverError::Signature(_)),
            ),
        ];
        for (i, (spoil, is_right)) in cases.iter().enumerate() {
            let mut spoiled = handover();
            spoil(&mut spoiled);
            let error = verify(&spoiled).unwrap_err();
            assert!(is_right(&error), "case {i}: {error}");
        }
        // signed anew under another manifest than the one in force
        let original = handover();
        let other = Handover::sign(
            original.federation_id,
            ManifestHash([1; 32]),
            &key(1),
            original.card,
        );
        assert!(matches!(
            verify(&other),
            Err(HandoverError::Previous { .. })
        ));
    }

    #[test]
    fn it_has_exactly_its_keys() {
        let text = handover().to_json().to_jcs();
        let refusal = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            Handover::parse(text.replacen(from, to, 1).as_bytes())
                .unwrap_err()
                .to_string()
        };
        assert!(refusal("ssid-handover/1", "ssid-handover/2").contains("`format`"));
        assert!(refusal("{\"card\"", "{\"more\":1,\"card\"").contains("`more` is not known"));
        assert!(refusal("\"card\":{", "\"card\":{\"more\":1,").contains("`card.more` is not"));
        assert!(refusal("\"former\"", "\"from\"").contains("`former` is missing"));
    }
}
