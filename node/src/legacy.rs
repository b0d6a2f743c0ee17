//! Deployments of before: nodes that have a repository and no key, with a registry log, a manifest
//! and a configuration that scripts wrote. They are read, shown and carried over; what they say is
//! observed and never counts to a quorum, a certificate or trust of members with keys (SPEC §10).

mod carry_over;
mod fetch;
pub mod plain;
mod survey;
mod task;
#[cfg(test)]
mod tests;

pub use carry_over::{carry_over, in_numbers};
pub use fetch::Teller;
pub use survey::{Action, LogSurvey, Survey, SurveyError, SurveyedNode};
pub use task::{PlainHandle, PlainPlaces, prepare};
