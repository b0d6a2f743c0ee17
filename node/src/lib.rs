//! The running federation node: the engine that drives voting, registry files, the
//! local API.

pub mod anchor;
pub mod api;
pub mod child;
mod client;
pub mod clock;
pub mod config;
pub mod conflicts;
mod document;
pub mod engine;
mod epoch_watch;
pub mod git;
pub mod home;
pub mod identity;
pub mod invited;
pub mod keyfile;
pub mod known_members;
pub mod legacy;
pub mod membership;
pub mod node;
pub mod old_copy;
pub mod pace;
pub mod place;
pub mod projection;
pub mod query;
pub mod registry;
pub mod release;
pub mod report;
pub mod telemetry;
pub mod text;
pub mod view;
#[cfg(test)]
mod wild;

/// Program and version, as heartbeats say it too.
pub(crate) const SOFTWARE: &str = concat!("ssid/", env!("CARGO_PKG_VERSION"));
