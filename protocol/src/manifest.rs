//! The federation manifest: who votes, with what weight, and by which rules, for one epoch (SPEC
//! §4).

mod change;
mod rules;
mod succession;
mod validity;

pub use change::{Change, Succession};
pub use rules::{Rule, Rules};

use std::collections::BTreeMap;

use crate::id::{Epoch, FederationId, ManifestHash, NodeId, sha256};
use crate::identity::VerifyKey;
use crate::json::{Fields, Json, JsonError};
use crate::limits;
use crate::member::{Member, named};
use crate::quorum::VoterSet;
use crate::subject::{EventPolicies, Policy};

/// The `format` of every manifest.
pub const FORMAT: &str = "ssid-federation/1";

named!(
    /// What a vote weighs.
    Weighting {
        /// Every voter weighs 1.
        Equal = "equal",
        /// The member's `weight`.
        Trust = "trust",
    }
);

named!(
    /// How automatic rounds choose (SPEC §7 rule 6).
    TieBreak {
        /// The earliest event.
        TimestampPriority = "timestamp_priority",
        /// A coordinator's choice.
        CoordinatorPriority = "coordinator_priority",
        /// The choice with the most weight.
        TrustWeighted = "trust_weighted",
        /// Not at all: people decide.
        ManualReview = "manual_review",
    }
);

/// The manifest of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What people call the federation.
    pub name: String,
    /// Which epoch it is the manifest of; genesis is that of epoch 0.
    pub epoch: Epoch,
    /// When it was drawn up.
    pub created_at: String,
    /// Share of the weight that decides, in basis points: 6600 is 66 %.
    pub threshold_bp: u32,
    /// How many distinct signers every decision needs.
    pub min_participating_nodes: u32,
    /// What a vote weighs.
    pub vote_weighting: Weighting,
    /// How automatic rounds choose.
    pub tie_breaking_strategy: TieBreak,
    /// Whether there are automatic rounds.
    pub auto_resolve_conflicts: bool,
    /// Whether event types are unique or recurring; fixed by genesis.
    pub event_policies: EventPolicies,
    /// What later versions of the protocol add; one that is not known makes the manifest invalid.
    pub rules: Rules,
    /// The members, voting or not.
    pub members: Vec<Member>,
    /// What changes with it; none in the genesis manifest, and there from epoch 1 on.
    pub change: Option<Change>,
}

/// Why a manifest is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It has not the shape of one.
    #[error("manifest: {0}")]
    Shape(#[from] JsonError),
    /// It has, but breaks a rule.
    #[error("manifest field `{field}` must be {rule}; it is {value}")]
    Invalid {
        /// Which field, for example `members[3].weight`.
        field: String,
        /// What it must be.
        rule: String,
        /// What it is, cut to 80 characters.
        value: String,
    },
}

/// A broken rule, in words.
pub(crate) fn invalid(field: &str, rule: &str, value: &dyn std::fmt::Display) -> ManifestError {
    let value = value.to_string().chars().take(80).collect();
    ManifestError::Invalid {
        field: field.to_owned(),
        rule: rule.to_owned(),
        value,
    }
}

/// The parsed voting key of the member at `index`.
pub(crate) fn voting_key(index: usize, member: &Member) -> Result<VerifyKey, ManifestError> {
    VerifyKey::parse(member.node_id).map_err(|_| {
        let rule = "the canonical encoding of an Ed25519 public key that is not of small order";
        invalid(&format!("members[{index}].node_id"), rule, &member.node_id)
    })
}

impl Manifest {
    /// Reads a manifest of at most [`limits::DOCUMENT_BYTES`]. Whether it is valid is asked
    /// separately.
    ///
    /// ```
    /// use ssid_protocol::manifest::Manifest;
    /// use ssid_protocol::testing::manifest;
    ///
    /// let genesis = manifest(4);
    /// assert_eq!(Manifest::parse(genesis.to_pretty().as_bytes()), Ok(genesis));
    /// ```
    ///
    /// # Errors
    /// If it is no strict JSON or has not exactly the keys of a manifest, each with its type.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        Self::parse_json(Json::parse(bytes, limits::DOCUMENT_BYTES)?)
    }

    /// Reads a manifest that is part of a larger document.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_json(json: Json) -> Result<Self, ManifestError> {
        let mut fields = json.into_fields("")?;
        fields.literal("format", FORMAT)?;
        // before the rest: it says whether the three keys of later epochs have to be there
        let epoch = Epoch(fields.number("epoch")?);
        let change = if epoch == Epoch::ZERO {
            None
        } else {
            Some(Change::take_from(&mut fields)?)
        };
        let manifest = Self {
            name: fields.text("name")?,
            epoch,
            created_at: fields.text("created_at")?,
            threshold_bp: fields.number_u32("threshold_bp")?,
            min_participating_nodes: fields.number_u32("min_participating_nodes")?,
            vote_weighting: fields.parsed("vote_weighting")?,
            tie_breaking_strategy: fields.parsed("tie_breaking_strategy")?,
            auto_resolve_conflicts: fields.bool("auto_resolve_conflicts")?,
            event_policies: policies_from(fields.object("event_policies")?)?,
            rules: Rules::take_from(&mut fields, "rules")?,
            members: fields
                .objects("members")?
                .into_iter()
                .map(member_from)
                .collect::<Result<_, _>>()?,
            change,
        };
        fields.finish()?;
        Ok(manifest)
    }

    /// The JSON object of the specification.
    pub fn to_json(&self) -> Json {
        let mut json = self.common_json();
        if let (Json::Object(members), Some(change)) = (&mut json, &self.change) {
            members.extend(change.to_members());
        }
        json
    }

    /// The keys that a manifest of every epoch has.
    fn common_json(&self) -> Json {
        Json::object([
            ("format", Json::from(FORMAT)),
            ("name", Json::from(self.name.as_str())),
            ("epoch", Json::from(self.epoch.0)),
            ("created_at", Json::from(self.created_at.as_str())),
            ("threshold_bp", Json::from(u64::from(self.threshold_bp))),
            (
                "min_participating_nodes",
                Json::from(u64::from(self.min_participating_nodes)),
            ),
            ("vote_weighting", Json::from(self.vote_weighting.as_str())),
            (
                "tie_breaking_strategy",
                Json::from(self.tie_breaking_strategy.as_str()),
            ),
            (
                "auto_resolve_conflicts",
                Json::from(self.auto_resolve_conflicts),
            ),
            ("event_policies", policies_to_json(&self.event_policies)),
            ("rules", self.rules.to_json()),
            (
                "members",
                Json::Array(self.members.iter().map(Member::to_json).collect()),
            ),
        ])
    }

    /// The canonical form, which is hashed.
    pub fn to_jcs(&self) -> String {
        self.to_json().to_jcs()
    }

    /// The form of files that people read and edit.
    pub fn to_pretty(&self) -> String {
        self.to_json().to_pretty()
    }

    /// `H("ssid/federation/1\0" ‖ JCS(genesis))`; the federation's name if this is its genesis
    /// manifest.
    ///
    /// ```
    /// use ssid_protocol::testing::manifest;
    ///
    /// let (one, mut other) = (manifest(4), manifest(4));
    /// assert_eq!(one.federation_id(), other.federation_id());
    /// other.threshold_bp = 7500;
    /// assert_ne!(one.federation_id(), other.federation_id());
    /// ```
    pub fn federation_id(&self) -> FederationId {
        FederationId(sha256(&[b"ssid/federation/1\0", self.to_jcs().as_bytes()]))
    }

    /// `H("ssid/epoch/1\0" ‖ JCS)`: the `commit_hash` of the `federation_epoch` event that brings
    /// this manifest in.
    pub fn hash(&self) -> ManifestHash {
        ManifestHash(sha256(&[b"ssid/epoch/1\0", self.to_jcs().as_bytes()]))
    }

    /// The voters of the epoch.
    ///
    /// # Errors
    /// As [`VoterSet::of`]; not if the manifest is valid.
    pub fn voters(&self) -> Result<VoterSet, ManifestError> {
        VoterSet::of(self)
    }

    /// The member with this node id.
    pub fn member(&self, id: &NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.node_id == *id)
    }
}

fn member_from(mut fields: Fields) -> Result<Member, JsonError> {
    let member = Member::take_from(&mut fields)?;
    fields.finish()?;
    Ok(member)
}

fn policies_from(mut fields: Fields) -> Result<EventPolicies, JsonError> {
    let mut policies = BTreeMap::new();
    for key in fields.keys() {
        let policy = match fields.text(&key)?.as_str() {
            "unique" => Policy::Unique,
            "recurring" => Policy::Recurring,
            other => return Err(fields.unexpected(&key, "unique|recurring", other)),
        };
        policies.insert(key, policy);
    }
    Ok(EventPolicies(policies))
}

fn policies_to_json(policies: &EventPolicies) -> Json {
    let name = |policy: &Policy| match policy {
        Policy::Unique => Json::from("unique"),
        Policy::Recurring => Json::from("recurring"),
    };
    Json::Object(
        policies
            .0
            .iter()
            .map(|(key, policy)| (key.clone(), name(policy)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::PublicKeys;
    use crate::testing::{manifest, successor};

    fn sample() -> Manifest {
        let mut manifest = manifest(4);
        manifest
            .event_policies
            .0
            .insert("daily_report".into(), Policy::Unique);
        manifest.members[3].organization = "Österreich \"7\"\n".into();
        manifest.members[3].keys = PublicKeys::of([("chain", "02aa"), ("commit", "ff")]).unwrap();
        manifest
    }

    const REPLACED: Succession = Succession {
        member: NodeId([1; 32]),
        former: NodeId([2; 32]),
    };

    fn change_of(manifest: &mut Manifest) -> &mut Change {
        manifest.change.as_mut().unwrap()
    }

    #[test]
    fn the_keys_of_a_change_are_there_from_epoch_1_on_and_not_before() {
        let mut later = successor(&sample());
        change_of(&mut later).succeeds = vec![REPLACED];
        for form in [later.to_pretty(), later.to_jcs()] {
            assert_eq!(Manifest::parse(form.as_bytes()).as_ref(), Ok(&later));
        }
        let says = |manifest: &Manifest, part: &str| {
            let error = Manifest::parse(manifest.to_jcs().as_bytes()).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        };
        let mut early = later.clone();
        early.epoch = Epoch::ZERO;
        says(&early, "key `previous` is not known");
        later.change = None;
        says(&later, "key `previous` is missing");
    }

    #[test]
    fn the_event_of_a_manifest_follows_from_it() {
        let manifest = successor(&sample());
        let event = manifest.epoch_event();
        assert_eq!(event.check_admissible(Epoch::ZERO), Ok(()));
        assert_eq!(event.timestamp, manifest.created_at);
        assert_eq!(event.commit_hash, manifest.hash().to_string());
        let again = Manifest::parse(manifest.to_pretty().as_bytes()).unwrap();
        assert_eq!(again.epoch_event().choice(), event.choice());
    }

    /// Rules of a version to come.
    fn later_rules() -> Rules {
        let text = sample()
            .to_jcs()
            .replace("\"rules\":{}", "\"rules\":{\"scores\":{\"version\":1}}");
        Manifest::parse(text.as_bytes()).unwrap().rules
    }

    #[test]
    fn every_form_reads_back() {
        let mut manifest = sample();
        manifest.rules = later_rules();
        assert_eq!(
            Manifest::parse(manifest.to_pretty().as_bytes()),
            Ok(manifest.clone())
        );
        assert_eq!(Manifest::parse(manifest.to_jcs().as_bytes()), Ok(manifest));
    }

    #[test]
    fn the_shape_is_exact() {
        let refusal = |from: &str, to: &str| {
            let text = sample().to_jcs();
            assert!(text.contains(from), "{from}");
            Manifest::parse(text.replacen(from, to, 1).as_bytes())
                .unwrap_err()
                .to_string()
        };
        let cases = [
            (
                "\"ssid-federation/1\"",
                "\"ssid-federation/2\"",
                "`format`: expected \"ssid-federation/1\"",
            ),
            (
                "\"epoch\":0",
                "\"epoch\":\"0\"",
                "`epoch`: expected a number, found \"0\"",
            ),
            ("\"epoch\":0", "\"epoch\":-1", "integer `-1`"),
            ("\"epoch\":0,", "", "key `epoch` is missing"),
            (
                "\"epoch\":0,",
                "\"epoch\":0,\"epoch\":0,",
                "duplicate key \"epoch\"",
            ),
            (
                "\"epoch\":0,",
                "\"epoch\":0,\"comment\":\"\",",
                "key `comment` is not known",
            ),
            (
                "\"weight\":50",
                "\"weight\":50,\"vote\":1",
                "key `members[0].vote` is not known",
            ),
            (
                "\"keys\":{}",
                "\"keys\":{\"Chain\":\"00\"}",
                "`members[0].keys`: a purpose is 1 to 32",
            ),
            (
                "\"keys\":{}",
                "\"keys\":{\"chain\":\"0\"}",
                "`members[0].keys`: the key for `chain` must be 2 to 256",
            ),
            (
                "\"rules\":{}",
                "\"rules\":{\"scores\":{}}",
                "key `rules.scores.version` is missing",
            ),
            (
                "\"threshold_bp\":6600",
                "\"threshold_bp\":4294973896",
                "`threshold_bp`: expected a number of at most 32",
            ),
            (
                "\"equal\"",
                "\"even\"",
                "`vote_weighting`: expected equal|trust, found \"even\"",
            ),
            (
                "\"timestamp_priority\"",
                "\"dice\"",
                "`tie_breaking_strategy`: expected timestamp_priority|",
            ),
            (
                "\"recurring\"",
                "\"daily\"",
                "`event_policies.compliance_audit`: expected unique|recurring, found \"daily\"",
            ),
            (
                "\"addresses\":[",
                "\"addresses\":[1,",
                "`members[0].addresses[0]`: expected text, found 1",
            ),
        ];
        for (from, to, expected) in cases {
            let message = refusal(from, to);
            assert!(
                message.starts_with("manifest: ") && message.contains(expected),
                "{message}"
            );
        }
    }

    #[test]
    fn hashes_cover_every_field_and_differ_by_domain() {
        let changes: &[fn(&mut Manifest)] = &[
            |m| m.name.push('x'),
            |m| m.created_at.push('x'),
            |m| m.threshold_bp += 1,
            |m| m.min_participating_nodes += 1,
            |m| m.vote_weighting = Weighting::Trust,
            |m| m.tie_breaking_strategy = TieBreak::ManualReview,
            |m| m.auto_resolve_conflicts ^= true,
            |m| m.event_policies.0.clear(),
            |m| m.members[0].api_endpoint.push('x'),
            |m| m.members[0].keys = PublicKeys::of([("unknown", "00")]).unwrap(),
            |m| m.rules = later_rules(),
            |m| *m = successor(m),
            |m| change_of(m).previous.0[0] ^= 1,
            |m| change_of(m).reason.push('x'),
            |m| change_of(m).succeeds = vec![REPLACED],
        ];
        let mut seen =
            std::collections::BTreeSet::from([sample().hash().0, sample().federation_id().0]);
        for (i, change) in changes.iter().enumerate() {
            // the last ones are of what only later manifests have
            let mut other = if i > 11 {
                successor(&sample())
            } else {
                sample()
            };
            change(&mut other);
            assert!(seen.insert(other.hash().0) && seen.insert(other.federation_id().0));
        }
    }
}
