//! What stands between the objects of a log: text that was never meant as an event, or an event
//! that cannot be read. The latter must not pass for the former: whoever wrote it believes that it
//! is recorded.

use super::parse::SkipReason;

/// Names of an event's fields that do not occur as keys in other text.
const TELLING: [&str; 4] = [
    "commit_hash",
    "root_24_lock",
    "compliance_score",
    "emitted_by",
];
/// Names that do: one counts behind a brace, two together.
const COMMON: [&str; 4] = ["timestamp", "event", "version", "blueprint"];
/// Byte order marks of UTF-16.
const MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// Why a piece of text between the objects holds no event.
pub(super) fn reason(piece: &[u8]) -> SkipReason {
    if piece.contains(&0) || MARKS.iter().any(|mark| piece.starts_with(mark)) {
        return SkipReason::ZeroBytes;
    }
    let text = String::from_utf8_lossy(piece);
    let has_brace = text.contains(['{', '｛']);
    let ends: &[char] = if has_brace {
        &[':', '：', '=']
    } else {
        &[':', '：']
    };
    let count = |set: &[&str]| set.iter().filter(|name| names(&text, name, ends)).count();
    let is_meant = count(&TELLING) > 0 || count(&COMMON) > usize::from(!has_brace);
    if is_meant {
        SkipReason::MeantAsEvent(fault(&text))
    } else {
        SkipReason::Prose
    }
}

/// Whether `name` stands in `text` as a key: as a word of its own, quoted in any way or not, before
/// one of `ends`.
fn names(text: &str, name: &str, ends: &[char]) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let is_around = |c: char| is_quote(c) || is_space(c);
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        // a part of a longer word is no key
        let begins = !before.ends_with(is_word);
        begins && after.trim_start_matches(is_around).starts_with(ends)
    })
}

/// What keeps the text from being JSON, as far as it can be seen.
fn fault(text: &str) -> &'static str {
    let inside = text
        .split_once('{')
        .map_or("", |(_, inside)| inside.trim_start());
    if text.contains(is_smart_quote) {
        "its quotes are not the plain \""
    } else if text.contains(|c| is_space(c) && !c.is_ascii()) {
        "there are blanks in it that JSON does not know, such as a no-break space"
    } else if ["//", "/*", "#"]
        .iter()
        .any(|begin| inside.starts_with(begin) || text.trim_start().starts_with(begin))
    {
        "there is a comment in it"
    } else if text.contains('\'') {
        "its quotes are single ones, as Python writes them"
    } else if inside.starts_with(|c: char| c.is_alphabetic()) {
        "its keys are not in quotes"
    } else {
        "it is not within the braces of an object"
    }
}

fn is_smart_quote(c: char) -> bool {
    matches!(c, '\u{2018}'..='\u{201f}' | '\u{2039}' | '\u{203a}' | '«' | '»' | '＂' | '＇' | '´' | '\u{2032}'..='\u{2037}')
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | '\\') || is_smart_quote(c)
}

/// Blanks, and characters that show as nothing.
fn is_space(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use crate::registry::fixtures::{event, one_line, pretty};
    use crate::registry::parse::{Position, parse};

    fn told(text: &str) -> Vec<(u64, u64, String)> {
        let log = parse(text.as_bytes(), Position::START);
        assert_eq!(
            log.entries.len(),
            2,
            "the events around it are read: {log:?}"
        );
        log.quarantined()
            .map(|s| (s.first_line, s.last_line, s.reason.to_string()))
            .collect()
    }

    #[test]
    fn what_was_meant_as_an_event_is_named_with_its_line_and_why() {
        let line = one_line(&event(2));
        let cases = [
            (
                line.replacen("{\"timestamp\"", "{\u{201c}timestamp\u{201d}", 1),
                "its quotes are not the plain",
            ),
            (
                line.replace('"', "\u{201e}"),
                "its quotes are not the plain",
            ),
            (line.replacen('{', "{\u{a0}", 1), "no-break space"),
            (line.replacen('{', "{\u{200b}", 1), "no-break space"),
            (line.replacen('{', "{\u{feff}", 1), "no-break space"),
            (line.replace('"', "'"), "as Python writes them"),
            (
                line.replacen("\"timestamp\"", "timestamp", 1),
                "its keys are not in quotes",
            ),
            (line.replace('"', ""), "its keys are not in quotes"),
            (line.replacen('{', "{ /* the first */ ", 1), "a comment"),
            (line.replacen('{', "{ // the first ", 1), "a comment"),
            (line.replacen('{', "{ # the first ", 1), "a comment"),
            (
                line.trim_start_matches('{').to_owned(),
                "not within the braces",
            ),
            (line.replace('{', "("), "not within the braces"),
        ];
        for (meant, why) in cases {
            let text = format!(
                "{}\n{meant}\n{}\n",
                one_line(&event(1)),
                one_line(&event(3))
            );
            let told = told(&text);
            assert!(
                told.len() == 1 && (told[0].0, told[0].1) == (2, 2),
                "{meant}: {told:?}"
            );
            assert!(told[0].2.contains(why), "{meant}: {told:?}");
        }
    }

    #[test]
    fn an_event_over_several_lines_is_named_too() {
        let commented = pretty(&event(2)).replacen('{', "{ // by hand", 1);
        for meant in [
            pretty(&event(2)).replace('"', "'"),
            pretty(&event(2)).replace('"', ""),
            commented,
        ] {
            let told = told(&format!(
                "{}\n{meant}\n{}\n",
                one_line(&event(1)),
                one_line(&event(3))
            ));
            assert!(
                !told.is_empty()
                    && told
                        .iter()
                        .all(|(first, last, _)| (2..=11).contains(first) && last <= &11)
            );
        }
    }

    #[test]
    fn text_in_utf_16_or_32_and_zero_bytes_are_named() {
        let wide = |units: fn(char) -> Vec<u8>| -> Vec<u8> {
            (one_line(&event(2)) + "\r\n")
                .chars()
                .flat_map(units)
                .collect()
        };
        let little: fn(char) -> Vec<u8> = |c| (c as u16).to_le_bytes().to_vec();
        let forms: [Vec<u8>; 5] = [
            wide(little),
            wide(|c| (c as u16).to_be_bytes().to_vec()),
            wide(|c| (c as u32).to_le_bytes().to_vec()),
            wide(|c| (c as u32).to_be_bytes().to_vec()),
            one_line(&event(2)).replacen('{', "{\0", 1).into_bytes(),
        ];
        for form in forms {
            let mut bytes = one_line(&event(1)).into_bytes();
            bytes.extend_from_slice(b"\n");
            bytes.extend_from_slice(&form);
            bytes.extend_from_slice(format!("\n{}\n", one_line(&event(3))).as_bytes());
            let log = parse(&bytes, Position::START);
            assert_eq!(log.entries.len(), 2);
            let told: Vec<_> = log
                .quarantined()
                .map(|s| (s.first_line, s.reason.to_string()))
                .collect();
            assert!(
                told.len() == 1 && told[0].0 == 2 && told[0].1.contains("UTF-16"),
                "{told:?}"
            );
        }
        let marked: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain(wide(little))
            .chain(wide(little))
            .collect();
        let log = parse(&marked, Position::START);
        let told: Vec<_> = log
            .quarantined()
            .map(|s| (s.first_line, s.last_line))
            .collect();
        assert_eq!(told, [(1, 2)], "a log of one kind is told once");
    }

    #[test]
    fn text_that_was_never_meant_as_an_event_is_prose() {
        for text in [
            "Registry events initialized.",
            "# The blueprint is v4.4 and the version of the event is in its commit_hash",
            "Blueprint: v4.4",
            "version: 7",
            "see event=x",
            "[2025-10-01] compliance_score_of_last_year: 97",
            "timestamp=2025-10-01T20:00:00Z level=info event=started",
            "a set {1, 2, 3} of events",
            "git commit --message timestamp",
            "-----",
        ] {
            let told = told(&format!(
                "{}\n{text}\n{}\n",
                one_line(&event(1)),
                one_line(&event(3))
            ));
            assert!(told.is_empty(), "{text}: {told:?}");
        }
    }
}
