//! Tables that fit the line: hashes, times and numbers are whole or not there, names are shortened,
//! less important columns go first, and only prose is wrapped, between words.

use comfy_table::{
    Attribute, Cell as Laid, Color as CellColor, ContentArrangement, Table, presets,
};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr};

use crate::tone::Tone;

/// Columns of a line where nothing says how many there are.
const WIDTH: usize = 80;
/// No line is thought to be narrower.
const NARROWEST: usize = 20;
/// Blanks of the layout around each cell.
const PADDING: usize = 2;

/// How a column gives way where a line is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Giving {
    /// Not at all: its cells are whole.
    Whole,
    /// Its cells are shortened to no fewer than so many columns.
    Shortened(usize),
    /// Its cells are wrapped between words, to no fewer than so many columns where the words allow
    /// it.
    Wrapped(usize),
}

/// A column: its heading, and how it gives way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column<'a> {
    heading: &'a str,
    giving: Giving,
    /// The column goes where the line is still too short, the highest number first; 0 stays.
    goes: u8,
}

impl<'a> From<&'a str> for Column<'a> {
    fn from(heading: &'a str) -> Self {
        whole(heading)
    }
}

/// A column of hashes, times, numbers or single words: never cut, never wrapped.
pub(crate) fn whole(heading: &str) -> Column<'_> {
    Column {
        heading,
        giving: Giving::Whole,
        goes: 0,
    }
}

/// A column of names, which are shortened to no fewer than `least` columns.
pub(crate) fn named(heading: &str, least: usize) -> Column<'_> {
    Column {
        heading,
        giving: Giving::Shortened(least),
        goes: 0,
    }
}

/// A column of sentences, which are wrapped between words.
pub(crate) fn prose(heading: &str) -> Column<'_> {
    Column {
        heading,
        giving: Giving::Wrapped(16),
        goes: 0,
    }
}

impl Column<'_> {
    /// The same, which goes where there is no room; those with the highest `order` first.
    pub(crate) fn goes(self, order: u8) -> Self {
        Self {
            goes: order,
            ..self
        }
    }
}

/// A cell and what its text means.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// One line of text.
    pub(crate) text: String,
    /// Its colour, if it has one.
    pub(crate) tone: Option<Tone>,
}

/// The width of a line: `COLUMNS` if it is set, else the terminal's, else 80.
pub(crate) fn line_width() -> usize {
    let columns = std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.trim().parse::<usize>().ok());
    let terminal = || Table::new().width().map(usize::from);
    columns
        .filter(|count| *count > 0)
        .or_else(terminal)
        .unwrap_or(WIDTH)
        .max(NARROWEST)
}

/// The columns of a text on a terminal.
pub(crate) fn width_of(text: &str) -> usize {
    text.width()
}

/// A text of at most `limit` columns, with `…` for what is left out.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    if text.width() <= limit {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut left = limit.saturating_sub(1);
    for c in text.chars() {
        let width = c.width().unwrap_or_default();
        if width > left {
            break;
        }
        left -= width;
        short.push(c);
    }
    format!("{}…", short.trim_end())
}

/// The lines of a text, wrapped between words; a word that is longer than a line has one of its
/// own, whole.
pub(crate) fn wrapped(text: &str, limit: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let width = word.width();
        if used > 0 && used + 1 + width > limit {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
        }
        used += width;
    }
    lines
}

/// The same with words that are longer than a line shortened; hashes stay whole.
fn with_short_words(text: &str, limit: usize) -> String {
    let is_hash = |word: &str| word.len() >= 12 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let word = |word: &str| {
        if is_hash(word) {
            word.to_owned()
        } else {
            shortened(word, limit)
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The widths that columns get of a line; a column without one is left out.
fn widths(
    columns: &[Column<'_>],
    natural: &[usize],
    empty: &[bool],
    line: usize,
) -> Vec<Option<usize>> {
    let mut kept: Vec<bool> = columns
        .iter()
        .zip(empty)
        .map(|(column, empty)| column.goes == 0 || !empty)
        .collect();
    loop {
        let least = |(column, natural): (&Column<'_>, &usize)| match column.giving {
            Giving::Whole => *natural,
            Giving::Shortened(least) | Giving::Wrapped(least) => {
                least.max(column.heading.width()).min(*natural)
            }
        };
        let least: Vec<usize> = columns.iter().zip(natural).map(least).collect();
        let sum = |widths: &[usize]| -> usize {
            widths
                .iter()
                .zip(&kept)
                .filter(|(_, kept)| **kept)
                .map(|(width, _)| width + PADDING)
                .sum()
        };
        // one more than the line: the last column's padding is cut off
        if sum(&least) <= line + 1 {
            return share(natural, &least, &kept, line + 1 - sum(&least));
        }
        // those that matter least go first, and whole: half a column helps nobody
        let goes = (0..columns.len())
            .filter(|i| kept[*i] && columns[*i].goes > 0)
            .max_by_key(|i| columns[*i].goes);
        match goes {
            Some(column) => kept[column] = false,
            // nothing more can go: whole cells are worth more than the line's end
            None => return share(natural, &least, &kept, 0),
        }
    }
}

/// Gives what room is left to the columns that want it, evenly.
fn share(natural: &[usize], least: &[usize], kept: &[bool], mut left: usize) -> Vec<Option<usize>> {
    let mut widths = least.to_vec();
    while left > 0 {
        let wanting = (0..widths.len()).filter(|i| kept[*i] && widths[*i] < natural[*i]);
        let Some(narrowest) = wanting.min_by_key(|i| widths[*i]) else {
            break;
        };
        widths[narrowest] += 1;
        left -= 1;
    }
    widths
        .into_iter()
        .zip(kept)
        .map(|(width, kept)| kept.then_some(width))
        .collect()
}

/// The table as text, no wider than `line` where its columns can give way so far.
pub(crate) fn lay(columns: &[Column<'_>], rows: &[Vec<Cell>], line: usize, color: bool) -> String {
    let cells = |i: usize| {
        rows.iter()
            // by what the terminal shows: a character may be two columns wide, or none
            .filter_map(move |row| row.get(i))
            .map(|cell| cell.text.as_str())
    };
    let natural = |i: usize, column: &Column<'_>| {
        cells(i)
            .map(UnicodeWidthStr::width)
            .max()
            .unwrap_or_default()
            .max(column.heading.width())
    };
    let natural: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| natural(i, column))
        .collect();
    // an empty column goes before one that says something
    let empty: Vec<bool> = (0..columns.len())
        .map(|i| cells(i).all(str::is_empty))
        .collect();
    let widths = widths(columns, &natural, &empty, line);

    let mut table = Table::new();
    table
        // widths are settled here: the library would cut where it likes
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    if color {
        table.enforce_styling();
    }
    let kept: Vec<(usize, usize)> = widths
        .iter()
        .enumerate()
        .filter_map(|(i, width)| Some((i, (*width)?)))
        .collect();
    let heading = |(i, _): &(usize, usize)| laid(columns[*i].heading, Some(Tone::Dim), color);
    table.set_header(kept.iter().map(heading));
    for row in rows {
        let cell = |(i, width): &(usize, usize)| {
            // a row may be shorter than the headings
            let Some(cell) = row.get(*i) else {
                return Laid::new("");
            };
            let text = match columns[*i].giving {
                Giving::Whole => cell.text.clone(),
                Giving::Shortened(_) => shortened(&cell.text, *width),
                Giving::Wrapped(_) => {
                    wrapped(&with_short_words(&cell.text, *width), *width).join("\n")
                }
            };
            laid(&text, cell.tone, color)
        };
        table.add_row(kept.iter().map(cell));
    }
    table.trim_fmt()
}

fn laid(text: &str, tone: Option<Tone>, color: bool) -> Laid {
    let cell = Laid::new(text);
    match (color, tone) {
        (false, _) | (_, None) => cell,
        (_, Some(Tone::Good)) => cell.fg(CellColor::Green),
        (_, Some(Tone::Warn)) => cell.fg(CellColor::Yellow),
        (_, Some(Tone::Bad)) => cell.fg(CellColor::Red),
        (_, Some(Tone::Dim)) => cell.add_attribute(Attribute::Dim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "8fe9165ff6e0";

    fn columns() -> [Column<'static>; 5] {
        [
            whole("HASH"),
            named("NAME", 6),
            named("ORGANIZATION", 8).goes(2),
            whole("STATE").goes(1),
            prose("WHY"),
        ]
    }

    fn rows() -> Vec<Vec<Cell>> {
        let cells = |texts: [&str; 5]| {
            texts
                .map(|text| Cell {
                    text: text.into(),
                    tone: None,
                })
                .to_vec()
        };
        vec![
            cells([
                HASH,
                "Käthe-Möller-Straße",
                "Verein zur Förderung offener Register e.V.",
                "connected",
                "well",
            ]),
            cells([
                HASH,
                "B",
                "B",
                "away",
                "not connected, last seen two hours ago; it was there before",
            ]),
        ]
    }

    fn at(line: usize) -> String {
        let table = lay(&columns(), &rows(), line, false);
        let widest = table.lines().map(UnicodeWidthStr::width).max().unwrap();
        assert!(widest <= line, "{widest} of {line}:\n{table}");
        assert_eq!(
            table.matches(HASH).count(),
            2,
            "a hash is broken at {line}:\n{table}"
        );
        table
    }

    #[test]
    fn a_table_fits_every_line_and_hashes_stay_whole() {
        assert!(
            at(200).contains("offener Register e.V.")
                && at(200).contains("ago; it was there before")
        );
        for line in 40..200 {
            let table = at(line);
            for word in ["connected,", "seen", "hours", "before"] {
                assert!(table.contains(word), "{word} is broken at {line}:\n{table}");
            }
        }
    }

    #[test]
    fn the_least_important_column_goes_first() {
        let has = |line, heading: &str| at(line).contains(heading);
        assert!(has(80, "ORGANIZATION") && has(80, "STATE"));
        assert!(!has(58, "ORGANIZATION") && has(58, "STATE"));
        assert!(!has(42, "STATE") && has(42, "WHY"));
        assert!(at(58).contains('…'));
    }

    #[test]
    fn a_line_that_is_too_short_for_whole_cells_is_exceeded() {
        let table = lay(&columns(), &rows(), 20, false);
        assert_eq!(table.matches(HASH).count(), 2, "{table}");
    }

    #[test]
    fn a_column_that_may_go_and_says_nothing_goes() {
        let row = vec![
            Cell {
                text: "x".into(),
                tone: None,
            },
            Cell {
                text: String::new(),
                tone: None,
            },
        ];
        assert!(
            !lay(
                &[whole("A"), whole("B").goes(1)],
                std::slice::from_ref(&row),
                80,
                false
            )
            .contains('B')
        );
        assert!(lay(&[whole("A"), whole("B")], &[row], 80, false).contains('B'));
    }

    #[test]
    fn texts_are_shortened_and_wrapped_by_what_they_take_on_the_screen() {
        assert_eq!(
            (shortened("Möller", 6), shortened("Möller", 5)),
            ("Möller".to_owned(), "Möll…".to_owned())
        );
        assert_eq!(shortened("日本語", 5), "日本…");
        assert_eq!(shortened("a b", 3), "a b");
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(
            wrapped("one-very-long-word x", 4),
            ["one-very-long-word", "x"]
        );
        assert_eq!(wrapped("", 4), [""]);
        assert_eq!(
            with_short_words("a_very_long_event_type of 8fe9165ff6e0", 8),
            "a_very_… of 8fe9165ff6e0"
        );
    }
}
