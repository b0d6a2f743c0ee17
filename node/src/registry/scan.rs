//! Cuts the registry log into pieces: objects, what stands between them, and broken objects.
//!
//! A step looks at the bytes from a position on and either names the next piece or says that too
//! little has been written yet. Bytes that are appended later never change a piece already named,
//! so that a log read as it grows gives what reading it at once gives.
//!
//! An object begins at a `{` that is followed by a key or by `}`. It is broken when a string does
//! not end on its line, when a line begins with `{` indented no deeper than the object itself
//! (nested objects are indented, or stand behind a key), or when what its braces enclose is no
//! JSON. A broken object reaches to the next such line, or to a line that begins with `}` indented
//! no deeper.

/// Where scanning stands: between the objects, or in what is left of a broken one that was too
/// large for one piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Prose, blanks or an object may come.
    #[default]
    Between,
    /// Inside a broken object whose first line is indented by `indent` bytes.
    Broken { indent: usize, mid_line: bool },
}

/// What a piece is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing but blanks.
    Blank,
    /// Text between the objects.
    Prose,
    /// A well-formed JSON object.
    Object,
    /// A string is not closed on its line.
    OpenString,
    /// The next object begins before this one ends.
    NotClosed,
    /// Braces match, but what they enclose is no JSON, for this reason.
    NotJson(String),
    /// Larger than the limit.
    TooLarge,
    /// What is left of the broken object before.
    Rest,
}

/// One piece: `start..end` are its bytes without surrounding blanks, scanning goes on at `next` in
/// `state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) next: usize,
    pub(super) state: State,
}

impl Step {
    fn between(kind: Kind, start: usize, next: usize) -> Self {
        Self {
            kind,
            start,
            end: next,
            next,
            state: State::Between,
        }
    }
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// The piece that begins with the first of `bytes`, or `None` if more must be written before it can
/// be told. No piece is larger than `limit` bytes and a line's indentation; `None` is answered for
/// at most four times that.
pub(super) fn step(bytes: &[u8], state: State, at_file_start: bool, limit: usize) -> Option<Step> {
    let mut step = match state {
        State::Between if at_file_start && bytes.starts_with(BOM) => {
            Step::between(Kind::Blank, 0, BOM.len())
        }
        State::Between if at_file_start && BOM.starts_with(bytes) => return None,
        State::Between => between(bytes, limit)?,
        State::Broken { indent, mid_line } => rest_of_broken(bytes, indent, mid_line, limit)?,
    };
    let piece = bytes.get(step.start..step.end)?;
    step.end = step.start
        + piece
            .iter()
            .rposition(|b| !is_blank(*b))
            .map_or(0, |last| last + 1);
    Some(step)
}

/// Whether `byte` counts for nothing: JSON's four blanks.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_indentation(byte: u8) -> bool {
    byte != b'\n' && is_blank(byte)
}

fn between(bytes: &[u8], limit: usize) -> Option<Step> {
    let window = bytes.get(..limit).unwrap_or(bytes);
    let first = window.iter().position(|b| !is_indentation(*b));
    match first {
        // blanks so far: an object may follow them
        None if bytes.len() < limit => None,
        None => Some(Step::between(Kind::Blank, 0, limit)),
        Some(at) if bytes[at] == b'\n' => Some(Step::between(Kind::Blank, 0, at + 1)),
        Some(at) if opens_object(bytes, at, limit)? => object(bytes, at, limit),
        Some(at) => prose(bytes, at, limit),
    }
}

/// Whether an object begins at `at`; `None` if the bytes end before it can be told.
fn opens_object(bytes: &[u8], at: usize, limit: usize) -> Option<bool> {
    if bytes.get(at)? != &b'{' {
        return Some(false);
    }
    let after = bytes.get(at + 1..)?;
    let window = after.get(..limit).unwrap_or(after);
    match window.iter().find(|b| !is_blank(**b)) {
        Some(b) => Some(matches!(b, b'"' | b'}')),
        None if after.len() < limit => None,
        None => Some(false),
    }
}

/// Text from `at` to the end of its line, to an object on the same line, or to the limit.
fn prose(bytes: &[u8], at: usize, limit: usize) -> Option<Step> {
    for (offset, byte) in bytes[at..].iter().enumerate().skip(1) {
        let here = at + offset;
        if offset == limit || (*byte == b'{' && opens_object(bytes, here, limit)?) {
            return Some(Step::between(Kind::Prose, at, here));
        }
        if *byte == b'\n' {
            return Some(Step::between(Kind::Prose, at, here + 1));
        }
    }
    None
}

/// The object that begins at `at`, which is also how deep its line is indented (or 0, behind
/// something else).
fn object(bytes: &[u8], at: usize, limit: usize) -> Option<Step> {
    let indent = at;
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (here, byte) in bytes.iter().enumerate().skip(at).take(limit) {
        match byte {
            b'\n' if in_string => return resync(bytes, at, here, indent, limit, Kind::OpenString),
            b'\n' if line_at(bytes, here + 1, indent)? == Line::Opens => {
                return Some(Step::between(Kind::NotClosed, at, here + 1));
            }
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' => depth += 1,
            b'}' if depth == 1 => return closed(bytes, at, here + 1, indent, limit),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    (bytes.len() >= at + limit).then(|| cut(bytes, at, indent, limit, Kind::TooLarge))
}

/// An object whose braces match: if it is no JSON, a stray quote may have hidden where it really
/// ends.
fn closed(bytes: &[u8], at: usize, end: usize, indent: usize, limit: usize) -> Option<Step> {
    let Err(reason) = check_json(&bytes[at..end]) else {
        return Some(Step::between(Kind::Object, at, end));
    };
    let kind = Kind::NotJson(reason);
    let after = bytes.get(end..end + limit).unwrap_or(&bytes[end..]);
    let next = after.iter().find(|b| !is_indentation(**b));
    match next {
        // what follows may not be written yet
        None if after.len() < limit => None,
        // nothing more on its line: this is where it was meant to end
        None | Some(b'\n' | b'{') => Some(Step::between(kind, at, end)),
        Some(_) => resync(bytes, at, end, indent, limit, kind),
    }
}

fn check_json(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8: {e}"))?;
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// From `from`, inside the broken object that begins at `start`, to where objects can begin again.
fn resync(
    bytes: &[u8],
    start: usize,
    from: usize,
    indent: usize,
    limit: usize,
    kind: Kind,
) -> Option<Step> {
    let stop = bytes.len().min(start + limit);
    for here in from..stop {
        if bytes[here] != b'\n' {
            continue;
        }
        match line_at(bytes, here + 1, indent)? {
            Line::Opens => return Some(Step::between(kind, start, here + 1)),
            Line::Closes(after) => return Some(Step::between(kind, start, after)),
            Line::Other => {}
        }
    }
    (bytes.len() >= start + limit).then(|| cut(bytes, start, indent, limit, kind))
}

fn cut(bytes: &[u8], start: usize, indent: usize, limit: usize, kind: Kind) -> Step {
    let next = start + limit;
    let mid_line = bytes.get(next.saturating_sub(1)) != Some(&b'\n');
    Step {
        kind,
        start,
        end: next,
        next,
        state: State::Broken { indent, mid_line },
    }
}

fn rest_of_broken(bytes: &[u8], indent: usize, mid_line: bool, limit: usize) -> Option<Step> {
    if !mid_line {
        match line_at(bytes, 0, indent)? {
            Line::Opens => return between(bytes, limit),
            Line::Closes(after) => return Some(Step::between(Kind::Rest, 0, after)),
            Line::Other => {}
        }
    }
    let mut step = resync(bytes, 0, 0, indent, limit, Kind::Rest)?;
    step.start = bytes[..step.end]
        .iter()
        .position(|b| !is_blank(*b))
        .unwrap_or(step.end);
    Some(step)
}

#[derive(PartialEq, Eq)]
enum Line {
    /// Begins with `{`, indented no deeper than asked.
    Opens,
    /// Begins with `}`, likewise; what follows it begins here.
    Closes(usize),
    Other,
}

fn line_at(bytes: &[u8], at: usize, indent: usize) -> Option<Line> {
    for depth in 0..=indent {
        match bytes.get(at + depth)? {
            b'{' => return Some(Line::Opens),
            b'}' => return Some(Line::Closes(at + depth + 1)),
            byte if is_indentation(*byte) => {}
            _ => return Some(Line::Other),
        }
    }
    Some(Line::Other)
}
