//! The built binary on repositories of deployments without keys: what their scripts did, carried
//! over.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod deployment;
mod present_form;
mod scripts;
mod steps;
mod sync;
mod workflows;
