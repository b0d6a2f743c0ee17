//! The running federation node: the engine that drives voting, the network, registry files, the local API.

pub mod anchor;
pub mod api;
pub mod config;
pub mod conflicts;
pub mod engine;
pub mod home;
pub mod identity;
pub mod keyfile;
pub mod network;
pub mod node;
pub mod registry;
