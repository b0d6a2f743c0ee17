//! Changes of members for people: made from what is said of them in a few words, and put into words
//! before they are approved. Pure: whoever shows or proposes one uses the same.

pub(crate) mod consequences;
pub mod edit;
