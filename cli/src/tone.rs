//! What a word of an answer means.

/// What a word means, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Something is wrong: red.
    Bad,
    /// Less important than the rest: dim.
    Dim,
}
