//! What the parser of the registry log promises of any bytes whatever. Asked by this crate's
//! property tests and by the fuzz target `registry_log` of `protocol/fuzz`, which takes these files
//! in by their paths.

use std::ops::Range;

use super::parse::{LoggedEvent, ParsedLog, Position, Skipped, parse_with_limit};
use super::scan::is_blank;

/// Panics unless reading `bytes` accounts for every byte and line, finds each event again where it
/// says that it stands, and gives the same whether read at once or as the file grows to `cuts` and
/// then to its end. How many events there are.
pub(super) fn keeps_its_promises(bytes: &[u8], limit: usize, cuts: &[usize]) -> usize {
    let once = parse_with_limit(bytes, Position::START, limit);
    accounts_for_everything(bytes, &once);
    accounts_for_lines(bytes, &once);
    for entry in &once.entries {
        stands_where_it_says(bytes, entry, limit);
    }
    let mut grown = read_growing(bytes, limit, cuts);
    grown.skipped = joined(&grown);
    assert_eq!(once, grown, "read at once, and as it grew to {cuts:?}");
    once.entries.len()
}

fn accounts_for_everything(bytes: &[u8], log: &ParsedLog) {
    let mut ranges: Vec<Range<u64>> = log.entries.iter().map(|e| e.byte_range.clone()).collect();
    ranges.extend(log.skipped.iter().map(|s| s.byte_range.clone()));
    ranges.extend(log.incomplete.clone());
    ranges.sort_by_key(|r| r.start);
    let mut at = 0;
    for range in ranges {
        assert!(
            range.start >= at && range.end > range.start,
            "ranges overlap or are empty"
        );
        assert_blank(bytes, at, range.start);
        at = range.end;
    }
    assert_blank(bytes, at, bytes.len() as u64);
}

/// That nothing but blanks, and at the very beginning a byte order mark, is passed over.
fn assert_blank(bytes: &[u8], from: u64, to: u64) {
    let gap = &bytes[from as usize..to as usize];
    let gap = if from == 0 {
        gap.strip_prefix(b"\xef\xbb\xbf").unwrap_or(gap)
    } else {
        gap
    };
    assert!(gap.iter().all(|b| is_blank(*b)), "{gap:?} is passed over");
}

fn accounts_for_lines(bytes: &[u8], log: &ParsedLog) {
    let lines = bytes.split(|b| *b == b'\n').count() as u64;
    let entries = log.entries.iter().map(|e| (e.first_line, e.last_line));
    for (first, last) in entries.chain(log.skipped.iter().map(|s| (s.first_line, s.last_line))) {
        assert!(
            1 <= first && first <= last && last <= lines,
            "lines {first} to {last} of {lines}"
        );
    }
}

fn stands_where_it_says(bytes: &[u8], entry: &LoggedEvent, limit: usize) {
    let piece = &bytes[entry.byte_range.start as usize..entry.byte_range.end as usize];
    assert!(
        piece.len() <= limit,
        "an object of {} bytes, {limit} at most",
        piece.len()
    );
    // alone in a log, it waits for the line's end to be complete
    let alone = parse_with_limit(&[piece, b"\n"].concat(), Position::START, limit);
    let [found] = &alone.entries[..] else {
        panic!("{} events at {:?}", alone.entries.len(), entry.byte_range)
    };
    assert_eq!(
        (&found.event, found.proof_anchor),
        (&entry.event, entry.proof_anchor)
    );
    assert!(
        entry
            .stated_hash
            .is_none_or(|stated| stated == entry.event.event_hash())
    );
}

fn read_growing(bytes: &[u8], limit: usize, cuts: &[usize]) -> ParsedLog {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| (*cut).min(bytes.len())).collect();
    cuts.sort_unstable();
    cuts.push(bytes.len());
    let mut grown = parse_with_limit(&[], Position::START, limit);
    for cut in cuts {
        let from = grown.complete_until;
        let part = parse_with_limit(&bytes[from.offset as usize..cut], from, limit);
        grown.entries.extend(part.entries);
        grown.skipped.extend(part.skipped);
        grown.complete_until = part.complete_until;
        grown.incomplete = part.incomplete;
    }
    grown
}

/// What is prose on both sides of a cut is told as one by reading at once.
fn joined(log: &ParsedLog) -> Vec<Skipped> {
    let mut all: Vec<Skipped> = Vec::new();
    for next in &log.skipped {
        let joins = next.reason.joins();
        let event_between = |gap: Range<u64>| {
            log.entries
                .iter()
                .any(|entry| gap.contains(&entry.byte_range.start))
        };
        match all.last_mut() {
            Some(last)
                if joins
                    && last.reason == next.reason
                    && !event_between(last.byte_range.end..next.byte_range.start) =>
            {
                last.byte_range.end = next.byte_range.end;
                last.last_line = next.last_line;
            }
            _ => all.push(next.clone()),
        }
    }
    all
}
