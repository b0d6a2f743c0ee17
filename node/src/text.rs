//! Text of others where people read it: without characters that steer a terminal, hide, or turn the
//! order of what is shown. What is signed, stored and compared keeps them.

use std::fmt::Write as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// Whether a character shows nothing of itself and may change how others are shown: controls (Cc),
/// formats such as bidirectional overrides (Cf), line and paragraph separators (Zl, Zp).
pub fn is_unseen(c: char) -> bool {
    !c.is_ascii_graphic()
        && matches!(
            c.general_category(),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
}

/// `text` with a mark in the place of every unseen character.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if is_unseen(c) { '\u{fffd}' } else { c })
        .collect()
}

/// A key or a hash as two people compare it by voice (SPEC §4): its first 32 hex digits, in 8 groups
/// of 4.
pub fn spoken(id: &impl ToString) -> String {
    let digits = id.to_string();
    let groups: Vec<_> = digits.as_bytes().chunks(4).take(8).collect();
    String::from_utf8_lossy(&groups.join(&b' ')).into_owned()
}

/// Whole lines for a terminal: line ends and tabs stay, and with `with_colors` the colours that
/// this program writes.
pub fn printable(text: &str, with_colors: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let color = if with_colors && c == '\u{1b}' {
            color_at(rest)
        } else {
            0
        };
        if color > 0 {
            shown.push_str(&rest[..color]);
            rest = &rest[color..];
            continue;
        }
        shown.push(if matches!(c, '\n' | '\t') || !is_unseen(c) {
            c
        } else {
            '\u{fffd}'
        });
        rest = &rest[c.len_utf8()..];
    }
    shown
}

/// Bytes of the colour sequence that `text` begins with; 0 if it is another, which could hide what
/// follows.
fn color_at(text: &str) -> usize {
    let Some(numbers) = text.strip_prefix("\u{1b}[") else {
        return 0;
    };
    let length = numbers
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b';')
        .count();
    if numbers.as_bytes().get(length) != Some(&b'm') || length > 11 {
        return 0;
    }
    // normal, bold, dim, italic, and colours of the foreground
    let is_ours = match numbers[..length].split(';').collect::<Vec<_>>()[..] {
        ["" | "0" | "1" | "2" | "3" | "22" | "23" | "39"] | ["38", "5", _] => true,
        [one] => one
            .parse()
            .is_ok_and(|code: u8| (31..=37).contains(&code) || (90..=97).contains(&code)),
        _ => false,
    };
    if is_ours { length + 3 } else { 0 }
}

/// A JSON document with every unseen character in its texts written as an escape: the same
/// document.
pub fn printable_json(document: &str) -> String {
    let mut shown = String::with_capacity(document.len());
    for c in document.chars() {
        if matches!(c, '\n' | '\t' | '\r') || !is_unseen(c) {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // writing to a String does not fail
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const UNSEEN: &str = "\u{1b}\u{7}\u{7f}\u{9b}\u{ad}\u{200b}\u{200e}\u{202e}\u{2028}\u{2029}\u{2066}\u{feff}\u{e0041}";

    #[test]
    fn nothing_unseen_is_left() {
        assert_eq!(
            clean("a\u{202e}b\r\nÖ 漢 🙂"),
            "a\u{fffd}b\u{fffd}\u{fffd}Ö 漢 🙂"
        );
        assert_eq!(clean(UNSEEN), "\u{fffd}".repeat(UNSEEN.chars().count()));
    }

    #[test]
    fn what_is_compared_by_voice_is_eight_groups() {
        let id = "0123456789abcdef".repeat(4);
        let group = "0123 4567 89ab cdef";
        assert_eq!(spoken(&id), format!("{group} {group}"));
        assert_eq!(spoken(&"abc"), "abc");
    }

    #[test]
    fn lines_and_own_colours_stay_and_nothing_else_that_steers() {
        let own = "\u{1b}[32mgood\u{1b}[0m\n\u{1b}[38;5;9mbad\u{1b}[39m\n";
        assert_eq!(printable(own, true), own);
        assert!(!printable(own, false).contains('\u{1b}'));
        for bad in [
            "\u{1b}]0;title\u{7}",
            "\u{1b}[2J",
            "\u{1b}[8mhidden",
            "\u{1b}[1A",
            "\u{9b}2J",
            "\u{1b}[38;2;0;0;0m",
            "\u{1b}[30m",
        ] {
            assert!(
                !printable(bad, true).contains(['\u{1b}', '\u{9b}']),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_document_is_the_same_with_escapes() {
        let document = serde_json::to_string(UNSEEN).unwrap();
        let shown = printable_json(&document);
        assert!(shown.chars().all(|c| !is_unseen(c)), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), UNSEEN);
    }
}
