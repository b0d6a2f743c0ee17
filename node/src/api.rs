//! The local API: HTTP on a Unix socket in the data directory, and on a TCP address when one is
//! configured. It reads snapshots (storage, the engine's status, what the network last reported)
//! and hands commands to the engine; it owns no state of its own.

mod access;
mod body;
mod caller;
mod error;
mod fields;
mod listen;
mod lookup;
mod names;
mod routes;
mod server;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod wait;

#[cfg(test)]
pub(crate) use tests::{state as testing_state, status as testing_status};

pub use listen::{ApiError, ApiListen, SOCKET_NAME, TcpListen};
pub use server::serve;
pub use state::{ApiState, EventDefaults};
