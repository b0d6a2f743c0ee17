//! Identifiers, hashes and counters, each a type of its own, so that a round cannot be passed where
//! an epoch belongs nor one hash where another is meant. Text form: lower-case hex of exactly the
//! length (SPEC, Notation); wire form: the raw bytes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// Text that should have been the lower-case hex form of an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} lower-case hex digits, found {found}")]
pub struct HexError {
    /// How many digits the identifier has.
    pub expected: usize,
    /// What stood there, cut to 80 characters.
    pub found: String,
}

fn decode_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let refuse = || HexError {
        expected: 2 * N,
        found: format!("{:?}", text.chars().take(80).collect::<String>()),
    };
    if text.len() != 2 * N || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(refuse());
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| refuse())?;
    Ok(bytes)
}

struct BytesVisitor<const N: usize>;

impl<'de, const N: usize> de::Visitor<'de> for BytesVisitor<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<[u8; N], A::Error> {
        let mut bytes = [0; N];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = seq
                .next_element()?
                .ok_or_else(|| de::Error::invalid_length(i, &self))?;
        }
        Ok(bytes)
    }
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({}…)", stringify!($name), hex::encode(&self.0[..4]))
            }
        }

        impl std::str::FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, HexError> {
                decode_hex(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeTuple as _;
                if serializer.is_human_readable() {
                    return serializer.collect_str(self);
                }
                let mut tuple = serializer.serialize_tuple($len)?;
                for byte in &self.0 {
                    tuple.serialize_element(byte)?;
                }
                tuple.end()
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    return decode_hex(&text).map(Self).map_err(de::Error::custom);
                }
                deserializer.deserialize_tuple($len, BytesVisitor).map(Self)
            }
        }
    };
}

byte_id!(
    /// The registry's own hash of an event's five identifying fields (SPEC §2).
    EventHash, 32
);
byte_id!(
    /// Hash over all eight fields of an event (SPEC §2).
    ContentDigest, 32
);
byte_id!(
    /// What is voted on: one event type, version and occurrence in one federation (SPEC §3).
    SubjectId, 32
);
byte_id!(
    /// Hash of the genesis manifest; part of everything signed (SPEC §4).
    FederationId, 32
);
byte_id!(
    /// A node's Ed25519 public voting key (SPEC §1).
    NodeId, 32
);
byte_id!(
    /// Hash of an epoch's manifest, the `commit_hash` of a `federation_epoch` event (SPEC §4).
    ManifestHash, 32
);
byte_id!(
    /// Root of an RFC 6962 Merkle tree, or a node in it (SPEC §5, §11).
    MerkleHash, 32
);
byte_id!(
    /// Digest of a set tree, or of a part of one (SPEC §4).
    SetHash, 32
);
byte_id!(
    /// Random name of one incarnation of a node's certified log (SPEC §10).
    LogId, 32
);
byte_id!(
    /// Hash of a piece of evidence, its name (SPEC §7, *Evidence*).
    EvidenceId, 32
);
byte_id!(
    /// A plain SHA-256 value without a type of its own (digests in heartbeats).
    Sha256Hash, 32
);
byte_id!(
    /// An Ed25519 signature, `R ‖ S` (SPEC §5).
    Signature, 64
);

impl Sha256Hash {
    /// SHA-256 over the concatenation of `parts`.
    ///
    /// ```
    /// use ssid_protocol::id::Sha256Hash;
    ///
    /// assert_eq!(Sha256Hash::of(&[b"ab", b"c"]), Sha256Hash::of(&[b"abc"]));
    /// assert!(Sha256Hash::of(&[b"abc"]).to_string().starts_with("ba7816bf"));
    /// ```
    pub fn of(parts: &[&[u8]]) -> Self {
        Self(sha256(parts))
    }
}

/// SHA-256 over the concatenation of `parts`.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// `lp(s)` of the specification: u32 big-endian byte length, then the bytes. Fields are bounded far
/// below 4 GiB.
pub(crate) fn length_prefix(text: &str) -> [u8; 4] {
    u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// An event version of record: which event hash and which full content (SPEC §2, *choice*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Choice {
    /// Hash of the five identifying fields.
    pub event_hash: EventHash,
    /// Hash of all eight fields.
    pub content_digest: ContentDigest,
}

impl Choice {
    /// `event_hash ‖ content_digest`, the form that is signed.
    pub fn to_bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&self.event_hash.0);
        bytes[32..].copy_from_slice(&self.content_digest.0);
        bytes
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $int);

        impl $name {
            /// The first one, which is 0.
            pub const ZERO: Self = Self(0);

            /// The next one; stays at the maximum rather than wrapping.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(
    /// A period with one manifest and one set of voters (SPEC §4).
    Epoch, u64
);
counter!(
    /// A voting round within an instance (SPEC §7).
    Round, u32
);

/// Milliseconds since 1970-01-01T00:00:00Z, from whichever clock the caller keeps.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This instant moved later; stays at the maximum rather than wrapping.
    #[must_use]
    pub fn after(self, duration: std::time::Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// How long ago `earlier` was; zero if it was not earlier.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use ssid_protocol::id::UnixMillis;
    ///
    /// assert_eq!(UnixMillis(5000).since(UnixMillis(2000)), Duration::from_secs(3));
    /// assert_eq!(UnixMillis(2000).since(UnixMillis(5000)), Duration::ZERO);
    /// ```
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// ISO 8601 in UTC, `YYYY-MM-DDThh:mm:ss[.fff]Z`; the end of time if it lies beyond what a
    /// calendar holds.
    ///
    /// ```
    /// use ssid_protocol::id::UnixMillis;
    ///
    /// assert_eq!(UnixMillis(1_760_212_800_120).iso(), "2025-10-11T20:00:00.12Z");
    /// ```
    pub fn iso(self) -> String {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(millis)
            .unwrap_or(jiff::Timestamp::MAX)
            .to_string()
    }
}

/// Times as [`UnixMillis::iso`] writes them, for `#[serde(with)]`.
pub mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::UnixMillis;

    /// Writes a time as text.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(at: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&at.iso())
    }

    /// Reads it back.
    ///
    /// # Errors
    /// If the text is no time, or one before 1970.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMillis, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at: jiff::Timestamp = text.parse().map_err(de::Error::custom)?;
        u64::try_from(at.as_millisecond())
            .map(UnixMillis)
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_iso_8601_in_utc() {
        assert_eq!(UnixMillis(0).iso(), "1970-01-01T00:00:00Z");
        assert_eq!(
            UnixMillis(1_760_212_800_120).iso(),
            "2025-10-11T20:00:00.12Z"
        );
        assert!(UnixMillis(u64::MAX).iso().starts_with("9999-"));
    }

    #[test]
    fn hex_is_exact_and_lower_case() {
        let id = EventHash([0xab; 32]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().to_uppercase().parse::<EventHash>().is_err());
        assert!("ab".parse::<EventHash>().is_err());
        assert!("é".repeat(32).parse::<EventHash>().is_err());
    }

    #[test]
    fn text_in_json_and_raw_bytes_on_the_wire() {
        let id = NodeId([7; 32]);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<NodeId>(&json).unwrap(), id);
        assert_eq!(crate::wire::encode(&id), [7; 32]);
    }
}
