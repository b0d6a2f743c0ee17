//! Taking an object apart: each key exactly once, none left over, every refusal with its path.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use super::{Json, JsonError};

/// The members of an object that have not been taken yet. [`Fields::finish`] refuses what is left.
#[derive(Debug)]
pub struct Fields {
    path: String,
    members: BTreeMap<String, Json>,
}

impl Json {
    /// The members of an object, to be taken one by one. `path` is where it stands, empty for the
    /// document itself.
    ///
    /// ```
    /// use ssid_protocol::json::Json;
    ///
    /// let mut fields = Json::parse(br#"{"name": "ours", "epoch": 0}"#, 100)?.into_fields("")?;
    /// assert_eq!(fields.text("name")?, "ours");
    /// assert_eq!(fields.number("epoch")?, 0);
    /// fields.finish()?; // nothing unknown is left
    /// # Ok::<(), ssid_protocol::json::JsonError>(())
    /// ```
    ///
    /// # Errors
    /// If it is no object.
    pub fn into_fields(self, path: &str) -> Result<Fields, JsonError> {
        match self {
            Self::Object(members) => Ok(Fields {
                path: path.to_owned(),
                members,
            }),
            other => {
                Err(other.unexpected(if path.is_empty() { "document" } else { path }, "an object"))
            }
        }
    }
}

impl Fields {
    /// Takes a string.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn text(&mut self, key: &str) -> Result<String, JsonError> {
        match self.take(key)? {
            Json::Text(text) => Ok(text),
            other => Err(other.unexpected(&self.path_of(key), "text")),
        }
    }

    /// Takes a string that must be `literal`, such as the name of a format.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn literal(&mut self, key: &str, literal: &str) -> Result<(), JsonError> {
        match self.take(key)? {
            Json::Text(text) if text == literal => Ok(()),
            other => Err(other.unexpected(&self.path_of(key), &format!("{literal:?}"))),
        }
    }

    /// Takes a number.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn number(&mut self, key: &str) -> Result<u64, JsonError> {
        match self.take(key)? {
            Json::Number(number) => Ok(number),
            other => Err(other.unexpected(&self.path_of(key), "a number")),
        }
    }

    /// Takes a number that fits 32 bits.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn number_u32(&mut self, key: &str) -> Result<u32, JsonError> {
        let number = self.number(key)?;
        u32::try_from(number).map_err(|_| {
            Json::Number(number).unexpected(&self.path_of(key), "a number of at most 32 bits")
        })
    }

    /// Takes `true` or `false`.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn bool(&mut self, key: &str) -> Result<bool, JsonError> {
        match self.take(key)? {
            Json::Bool(bool) => Ok(bool),
            other => Err(other.unexpected(&self.path_of(key), "true or false")),
        }
    }

    /// Takes an array of anything.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn array(&mut self, key: &str) -> Result<Vec<Json>, JsonError> {
        match self.take(key)? {
            Json::Array(items) => Ok(items),
            other => Err(other.unexpected(&self.path_of(key), "an array")),
        }
    }

    /// Takes an array of objects.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn objects(&mut self, key: &str) -> Result<Vec<Fields>, JsonError> {
        let path = self.path_of(key);
        let items = self.array(key)?.into_iter().enumerate();
        items
            .map(|(i, item)| item.into_fields(&format!("{path}[{i}]")))
            .collect()
    }

    /// Takes an array of strings.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn texts(&mut self, key: &str) -> Result<Vec<String>, JsonError> {
        self.parsed_array(key)
    }

    /// Whether a key is there and not taken yet: for keys that may be missing.
    pub fn has(&self, key: &str) -> bool {
        self.members.contains_key(key)
    }

    /// Takes an object.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn object(&mut self, key: &str) -> Result<Fields, JsonError> {
        let path = self.path_of(key);
        self.take(key)?.into_fields(&path)
    }

    /// Takes a value of any type, to be read by what it is a document of.
    ///
    /// # Errors
    /// If the key is missing.
    pub fn value(&mut self, key: &str) -> Result<Json, JsonError> {
        self.take(key)
    }

    /// Takes a string that spells a `T`, such as a hash in hex.
    ///
    /// # Errors
    /// If the key is missing, holds something else, or `T` refuses the text.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, key: &str) -> Result<T, JsonError> {
        let path = self.path_of(key);
        parse(self.take(key)?, path)
    }

    /// Takes an array of strings that spell a `T` each.
    ///
    /// # Errors
    /// If the key is missing, holds something else, or `T` refuses a text.
    pub fn parsed_array<T: FromStr<Err: Display>>(
        &mut self,
        key: &str,
    ) -> Result<Vec<T>, JsonError> {
        let path = self.path_of(key);
        let items = self.array(key)?.into_iter().enumerate();
        items
            .map(|(i, item)| parse(item, format!("{path}[{i}]")))
            .collect()
    }

    /// The keys not taken yet, sorted: for objects whose keys are data.
    pub fn keys(&self) -> Vec<String> {
        self.members.keys().cloned().collect()
    }

    /// Where `key` of this object stands in the document, for the caller's own refusals.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// A refusal of text taken from `key`.
    pub fn unexpected(&self, key: &str, expected: &str, found: &str) -> JsonError {
        Json::from(found).unexpected(&self.path_of(key), expected)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// If a key was not taken: it is not known.
    pub fn finish(self) -> Result<(), JsonError> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(key) => Err(JsonError::Unknown {
                path: self.path_of(&key.chars().take(80).collect::<String>()),
            }),
        }
    }

    fn take(&mut self, key: &str) -> Result<Json, JsonError> {
        self.members.remove(key).ok_or_else(|| JsonError::Missing {
            path: self.path_of(key),
        })
    }
}

fn parse<T: FromStr<Err: Display>>(json: Json, path: String) -> Result<T, JsonError> {
    match json {
        Json::Text(text) => text.parse().map_err(|e: T::Err| JsonError::Refused {
            path,
            reason: e.to_string(),
        }),
        other => Err(other.unexpected(&path, "text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;

    fn fields(text: &str) -> Fields {
        Json::parse(text.as_bytes(), 1000)
            .unwrap()
            .into_fields("")
            .unwrap()
    }

    #[test]
    fn an_object_is_taken_apart_exactly() {
        let id = NodeId([7; 32]);
        let mut all = fields(&format!(
            r#"{{"t":"x","n":7,"b":true,"a":[1],"o":{{"k":"v"}},"id":"{id}","ids":["{id}"],"f":"one/1","s":["",""]}}"#
        ));
        assert_eq!(all.text("t").unwrap(), "x");
        assert_eq!(
            (all.number("n").unwrap(), all.bool("b").unwrap()),
            (7, true)
        );
        assert_eq!(all.array("a").unwrap(), [Json::Number(1)]);
        assert_eq!(all.parsed::<NodeId>("id").unwrap(), id);
        assert_eq!(all.parsed_array::<NodeId>("ids").unwrap(), [id]);
        assert_eq!(all.texts("s").unwrap(), ["", ""]);
        all.literal("f", "one/1").unwrap();
        let mut inner = all.object("o").unwrap();
        assert_eq!(
            (inner.keys(), inner.text("k").unwrap()),
            (vec!["k".to_owned()], "v".to_owned())
        );
        assert!(inner.finish().is_ok() && all.finish().is_ok());
    }

    #[test]
    fn a_refusal_names_path_expectation_and_finding() {
        let member = |text: &str| fields(text).objects("members").unwrap().remove(1);
        let text = r#"{"members":[{},{"id":"AB","n":4294967296,"x":{"y":[]}}]}"#;
        let says = |error: JsonError, parts: &[&str]| {
            let message = error.to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        };
        says(
            member(text).text("name").unwrap_err(),
            &["`members[1].name` is missing"],
        );
        says(
            member(text).parsed::<NodeId>("id").unwrap_err(),
            &["`members[1].id`", "64 lower-case hex", "\"AB\""],
        );
        says(
            member(text).parsed::<NodeId>("n").unwrap_err(),
            &["`members[1].n`", "expected text", "4294967296"],
        );
        says(
            member(text).number_u32("n").unwrap_err(),
            &["32 bits", "found 4294967296"],
        );
        says(
            member(text).object("x").unwrap().text("y").unwrap_err(),
            &["`members[1].x.y`", "found an array"],
        );
        says(
            member(text).literal("id", "one/1").unwrap_err(),
            &["expected \"one/1\", found \"AB\""],
        );
        says(
            member(text).finish().unwrap_err(),
            &["`members[1].id` is not known"],
        );
        says(
            fields(r#"{"a":[1]}"#).texts("a").unwrap_err(),
            &["`a[0]`: expected text, found 1"],
        );
        says(
            fields(r#"{"a":[1]}"#).objects("a").unwrap_err(),
            &["`a[0]`: expected an object, found 1"],
        );
        says(
            Json::Bool(true).into_fields("").unwrap_err(),
            &["`document`: expected an object, found true"],
        );
    }
}
