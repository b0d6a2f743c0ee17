//! Clusters of real `ssid` processes for tests: made by the commands that people type, in a
//! directory of their own, on free ports, ended with the test.
//!
//! ```text
//! Cluster::start(4)                    made, running, every node ready and connected
//!     .node(2).kill()                  SIGKILL
//!     .node(0).ssid(&["status"])       a command, its exit code and what it wrote
//!     .node(0).get("/readyz")          the API
//! eventually("…", SOON, || …)          waits for a condition; never for a time
//! ```
//!
//! A failed wait or command panics with what was seen last; the end of every node's log follows
//! when the cluster is dropped. Whatever happens in a test, its processes end with it.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a harness: what does not work ends the test, and says what it was"
)]

pub mod adversary;
mod binary;
mod cluster;
mod command;
mod events;
mod federation;
pub mod git;
mod http;
mod node;
mod relay;
mod siege;
pub mod sim;
mod turns;
mod wait;

pub use binary::ssid_binary;
pub use cluster::{Cluster, Shape};
pub use command::{Outcome, ssid_in, ssid_with};
pub use events::{Events, pretty, wild_log, with_hash};
pub use federation::{Organisation, create_federation, free_port};
pub use http::Reply;
pub use node::{Address, Node};
pub use relay::Relay;
pub use rustix::process::Signal;
pub use siege::Siege;
pub use wait::{LONG, SOON, eventually, never_while};
