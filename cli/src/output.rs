//! Answers on standard output: text and tables for people, JSON for programs. Colour and progress
//! bars appear on a terminal only.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use ssid_node::text;
pub(crate) use ssid_node::text::clean;

use crate::args::Color;
use crate::progress::{self, Progress};
use crate::table::{self, Cell, Column};
pub(crate) use crate::tone::Tone;

/// Where answers go, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    color: bool,
    /// Columns of a line.
    width: usize,
}

impl Output {
    /// The form that the flags ask for.
    pub(crate) fn new(json: bool, quiet: bool, color: Color) -> Self {
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => likes_color() && io::stdout().is_terminal(),
        };
        Self {
            json,
            quiet,
            color: color && !json,
            width: table::line_width(),
        }
    }

    /// Whether answers are JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Whether only errors are said.
    pub(crate) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// One JSON document with `--json`, else what `text` makes of it.
    pub(crate) fn show<T: Serialize + ?Sized>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        if self.json {
            let document = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
            return self.document(&document);
        }
        if self.quiet {
            return Ok(());
        }
        self.line(text(value).trim_end_matches('\n'))
    }

    /// One line of a stream: JSON with `--json`, else what `text` makes of it.
    pub(crate) fn item<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        if self.json {
            let line = serde_json::to_string(value).map_err(io::Error::other)?;
            return self.document(&line);
        }
        self.line(&text(value))
    }

    /// Lines for people; what of others' text in them could steer a terminal is replaced.
    pub(crate) fn line(self, text: &str) -> io::Result<()> {
        write_line(&text::printable(text, self.color))
    }

    /// A JSON document, for programs and files: the same document, with nothing in it that could
    /// steer a terminal.
    #[expect(clippy::unused_self, reason = "reads as its siblings")]
    pub(crate) fn document(self, json: &str) -> io::Result<()> {
        write_line(&text::printable_json(json))
    }

    /// A remark on standard error, unless `--quiet`.
    pub(crate) fn remark(self, text: &str) {
        if !self.quiet {
            progress::hide_command();
            // standard error closed: there is nobody left to tell
            let _ = writeln!(io::stderr().lock(), "{}", text::printable(text, false));
        }
    }

    /// `text` in the colour of its meaning.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Dim => "2",
        };
        if self.color {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// A table that fits the line; see [`crate::table`].
    pub(crate) fn table<'a, C>(
        self,
        columns: &[C],
        rows: impl IntoIterator<Item = Vec<Cell>>,
    ) -> String
    where
        C: Copy + Into<Column<'a>>,
    {
        let columns: Vec<Column<'a>> = columns.iter().map(|column| (*column).into()).collect();
        let rows: Vec<Vec<Cell>> = rows.into_iter().collect();
        table::lay(&columns, &rows, self.width, self.color)
    }

    /// A cell in the colour of its meaning.
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_value,
        reason = "reads as its siblings"
    )]
    pub(crate) fn cell(self, tone: Tone, text: impl ToString) -> Cell {
        Cell {
            text: text.to_string(),
            tone: Some(tone),
        }
    }

    /// A cell without colour.
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_value,
        reason = "reads as its sibling"
    )]
    pub(crate) fn plain(self, text: impl ToString) -> Cell {
        Cell {
            text: text.to_string(),
            tone: None,
        }
    }

    /// Columns of a line.
    pub(crate) fn width(self) -> usize {
        self.width
    }

    /// The same for what stands `columns` to the right of the margin.
    pub(crate) fn indented(self, columns: usize) -> Self {
        Self {
            width: self.width.saturating_sub(columns),
            ..self
        }
    }

    /// A sentence, wrapped between words to the line; what follows the first line is indented by
    /// `indent` columns.
    pub(crate) fn paragraph(self, text: &str, indent: usize) -> String {
        let blanks = " ".repeat(indent);
        table::wrapped(text, self.width.saturating_sub(indent)).join(&format!("\n{blanks}"))
    }

    /// Names and values below each other, the values aligned and wrapped between words.
    pub(crate) fn fields(self, lines: &[(&str, String)]) -> String {
        let width = lines
            .iter()
            .map(|(name, _)| table::width_of(name))
            .max()
            .unwrap_or_default();
        let line = |(name, value): &(&str, String)| {
            let blanks = width.saturating_sub(table::width_of(name));
            let value = if value.contains('\u{1b}') {
                value.clone()
            } else {
                self.paragraph(value, width + 2)
            };
            format!("{name}{:blanks$}  {value}\n", "")
        };
        lines.iter().map(line).collect()
    }

    /// How far something is, of so many steps; without a length, of an unknown number.
    pub(crate) fn progress(self, length: Option<u64>, what: &str) -> Progress {
        Progress::start(self, length, what)
    }
}

/// Whether a file that is to be written is standard output.
pub(crate) fn is_standard_output(path: &Path) -> bool {
    matches!(path.to_str(), Some("-" | "/dev/stdout"))
}

fn write_line(text: &str) -> io::Result<()> {
    progress::hide_command();
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// A trust label as people read it: `VERY LOW` for `very_low`.
pub(crate) fn band(label: &str) -> String {
    clean(&label.to_uppercase().replace('_', " "))
}

/// [`clean`] line by line.
pub(crate) fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// So many of something: `1 event`, `2 events`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Whether a terminal is to be coloured when nobody says: not with `NO_COLOR`, nor one that knows
/// no colours.
pub(crate) fn likes_color() -> bool {
    allows_color(|name| std::env::var_os(name))
}

fn allows_color(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    variable("NO_COLOR").is_none_or(|value| value.is_empty())
        && variable("TERM").is_none_or(|term| term != "dumb")
}

/// The first digits of a hash or id.
pub(crate) fn short(id: &impl ToString) -> String {
    let text = id.to_string();
    text.get(..12).map_or(text.clone(), ToOwned::to_owned)
}

/// How long ago a time was, as people say it – `3 min ago` – for a week; then its date. At most ten
/// columns.
pub(crate) fn when(iso: &str) -> String {
    iso.parse()
        .map_or_else(|_| clean(iso), |at| said_when(at, Timestamp::now()))
}

fn said_when(at: Timestamp, now: Timestamp) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let past = now.as_second() - at.as_second();
    match past {
        // clocks differ by a moment
        -60..=2 => "now".to_owned(),
        3..MINUTE => format!("{past} s ago"),
        MINUTE..HOUR => format!("{} min ago", past / MINUTE),
        HOUR..DAY => format!("{} h ago", past / HOUR),
        DAY..=604_800 => format!("{} d ago", past / DAY),
        _ => at.strftime("%Y-%m-%d").to_string(),
    }
}

/// An ISO time without its fraction.
pub(crate) fn seconds(iso: &str) -> String {
    iso.split_once('.')
        .map_or_else(|| iso.to_owned(), |(whole, _)| format!("{whole}Z"))
}

#[cfg(test)]
impl Output {
    /// Text without colour, on lines of so many columns.
    pub(crate) fn of_width(width: usize) -> Self {
        Self {
            json: false,
            quiet: false,
            color: false,
            width,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_plain_without_colour() {
        let out = Output {
            json: false,
            quiet: false,
            color: false,
            width: 80,
        };
        let table = out.table(
            &["NODE", "TRUST"],
            [vec![out.plain("Berlin"), out.cell(Tone::Good, 52)]],
        );
        assert_eq!(
            table.lines().map(str::trim).collect::<Vec<_>>(),
            ["NODE    TRUST", "Berlin  52"]
        );
        assert!(!table.contains('\u{1b}'));
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let of = |text: &str| said_when(text.parse().unwrap(), now);
        assert_eq!(of("2026-11-29T11:59:59Z"), "now");
        assert_eq!(of("2026-11-29T11:59:18.5Z"), "42 s ago");
        assert_eq!(of("2026-11-29T11:00:01Z"), "59 min ago");
        assert_eq!(of("2026-11-28T12:00:01Z"), "23 h ago");
        assert_eq!(of("2026-11-22T12:00:00Z"), "7 d ago");
        assert_eq!(of("2025-10-11T20:00:00Z"), "2025-10-11");
        assert_eq!(of("2026-11-30T20:00:00Z"), "2026-11-30", "a time to come");
        assert_eq!(when("never"), "never");
    }

    #[test]
    fn fields_are_aligned_and_wrapped_between_words() {
        let out = Output {
            json: false,
            quiet: false,
            color: false,
            width: 20,
        };
        let text = out.fields(&[
            ("Name", "Käthe".to_owned()),
            ("Ort", "eins zwei drei vier".to_owned()),
        ]);
        assert_eq!(text, "Name  Käthe\nOrt   eins zwei drei\n      vier\n");
    }

    #[test]
    fn times_and_ids_are_cut() {
        assert_eq!(seconds("2025-10-11T20:00:00.12Z"), "2025-10-11T20:00:00Z");
        assert_eq!(seconds("2025-10-11T20:00:00Z"), "2025-10-11T20:00:00Z");
        assert_eq!(short(&"a".repeat(64)), "a".repeat(12));
    }

    #[test]
    fn who_wants_no_colours_or_knows_none_gets_none() {
        let with = |name: &'static str, value: &'static str| {
            allows_color(move |asked| (asked == name).then(|| OsString::from(value)))
        };
        assert!(with("TERM", "xterm") && with("NO_COLOR", "") && allows_color(|_| None));
        assert!(!with("TERM", "dumb") && !with("NO_COLOR", "1"));
    }

    #[test]
    fn counts_have_their_noun_and_lines_stay_lines() {
        assert_eq!(
            (counted(1, "event", "events"), counted(0, "event", "events")),
            ("1 event".into(), "0 events".into())
        );
        assert_eq!(
            clean_lines("refused\n  see\u{1b}[2J"),
            "refused\n  see\u{fffd}[2J"
        );
    }
}
