//! From bytes to [`Json`], over serde_json's parser: it checks the grammar, UTF-8, surrogates and a
//! depth of 128, this module everything in which the strict form asks for more.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, Error as _, MapAccess, SeqAccess, Unexpected, Visitor};

use super::{Json, MAX_NUMBER, MAX_VALUES, excerpt};

/// Reads one document with nothing but white space around it.
pub(super) fn read(bytes: &[u8]) -> Result<Json, serde_json::Error> {
    let left = Cell::new(MAX_VALUES);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Reader { left: &left }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Builds values, refusing what the strict form does not have. What is not overridden here
/// (null, negative numbers, fractions, exponents) the trait's defaults refuse.
#[derive(Clone, Copy)]
struct Reader<'a> {
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Json;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| {
            D::Error::custom(format!("more than max_values = {MAX_VALUES} values"))
        })?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, an integer from 0 to 2^53-1, true, false, an array or an object")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Json, E> {
        if number > MAX_NUMBER {
            return Err(E::invalid_value(Unexpected::Unsigned(number), &self));
        }
        Ok(Json::Number(number))
    }

    fn visit_bool<E: de::Error>(self, bool: bool) -> Result<Json, E> {
        Ok(Json::Bool(bool))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(key) = access.next_key::<String>()? {
            if !key.is_ascii() {
                return Err(A::Error::custom(format!(
                    "key {} is not ASCII",
                    excerpt(&key)
                )));
            }
            if members.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate key {}", excerpt(&key))));
            }
            members.insert(key, access.next_value_seed(self)?);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::super::JsonError;
    use super::*;

    fn refusal(text: &str) -> String {
        Json::parse(text.as_bytes(), 1 << 20)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn only_the_strict_form_is_read() {
        let numbers = [
            "1.0",
            "1e3",
            "1E0",
            "-0",
            "-1",
            "+1",
            "01",
            "0x1",
            "9007199254740992",
            "18446744073709551616",
        ];
        let shapes = [
            "null",
            "[null]",
            "{\"a\":null}",
            "",
            " ",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "'a'",
            "NaN",
            "[1] [2]",
        ];
        let text = [
            "\"\\ud800\"",
            "\"\n\"",
            "\"\\x41\"",
            "\"a",
            "\u{feff}1",
            "1//",
            "{\"é\":1}",
            "{\"\\u00e9\":1}",
        ];
        for refused in numbers.iter().chain(&shapes).chain(&text) {
            assert!(
                refusal(refused).starts_with("not a strict JSON document"),
                "{refused}"
            );
        }
        assert!(Json::parse(b"\"\xff\"", 9).is_err());
        assert_eq!(
            Json::parse(b" 9007199254740991\n", 99),
            Ok(Json::Number(MAX_NUMBER))
        );
    }

    #[test]
    fn a_refusal_says_what_and_where() {
        assert!(refusal("{\"a\":1,\n\"\\u0061\":2}").contains("duplicate key \"a\" at line 2"));
        assert!(refusal("{\"é\":1}").contains("key \"é\" is not ASCII"));
        assert!(refusal("[1.0]").contains("`1.0`, expected text, an integer from 0 to 2^53-1"));
        assert!(refusal("[null]").contains("null, expected"));
    }

    #[test]
    fn size_depth_and_number_of_values_are_bounded() {
        assert_eq!(
            Json::parse(b"[1]", 2),
            Err(JsonError::TooLong { size: 3, limit: 2 })
        );
        assert!(refusal(&"[".repeat(100_000)).contains("recursion limit"));
        let most = format!("[{}0]", "0,".repeat(MAX_VALUES - 2));
        assert!(Json::parse(most.as_bytes(), 1 << 20).is_ok());
        assert!(refusal(&most.replace(']', ",0]")).contains("max_values"));
    }
}
