//! Counts the values of a JSON text without keeping any of them: what would fill the memory is
//! refused before it does.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The words of the error past the limit, by which it is known from others.
const TOO_MANY: &str = "more values than are taken";

/// Whether the JSON values in `text`, one after another, are more than `most` with all that is in
/// them. Text that is no JSON has as many as stand before its fault.
pub(super) fn has_more_than(most: usize, text: &[u8]) -> bool {
    let left = Cell::new(most);
    let mut values = serde_json::Deserializer::from_slice(text);
    loop {
        if values.end().is_ok() {
            return false;
        }
        if let Err(error) = values.deserialize_any(Counter(&left)) {
            return error.to_string().starts_with(TOO_MANY);
        }
    }
}

/// Takes any value, and one from what is left for it and each value in it.
#[derive(Clone, Copy)]
struct Counter<'a>(&'a Cell<usize>);

impl Counter<'_> {
    fn take<E: Error>(self) -> Result<(), E> {
        let left = self
            .0
            .get()
            .checked_sub(1)
            .ok_or_else(|| E::custom(TOO_MANY))?;
        self.0.set(left);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Counter<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counter<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.take()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.take()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.take()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.take()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.take()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.take()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.take()?;
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.take()?;
        while members.next_key_seed(self)?.is_some() {
            members.next_value_seed(self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_with_all_that_is_in_them() {
        for (text, values) in [
            ("7", 1),
            ("[1,2]", 3),
            (r#"{"a":[null,true],"b":"x"}"#, 7),
            ("1 [2] 3.5", 4),
            ("", 0),
        ] {
            assert!(!has_more_than(values, text.as_bytes()), "{text}");
            assert!(
                values == 0 || has_more_than(values - 1, text.as_bytes()),
                "{text}"
            );
        }
        assert!(!has_more_than(9, b"[1, broken"));
        assert!(
            has_more_than(1000, format!("[[{}0", "0,".repeat(2000)).as_bytes()),
            "before its fault"
        );
    }
}
