//! JSON text that people also edit: knows on which line each key stands and changes single values, leaving every
//! other byte as it is.

use std::ops::Range;

use serde_json::Value;

use super::settings::Settings;

/// A JSON object as text. Only made from text that parses.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    text: String,
    members: Vec<Member>,
}

/// A key with its value. Values in arrays are not looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The keys from the top to this one, with dots between; a dot in a key itself is written `\.`.
    pub(super) path: String,
    /// The line that the key stands on, from 1.
    pub(super) line: usize,
    /// Whether the value is an object, whose members follow.
    pub(super) is_object: bool,
    value: Range<usize>,
}

impl Document {
    /// Takes `text`, which must be a JSON object.
    pub(crate) fn new(text: String) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<serde_json::Map<String, Value>>(&text)?;
        let members = Scanner::scan(&text);
        Ok(Self { text, members })
    }

    /// Every key with its default.
    pub(super) fn defaults() -> Self {
        let text = serde_json::to_string_pretty(&Settings::default()).map(|text| text + "\n");
        text.and_then(Self::new).unwrap_or(Self { text: "{}\n".to_owned(), members: Vec::new() })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Every key, in the order of the text.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The value of a member of this document.
    pub(crate) fn value(&self, member: &Member) -> Value {
        let text = self.text.get(member.value.clone()).unwrap_or_default();
        serde_json::from_str(text).unwrap_or(Value::Null)
    }

    /// The member that counts where a key stands twice: the last.
    pub(crate) fn find(&self, path: &str) -> Option<&Member> {
        self.members.iter().rev().find(|m| m.path == path)
    }

    /// Sets the value of the key at `path`, which is made, with the objects above it, where it is missing.
    pub(crate) fn set(&mut self, path: &str, value: &Value) {
        if let Some(member) = self.find(path) {
            let text = render(value, &self.indentation_at(member.value.start));
            let range = member.value.clone();
            self.replace(range, &text);
            return;
        }
        let (above, name) = split_path(path);
        if !above.is_empty() && self.find(above).is_none_or(|m| !m.is_object) {
            self.set(above, &Value::Object(serde_json::Map::new()));
        }
        self.insert(above, name, value);
    }

    /// Adds items, JSON over several lines without indentation, to the end of the list at `path`, which is made where
    /// there is none. Those in it stay byte for byte.
    pub(crate) fn append(&mut self, path: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        let list = self.find(path).filter(|member| self.value(member).is_array());
        let Some(range) = list.map(|member| member.value.clone()) else {
            self.set(path, &Value::Array(Vec::new()));
            return self.append(path, items);
        };
        let outer = self.indentation_at(range.start);
        let line = format!("\n{outer}  ");
        let joined = items.iter().map(|item| item.replace('\n', &line)).collect::<Vec<_>>().join(&format!(",{line}"));
        let inside = self.text.get(range.start + 1..range.end - 1).unwrap_or_default().trim_end();
        let (last, comma) = (range.start + 1 + inside.len(), if inside.trim().is_empty() { "" } else { "," });
        self.replace(last..range.end, &format!("{comma}{line}{joined}\n{outer}]"));
    }

    fn insert(&mut self, above: &str, name: &str, value: &Value) {
        let object = match self.find(above) {
            Some(member) if !above.is_empty() => member.value.clone(),
            _ => self.text.find('{').unwrap_or(0)..self.text.trim_end().len(),
        };
        let inside = |m: &&Member| m.value.start > object.start && m.value.end < object.end;
        let last = self.members.iter().filter(inside).max_by_key(|m| m.value.end).map(|m| m.value.end);
        let outer = self.indentation_at(object.start);
        let inner = format!("{outer}  ");
        let line_end = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let member = format!("{line_end}{inner}{}: {}", Value::from(name), render(value, &inner));
        match last {
            Some(end) => self.replace(end..end, &format!(",{member}")),
            None => self.replace(object.start + 1..object.end - 1, &format!("{member}{line_end}{outer}")),
        }
    }

    /// The blanks with which the line of the byte at `at` begins.
    fn indentation_at(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        let line = &before[before.rfind('\n').map_or(0, |n| n + 1)..];
        line.chars().take_while(|c| matches!(c, ' ' | '\t')).collect()
    }

    fn replace(&mut self, range: Range<usize>, with: &str) {
        self.text.replace_range(range, with);
        self.members = Scanner::scan(&self.text);
    }
}

/// The section that a key is in, empty at the top, and its name there.
pub(super) fn split_path(path: &str) -> (&str, &str) {
    let mut dots = path.rmatch_indices('.').map(|(at, _)| at);
    dots.find(|at| !path[..*at].ends_with('\\')).map_or(("", path), |at| (&path[..at], &path[at + 1..]))
}

/// A value as the registry's files are written: objects over several lines, lists on one.
fn render(value: &Value, indentation: &str) -> String {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let member = |(name, value): (&String, &Value)| {
                let inner = format!("{indentation}  ");
                format!("{inner}{}: {}", Value::from(name.as_str()), render(value, &inner))
            };
            format!("{{\n{}\n{indentation}}}", members.iter().map(member).collect::<Vec<_>>().join(",\n"))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|item| render(item, indentation)).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Walks through text that is known to be JSON.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    members: Vec<Member>,
}

impl<'a> Scanner<'a> {
    fn scan(text: &'a str) -> Vec<Member> {
        let mut scanner = Self { text, at: 0, line: 1, members: Vec::new() };
        scanner.value("");
        scanner.members
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self) {
        self.line += usize::from(self.peek() == Some(b'\n'));
        self.at += 1;
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.advance();
        }
    }

    fn string(&mut self) -> String {
        let start = self.at;
        self.advance();
        while self.peek().is_some_and(|b| b != b'"') {
            if self.peek() == Some(b'\\') {
                self.advance();
            }
            self.advance();
        }
        self.advance();
        self.text.get(start..self.at).and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default()
    }

    fn value(&mut self, path: &str) {
        self.skip_blanks();
        match self.peek() {
            Some(b'{') => self.object(path),
            Some(b'[') => self.array(),
            Some(b'"') => drop(self.string()),
            _ => {
                while self.peek().is_some_and(|b| !b.is_ascii_whitespace() && !matches!(b, b',' | b'}' | b']')) {
                    self.advance();
                }
            }
        }
    }

    fn array(&mut self) {
        let members = self.members.len();
        self.advance();
        self.skip_blanks();
        while self.peek().is_some_and(|b| b != b']') {
            self.value("");
            self.members.truncate(members);
            self.skip_separator();
        }
        self.advance();
    }

    fn object(&mut self, path: &str) {
        self.advance();
        self.skip_blanks();
        while self.peek() == Some(b'"') {
            let line = self.line;
            let name = self.string().replace('.', "\\.");
            let path = if path.is_empty() { name } else { format!("{path}.{name}") };
            while self.peek().is_some_and(|b| b != b':') {
                self.advance();
            }
            self.advance();
            self.skip_blanks();
            let (start, place) = (self.at, self.members.len());
            self.value(&path);
            let is_object = self.text.as_bytes().get(start) == Some(&b'{');
            self.members.insert(place, Member { path, line, is_object, value: start..self.at });
            self.skip_separator();
        }
        self.advance();
    }

    fn skip_separator(&mut self) {
        self.skip_blanks();
        if self.peek() == Some(b',') {
            self.advance();
            self.skip_blanks();
        }
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
