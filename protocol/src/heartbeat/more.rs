//! What a heartbeat may say besides its fixed fields, so that later versions can add to it without
//! changing its form.
//!
//! An object of at most [`limits::HEARTBEAT_MORE`] names `[a-z0-9_.-]{1,32}`, each with a text or a
//! number, at most [`limits::HEARTBEAT_MORE_BYTES`] as JCS. It is signed and kept as it came; names
//! that a version does not know mean nothing to it.
//!
//! ```
//! use ssid_protocol::heartbeat::More;
//! use ssid_protocol::json::Json;
//!
//! let more = More::of([("rules", Json::from("order.1"))]).unwrap();
//! assert_eq!(more.as_jcs(), r#"{"rules":"order.1"}"#);
//! assert_eq!(more.get("rules"), Some(Json::from("order.1")));
//! assert_eq!(More::default().get("rules"), None);
//! assert!(More::of([("Rules", Json::from("order.1"))]).is_err());
//! ```

use serde::{Deserialize, Serialize};

use crate::json::Json;
use crate::limits;
use crate::name::{NAME_RULE, is_name};

/// The object as its JCS text, which is how it travels; `{}` if there is nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct More(String);

/// Why it is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoreError {
    /// Too long as JCS.
    #[error("at most heartbeat_more_bytes = {max}; it has {0}", max = limits::HEARTBEAT_MORE_BYTES)]
    Bytes(usize),
    /// Too many names.
    #[error("at most heartbeat_more = {max} names; it has {0}", max = limits::HEARTBEAT_MORE)]
    Names(usize),
    /// A name that is none.
    #[error("a name is {NAME_RULE}; `{0}` is not")]
    Name(String),
    /// Neither text nor number.
    #[error("`{0}` must be a text or a number")]
    Value(String),
    /// Not the canonical text of an object.
    #[error("it must be an object in canonical form")]
    Canonical,
}

impl Default for More {
    fn default() -> Self {
        Self("{}".to_owned())
    }
}

impl More {
    /// The object with these names.
    ///
    /// # Errors
    /// If it breaks one of the limits above.
    pub fn of<const N: usize>(names: [(&str, Json); N]) -> Result<Self, MoreError> {
        Self::from_json(&Json::object(names))
    }

    /// The object that stands in a heartbeat's JSON.
    ///
    /// # Errors
    /// If it is no object, or breaks one of the limits above.
    pub fn from_json(json: &Json) -> Result<Self, MoreError> {
        check_object(json)?;
        let more = Self(json.to_jcs());
        more.check_bytes()?;
        Ok(more)
    }

    /// Checks what came over the wire.
    ///
    /// # Errors
    /// If it is not the canonical text of an object within the limits.
    pub fn check(&self) -> Result<(), MoreError> {
        self.check_bytes()?;
        let json =
            Json::parse(self.0.as_bytes(), self.0.len()).map_err(|_| MoreError::Canonical)?;
        if json.to_jcs() != self.0 {
            return Err(MoreError::Canonical);
        }
        check_object(&json)
    }

    /// The value of a name; `None` if it is not there.
    pub fn get(&self, name: &str) -> Option<Json> {
        match Json::parse(self.0.as_bytes(), self.0.len()) {
            Ok(Json::Object(mut names)) => names.remove(name),
            _ => None,
        }
    }

    /// Returns it as the JSON object that is signed.
    pub fn to_json(&self) -> Json {
        Json::parse(self.0.as_bytes(), self.0.len()).unwrap_or_else(|_| Json::object([]))
    }

    /// The text as it travels.
    pub fn as_jcs(&self) -> &str {
        &self.0
    }

    /// Any text in its place, to spoil one on purpose.
    #[cfg(test)]
    pub(super) fn unchecked(text: &str) -> Self {
        Self(text.to_owned())
    }

    fn check_bytes(&self) -> Result<(), MoreError> {
        match self.0.len() {
            0..=limits::HEARTBEAT_MORE_BYTES => Ok(()),
            found => Err(MoreError::Bytes(found)),
        }
    }
}

fn check_object(json: &Json) -> Result<(), MoreError> {
    let Json::Object(names) = json else {
        return Err(MoreError::Canonical);
    };
    if names.len() > limits::HEARTBEAT_MORE {
        return Err(MoreError::Names(names.len()));
    }
    for (name, value) in names {
        if !is_name(name) {
            return Err(MoreError::Name(name.clone()));
        }
        if !matches!(value, Json::Text(_) | Json::Number(_)) {
            return Err(MoreError::Value(name.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_limits_hold_in_both_forms() {
        let many = |count: usize| {
            Json::Object(
                (0..count)
                    .map(|i| (format!("n{i}"), Json::from(1)))
                    .collect(),
            )
        };
        let cases = [
            (many(17), MoreError::Names(17)),
            (
                Json::Object([("x y".to_owned(), Json::from(1))].into()),
                MoreError::Name("x y".to_owned()),
            ),
            (
                Json::Object([(String::new(), Json::from(1))].into()),
                MoreError::Name(String::new()),
            ),
            (
                Json::Object([("a".to_owned(), Json::Bool(true))].into()),
                MoreError::Value("a".to_owned()),
            ),
            (Json::from("text"), MoreError::Canonical),
        ];
        for (json, error) in cases {
            assert_eq!(More::from_json(&json), Err(error.clone()));
            assert_eq!(More::unchecked(&json.to_jcs()).check(), Err(error));
        }
        assert!(More::from_json(&many(16)).unwrap().check().is_ok());
        assert_eq!(
            More::unchecked("{\"b\":1,\"a\":1}").check(),
            Err(MoreError::Canonical)
        );
        assert_eq!(More::unchecked("").check(), Err(MoreError::Canonical));
    }
}
