//! Registry events: their eight fields, two hashes and the rules of admissibility (SPEC §2).

use serde::{Deserialize, Serialize};

use crate::id::{Choice, ContentDigest, Epoch, EventHash, length_prefix, sha256};
use crate::limits;

/// The event type by which a federation changes its manifest (SPEC §4).
pub const FEDERATION_EPOCH: &str = "federation_epoch";
/// How the types begin that only the protocol and rules of manifests define.
const RESERVED: &str = "federation_";
/// What the event of a manifest says it was emitted by.
pub(crate) const EPOCH_EMITTER: &str = "ssid";

/// One registry event, as nodes announce and certify it. Every field is text, as in the registry's
/// files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When it happened: `YYYY-MM-DDThh:mm:ss[.1–9 digits]Z`.
    pub timestamp: String,
    /// The event type, for example `blueprint_tagged`.
    pub event: String,
    /// What it is about, for example `v4.4.0`.
    pub version: String,
    /// The Git commit it was recorded at, 7–64 lower-case hex digits.
    pub commit_hash: String,
    /// The blueprint in force, for example `v4.4`.
    pub blueprint: String,
    /// State of the registry's root lock, free text of at most 256 bytes.
    pub root_24_lock: String,
    /// The compliance score, free text of at most 256 bytes.
    pub compliance_score: String,
    /// Which tool wrote it, free text of at most 256 bytes.
    pub emitted_by: String,
}

/// Why an event may not be voted for (SPEC §2): which field broke which rule with which value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event field `{field}` must be {rule}; it is {value}")]
pub struct Inadmissible {
    /// Name of the field.
    pub field: &'static str,
    /// What the field must be.
    pub rule: String,
    /// What it is, quoted and cut to 80 characters.
    pub value: String,
}

/// A point in time with the precision that event timestamps have, ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
}

impl Instant {
    /// How far apart two instants are, in whole seconds, rounded towards zero.
    ///
    /// ```
    /// use ssid_protocol::event::Instant;
    ///
    /// let at = |seconds| Instant { seconds, nanoseconds: 0 };
    /// assert_eq!(at(60).distance_seconds(at(90)), 30);
    /// assert_eq!(at(90).distance_seconds(at(60)), 30);
    /// ```
    pub fn distance_seconds(self, other: Self) -> u64 {
        let nanos = |t: Self| i128::from(t.seconds) * 1_000_000_000 + i128::from(t.nanoseconds);
        u64::try_from((nanos(self) - nanos(other)).unsigned_abs() / 1_000_000_000)
            .unwrap_or(u64::MAX)
    }

    /// Milliseconds since 1970, negative before; the fraction is cut off.
    pub fn unix_millis(self) -> i64 {
        self.seconds
            .saturating_mul(1000)
            .saturating_add(i64::from(self.nanoseconds / 1_000_000))
    }
}

impl Event {
    /// `H(timestamp "|" event "|" version "|" commit_hash "|" blueprint)`: the registry's canonical
    /// hash.
    ///
    /// ```
    /// use ssid_protocol::testing::event;
    ///
    /// let hash = event("blueprint_tagged", "v4.4.0").event_hash();
    /// assert!(hash.to_string().starts_with("17973e79"));
    /// ```
    pub fn event_hash(&self) -> EventHash {
        let fields = [
            &self.timestamp,
            &self.event,
            &self.version,
            &self.commit_hash,
            &self.blueprint,
        ];
        EventHash(sha256(&[&fields.map(String::as_bytes).join(&b'|')]))
    }

    /// `H("ssid/event/1\0" ‖ lp(field) for all eight)`.
    ///
    /// ```
    /// use ssid_protocol::testing::event;
    ///
    /// let (one, mut other) = (event("audit", "2026-Q1"), event("audit", "2026-Q1"));
    /// other.emitted_by = "somebody else".into();
    /// assert_eq!(one.event_hash(), other.event_hash());
    /// assert_ne!(one.content_digest(), other.content_digest());
    /// ```
    pub fn content_digest(&self) -> ContentDigest {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(b"ssid/event/1\0");
        for field in self.fields() {
            bytes.extend_from_slice(&length_prefix(field));
            bytes.extend_from_slice(field.as_bytes());
        }
        ContentDigest(sha256(&[&bytes]))
    }

    /// Both hashes: what a vote names.
    pub fn choice(&self) -> Choice {
        Choice {
            event_hash: self.event_hash(),
            content_digest: self.content_digest(),
        }
    }

    /// The eight fields in their fixed order.
    pub fn fields(&self) -> [&str; 8] {
        [
            &self.timestamp,
            &self.event,
            &self.version,
            &self.commit_hash,
            &self.blueprint,
            &self.root_24_lock,
            &self.compliance_score,
            &self.emitted_by,
        ]
    }

    /// Bytes of all eight fields together; at most [`limits::EVENT_BYTES`] for an admissible event.
    pub fn size(&self) -> usize {
        self.fields().iter().map(|f| f.len()).sum()
    }

    /// Whether this event may be voted for in `epoch`; a function of the bytes and the epoch only.
    /// Of the types that begin with `federation_`, this version knows `federation_epoch` and no
    /// rule of a manifest that would define another.
    ///
    /// ```
    /// use ssid_protocol::id::Epoch;
    /// use ssid_protocol::testing::event;
    ///
    /// let mut event = event("blueprint_tagged", "v4.4.0");
    /// assert!(event.check_admissible(Epoch::ZERO).is_ok());
    /// event.version = "v4|4".into();
    /// assert_eq!(event.check_admissible(Epoch::ZERO).unwrap_err().field, "version");
    /// ```
    ///
    /// # Errors
    /// The first field, in order, that breaks a rule.
    pub fn check_admissible(&self, epoch: Epoch) -> Result<(), Inadmissible> {
        self.check_in_any_epoch()?;
        let rule = "no type that begins with `federation_`, unless it is `federation_epoch` \
                    or a rule of the manifest defines it";
        require("event", &self.event, rule, |s| {
            s == FEDERATION_EPOCH || !s.starts_with(RESERVED)
        })?;
        if self.event == FEDERATION_EPOCH {
            let next = epoch.next().to_string();
            require(
                "version",
                &self.version,
                &format!("{next} (the epoch after {epoch})"),
                |s| s == next,
            )?;
        }
        Ok(())
    }

    /// Whether there is an epoch in which this event may be voted for; a function of the bytes
    /// alone. Whoever announces one for which there is none is no honest node, whatever the epoch
    /// of whoever looks at it. A type that begins with `federation_` may be one that a rule to come
    /// defines: it is admissible nowhere here, and nobody's fault.
    ///
    /// # Errors
    /// The first field, in order, that breaks a rule.
    pub fn check_in_any_epoch(&self) -> Result<(), Inadmissible> {
        // in the order of the fields: two nodes that refuse it name the same field
        require(
            "timestamp",
            &self.timestamp,
            "a date-time YYYY-MM-DDThh:mm:ss[.1-9 digits]Z",
            is_timestamp,
        )?;
        require(
            "event",
            &self.event,
            "1 to 64 characters [a-z0-9_.-], the first a letter or digit",
            is_event_type,
        )?;
        require(
            "version",
            &self.version,
            "1 to 64 printable ASCII characters without '|'",
            |s| (1..=64).contains(&s.len()) && is_hashed_text(s),
        )?;
        require(
            "commit_hash",
            &self.commit_hash,
            "7 to 64 lower-case hex digits",
            |s| {
                (7..=64).contains(&s.len())
                    && s.bytes()
                        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            },
        )?;
        require(
            "blueprint",
            &self.blueprint,
            "v and numbers separated by dots, at most 64 characters",
            is_blueprint,
        )?;
        // shown and logged as they are, so nothing in them may move a terminal's cursor
        let free = "UTF-8 text of at most 256 bytes without control characters";
        let is_free =
            |s: &str| s.len() <= limits::FREE_FIELD_BYTES && !s.chars().any(char::is_control);
        require("root_24_lock", &self.root_24_lock, free, is_free)?;
        require("compliance_score", &self.compliance_score, free, is_free)?;
        require("emitted_by", &self.emitted_by, free, is_free)?;
        if self.event == FEDERATION_EPOCH {
            self.check_names_manifest()?;
        }
        Ok(())
    }

    /// Whether an event of an epoch follows from some manifest. Every field does: so a manifest has
    /// one choice, whoever announces it.
    fn check_names_manifest(&self) -> Result<(), Inadmissible> {
        let rule = "an epoch's number after 0, in decimal without leading zeros";
        require("version", &self.version, rule, |s| {
            s.parse::<u64>()
                .is_ok_and(|number| number > 0 && number.to_string() == s)
        })?;
        require(
            "commit_hash",
            &self.commit_hash,
            "all 64 digits of a manifest's hash",
            |s| s.len() == 64,
        )?;
        let blueprint = format!("v{}", self.version);
        let rule = format!("{blueprint}, `v` and the version");
        require("blueprint", &self.blueprint, &rule, |s| s == blueprint)?;
        require("root_24_lock", &self.root_24_lock, "empty", str::is_empty)?;
        let score = &self.compliance_score;
        require("compliance_score", score, "empty", str::is_empty)?;
        let rule = format!("{EPOCH_EMITTER:?}");
        require("emitted_by", &self.emitted_by, &rule, |s| {
            s == EPOCH_EMITTER
        })?;
        Ok(())
    }

    /// When the event says it happened; `None` if the timestamp is inadmissible.
    pub fn instant(&self) -> Option<Instant> {
        parse_timestamp(&self.timestamp)
    }

    /// Whether both record the same fact (SPEC §2, *agree*): type, version and blueprint equal, one
    /// commit hash a prefix of the other.
    ///
    /// ```
    /// use ssid_protocol::testing::event;
    ///
    /// let (short, mut long) = (event("audit", "2026-Q1"), event("audit", "2026-Q1"));
    /// long.commit_hash = "3dd05d9aa".into();
    /// assert!(short.agrees_with(&long));
    /// long.commit_hash = "4dd05d9".into();
    /// assert!(!short.agrees_with(&long));
    /// ```
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.event == other.event
            && self.version == other.version
            && self.blueprint == other.blueprint
            && (self.commit_hash.starts_with(&other.commit_hash)
                || other.commit_hash.starts_with(&self.commit_hash))
    }

    /// Whether the two differ at most in `emitted_by` and, by less than 24 hours, in `timestamp`
    /// (SPEC §7 rule 1).
    pub fn is_same_record_as(&self, other: &Self) -> bool {
        let near = match (self.instant(), other.instant()) {
            (Some(a), Some(b)) => a.distance_seconds(b) < 24 * 60 * 60,
            _ => false,
        };
        near && self.event == other.event
            && self.version == other.version
            && self.commit_hash == other.commit_hash
            && self.blueprint == other.blueprint
            && self.root_24_lock == other.root_24_lock
            && self.compliance_score == other.compliance_score
    }
}

/// Whether `text` can be an event's timestamp.
pub fn is_timestamp(text: &str) -> bool {
    parse_timestamp(text).is_some()
}

/// Whether `text` can be an event type: `[a-z0-9][a-z0-9_.-]{0,63}`.
///
/// ```
/// use ssid_protocol::event::is_event_type;
///
/// assert!(is_event_type("blueprint_v4.4_ready"));
/// assert!(!is_event_type("Blueprint tagged"));
/// ```
pub fn is_event_type(text: &str) -> bool {
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut bytes = text.bytes();
    text.len() <= 64
        && bytes.next().is_some_and(lower)
        && bytes.all(|b| lower(b) || matches!(b, b'_' | b'.' | b'-'))
}

fn require(
    field: &'static str,
    value: &str,
    rule: &str,
    holds: impl Fn(&str) -> bool,
) -> Result<(), Inadmissible> {
    if holds(value) {
        return Ok(());
    }
    let shown: String = value.chars().take(80).collect();
    Err(Inadmissible {
        field,
        rule: rule.to_owned(),
        value: format!("{shown:?}"),
    })
}

fn is_hashed_text(text: &str) -> bool {
    text.bytes()
        .all(|b| (0x20..=0x7e).contains(&b) && b != b'|')
}

fn is_blueprint(text: &str) -> bool {
    text.len() <= 64
        && text.strip_prefix('v').is_some_and(|numbers| {
            numbers
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
        })
}

/// The shape is checked by hand (jiff accepts many more), the calendar by jiff.
fn parse_timestamp(text: &str) -> Option<Instant> {
    const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let body = text.strip_suffix('Z')?;
    let (whole, fraction) = body.as_bytes().split_at_checked(SHAPE.len())?;
    let fits = |(b, s): (&u8, &u8)| {
        if *s == b'd' {
            b.is_ascii_digit()
        } else {
            b == s
        }
    };
    if !whole.iter().zip(SHAPE).all(fits) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        whole[range]
            .iter()
            .fold(0_i16, |n, b| n * 10 + i16::from(b - b'0'))
    };
    let two = |start: usize| i8::try_from(number(start..start + 2)).ok();
    let year = number(0..4);
    let nanoseconds = match fraction {
        [] => 0,
        [b'.', digits @ ..]
            if (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) =>
        {
            let value = digits
                .iter()
                .fold(0_u32, |n, b| n * 10 + u32::from(b - b'0'));
            value * 10_u32.pow(9 - digits.len() as u32)
        }
        _ => return None,
    };
    // the calendar knows a year 0; SPEC §2 begins with 1
    if year < 1 {
        return None;
    }
    let civil =
        jiff::civil::DateTime::new(year, two(5)?, two(8)?, two(11)?, two(14)?, two(17)?, 0).ok()?;
    // not jiff's Timestamp: it ends a day before the year 9999 does
    let epoch = jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    Some(Instant {
        seconds: civil.duration_since(epoch).as_secs(),
        nanoseconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{epoch_event, event};

    #[test]
    fn the_blueprints_own_hash() {
        let hash = event("blueprint_tagged", "v4.4.0").event_hash().to_string();
        assert_eq!(
            hash,
            "17973e79531f3dda3e1384b7e51e62d82401adc6bfbd90b2092ae9993546649f"
        );
    }

    #[test]
    fn timestamps_are_real_instants() {
        let ok = [
            "2025-10-11T20:00:00Z",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999999Z",
            "2024-02-29T00:00:00.1Z",
        ];
        for text in ok {
            assert!(parse_timestamp(text).is_some(), "{text}");
        }
        let bad = [
            "",
            "Z",
            "2025-10-11T20:00:00",
            "2025-10-11T20:00:00+00:00",
            "2025-10-11t20:00:00Z",
            "2025-10-11 20:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "2025-10-11T24:00:00Z",
            "2025-10-11T20:00:60Z",
            "2025-10-11T20:00:00.Z",
            "2025-10-11T20:00:00.1234567890Z",
            "+025-10-11T20:00:00Z",
            "2025-10-11T20:00:00.1aZ",
            "٢٠25-10-11T20:00:00Z",
        ];
        for text in bad {
            assert!(parse_timestamp(text).is_none(), "{text}");
        }
        let half = parse_timestamp("1970-01-01T00:00:01.5Z").unwrap();
        assert_eq!((half.seconds, half.nanoseconds), (1, 500_000_000));
    }

    #[test]
    fn every_refusal_names_field_rule_and_value() {
        type Spoil = fn(&mut Event);
        let cases: &[(&str, Spoil)] = &[
            ("timestamp", |e| e.timestamp = "yesterday".into()),
            ("event", |e| e.event = "Blueprint".into()),
            ("event", |e| e.event = "a".repeat(65)),
            ("event", |e| e.event = ".a".into()),
            ("version", |e| e.version = "a|b".into()),
            ("version", |e| e.version = String::new()),
            ("version", |e| e.version = "é".into()),
            ("commit_hash", |e| e.commit_hash = "abc".into()),
            ("commit_hash", |e| e.commit_hash = "ABCDEF0".into()),
            ("commit_hash", |e| e.commit_hash = "a".repeat(65)),
            ("blueprint", |e| e.blueprint = "4.4".into()),
            ("blueprint", |e| e.blueprint = "v4.".into()),
            ("root_24_lock", |e| e.root_24_lock = "a\u{7}".into()),
            ("compliance_score", |e| e.compliance_score = "é".repeat(129)),
            ("emitted_by", |e| e.emitted_by = "\u{85}".into()),
        ];
        for (field, spoil) in cases {
            let mut spoiled = event("blueprint_tagged", "v4.4.0");
            spoil(&mut spoiled);
            let refusal = spoiled.check_admissible(Epoch(0)).unwrap_err();
            assert_eq!(refusal.field, *field);
            assert!(
                refusal.to_string().contains(field) && refusal.to_string().contains(&refusal.rule)
            );
        }
    }

    #[test]
    fn an_epoch_event_belongs_to_the_next_epoch() {
        let mut change = epoch_event("4");
        assert!(change.check_admissible(Epoch(3)).is_ok());
        assert_eq!(
            change.check_admissible(Epoch(4)).unwrap_err().field,
            "version"
        );
        assert_eq!(
            change.check_in_any_epoch(),
            Ok(()),
            "of another epoch, but not of none"
        );
        for never in ["04", "0", "+4", "four", "18446744073709551616"] {
            change.version = never.into();
            assert!(change.check_admissible(Epoch(3)).is_err());
            assert_eq!(
                change.check_in_any_epoch().unwrap_err().field,
                "version",
                "{never}"
            );
        }
    }

    #[test]
    fn all_of_an_epoch_event_but_its_time_and_hash_follows_from_the_epoch() {
        type Spoil = fn(&mut Event);
        let cases: &[(&str, Spoil)] = &[
            ("commit_hash", |e| e.commit_hash.truncate(63)),
            ("blueprint", |e| e.blueprint = "v4.0".into()),
            ("blueprint", |e| e.blueprint = "v5".into()),
            ("root_24_lock", |e| e.root_24_lock = "active".into()),
            ("compliance_score", |e| e.compliance_score = " ".into()),
            ("emitted_by", |e| e.emitted_by.clear()),
            ("emitted_by", |e| e.emitted_by = "SSID".into()),
        ];
        for (field, spoil) in cases {
            let mut change = epoch_event("4");
            spoil(&mut change);
            assert_eq!(change.check_in_any_epoch().unwrap_err().field, *field);
        }
    }

    #[test]
    fn types_of_the_federation_are_admissible_only_where_a_rule_defines_them() {
        for reserved in ["federation_score", "federation_", "federation_epochs"] {
            let refusal = event(reserved, "1").check_admissible(Epoch(0)).unwrap_err();
            assert_eq!(refusal.field, "event", "{refusal}");
            assert_eq!(
                event(reserved, "1").check_in_any_epoch(),
                Ok(()),
                "a later version may know it"
            );
        }
        for free in [
            "federation",
            "federation-score",
            "federationx_",
            "a_federation_b",
        ] {
            assert_eq!(
                event(free, "1").check_admissible(Epoch(0)),
                Ok(()),
                "{free}"
            );
        }
    }

    #[test]
    fn agreement_and_sameness() {
        let base = event("blueprint_tagged", "v4.4.0");
        let mut longer = base.clone();
        longer.commit_hash.push_str("00ff");
        longer.timestamp = "2025-10-14T20:00:00Z".into();
        assert!(base.agrees_with(&longer) && longer.agrees_with(&base));
        assert!(!base.is_same_record_as(&longer));
        let mut later = base.clone();
        later.timestamp = "2025-10-12T19:59:59.999Z".into();
        later.emitted_by = "other".into();
        assert!(base.is_same_record_as(&later));
        later.timestamp = "2025-10-12T20:00:00Z".into();
        assert!(!base.is_same_record_as(&later));
    }
}
