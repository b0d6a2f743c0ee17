//! JSON text that people also edit, as the registry's files are: knows on which line each key
//! stands and changes single values, leaving every other byte as it is.

use std::io;
use std::ops::Range;

use serde::Serialize;
use serde_json::Value;
use ssid_storage::{PathContext as _, PathError};

use crate::place::Place;

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
    pub(crate) path: String,
    /// The line that the key stands on, from 1.
    pub(crate) line: usize,
    /// Whether the value is an object, whose members follow.
    pub(crate) is_object: bool,
    value: Range<usize>,
}

/// Why a file cannot be taken as a document.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// There is none.
    Missing,
    /// It is no JSON object, or too large: what is wrong.
    Syntax(String),
    /// The operating system refused.
    Io(PathError),
}

impl Document {
    /// Reads a file, which may have `limit` bytes and begin with a byte-order mark.
    pub(crate) fn read(place: impl Into<Place>, limit: u64) -> Result<Self, Unreadable> {
        let path = place.into();
        let read = path.read(limit).context("read", &path);
        let bytes = read.map_err(|error| match error.source.kind() {
            io::ErrorKind::NotFound => Unreadable::Missing,
            io::ErrorKind::FileTooLarge => {
                Unreadable::Syntax(format!("has more than {limit} bytes"))
            }
            _ => Unreadable::Io(error),
        })?;
        let text = String::from_utf8(bytes).map_err(|e| Unreadable::Syntax(e.to_string()))?;
        let text = text
            .strip_prefix('\u{feff}')
            .map(str::to_owned)
            .unwrap_or(text);
        Self::new(text).map_err(|e| Unreadable::Syntax(e.to_string()))
    }

    /// Takes `text`, which must be a JSON object.
    pub(crate) fn new(text: String) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<serde_json::Map<String, Value>>(&text)?;
        let members = Scanner::scan(&text);
        Ok(Self { text, members })
    }

    /// Every key of `value`, in its order; an empty document if it is no object.
    pub(crate) fn of(value: &impl Serialize) -> Self {
        let text = serde_json::to_string_pretty(value).map(|text| text + "\n");
        text.and_then(Self::new).unwrap_or(Self {
            text: "{}\n".to_owned(),
            members: Vec::new(),
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Every key, in the order of the text.
    pub(crate) fn members(&self) -> &[Member] {
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

    /// Sets the value of the key at `path`, which is made, with the objects above it, where it is
    /// missing.
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

    /// The value of the key at `path`; none if there is no such key.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.find(path).map(|member| self.value(member))
    }

    /// Sets the key at `path` unless it has that value already; whether it had another.
    pub(crate) fn change(&mut self, path: &str, value: &Value) -> bool {
        let changes = self.get(path).as_ref() != Some(value);
        if changes {
            self.set(path, value);
        }
        changes
    }

    /// The text of each element of the list at `path`, as it stands there; none if there is no
    /// list.
    pub(crate) fn elements(&self, path: &str) -> Vec<String> {
        let list = self
            .find(path)
            .and_then(|member| self.text.get(member.value.clone()));
        Scanner::elements(list.unwrap_or_default())
    }

    /// Puts `elements`, each JSON, in the place of the list at `path`, one below the other; one
    /// that is as [`elements`](Self::elements) gave it stays as it is written.
    pub(crate) fn set_elements(&mut self, path: &str, elements: &[String]) {
        if self.find(path).is_none() {
            self.set(path, &Value::Array(Vec::new()));
        }
        let Some(range) = self.find(path).map(|member| member.value.clone()) else {
            return;
        };
        let outer = self.indentation_at(range.start);
        let line_end = self.line_end();
        let lines: Vec<_> = elements
            .iter()
            .map(|element| format!("{line_end}{outer}  {element}"))
            .collect();
        let text = if lines.is_empty() {
            "[]".to_owned()
        } else {
            format!("[{}{line_end}{outer}]", lines.join(","))
        };
        self.replace(range, &text);
    }

    fn line_end(&self) -> &'static str {
        if self.text.contains("\r\n") {
            "\r\n"
        } else {
            "\n"
        }
    }

    fn insert(&mut self, above: &str, name: &str, value: &Value) {
        let object = match self.find(above) {
            // above all is the document itself, whose last brace is the end
            Some(member) if !above.is_empty() => member.value.clone(),
            _ => self.text.find('{').unwrap_or(0)..self.text.trim_end().len(),
        };
        // of nested objects too: the one that ends last is the last member
        let inside = |m: &&Member| m.value.start > object.start && m.value.end < object.end;
        let last = self
            .members
            .iter()
            .filter(inside)
            .max_by_key(|m| m.value.end)
            .map(|m| m.value.end);
        // as the file is indented: it is read and compared by people
        let outer = self.indentation_at(object.start);
        let inner = format!("{outer}  ");
        let line_end = self.line_end();
        let member = format!(
            "{line_end}{inner}{}: {}",
            Value::from(name),
            render(value, &inner)
        );
        match last {
            Some(end) => self.replace(end..end, &format!(",{member}")),
            None => self.replace(
                object.start + 1..object.end - 1,
                &format!("{member}{line_end}{outer}"),
            ),
        }
    }

    /// The blanks with which the line of the byte at `at` begins.
    fn indentation_at(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        let line = &before[before.rfind('\n').map_or(0, |n| n + 1)..];
        line.chars()
            .take_while(|c| matches!(c, ' ' | '\t'))
            .collect()
    }

    fn replace(&mut self, range: Range<usize>, with: &str) {
        self.text.replace_range(range, with);
        self.members = Scanner::scan(&self.text);
    }
}

/// The section that a key is in, empty at the top, and its name there.
pub(crate) fn split_path(path: &str) -> (&str, &str) {
    let mut dots = path.rmatch_indices('.').map(|(at, _)| at);
    dots.find(|at| !path[..*at].ends_with('\\'))
        .map_or(("", path), |at| (&path[..at], &path[at + 1..]))
}

/// A value as the registry's files are written: objects over several lines, lists on one.
fn render(value: &Value, indentation: &str) -> String {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let member = |(name, value): (&String, &Value)| {
                let inner = format!("{indentation}  ");
                format!(
                    "{inner}{}: {}",
                    Value::from(name.as_str()),
                    render(value, &inner)
                )
            };
            format!(
                "{{\n{}\n{indentation}}}",
                members.iter().map(member).collect::<Vec<_>>().join(",\n")
            )
        }
        Value::Array(items) => {
            format!(
                "[{}]",
                items
                    .iter()
                    .map(|item| render(item, indentation))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
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
        let mut scanner = Self {
            text,
            at: 0,
            line: 1,
            members: Vec::new(),
        };
        scanner.value("");
        scanner.members
    }

    /// The texts of the elements of `list`, which is known to be JSON; none if it is no list.
    fn elements(list: &str) -> Vec<String> {
        let mut scanner = Scanner {
            text: list,
            at: 0,
            line: 1,
            members: Vec::new(),
        };
        let mut found = Vec::new();
        if scanner.peek() != Some(b'[') {
            return found;
        }
        scanner.advance();
        scanner.skip_blanks();
        while scanner.peek().is_some_and(|b| b != b']') {
            let start = scanner.at;
            scanner.value("");
            found.extend(list.get(start..scanner.at).map(str::to_owned));
            scanner.skip_separator();
        }
        found
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
        self.text
            .get(start..self.at)
            .and_then(|t| serde_json::from_str(t).ok())
            .unwrap_or_default()
    }

    fn value(&mut self, path: &str) {
        self.skip_blanks();
        match self.peek() {
            Some(b'{') => self.object(path),
            Some(b'[') => self.array(),
            Some(b'"') => drop(self.string()),
            _ => {
                while self
                    .peek()
                    .is_some_and(|b| !b.is_ascii_whitespace() && !matches!(b, b',' | b'}' | b']'))
                {
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
            // a dot in a name must not look like a path
            let name = self.string().replace('.', "\\.");
            let path = if path.is_empty() {
                name
            } else {
                format!("{path}.{name}")
            };
            while self.peek().is_some_and(|b| b != b':') {
                self.advance();
            }
            self.advance();
            self.skip_blanks();
            let start = self.at;
            // the member before its own members, whose paths go on from it
            let place = self.members.len();
            self.value(&path);
            let is_object = self.text.as_bytes().get(start) == Some(&b'{');
            self.members.insert(
                place,
                Member {
                    path,
                    line,
                    is_object,
                    value: start..self.at,
                },
            );
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
mod tests;
