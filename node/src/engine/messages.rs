//! What goes into one tick of the engine and what comes out of it. Tickets name who is waiting for
//! an outcome; the engine gives them back and never looks behind them, so that it runs the same
//! over a real network and a simulated one.

use std::collections::BTreeSet;
use std::sync::Arc;

use ssid_protocol::batch::{BatchProof, VerifiedBatch};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::event::Event;
use ssid_protocol::evidence::{Evidence, Signed};
use ssid_protocol::id::{ContentDigest, LogId, NodeId, SubjectId};
use ssid_protocol::sync::{Answer, Request};
use ssid_storage::{OutboxKey, RewrittenRow};

use super::clock::Steady;
use super::commits::{CommitQuestion, CommitStanding};
use super::handle::{EmitOutcome, NodeEvent};
use super::operator::{Decider, Operated, Operation, OperatorRefusal};
use super::outbox::OutboxChange;
use super::own_registry::RegistryNews;
use super::trust::{Adjusted, Adjustment};

/// Names one waiting party in its caller's own numbering.
pub type Ticket = u64;

/// What the engine takes. Signatures and certificates were checked before; the engine checks
/// everything else.
#[derive(Debug)]
pub enum Inbound {
    /// A batch whose signature holds.
    Batch {
        /// The batch.
        batch: Arc<VerifiedBatch>,
        /// Who delivered it.
        from: NodeId,
        /// Who wants to know whether it was new.
        ticket: Option<Ticket>,
    },
    /// Evidence that a peer passed on.
    Evidence {
        /// What it is.
        evidence: Box<Evidence>,
        /// Who delivered it.
        from: NodeId,
        /// Who wants to know whether it was new.
        ticket: Option<Ticket>,
    },
    /// What a peer answered to one of [`Effects::asks`], or that it did not.
    Answered {
        /// The peer.
        from: NodeId,
        /// What it was asked.
        request: Request,
        /// Its answer, everything in it verified.
        answer: Option<CheckedAnswer>,
    },
    /// What members' Git branches brought (SPEC §10), everything in it verified.
    Carried {
        /// Announcements, votes and proposals.
        batches: Vec<Arc<VerifiedBatch>>,
        /// Votes and proposals alone.
        statements: Vec<Signed>,
        /// Events with their announcements.
        events: Vec<(Event, Option<BatchProof>)>,
        /// Certificates.
        certificates: Vec<Certificate>,
    },
    /// A member's Git branch was fetched.
    Fetched {
        /// Whose.
        node: NodeId,
        /// Whether all that was new in it holds.
        well: bool,
    },
    /// A member's Git branch is not the one it was.
    Rewritten {
        /// Whose.
        node: NodeId,
        /// All that is to be kept of such histories of it, the one just seen last.
        histories: Vec<RewrittenRow>,
    },
    /// Whether commits are in members' repositories: answers to [`EngineHandle::commit_questions`].
    ///
    /// [`EngineHandle::commit_questions`]: super::EngineHandle::commit_questions
    Commits(Vec<(CommitQuestion, CommitStanding)>),
    /// Ask every connected member for what this node lacks, whatever their heartbeats say.
    CatchUp,
    /// A peer asks for this node's heartbeat.
    StatusAsked {
        /// Who waits.
        ticket: Ticket,
    },
    /// A peer asks for open instances (rule 9).
    OpenAsked {
        /// Which; empty for all.
        subjects: Vec<SubjectId>,
        /// The page's cursor.
        after: Option<SubjectId>,
        /// Who waits.
        ticket: Ticket,
    },
    /// A peer asks for events.
    EventsAsked {
        /// By content digest.
        digests: Vec<ContentDigest>,
        /// Who waits.
        ticket: Ticket,
    },
    /// A peer asks for its own latest heartbeat.
    OwnAsked {
        /// Who asks.
        from: NodeId,
        /// Who waits.
        ticket: Ticket,
    },
    /// What these members said and what they hold of this node's was taken in by another road than
    /// asking: Git.
    Heard(BTreeSet<NodeId>),
    /// Someone offers events to the federation through this node.
    Emit {
        /// The events.
        events: Vec<Event>,
        /// Who waits.
        ticket: Ticket,
    },
    /// This node's operator decided something.
    Operate {
        /// What.
        operation: Operation,
        /// Who decides, and why.
        decider: Decider,
        /// Who waits.
        ticket: Ticket,
    },
    /// This node's operator changes a member's score.
    Adjust {
        /// How.
        adjustment: Adjustment,
        /// Who waits.
        ticket: Ticket,
    },
    /// What must leave the node is kept, what has left is forgotten.
    Outbox {
        /// Which rows.
        change: OutboxChange,
        /// Who waits.
        ticket: Ticket,
    },
    /// What the reader of the own registry file tells.
    Registry(RegistryNews),
    /// The registry file holds the log's entries before this sequence number.
    Projected(u64),
    /// The members connected now.
    Connected(BTreeSet<NodeId>),
    /// Addresses at which a member was reached.
    Addresses {
        /// Whose.
        node: NodeId,
        /// Multiaddresses.
        addresses: Vec<String>,
    },
}

/// An [`Answer`] in which every signature and certificate was verified.
#[derive(Debug)]
pub enum CheckedAnswer {
    /// The peer's heartbeat.
    Status(Option<Arc<VerifiedBatch>>),
    /// A page of its log.
    Log {
        /// The log.
        log_id: LogId,
        /// Its size.
        size: u64,
        /// Its entries from the asked sequence number on.
        certificates: Vec<Certificate>,
    },
    /// A page of open instances.
    Open {
        /// Votes and proposals.
        batches: Vec<Arc<VerifiedBatch>>,
        /// Others of them alone.
        statements: Vec<Signed>,
        /// Events with their announcements.
        events: Vec<(Event, Option<BatchProof>)>,
        /// Of subjects asked for that are certified.
        certificates: Vec<Certificate>,
        /// Where to go on.
        next: Option<SubjectId>,
    },
    /// Events asked for.
    Events(Vec<(Event, Option<BatchProof>)>),
    /// What the peer holds of what this node signed.
    Own {
        /// This node's latest heartbeat.
        heartbeat: Option<Arc<VerifiedBatch>>,
        /// Its round-0 prevotes for what was decided there within the last minute.
        votes: Vec<Signed>,
        /// Whether those are all.
        complete: bool,
    },
    /// The peer refused, or could not be asked.
    Refused(String),
    /// Evidence this node lacks.
    Evidence(Vec<Evidence>),
}

/// What a delivered batch was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// Something new: pass it on.
    New,
    /// Nothing new, or nothing that can be used now.
    Nothing,
    /// Nothing of it could be taken, something of it for a limit: more than an honest node sends.
    Excess,
    /// Nothing an honest node sends or passes on: whoever looks at the same bytes finds the same,
    /// whatever it holds and whichever manifest it has.
    Invalid,
}

/// What is to be done after a tick. All of it may be shown to others: what it rests on is on disk.
#[derive(Debug, Default)]
pub struct Effects {
    /// Own batches to gossip, each on the topic of its kind.
    pub publish: Vec<Arc<VerifiedBatch>>,
    /// Worth of the batches taken.
    pub verdicts: Vec<(Ticket, Worth)>,
    /// Answers to peers.
    pub answers: Vec<(Ticket, Answer)>,
    /// Outcomes for those who offered events.
    pub emitted: Vec<(Ticket, Vec<EmitOutcome>)>,
    /// Outcomes for operators: what is done is on disk.
    pub operated: Vec<(Ticket, Result<Operated, OperatorRefusal>)>,
    /// Keys of new rows in the outbox: they are on disk.
    pub outbox: Vec<(Ticket, Result<Vec<OutboxKey>, OperatorRefusal>)>,
    /// What became of changed scores.
    pub adjusted: Vec<(Ticket, Result<Adjusted, OperatorRefusal>)>,
    /// Evidence to gossip.
    pub evidence: Vec<Arc<Evidence>>,
    /// Questions to peers.
    pub asks: Vec<(NodeId, Request)>,
    /// Peers whose answers, each of which verifies, cannot all be true.
    pub false_answers: Vec<NodeId>,
    /// What happened, for observers.
    pub events: Vec<NodeEvent>,
    /// Addresses that members say they listen on.
    pub addresses: Vec<(NodeId, Vec<String>)>,
    /// A look at the own registry file that is wanted, by its number: once it is done,
    /// [`RegistryNews::Read`] names it.
    pub look: Option<u64>,
    /// When to come back even if nothing arrives.
    pub wake_at: Option<Steady>,
}
