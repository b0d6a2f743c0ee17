//! Lists are answered a page at a time.

use serde::Deserialize;

use crate::api::error::Failure;

/// Most items that a page of a list has.
const PAGE_MAX: usize = 1000;
/// Length of a page nobody asked a length for.
const PAGE_DEFAULT: usize = 50;

/// Which part of a long list.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Paging {
    /// How many items.
    pub(super) limit: Option<usize>,
    /// Where the page before ended: of the log a sequence number, of other lists a subject.
    pub(super) before: Option<String>,
}

impl Paging {
    /// How many are wanted, at most [`PAGE_MAX`].
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)
    }

    /// Only entries of the log before this sequence number.
    pub(super) fn before(&self) -> Result<Option<u64>, Failure> {
        let parse = |text: &String| {
            text.parse()
                .map_err(|_| Failure::bad_request(format!("before={text:?} is no cursor")))
        };
        self.before.as_ref().map(parse).transpose()
    }
}
