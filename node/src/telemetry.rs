//! Governance telemetry: what changed in the dashboard, the registry and the federation is told to
//! people by Slack, Discord, a webhook or mail. [`checks`], [`happenings`] and [`turns`] say what
//! there is to tell, [`outbox`] keeps it until it is delivered, [`delivery`] delivers, [`task`] does
//! all of it inside a running node. Nothing here can slow certification down: it listens to the
//! engine's events on a bounded channel and writes through it in batches.

pub mod changes;
pub mod channels;
pub mod chart;
pub mod checks;
pub mod conditions;
pub mod config;
pub mod dashboard;
pub mod delivery;
pub mod happenings;
pub mod hook;
pub mod look;
pub mod message;
pub mod outbox;
pub mod outbox_store;
pub mod secret;
pub mod service;
pub mod state;
pub mod task;
pub mod trend;
pub mod trial;
pub mod turns;
pub mod view;

#[cfg(test)]
mod tests;
