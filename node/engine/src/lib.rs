//! The engine of an SSID node: all that one node decides, as a value. [`Engine::tick`] takes what
//! arrived and the time, and says what to do; `ssid-node` runs it in a task, tests run several of
//! them over a simulated network.
//!
//! Nothing here reads a clock, draws random numbers, opens a socket or awaits. The store is the one
//! thing outside that it writes.

#![deny(missing_docs)]

mod answers;
mod catch_up;
mod certify;
pub mod checking;
mod clock;
mod closing;
mod commits;
mod compacting;
mod counts;
mod engine;
mod events;
mod evidence;
mod halted;
mod heartbeats;
mod late;
mod membership;
mod messages;
mod node_event;
mod offer;
mod offers;
mod open;
mod open_subjects;
mod operator;
pub mod outbox;
mod own_events;
mod own_registry;
mod peers;
mod proof;
mod record;
mod recover;
mod request;
mod returning;
mod review;
pub mod settings;
mod shown;
mod standing;
mod startup_check;
mod status;
mod succession;
#[cfg(test)]
mod tests;
mod timers;
mod trust;
mod trust_book;
mod vote_buffer;
mod votes;
mod wants;

pub use clock::{Now, Steady};
pub use engine::{Engine, EngineParts};
pub use evidence::evidence_answer;
pub use membership::{ChangeView, CloseView};
pub use messages::{Carried, CheckedAnswer, Effects, Inbound, Ticket, Validity};
pub use node_event::NodeEvent;
pub use own_registry::{OwnLine, RegistryNews};
pub use peers::PeerState;
pub use request::{
    Adjusted, Adjustment, Command, CommitQuestion, CommitStanding, Decider, EmitOutcome, Operated,
    Operation, OperatorRefusal, Proposed, RefusalKind, Reply,
};
pub use shown::{
    CandidateView, EngineStatus, InstanceView, LockView, OfferPage, Refused, Review, ReviewReason,
    StartupCheckView, Syncs, VoteView,
};
pub use ssid_storage::NoteKind;
