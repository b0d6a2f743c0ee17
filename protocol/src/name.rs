//! Names that documents and messages may carry without this version knowing them: purposes of
//! keys, rules, values of a heartbeat's `more`.

/// What [`is_name`] asks, in words.
pub(crate) const NAME_RULE: &str = "1 to 32 of a-z, 0-9, _, . and -";

/// Whether `text` is such a name: `[a-z0-9_.-]{1,32}`.
pub(crate) fn is_name(text: &str) -> bool {
    let fits =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
    (1..=32).contains(&text.len()) && text.bytes().all(fits)
}
