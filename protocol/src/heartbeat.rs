//! Heartbeats: what a node says about itself every 15 seconds (SPEC §10). The signed form is the
//! JCS of its JSON.

use serde::{Deserialize, Serialize};

mod more;
mod signing;

pub use more::{More, MoreError};
pub use signing::CanSign;

use crate::id::{Choice, Epoch, LogId, MerkleHash, Sha256Hash, SubjectId, UnixMillis, sha256};
use crate::json::{Json, JsonError, MAX_NUMBER};
use crate::limits;

/// One heartbeat. All counters are at most 2⁵³−1, as everything in the protocol's JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The sender's epoch.
    pub epoch: Epoch,
    /// max(unix ms, last + 1): one not greater than the last seen is ignored.
    pub sequence: u64,
    /// The sender's clock.
    pub sent_at: UnixMillis,
    /// Program and version, for example `ssid/0.1.0`.
    pub software: String,
    /// Lowest protocol version it speaks.
    pub protocol_min: u64,
    /// Highest protocol version it speaks.
    pub protocol_max: u64,
    /// Multiaddresses it listens on.
    pub addresses: Vec<String>,
    /// The blueprint its registry is at; empty if none.
    pub blueprint: String,
    /// Its registry's compliance score; empty if none.
    pub compliance_score: String,
    /// The name of its log's incarnation.
    pub log_id: LogId,
    /// Size of its certified log.
    pub log_size: u64,
    /// Root of its certified log.
    pub log_root: MerkleHash,
    /// How many subjects it holds certificates for.
    pub certified_count: u64,
    /// [`CertifiedDigest`] over them: equal sets give equal digests.
    pub certified_digest: Sha256Hash,
    /// How many instances it has open.
    pub open_count: u64,
    /// Digest over them.
    pub open_digest: Sha256Hash,
    /// Whether the sender signs votes now.
    pub can_sign: CanSign,
    /// Why not, in words; empty if it does.
    pub can_sign_reason: String,
    /// How many decisions its own registry contradicts, found when it could no longer vote.
    pub divergences: u64,
    /// What later versions say besides.
    pub more: More,
}

/// Why a heartbeat is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeartbeatError {
    /// It has not the shape of one.
    #[error("heartbeat: {0}")]
    Shape(#[from] JsonError),
    /// A text that is too long.
    #[error(
        "heartbeat field `{field}` must have at most heartbeat_text_bytes = {max} bytes; it has {found}",
        max = limits::HEARTBEAT_TEXT_BYTES
    )]
    TextTooLong {
        /// Which field, for example `addresses[3]`.
        field: String,
        /// How long it is.
        found: usize,
    },
    /// Too many addresses.
    #[error(
        "heartbeat field `addresses` must have at most heartbeat_addresses = {max} items; it has {0}",
        max = limits::HEARTBEAT_ADDRESSES
    )]
    TooManyAddresses(usize),
    /// What it says besides has not the form of that.
    #[error("heartbeat field `more`: {0}")]
    More(#[from] MoreError),
    /// A number that strict JSON does not have.
    #[error("heartbeat field `{field}` must be at most {MAX_NUMBER}; it is {found}")]
    NumberTooLarge {
        /// The name of the field in the JSON form.
        field: &'static str,
        /// The number that stands there.
        found: u64,
    },
}

impl Heartbeat {
    /// Reads the JSON object of SPEC §10, and checks it.
    ///
    /// # Errors
    /// If it has not exactly the keys of a heartbeat, each with its type, or exceeds a limit.
    pub fn parse_json(json: Json) -> Result<Self, HeartbeatError> {
        let mut fields = json.into_fields("")?;
        let heartbeat = Self {
            epoch: Epoch(fields.number("epoch")?),
            sequence: fields.number("sequence")?,
            sent_at: UnixMillis(fields.number("sent_at")?),
            software: fields.text("software")?,
            protocol_min: fields.number("protocol_min")?,
            protocol_max: fields.number("protocol_max")?,
            addresses: fields.texts("addresses")?,
            blueprint: fields.text("blueprint")?,
            compliance_score: fields.text("compliance_score")?,
            log_id: fields.parsed("log_id")?,
            log_size: fields.number("log_size")?,
            log_root: fields.parsed("log_root")?,
            certified_count: fields.number("certified_count")?,
            certified_digest: fields.parsed("certified_digest")?,
            open_count: fields.number("open_count")?,
            open_digest: fields.parsed("open_digest")?,
            can_sign: fields.parsed("can_sign")?,
            can_sign_reason: fields.text("can_sign_reason")?,
            divergences: fields.number("divergences")?,
            more: More::from_json(&fields.value("more")?)?,
        };
        fields.finish()?;
        heartbeat.check()?;
        Ok(heartbeat)
    }

    /// Checks the limits, which the wire encoding does not know.
    ///
    /// # Errors
    /// If a text, the number of addresses or a counter exceeds its limit.
    pub fn check(&self) -> Result<(), HeartbeatError> {
        if self.addresses.len() > limits::HEARTBEAT_ADDRESSES {
            return Err(HeartbeatError::TooManyAddresses(self.addresses.len()));
        }
        check_text(&self.software, || "software".to_owned())?;
        check_text(&self.blueprint, || "blueprint".to_owned())?;
        check_text(&self.compliance_score, || "compliance_score".to_owned())?;
        check_text(&self.can_sign_reason, || "can_sign_reason".to_owned())?;
        self.more.check()?;
        for (i, address) in self.addresses.iter().enumerate() {
            check_text(address, || format!("addresses[{i}]"))?;
        }
        let numbers = [
            ("epoch", self.epoch.0),
            ("sequence", self.sequence),
            ("sent_at", self.sent_at.0),
            ("protocol_min", self.protocol_min),
            ("protocol_max", self.protocol_max),
            ("log_size", self.log_size),
            ("certified_count", self.certified_count),
            ("open_count", self.open_count),
            ("divergences", self.divergences),
        ];
        match numbers.into_iter().find(|(_, number)| *number > MAX_NUMBER) {
            None => Ok(()),
            Some((field, found)) => Err(HeartbeatError::NumberTooLarge { field, found }),
        }
    }

    /// The JCS text that is the batch's one leaf.
    pub fn leaf_bytes(&self) -> Vec<u8> {
        self.to_json().to_jcs().into_bytes()
    }

    /// The JSON object of SPEC §10.
    pub fn to_json(&self) -> Json {
        let text = |value: &dyn ToString| Json::Text(value.to_string());
        Json::object([
            ("epoch", Json::Number(self.epoch.0)),
            ("sequence", Json::Number(self.sequence)),
            ("sent_at", Json::Number(self.sent_at.0)),
            ("software", text(&self.software)),
            ("protocol_min", Json::Number(self.protocol_min)),
            ("protocol_max", Json::Number(self.protocol_max)),
            ("addresses", Json::texts(&self.addresses)),
            ("blueprint", text(&self.blueprint)),
            ("compliance_score", text(&self.compliance_score)),
            ("log_id", text(&self.log_id)),
            ("log_size", Json::Number(self.log_size)),
            ("log_root", text(&self.log_root)),
            ("certified_count", Json::Number(self.certified_count)),
            ("certified_digest", text(&self.certified_digest)),
            ("open_count", Json::Number(self.open_count)),
            ("open_digest", text(&self.open_digest)),
            ("can_sign", text(&self.can_sign)),
            ("can_sign_reason", text(&self.can_sign_reason)),
            ("divergences", Json::Number(self.divergences)),
            ("more", self.more.to_json()),
        ])
    }
}

fn check_text(text: &str, field: impl Fn() -> String) -> Result<(), HeartbeatError> {
    match text.len() {
        0..=limits::HEARTBEAT_TEXT_BYTES => Ok(()),
        found => Err(HeartbeatError::TextTooLong {
            field: field(),
            found,
        }),
    }
}

/// Digest of a certified set, independent of its order: the sum modulo 2²⁵⁶ of
/// `H(subject_id ‖ choice)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertifiedDigest([u8; 32]);

impl CertifiedDigest {
    /// Adds one certified subject.
    ///
    /// ```
    /// use ssid_protocol::heartbeat::CertifiedDigest;
    /// use ssid_protocol::id::SubjectId;
    /// use ssid_protocol::testing::event;
    ///
    /// let certified = [1, 2].map(|n| (SubjectId([n; 32]), event("release", "v1").choice()));
    /// let (mut forward, mut backward) = (CertifiedDigest::default(), CertifiedDigest::default());
    /// certified.iter().for_each(|(subject, choice)| forward.add(subject, choice));
    /// certified.iter().rev().for_each(|(subject, choice)| backward.add(subject, choice));
    /// assert_eq!(forward, backward);
    /// ```
    pub fn add(&mut self, subject: &SubjectId, choice: &Choice) {
        let term = sha256(&[&subject.0, &choice.to_bytes()]);
        let mut carry = 0_u16;
        for (sum, byte) in self.0.iter_mut().zip(term).rev() {
            carry += u16::from(*sum) + u16::from(byte);
            *sum = carry.to_be_bytes()[1];
            carry >>= 8;
        }
    }

    /// The value, big-endian.
    pub fn value(&self) -> Sha256Hash {
        Sha256Hash(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{event, heartbeat};

    #[test]
    fn a_heartbeat_reads_back_and_its_form_is_exact() {
        let sample = heartbeat(3);
        assert_eq!(Heartbeat::parse_json(sample.to_json()), Ok(sample.clone()));
        let text = sample.to_json().to_jcs();
        let refusal = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            let json = Json::parse(text.replacen(from, to, 1).as_bytes(), 10_000).unwrap();
            Heartbeat::parse_json(json).unwrap_err().to_string()
        };
        assert!(refusal("{", "{\"later\":1,").contains("`later` is not known"));
        assert!(refusal("\"epoch\":3", "\"epoch\":\"3\"").contains("`epoch`: expected a number"));
        assert!(refusal("\"log_size\"", "\"log_sizes\"").contains("`log_size` is missing"));
        assert!(refusal("\"log_id\":\"", "\"log_id\":\"0").contains("`log_id`: expected 64"));
        assert!(refusal("ssid/0.1.0", &"x".repeat(257)).contains("`software`"));
        assert!(refusal("\"can_sign\":\"yes\"", "\"can_sign\":\"maybe\"").contains("`can_sign`"));
        assert!(refusal("\"more\":{}", "\"more\":{\"Upper\":1}").contains("`more`"));
    }

    #[test]
    fn limits_hold_for_what_came_over_the_wire() {
        type Case<'a> = (fn(&mut Heartbeat), &'a [&'a str]);
        let cases: &[Case<'_>] = &[
            (
                |h| h.software = "x".repeat(257),
                &["`software`", "heartbeat_text_bytes = 256", "it has 257"],
            ),
            (
                |h| h.blueprint = "é".repeat(129),
                &["`blueprint`", "it has 258"],
            ),
            (
                |h| h.compliance_score = "x".repeat(1000),
                &["`compliance_score`"],
            ),
            (
                |h| h.addresses = vec![String::new(); 17],
                &["`addresses`", "heartbeat_addresses = 16", "it has 17"],
            ),
            (
                |h| h.addresses = vec![String::new(), "x".repeat(257)],
                &["`addresses[1]`"],
            ),
            (
                |h| h.epoch.0 = 1 << 53,
                &[
                    "`epoch` must be at most 9007199254740991",
                    "it is 9007199254740992",
                ],
            ),
            (|h| h.sequence = u64::MAX, &["`sequence`"]),
            (|h| h.sent_at.0 = u64::MAX, &["`sent_at`"]),
            (|h| h.protocol_min = u64::MAX, &["`protocol_min`"]),
            (|h| h.protocol_max = u64::MAX, &["`protocol_max`"]),
            (|h| h.log_size = u64::MAX, &["`log_size`"]),
            (|h| h.certified_count = u64::MAX, &["`certified_count`"]),
            (|h| h.open_count = u64::MAX, &["`open_count`"]),
            (|h| h.divergences = u64::MAX, &["`divergences`"]),
            (
                |h| h.can_sign_reason = "x".repeat(257),
                &["`can_sign_reason`", "it has 257"],
            ),
            (
                |h| h.more = More::unchecked("{\"a\": 1}"),
                &["`more`", "canonical"],
            ),
            (
                |h| h.more = More::unchecked(&format!("{{\"a\":\"{}\"}}", "x".repeat(1024))),
                &["`more`", "1024"],
            ),
        ];
        for (spoil, parts) in cases {
            let mut spoiled = heartbeat(1);
            spoil(&mut spoiled);
            let message = spoiled.check().unwrap_err().to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
        let mut largest = heartbeat(1);
        largest.addresses = vec!["x".repeat(256); 16];
        largest.open_count = MAX_NUMBER;
        assert_eq!(largest.check(), Ok(()));
    }

    #[test]
    fn the_certified_digest_ignores_order_and_sees_every_member() {
        let items: Vec<_> = (0..5_u8)
            .map(|i| (SubjectId([i; 32]), event("a", &i.to_string()).choice()))
            .collect();
        let digest = |order: &[usize]| {
            let mut digest = CertifiedDigest::default();
            for &i in order {
                digest.add(&items[i].0, &items[i].1);
            }
            digest
        };
        assert_eq!(digest(&[0, 1, 2, 3, 4]), digest(&[4, 2, 0, 1, 3]));
        assert_ne!(digest(&[0, 1, 2, 3, 4]), digest(&[0, 1, 2, 3]));
    }
}
