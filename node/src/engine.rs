//! Runs [`ssid_engine`]: one task that owns it, fed by the network, the registry file and the API,
//! and a handle for everybody else (ARCHITECTURE, *Data flow*).

mod error;
mod handle;
mod listener;
mod metrics;
pub mod task;
#[cfg(test)]
pub(crate) mod testing;

pub use error::EngineError;
pub use handle::{Call, EMIT_EVENTS, EngineHandle};
pub use listener::{Heard, Listener};
pub use metrics::EngineMetrics;
