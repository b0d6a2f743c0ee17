//! The engine: one task that owns the voting instances, the membership and the write side of
//! storage (ARCHITECTURE, *Data flow*). [`Engine`] is all of it without a clock, a task or a
//! socket; [`task`] runs it.

mod answers;
mod catch_up;
mod certify;
pub mod checking;
mod clock;
mod closing;
mod commits;
mod core;
mod counts;
mod error;
mod events;
mod evidence;
mod halted;
mod handle;
mod hearing;
mod late;
mod listener;
mod messages;
mod metrics;
mod node_event;
mod offer;
mod offers;
mod open;
mod operator;
pub mod outbox;
mod own_registry;
mod peers;
mod proof;
mod recover;
mod request;
mod review;
pub mod settings;
mod shown;
mod status;
pub mod task;
#[cfg(test)]
pub(crate) mod tests;
mod timers;
mod trust;
mod trust_book;
mod votes;
mod waiting;
mod wants;

pub use clock::{Now, Steady};
pub use core::{Engine, EngineParts};
pub use error::EngineError;
pub use evidence::evidence_answer;
pub use handle::{Call, EMIT_EVENTS, EngineHandle};
pub use listener::{Heard, Listener};
pub use messages::{Carried, CheckedAnswer, Effects, Inbound, Ticket, Worth};
pub use metrics::EngineMetrics;
pub use node_event::NodeEvent;
pub use own_registry::{OwnLine, RegistryNews};
pub use peers::PeerState;
pub use request::{
    Adjusted, Adjustment, Command, CommitQuestion, CommitStanding, Decider, EmitOutcome, Operated,
    Operation, OperatorRefusal, RefusalKind, Reply,
};
pub use shown::{
    CandidateView, EngineStatus, HearingView, InstanceView, LockView, OfferPage, Refused, Review,
    ReviewReason, Syncs, VoteView,
};
pub use ssid_storage::NoteKind;
