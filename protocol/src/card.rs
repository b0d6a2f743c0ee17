//! Member cards: what an organisation hands over to be admitted (SPEC §4). The card proves that
//! whoever wrote it has the voting key; that it is the organisation's is for people to check.

use crate::id::Signature;
use crate::identity::{IdentityError, VerifyKey, VotingKey};
use crate::json::{Fields, Json, JsonError};
use crate::limits;
use crate::member::Member;

/// A member as it describes itself, signed with its voting key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberCard {
    /// What the member says of itself: the keys, names and addresses of a manifest's entry.
    pub member: Member,
    /// Over `"ssid/card/1\0" ‖ JCS(card without signature)`.
    pub signature: Signature,
}

impl MemberCard {
    /// The signed card of `member`, whose `node_id` must be the key's: with another, it does not
    /// verify.
    ///
    /// ```
    /// use ssid_protocol::card::MemberCard;
    /// use ssid_protocol::testing::{key, manifest};
    ///
    /// let member = manifest(2).members[0].clone();
    /// let mut card = MemberCard::sign(member, &key(0));
    /// assert!(card.verify().is_ok());
    /// card.member.node_name = "Another".into();
    /// assert!(card.verify().is_err());
    /// ```
    pub fn sign(member: Member, key: &VotingKey) -> Self {
        let signature = key.sign(&signed_message(&member));
        Self { member, signature }
    }

    /// Reads a card of at most [`limits::MESSAGE_BYTES`]. Whether it verifies is asked separately.
    ///
    /// ```
    /// use ssid_protocol::card::MemberCard;
    /// use ssid_protocol::testing::{key, manifest};
    ///
    /// let card = MemberCard::sign(manifest(2).members[0].clone(), &key(0));
    /// assert_eq!(MemberCard::parse(card.to_pretty().as_bytes()), Ok(card));
    /// ```
    ///
    /// # Errors
    /// If it is no strict JSON or has not exactly the keys of a card, each with its type.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        Self::take_all(Json::parse(bytes, limits::MESSAGE_BYTES)?.into_fields("")?)
    }

    /// Takes a card that is part of a larger document.
    pub(crate) fn take_all(mut fields: Fields) -> Result<Self, JsonError> {
        let card = Self {
            member: Member::take_from(&mut fields)?,
            signature: fields.parsed("signature")?,
        };
        fields.finish()?;
        Ok(card)
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// If the node id is no voting key, or the signature is not its over this card.
    pub fn verify(&self) -> Result<(), IdentityError> {
        VerifyKey::parse(self.member.node_id)?
            .verify(&signed_message(&self.member), &self.signature)
    }

    /// The member's eleven keys and `signature`.
    pub fn to_json(&self) -> Json {
        let mut json = self.member.to_json();
        if let Json::Object(keys) = &mut json {
            keys.insert(
                "signature".to_owned(),
                Json::Text(self.signature.to_string()),
            );
        }
        json
    }

    /// The form of files that people read.
    pub fn to_pretty(&self) -> String {
        self.to_json().to_pretty()
    }
}

fn signed_message(member: &Member) -> Vec<u8> {
    [b"ssid/card/1\0", member.to_json().to_jcs().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::PublicKeys;
    use crate::testing::{key, manifest};

    fn card() -> MemberCard {
        MemberCard::sign(manifest(2).members.remove(1), &key(1))
    }

    #[test]
    fn a_card_reads_back_and_verifies() {
        let read = MemberCard::parse(card().to_pretty().as_bytes()).unwrap();
        assert_eq!(read, card());
        assert_eq!(read.verify(), Ok(()));
    }

    #[test]
    fn a_changed_card_does_not_verify() {
        let changes: &[fn(&mut Member)] = &[
            |m| m.peer_id.push('x'),
            |m| m.organization.push('x'),
            |m| m.weight += 1,
            |m| m.addresses.clear(),
            |m| m.keys = PublicKeys::of([("chain", "00")]).unwrap(),
            |m| m.node_id = key(0).node_id(),
        ];
        for change in changes {
            let mut other = card();
            change(&mut other.member);
            assert!(matches!(
                other.verify(),
                Err(IdentityError::BadSignature(_))
            ));
        }
        let foreign = MemberCard::sign(card().member, &key(0));
        assert!(foreign.verify().is_err());
    }

    #[test]
    fn a_card_has_exactly_its_keys() {
        let text = card().to_json().to_jcs();
        let refusal = |from: &str, to: &str| {
            MemberCard::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err()
        };
        assert!(
            refusal("\"signature\":\"", "\"signature\":\"00")
                .to_string()
                .contains("`signature`: expected 128")
        );
        assert!(
            refusal("\"weight\"", "\"wait\"")
                .to_string()
                .contains("`weight` is missing")
        );
        assert!(
            refusal("{", "{\"more\":1,")
                .to_string()
                .contains("`more` is not known")
        );
    }

    #[test]
    fn the_signed_bytes_are_pinned() {
        let text = String::from_utf8(signed_message(&card().member)).unwrap();
        let (domain, jcs) = text.split_once('\0').unwrap();
        assert_eq!(domain, "ssid/card/1");
        assert!(
            jcs.starts_with("{\"addresses\":[\"/ip4/127.0.0.1/tcp/4001\"],\"api_endpoint\":\"\",")
                && !jcs.contains("signature")
        );
    }
}
