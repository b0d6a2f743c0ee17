//! Changes of members for people: made from what is said of them in a few words, and put into words
//! before they are approved. Pure: whoever shows or proposes one uses the same.

pub(crate) mod consequences;
mod differences;
pub mod edit;
pub(crate) mod presence;
pub(crate) mod replaced_keys;
