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
mod offer;
mod offers;
mod open;
mod operator;
pub mod outbox;
mod own_registry;
mod peers;
mod proof;
mod recover;
mod review;
pub mod settings;
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
pub use commits::{CommitQuestion, CommitStanding};
pub use core::{Engine, EngineParts};
pub use error::EngineError;
pub use evidence::evidence_answer;
pub use handle::{
    CandidateView, Command, Decision, EMIT_EVENTS, EmitOutcome, EngineHandle, EngineStatus,
    HearingView, InstanceView, LockView, NodeEvent, Refused, Syncs, VoteView,
};
pub use listener::{Heard, Listener};
pub use messages::{CheckedAnswer, Effects, Inbound, Ticket, Worth};
pub use metrics::EngineMetrics;
pub use offer::OfferPage;
pub use operator::{Decider, Operated, Operation, OperatorRefusal, RefusalKind};
pub use own_registry::{OwnLine, RegistryNews};
pub use peers::PeerState;
pub use review::{Review, ReviewReason};
pub use ssid_storage::NoteKind;
pub use trust::{Adjusted, Adjustment};
