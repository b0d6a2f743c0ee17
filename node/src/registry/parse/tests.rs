#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use ssid_protocol::testing::epoch_event;

use super::*;
use crate::registry::fixtures::{event, one_line, pretty, release, stray_quote};
use crate::registry::promises::keeps_its_promises;

fn parse_all(text: &str) -> ParsedLog {
    parse(text.as_bytes(), Position::START)
}

fn events(log: &ParsedLog) -> Vec<Event> {
    log.entries.iter().map(|e| e.event.clone()).collect()
}

fn reasons(log: &ParsedLog) -> Vec<&SkipReason> {
    log.skipped.iter().map(|s| &s.reason).collect()
}

#[test]
fn a_log_as_the_trigger_script_leaves_it() {
    let text = format!(
        "Registry events initialized.\n{}\n{}\n\n",
        pretty(&event(1)),
        pretty(&event(2))
    );
    let log = parse_all(&text);
    assert_eq!(events(&log), [event(1), event(2)]);
    assert_eq!(reasons(&log), [&SkipReason::Prose]);
    assert_eq!(
        (log.skipped[0].byte_range.clone(), log.skipped[0].last_line),
        (0..28, 1)
    );
    assert_eq!(log.quarantined().count(), 0);
    let second = &log.entries[1];
    assert_eq!(
        (second.first_line, second.last_line, second.stated_hash),
        (12, 21, None)
    );
    let range = second.byte_range.start as usize..second.byte_range.end as usize;
    assert_eq!(text[range], pretty(&event(2)));
    assert_eq!(
        second.proof_anchor,
        Sha256Hash::of(&[pretty(&event(2)).as_bytes()])
    );
    assert_eq!(
        (log.complete_until.offset, log.complete_until.line),
        (text.len() as u64, 23)
    );
    assert_eq!(log.incomplete, None);
}

#[test]
fn one_line_objects_bom_crlf_extra_keys_and_no_separators() {
    let mut text = format!(
        "\u{feff}Registry events initialized.\r\n{}\r\n",
        pretty(&event(1)).replace('\n', "\r\n")
    );
    text.push_str(
        &[
            one_line(&event(2)),
            one_line(&event(3)),
            " ".into(),
            pretty(&event(4)),
            "\n".into(),
        ]
        .concat(),
    );
    text.push_str(
        &[
            "note without newline",
            &release(&event(5)),
            "\n  ",
            &one_line(&event(6)),
        ]
        .concat(),
    );
    let log = parse_all(&text);
    assert_eq!(events(&log), (1..=6).map(event).collect::<Vec<_>>());
    assert_eq!(log.entries[1].stated_hash, Some(event(2).event_hash()));
    assert_eq!(log.entries[1].first_line, log.entries[2].last_line);
    assert_eq!(reasons(&log), [&SkipReason::Prose, &SkipReason::Prose]);
    assert_eq!(log.skipped[0].byte_range.start, 3);
    assert_eq!(log.complete_until.offset, text.len() as u64);
}

#[test]
fn a_broken_object_is_quarantined_and_reading_goes_on() {
    let hurts: [(&str, String); 5] = [
        ("stray quote", stray_quote(&event(2))),
        (
            "two stray quotes",
            stray_quote(&event(2)).replace("readiness", "readi\"ness"),
        ),
        (
            "missing comma",
            pretty(&event(2)).replacen("\",\n", "\"\n", 1),
        ),
        ("cut off in a string", one_line(&event(2))[..100].to_owned()),
        ("cut off between keys", pretty(&event(2))[..40].to_owned()),
    ];
    for (what, broken) in hurts {
        let text = format!(
            "{}\n{broken}\n{}\ntext\n{}\n",
            pretty(&event(1)),
            pretty(&event(3)),
            one_line(&event(4))
        );
        let log = parse_all(&text);
        assert_eq!(events(&log), [event(1), event(3), event(4)], "{what}");
        assert_eq!(log.quarantined().count(), 1, "{what}: {:?}", log.skipped);
        let skipped = &log.skipped[0];
        let range = skipped.byte_range.start as usize..skipped.byte_range.end as usize;
        assert_eq!(text[range], *broken.trim_end(), "{what}");
        assert_eq!(skipped.first_line, 11, "{what}");
        assert_eq!(
            skipped.last_line,
            11 + broken.trim_end().matches('\n').count() as u64,
            "{what}"
        );
    }
}

#[test]
fn a_brace_behind_a_stray_quote_does_not_end_the_quarantine() {
    let broken = pretty(&event(2)).replace("\"active\"", "\"active\"x}\"{\"");
    let log = parse_all(&format!("{broken}\n{}\n", pretty(&event(3))));
    assert_eq!(events(&log), [event(3)]);
    assert_eq!(
        (log.skipped.len(), log.skipped[0].byte_range.end),
        (1, broken.len() as u64)
    );
}

#[test]
fn a_hash_that_does_not_match_is_reported() {
    let text = one_line(&event(1)).replace("v4.2.1", "v4.2.2");
    let log = parse_all(&text);
    assert!(
        matches!(&log.skipped[0].reason, SkipReason::WrongHash { stated, .. } if stated.len() == 64)
    );
    let longer = format!("{}66", event(1).event_hash());
    let log = parse_all(&one_line(&event(1)).replace(&event(1).event_hash().to_string(), &longer));
    assert!(
        log.skipped[0]
            .reason
            .to_string()
            .contains(&format!("but its fields hash to {}", event(1).event_hash()))
    );
}

#[test]
fn what_is_no_event_names_the_field() {
    let cases = [
        (
            pretty(&event(1)).replace("\"version\"", "\"versoin\""),
            "missing field `version`",
        ),
        (
            pretty(&event(1)).replace("\"active\"", "1"),
            "expected a string",
        ),
        (
            pretty(&event(1)).replace("\"blueprint\"", "\"event\""),
            "duplicate field `event`",
        ),
        (
            pretty(&event(1)).replace("7050f93", "7050F93"),
            "event field `commit_hash` must be 7 to 64 lower-case",
        ),
        (
            pretty(&event(1)).replace("2025-10", "2025-13"),
            "event field `timestamp`",
        ),
        ("{}".to_owned(), "missing field"),
        (
            format!("{{\"a\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000)),
            "missing field",
        ),
        (
            pretty(&event(1)).replace("active", "a\u{0}b"),
            "no valid JSON: control character",
        ),
    ];
    for (text, expected) in cases {
        let log = parse_all(&format!("{text}\n"));
        assert!(
            log.entries.is_empty() && log.skipped.len() == 1,
            "{expected}: {log:?}"
        );
        let said = log.skipped[0].reason.to_string();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn epoch_events_of_any_epoch_pass() {
    let change = epoch_event("7");
    assert_eq!(events(&parse_all(&one_line(&change))), [change]);
    for none in ["0", "07"] {
        let lines = one_line(&epoch_event(none));
        assert_eq!(reasons(&parse_all(&lines)).len(), 1, "{none}");
    }
    let mut reserved = event(1);
    reserved.event = "federation_score".into();
    assert_eq!(reasons(&parse_all(&one_line(&reserved))).len(), 1);
}

#[test]
fn a_cut_off_tail_waits_for_the_rest() {
    let whole = format!("{}\n{}\n", pretty(&event(1)), pretty(&event(2)));
    for cut in whole.len() / 2 + 2..whole.len() - 2 {
        let log = parse_all(&whole[..cut]);
        assert_eq!(log.entries.len(), 1);
        assert!(log.skipped.is_empty());
        let tail = log.incomplete.clone().unwrap();
        assert!(tail.start == whole.len() as u64 / 2 && tail.end <= cut as u64);
        let from = log.complete_until;
        let rest = parse(&whole.as_bytes()[from.offset as usize..], from);
        assert_eq!(events(&rest), [event(2)]);
        assert_eq!(rest.entries[0].first_line, 11);
    }
}

#[test]
fn invalid_utf8_and_nuls_are_skipped() {
    let mut bytes = b"\0\0\0\xff\n".to_vec();
    bytes.extend_from_slice(pretty(&event(1)).as_bytes());
    bytes.extend_from_slice(&pretty(&event(2)).replace("active", "?").into_bytes());
    let at = bytes.iter().position(|b| *b == b'?').unwrap();
    bytes[at] = 0xff;
    bytes.extend_from_slice(one_line(&event(3)).as_bytes());
    let log = parse(&bytes, Position::START);
    assert_eq!(events(&log), [event(1), event(3)]);
    assert!(log.skipped[1].reason.to_string().contains("not UTF-8"));
}

#[test]
fn objects_past_the_limit_are_skipped_in_bounded_pieces() {
    let nested = format!("\n    {}\n", one_line(&event(9)));
    let huge = format!(
        "{{\n  \"filler\": \"{}\",\n  \"list\": [{nested}  ]\n}}",
        "x".repeat(3 * OBJECT_BYTES)
    );
    let text = format!("{}\n{huge}\n{}\n", pretty(&event(1)), pretty(&event(2)));
    let log = parse_all(&text);
    assert_eq!(events(&log), [event(1), event(2)]);
    assert_eq!(reasons(&log), [&SkipReason::TooLarge, &SkipReason::Rest]);
    assert_eq!(
        log.skipped[1].byte_range.end,
        log.skipped[0].byte_range.start + huge.len() as u64
    );

    let endless = parse(&vec![b'{'; 10 * OBJECT_BYTES], Position::START);
    let tail = endless.incomplete.map_or(0, |r| r.end - r.start);
    assert!(
        tail <= 4 * OBJECT_BYTES as u64,
        "{tail} bytes are kept waiting"
    );
}

/// Pieces of logs: whole, damaged and hostile.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let shaped = (0_u32..5, 0_usize..13, 0_usize..400).prop_map(|(n, shape, cut)| {
        let event = event(n);
        let text = match shape {
            0 | 1 => pretty(&event) + "\n",
            2 => one_line(&event) + "\n",
            3 => release(&event) + "\n",
            4 => stray_quote(&event) + "\n",
            5 => pretty(&event).replace('\n', "\r\n"),
            6 => pretty(&event).chars().take(cut).collect(),
            7 => one_line(&event).chars().take(cut).collect(),
            8 => "Registry events initialized.".to_owned(),
            9 => "\n".to_owned(),
            10 => " {\"a\": {\"b\": \"}\\\"\"}}".to_owned(),
            11 => " ".repeat(cut),
            _ => format!("  {{ \"filler\": \"{}\"\n", "x".repeat(cut)),
        };
        text.into_bytes()
    });
    let noise = proptest::collection::vec(
        prop_oneof![Just(b'{'), Just(b'}'), Just(b'"'), Just(b'\n'), any::<u8>()],
        0..12,
    );
    prop_oneof![4 => shaped, 1 => noise]
}

fn log_bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(fragment(), 0..12).prop_map(|pieces| pieces.concat())
}

/// Small, so that random logs meet it.
const LIMIT: usize = 300;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_byte_is_accounted_for_at_once_and_as_the_log_grows(
        bytes in log_bytes(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let cuts: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len() + 1)).collect();
        keeps_its_promises(&bytes, LIMIT, &cuts);
    }

    #[test]
    fn a_cut_off_end_never_swallows_what_is_appended(bytes in log_bytes()) {
        let mut grown = bytes;
        grown.push(b'\n');
        let own = one_line(&event(77));
        grown.extend_from_slice(own.as_bytes());
        let log = parse_with_limit(&grown, Position::START, own.len());
        prop_assert_eq!(log.entries.last().map(|e| e.event.clone()), Some(event(77)));
    }
}
