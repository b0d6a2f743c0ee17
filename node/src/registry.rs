//! The registry's own files: reading the log as it is found in the wild, appending to it, and where
//! things live.

pub mod append;
pub mod file;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod manifest;
mod notice;
pub mod parse;
pub mod paths;
#[cfg(test)]
mod promises;
mod prose;
mod scan;
mod seen;
pub mod stream;
pub mod task;
