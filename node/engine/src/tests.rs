//! Tests of several engines together, by what they are about; [`net::Net`] joins them.

use std::collections::BTreeSet;
use std::sync::Arc;

use ssid_protocol::epoch::{EpochContext, Epochs};
use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, LogId, NodeId, UnixMillis};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::sync::{Answer, Request};
use ssid_protocol::testing;
use ssid_storage::{Journal, Owner, Store};
use tempfile::TempDir;

use super::messages::{CheckedAnswer, Validity};
use super::node_event::NodeEvent;
use super::request::{Command, EmitOutcome, Reply};
use super::settings::EngineSettings;
use super::{
    Carried, Effects, Engine, EngineParts, Inbound, Operated, OperatorRefusal, OwnLine,
    RegistryNews,
};

mod announcing;
mod bounds;
mod certifying;
mod clocks;
mod configured;
mod conflicts;
mod evidence;
mod git;
mod hollow;
mod inputs;
mod membership;
mod net;
mod operator;
mod outbox;
mod own_registry;
mod registry_changes;
mod simulated;
mod split_origin;
mod startup_check;
mod trust;
mod verdicts;
mod vote_buffer;

use inputs::{deliver, events, observed, other, subject_of, two, verdict};
use net::{Message, Net, START};
