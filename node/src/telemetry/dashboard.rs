//! The dashboard's CSV: compliance scores by quarter, in both forms that exist. The last rows of
//! real files are quarters to come with invented scores, so what counts as current is the latest
//! row whose date is not in the future. What spreadsheets make of such a file is read too:
//! semicolons or tabs, a line `sep=;`, decimal commas, UTF-16.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use crate::place::Place;
use jiff::civil::Date;
use ssid_storage::{PathContext as _, PathError};

/// Bytes of the largest file that is read.
pub const FILE_BYTES: u64 = 16 << 20;
/// Rows of the longest file that is read.
pub const ROWS: usize = 100_000;
/// Bytes of one field.
const FIELD_BYTES: usize = 1024;
/// Problems that are told singly.
const PROBLEMS: usize = 20;

/// One row of the dashboard.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its line in the file, from 1.
    pub line: u64,
    /// The day that it is about.
    pub date: Date,
    /// Its quarter as written, for example `2025-Q4`; empty if there is none.
    pub quarter: String,
    /// The score, 0 to 100; `None` if it is not known.
    pub score: Option<f64>,
    /// How many violations; `None` if it is not known.
    pub violations: Option<u64>,
    /// The blueprint, where the file says it.
    pub blueprint: Option<String>,
    /// The state of the root lock, where the file says it.
    pub root_lock: Option<String>,
    /// Why its score or number of violations is not known although something stands there.
    pub problem: Option<String>,
}

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dashboard {
    /// Rows in order of date, those of one day in the file's order.
    pub rows: Vec<Row>,
    /// What could not be read, with line numbers; the first twenty.
    pub problems: Vec<String>,
}

/// Why a dashboard is not read.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] PathError),
    /// It is larger than what is read.
    #[error("'{path}' has more than {FILE_BYTES} bytes; move rows of past years elsewhere", path = .0.display())]
    TooLarge(PathBuf),
    /// Its header has no score.
    #[error("'{path}' is no dashboard: {what}", path = path.display())]
    NotOne {
        /// The dashboard's file.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
}

/// Where the columns are.
struct Columns {
    date: usize,
    quarter: Option<usize>,
    score: usize,
    violations: Option<usize>,
    blueprint: Option<usize>,
    root_lock: Option<usize>,
}

impl Dashboard {
    /// Reads the first of `places` that exists; `None` if none does.
    ///
    /// # Errors
    /// If the file that exists cannot be read or is no dashboard.
    pub fn read_first(places: &[Place]) -> Result<Option<(PathBuf, Self)>, DashboardError> {
        for place in places {
            let path = place.to_path_buf();
            let bytes = match place.read(FILE_BYTES) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) if e.kind() == io::ErrorKind::FileTooLarge => {
                    return Err(DashboardError::TooLarge(path));
                }
                read => read.context("read", &path)?,
            };
            return match Self::parse(&bytes) {
                Ok(dashboard) => Ok(Some((path, dashboard))),
                Err(what) => Err(DashboardError::NotOne { path, what }),
            };
        }
        Ok(None)
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// If there is no header with a date and a score: what is missing.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        // spreadsheets write UTF-16 and a hint of their separator before the header
        let decoded = utf8_of(bytes);
        let (bytes, hint_lines) = without_hint(&decoded);
        let (mut reader, columns) = columns_of(bytes)?;
        let mut read = Self::default();
        let mut record = csv::ByteRecord::new();
        loop {
            let row = match reader.read_byte_record(&mut record) {
                Ok(false) => break,
                Ok(true) => columns.row(&record, line_of(&record, bytes) + hint_lines),
                Err(error) => Err(error.to_string()),
            };
            // a file of others, however long: what it takes of memory is bounded
            if read.rows.len() == ROWS {
                read.problems
                    .push(format!("more than {ROWS} rows; the rest is not read"));
                break;
            }
            match row {
                Ok(row) => {
                    // a few tell what is wrong with a file; one for each line would fill the report
                    let room = PROBLEMS.saturating_sub(read.problems.len());
                    read.problems
                        .extend(row.problem.clone().into_iter().take(room));
                    read.rows.push(row);
                }
                Err(what) if read.problems.len() < PROBLEMS => read.problems.push(what),
                Err(_) => {}
            }
        }
        // where people insert rows is their business; the order is by date
        read.rows.sort_by_key(|row| row.date);
        Ok(read)
    }

    /// The rows that are not in the future, latest last.
    pub fn until(&self, today: Date) -> &[Row] {
        let end = self.rows.partition_point(|row| row.date <= today);
        &self.rows[..end]
    }
}

/// A file's text as UTF-8, without its byte order mark.
fn utf8_of(bytes: &[u8]) -> Cow<'_, [u8]> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| unit(*pair))
            .collect();
        Cow::Owned(String::from_utf16_lossy(&units).into_bytes())
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => Cow::Borrowed(rest),
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => Cow::Borrowed(bytes),
    }
}

/// The text after a first line such as `sep=;`, and how many lines that took.
fn without_hint(bytes: &[u8]) -> (&[u8], u64) {
    let end = bytes.iter().take(16).position(|byte| *byte == b'\n');
    match end.map(|end| bytes.split_at(end + 1)) {
        Some((first, rest))
            if first
                .get(..4)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"sep=")) =>
        {
            (rest, 1)
        }
        _ => (bytes, 0),
    }
}

/// The file with the separator under which its header has what is needed.
fn columns_of(bytes: &[u8]) -> Result<(csv::Reader<&[u8]>, Columns), String> {
    let mut refused = None;
    for separator in [b',', b';', b'\t'] {
        let mut builder = csv::ReaderBuilder::new();
        let mut reader = builder
            .delimiter(separator)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(bytes);
        match Columns::of(reader.byte_headers().map_err(|e| e.to_string())?) {
            Ok(columns) => return Ok((reader, columns)),
            Err(why) => refused = refused.or(Some(why)),
        }
    }
    Err(refused.unwrap_or_default())
}

impl Columns {
    fn of(header: &csv::ByteRecord) -> Result<Self, String> {
        let find = |name: &str| {
            header
                .iter()
                .position(|field| field.eq_ignore_ascii_case(name.as_bytes()))
        };
        let date = find("date").or_else(|| find("timestamp"));
        Ok(Self {
            date: date.ok_or("its header has neither `date` nor `timestamp`")?,
            quarter: find("quarter"),
            score: find("compliance_score").ok_or("its header has no `compliance_score`")?,
            violations: find("violations"),
            blueprint: find("blueprint_version"),
            root_lock: find("root_24_lock").or_else(|| find("root24_status")),
        })
    }

    fn row(&self, record: &csv::ByteRecord, line: u64) -> Result<Row, String> {
        let text = |at: usize| -> Result<&str, String> {
            let bytes = record.get(at).unwrap_or_default();
            // a quotation mark that is never closed makes the rest of the file one field
            if bytes.len() > FIELD_BYTES {
                return Err(format!(
                    "line {line}: a field has {} bytes; at most {FIELD_BYTES} are read",
                    bytes.len()
                ));
            }
            std::str::from_utf8(bytes).map_err(|_| format!("line {line}: not UTF-8"))
        };
        let optional = |at: Option<usize>| {
            at.map(text)
                .transpose()
                .map(|found| found.filter(|t| !t.is_empty()))
        };
        let date = text(self.date)?;
        // of a timestamp only its day
        let day = date.get(..10).and_then(|day| day.parse().ok());
        let score = score(text(self.score)?);
        let violations = violations(optional(self.violations)?);
        // one is enough: whoever looks at the line sees both
        let wrong = score
            .as_ref()
            .err()
            .or(violations.as_ref().err())
            .map(|what| format!("line {line}: {what}"));
        Ok(Row {
            line,
            date: day
                .ok_or_else(|| format!("line {line}: {date:?} is no date such as 2025-12-31"))?,
            quarter: optional(self.quarter)?.unwrap_or_default().to_owned(),
            // a row that cannot be read is the current one all the same
            score: score.unwrap_or_default(),
            violations: violations.unwrap_or_default(),
            blueprint: optional(self.blueprint)?.map(ToOwned::to_owned),
            root_lock: optional(self.root_lock)?.map(ToOwned::to_owned),
            problem: wrong,
        })
    }
}

/// The line that a record begins on; the reader counts the empty lines before it to it.
fn line_of(record: &csv::ByteRecord, bytes: &[u8]) -> u64 {
    let Some(position) = record.position() else {
        return 0;
    };
    let begin = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = bytes.get(begin..).unwrap_or_default();
    let empty = rest
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .filter(|byte| **byte == b'\n')
        .count();
    position.line() + empty as u64
}

fn is_unknown(text: &str) -> bool {
    ["", "-", "unknown", "pending", "n/a"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}

/// `95`, `95.5`, `95,5`, `95%` or `95/100`.
fn score(text: &str) -> Result<Option<f64>, String> {
    if is_unknown(text) {
        return Ok(None);
    }
    let number = text
        .trim_end_matches("/100")
        .trim_end_matches('%')
        .trim_end();
    let allowed = |score: &f64| (0.0..=100.0).contains(score);
    // two digits at most: three would be thousands
    let decimal = number
        .split_once(',')
        .filter(|(_, digits)| matches!(digits.len(), 1 | 2));
    let number = decimal.map_or_else(
        || number.to_owned(),
        |(whole, digits)| format!("{whole}.{digits}"),
    );
    let score = number.parse().ok().filter(allowed);
    score
        .map(Some)
        .ok_or_else(|| format!("{text:?} is no score from 0 to 100"))
}

fn violations(text: Option<&str>) -> Result<Option<u64>, String> {
    let known = text.filter(|text| !is_unknown(text));
    known
        .map(|text| {
            text.parse()
                .map_err(|_| format!("{text:?} is no number of violations"))
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use jiff::civil::date;

    use proptest::prelude::*;

    use super::*;
    use crate::wild;

    proptest! {
        #[test]
        fn any_bytes_are_rows_within_the_limits_or_named_problems(bytes in wild::bytes(&[FIRST, SECOND])) {
            let Ok(read) = Dashboard::parse(&bytes) else { return Ok(()) };
            let lines = bytes.split(|byte| *byte == b'\n').count() as u64;
            prop_assert!(read.rows.len() <= ROWS && read.problems.len() <= PROBLEMS + 1);
            prop_assert!(read.rows.is_sorted_by_key(|row| row.date));
            for row in &read.rows {
                prop_assert!((1..=lines).contains(&row.line), "line {} of {lines}", row.line);
                prop_assert!(row.score.is_none_or(|score| (0.0..=100.0).contains(&score)), "{row:?}");
                prop_assert!(row.quarter.len() <= FIELD_BYTES);
            }
        }
    }

    const FIRST: &str = "quarter,date,compliance_score,violations,commits,proof_anchors,hash_valid,root24_status\n\
        2025-Q4,2025-12-31,100,0,145,3ddc8d7a,true,PASS\n2026-Q1,2026-03-31,97.5,1,189,dc9bb56b,true,PASS\n\
        2026-Q2,2026-06-30,100,0,0,pending,true,PASS\n";
    const SECOND: &str = "\u{feff}timestamp,quarter,compliance_score,total_roots,verified_roots,violations,\
        blueprint_version,root_24_lock,safe_fix_status\r\n2025-10-11T20:00:00Z,2025-Q4,95/100,24,24,2,v4.3,active,on\r\n";

    #[test]
    fn both_headers_are_read() {
        let first = Dashboard::parse(FIRST.as_bytes()).unwrap();
        assert_eq!((first.rows.len(), first.problems.len()), (3, 0));
        assert_eq!(
            (
                first.rows[1].score,
                first.rows[1].violations,
                first.rows[1].line
            ),
            (Some(97.5), Some(1), 3)
        );
        assert_eq!(first.rows[0].root_lock.as_deref(), Some("PASS"));
        let second = Dashboard::parse(SECOND.as_bytes()).unwrap();
        let row = &second.rows[0];
        assert_eq!(
            (row.score, row.violations, row.date),
            (Some(95.0), Some(2), date(2025, 10, 11))
        );
        assert_eq!(
            (row.blueprint.as_deref(), row.root_lock.as_deref()),
            (Some("v4.3"), Some("active"))
        );
    }

    #[test]
    fn quarters_to_come_are_not_current() {
        let dashboard = Dashboard::parse(FIRST.as_bytes()).unwrap();
        assert_eq!(
            dashboard.until(date(2026, 6, 29)).last().unwrap().quarter,
            "2026-Q1"
        );
        assert_eq!(
            dashboard.until(date(2026, 6, 30)).last().unwrap().quarter,
            "2026-Q2"
        );
        assert!(dashboard.until(date(2025, 1, 1)).is_empty());
    }

    #[test]
    fn what_is_unknown_is_not_a_hundred() {
        let text = "date,compliance_score,violations\n2026-01-01,unknown,\n2026-01-02,,n/a\n";
        let rows = Dashboard::parse(text.as_bytes()).unwrap().rows;
        assert!(
            rows.iter()
                .all(|row| row.score.is_none() && row.violations.is_none())
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        let text = "date,compliance_score\n\nyesterday,90\n2026-01-01,101\n2026-01-02,nan\n2026-01-03,88\n2026-01-04\n";
        let dashboard = Dashboard::parse(text.as_bytes()).unwrap();
        let scores: Vec<_> = dashboard
            .rows
            .iter()
            .map(|row| (row.score, row.problem.is_some()))
            .collect();
        assert_eq!(
            scores,
            [
                (None, true),
                (None, true),
                (Some(88.0), false),
                (None, false)
            ],
            "{dashboard:?}"
        );
        let expected = [
            "line 3: \"yesterday\"",
            "line 4: \"101\"",
            "line 5: \"nan\"",
        ];
        for (problem, begins) in dashboard.problems.iter().zip(expected) {
            assert!(problem.starts_with(begins), "{problem}");
        }
        assert!(
            Dashboard::parse(b"a,b\n1,2\n")
                .unwrap_err()
                .contains("neither `date` nor `timestamp`")
        );
        assert!(
            Dashboard::parse(b"date\n1\n")
                .unwrap_err()
                .contains("compliance_score")
        );
        let broken = "date,compliance_score\n".to_owned() + &"x,1\n".repeat(50);
        assert_eq!(
            Dashboard::parse(broken.as_bytes()).unwrap().problems.len(),
            PROBLEMS
        );
    }

    #[test]
    fn what_a_spreadsheet_makes_of_it_is_read() {
        let semicolons =
            "quarter;date;compliance_score;violations\r\n2026-Q1;2026-03-31;12,5;9\r\n";
        let wide = |text: &str| -> Vec<u8> {
            std::iter::once(0xfeff)
                .chain(text.encode_utf16())
                .flat_map(u16::to_le_bytes)
                .collect()
        };
        let quoted = "date,compliance_score,violations\n2026-03-31,\"12,5\",9\n".to_owned();
        let hinted = format!("sep=;\r\n{semicolons}");
        let forms = [
            semicolons.to_owned(),
            semicolons.replace(';', "\t"),
            hinted.clone(),
            quoted,
        ];
        let bytes = forms.iter().map(|text| text.clone().into_bytes());
        for form in bytes.chain([wide(&semicolons.replace(';', "\t"))]) {
            let read = Dashboard::parse(&form).unwrap();
            let row = &read.rows[0];
            assert_eq!(
                (row.score, row.violations, read.problems.len()),
                (Some(12.5), Some(9), 0),
                "{row:?}"
            );
        }
        assert_eq!(Dashboard::parse(hinted.as_bytes()).unwrap().rows[0].line, 3);
        assert!(score("1,000").is_err());
    }

    #[test]
    fn the_first_place_that_exists_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let places = ["a.csv", "b.csv"].map(|name| Place::from(directory.path().join(name)));
        assert!(Dashboard::read_first(&places).unwrap().is_none());
        std::fs::write(&places[1], FIRST).unwrap();
        assert_eq!(
            Dashboard::read_first(&places).unwrap().unwrap().0,
            places[1].as_path()
        );
        std::fs::write(&places[0], SECOND).unwrap();
        assert_eq!(
            Dashboard::read_first(&places).unwrap().unwrap().0,
            places[0].as_path()
        );
        std::fs::File::create(&places[0])
            .unwrap()
            .set_len(FILE_BYTES + 1)
            .unwrap();
        assert!(matches!(
            Dashboard::read_first(&places),
            Err(DashboardError::TooLarge(_))
        ));
    }
}
