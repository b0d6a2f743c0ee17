//! Strict JSON: the documents of a federation in the one form that is read, and the one that is
//! hashed (SPEC, Notation; RFC 8785). Numbers are integers 0…2⁵³−1 without sign, fraction or
//! exponent, keys are ASCII, there is no null, and a missing, unknown or duplicate key or a wrong
//! type is refused.

mod fields;
mod reader;

use std::collections::BTreeMap;

pub use fields::Fields;

/// The largest number a document may hold, 2⁵³−1: the largest that every JSON library reads
/// exactly.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;
/// Values one document may hold: a few bytes of text become some hundred of memory, so bytes alone
/// bound too little.
pub const MAX_VALUES: usize = 100_000;

/// A strict JSON value. There is no null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// Text in UTF-8, without lone surrogates.
    Text(String),
    /// An integer, at most [`MAX_NUMBER`].
    Number(u64),
    /// `true` or `false`.
    Bool(bool),
    /// Values in their order.
    Array(Vec<Json>),
    /// An object with ASCII keys.
    Object(BTreeMap<String, Json>),
}

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Longer than the limit for its kind.
    #[error("document of {size} bytes exceeds its limit of {limit}")]
    TooLong {
        /// How long it is.
        size: usize,
        /// How long it may be.
        limit: usize,
    },
    /// No JSON, or JSON outside the strict form; the text says what and where.
    #[error("not a strict JSON document: {0}")]
    Malformed(String),
    /// A key that must be there is not.
    #[error("key `{path}` is missing")]
    Missing {
        /// Where it should stand, for example `members[3].node_id`.
        path: String,
    },
    /// A key that must not be there is.
    #[error("key `{path}` is not known here")]
    Unknown {
        /// Where it stands.
        path: String,
    },
    /// A value of the wrong type, or one that its type refuses.
    #[error("`{path}`: expected {expected}, found {found}")]
    Unexpected {
        /// Where it stands.
        path: String,
        /// What should stand there.
        expected: String,
        /// What stands there, cut to 80 characters.
        found: String,
    },
    /// Text that is not what it should spell.
    #[error("`{path}`: {reason}")]
    Refused {
        /// Where it stands.
        path: String,
        /// What was expected and found, in the words of the type that refused it.
        reason: String,
    },
}

impl Json {
    /// Reads a document of at most `limit` bytes.
    ///
    /// ```
    /// use ssid_protocol::json::Json;
    ///
    /// assert!(Json::parse(br#"{"a": 1}"#, 100).is_ok());
    /// assert!(Json::parse(br#"{"a": 1, "a": 2}"#, 100).is_err(), "one key twice");
    /// assert!(Json::parse(br#"{"a": null}"#, 100).is_err());
    /// assert!(Json::parse(br#"{"a": 1}"#, 5).is_err(), "too long");
    /// ```
    ///
    /// # Errors
    /// If it is too long, no JSON, followed by more, or outside the strict form.
    pub fn parse(bytes: &[u8], limit: usize) -> Result<Self, JsonError> {
        if bytes.len() > limit {
            return Err(JsonError::TooLong {
                size: bytes.len(),
                limit,
            });
        }
        reader::read(bytes).map_err(|e| JsonError::Malformed(e.to_string()))
    }

    /// An object of the given members.
    pub fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Object(
            members
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        )
    }

    /// An array of strings.
    pub fn texts(items: &[String]) -> Self {
        Self::Array(items.iter().map(|item| Self::from(item.as_str())).collect())
    }

    /// The canonical form of RFC 8785: the one that is hashed and signed.
    ///
    /// ```
    /// use ssid_protocol::json::Json;
    ///
    /// let json = Json::parse(br#"{ "b": true, "a": [1, "x"] }"#, 100).unwrap();
    /// assert_eq!(json.to_jcs(), r#"{"a":[1,"x"],"b":true}"#);
    /// ```
    pub fn to_jcs(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, None);
        out
    }

    /// The form of files that people read: indented by two spaces, keys sorted, a newline at the
    /// end.
    pub fn to_pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, Some(0));
        out.push('\n');
        out
    }

    /// Writes the value; `depth` is the level of indentation, none for the canonical form.
    fn write(&self, out: &mut String, depth: Option<usize>) {
        match self {
            Self::Text(text) => write_text(out, text),
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
            Self::Array(items) => write_list(out, depth, ['[', ']'], items, |out, depth, item| {
                item.write(out, depth);
            }),
            Self::Object(members) => {
                let mut sorted: Vec<_> = members.iter().collect();
                sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
                write_list(
                    out,
                    depth,
                    ['{', '}'],
                    sorted,
                    |out, depth, (key, value)| {
                        write_text(out, key);
                        out.push_str(if depth.is_some() { ": " } else { ":" });
                        value.write(out, depth);
                    },
                );
            }
        }
    }

    fn unexpected(&self, path: &str, expected: &str) -> JsonError {
        let found = match self {
            Self::Text(text) => excerpt(text),
            Self::Number(number) => number.to_string(),
            Self::Bool(bool) => bool.to_string(),
            Self::Array(_) => "an array".to_owned(),
            Self::Object(_) => "an object".to_owned(),
        };
        JsonError::Unexpected {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Json {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

fn write_list<T>(
    out: &mut String,
    depth: Option<usize>,
    [open, close]: [char; 2],
    items: impl IntoIterator<Item = T>,
    write_item: impl Fn(&mut String, Option<usize>, T),
) {
    out.push(open);
    let inner = depth.map(|d| d + 1);
    let mut is_empty = true;
    for item in items {
        if !is_empty {
            out.push(',');
        }
        is_empty = false;
        break_line(out, inner);
        write_item(out, inner, item);
    }
    if !is_empty {
        break_line(out, depth);
    }
    out.push(close);
}

fn break_line(out: &mut String, depth: Option<usize>) {
    if let Some(depth) = depth {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    }
}

/// RFC 8785 §3.2.2.2: the two-character escapes where there is one, `\u00xx` for other control
/// characters.
fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' => out.extend(["\\u00", &hex::encode([c as u8])]),
            _ => out.push(c),
        }
    }
    out.push('"');
}

/// `text` quoted and cut to 80 characters, for messages.
pub(crate) fn excerpt(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_is_rfc_8785() {
        let text = r#"{ "b" : [ 1, true, {} , [] ], "a\u0041": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/\u007f",
            "10": 0, "1": 9007199254740991, "": "\ud83d\ude00\b\t\f\r\u001f" }"#;
        let json = Json::parse(text.as_bytes(), 1000).unwrap();
        let jcs = "{\"\":\"😀\\b\\t\\f\\r\\u001f\",\"1\":9007199254740991,\"10\":0,\
                   \"aA\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\u{7f}\",\"b\":[1,true,{},[]]}";
        assert_eq!(json.to_jcs(), jcs);
        assert_eq!(Json::parse(jcs.as_bytes(), 1000).unwrap(), json);
    }

    #[test]
    fn keys_are_sorted_by_utf_16_units() {
        // U+FB33 sorts before U+1F600 by code point, after it in UTF-16: the order RFC 8785 asks
        // for.
        let json = Json::object([
            ("\u{fb33}", Json::Number(1)),
            ("\u{1f600}", Json::Number(2)),
        ]);
        assert_eq!(json.to_jcs(), "{\"\u{1f600}\":2,\"\u{fb33}\":1}");
    }

    #[test]
    fn the_pretty_form_is_for_people_and_reads_back() {
        let inner = Json::Array(vec![Json::from(1), Json::object([]), Json::Array(vec![])]);
        let json = Json::object([("list", inner), ("flag", Json::from(false))]);
        let pretty = json.to_pretty();
        assert_eq!(
            pretty,
            "{\n  \"flag\": false,\n  \"list\": [\n    1,\n    {},\n    []\n  ]\n}\n"
        );
        assert_eq!(Json::parse(pretty.as_bytes(), 1000).unwrap(), json);
    }
}
