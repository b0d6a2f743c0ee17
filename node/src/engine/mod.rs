//! The engine: one task that owns the voting instances, the membership and the write side of storage.

mod handle;

pub use handle::{
    CandidateView, Command, Decision, EMIT_EVENTS, EmitOutcome, EngineError, EngineHandle, EngineStatus, InstanceView,
    NodeEvent, VoteView,
};
