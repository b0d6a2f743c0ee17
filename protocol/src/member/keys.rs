//! Further public keys of a member, each for a purpose (SPEC §4). They are hashed and signed with
//! the member; a purpose that this version does not know is kept and never used.

use std::collections::BTreeMap;

use crate::json::{Fields, Json, JsonError};
use crate::limits;
use crate::name::{NAME_RULE, is_name};

/// Public keys by purpose, each as lower-case hex.
///
/// ```
/// use ssid_protocol::member::PublicKeys;
///
/// let keys = PublicKeys::of([("chain", "02a1")]).unwrap();
/// assert_eq!(keys.get("chain"), Some("02a1"));
/// assert!(PublicKeys::of([("chain", "02A1")]).is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicKeys(BTreeMap<String, String>);

/// Why they are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeysError {
    /// Too many of them.
    #[error("at most member_keys = {max} keys; there are {0}", max = limits::MEMBER_KEYS)]
    Count(usize),
    /// A purpose that is no name.
    #[error("a purpose is {NAME_RULE}; {0} is not")]
    Purpose(String),
    /// A key that is none.
    #[error(
        "the key for `{purpose}` must be 2 to {max} lower-case hex digits, an even number; it is {found}",
        max = limits::MEMBER_KEY_DIGITS
    )]
    Key {
        /// What it is for.
        purpose: String,
        /// What stands there, quoted and cut to 80 characters.
        found: String,
    },
}

impl PublicKeys {
    /// The keys for these purposes.
    ///
    /// # Errors
    /// If there are more than [`limits::MEMBER_KEYS`], a purpose is no name, or a key is not hex
    /// within the limits.
    pub fn of<'a>(
        keys: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, PublicKeysError> {
        let mut all = BTreeMap::new();
        for (purpose, key) in keys {
            check(purpose, key)?;
            all.insert(purpose.to_owned(), key.to_owned());
            if all.len() > limits::MEMBER_KEYS {
                return Err(PublicKeysError::Count(all.len()));
            }
        }
        Ok(Self(all))
    }

    /// The key for a purpose, in hex; `None` if there is none.
    pub fn get(&self, purpose: &str) -> Option<&str> {
        self.0.get(purpose).map(String::as_str)
    }

    /// All of them, purpose and key in hex, in order of purpose.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(purpose, key)| (purpose.as_str(), key.as_str()))
    }

    /// The object of the specification.
    pub(super) fn to_json(&self) -> Json {
        let pair = |(purpose, key): (&str, &str)| (purpose.to_owned(), Json::from(key));
        Json::Object(self.iter().map(pair).collect())
    }

    /// Takes the object under `key`.
    pub(super) fn take_from(fields: &mut Fields, key: &str) -> Result<Self, JsonError> {
        let path = fields.path_of(key);
        let mut object = fields.object(key)?;
        let mut all = Vec::new();
        for purpose in object.keys() {
            let key = object.text(&purpose)?;
            all.push((purpose, key));
        }
        let pairs = all
            .iter()
            .map(|(purpose, key)| (purpose.as_str(), key.as_str()));
        Self::of(pairs).map_err(|error| JsonError::Refused {
            path,
            reason: error.to_string(),
        })
    }
}

fn check(purpose: &str, key: &str) -> Result<(), PublicKeysError> {
    if !is_name(purpose) {
        return Err(PublicKeysError::Purpose(crate::json::excerpt(purpose)));
    }
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let fits = (2..=limits::MEMBER_KEY_DIGITS).contains(&key.len())
        && key.len().is_multiple_of(2)
        && key.bytes().all(is_hex);
    if fits {
        return Ok(());
    }
    Err(PublicKeysError::Key {
        purpose: purpose.to_owned(),
        found: crate::json::excerpt(key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_past_a_limit_is_refused_and_what_is_at_it_is_not() {
        let longest = "0f".repeat(128);
        let names: Vec<String> = (0..17).map(|i| format!("p{i}")).collect();
        let many = |count: usize| PublicKeys::of(names[..count].iter().map(|n| (n.as_str(), "00")));
        assert_eq!(many(16).map(|keys| keys.iter().len()), Ok(16));
        assert_eq!(many(17), Err(PublicKeysError::Count(17)));
        assert!(PublicKeys::of([("a", longest.as_str())]).is_ok());
        let longer = format!("{longest}00");
        for key in ["", "0", "abc", "AB", "0g", " 0", "é", longer.as_str()] {
            assert!(
                matches!(
                    PublicKeys::of([("a", key)]),
                    Err(PublicKeysError::Key { .. })
                ),
                "{key}"
            );
        }
        let long = "a".repeat(33);
        for purpose in ["", "A", "a b", "é", long.as_str()] {
            assert!(
                matches!(
                    PublicKeys::of([(purpose, "00")]),
                    Err(PublicKeysError::Purpose(_))
                ),
                "{purpose}"
            );
        }
        assert!(PublicKeys::of([("a-b_c.0", "00"), (&long[..32], "00")]).is_ok());
    }
}
