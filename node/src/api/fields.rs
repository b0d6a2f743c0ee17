//! Text fields of requests.

use super::error::Failure;
use crate::text::is_unseen;

/// The value of `field` without white space around it, if it is one line of 1 to `limit` characters
/// that are all seen.
///
/// # Errors
/// Why it is none, as a bad request.
pub(super) fn one_line(field: &str, value: &str, limit: usize) -> Result<String, Failure> {
    let value = value.trim();
    let found = fault(value, limit).map(|found| {
        let why = format!("{field} {found}; it has to be one line of 1 to {limit} characters");
        Failure::bad_request(why)
    });
    found.map_or_else(|| Ok(value.to_owned()), Err)
}

/// Why a text is not one line of 1 to `limit` characters that are all seen.
fn fault(value: &str, limit: usize) -> Option<String> {
    let count = value.chars().count();
    if count == 0 {
        return Some("is empty".to_owned());
    }
    if count > limit {
        return Some(format!("has {count} characters"));
    }
    let (place, unseen) = value.chars().enumerate().find(|(_, c)| is_unseen(*c))?;
    let what = match unseen {
        '\n' | '\r' => "a line break",
        '\t' => "a tab",
        c if c.is_control() => "a control character",
        _ => "a character that nobody sees",
    };
    let (number, place) = (u32::from(unseen), place + 1);
    Some(format!("has {what} (U+{number:04X}) as character {place}"))
}
