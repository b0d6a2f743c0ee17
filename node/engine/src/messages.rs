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
use ssid_protocol::sync::{ChangeAnswer, ChangeRequest, Request};
use ssid_storage::RewrittenRow;

use super::clock::Steady;
use super::node_event::NodeEvent;
use super::own_registry::RegistryNews;
use super::request::{Command, CommitQuestion, CommitStanding, Reply};
use super::settings::CERTIFICATE_STATEMENTS;

/// Names one waiting party in its caller's own numbering.
pub type Ticket = u64;

/// What the engine takes. Signatures and certificates were checked before; the engine checks
/// everything else.
#[derive(Debug)]
pub enum Inbound {
    /// A batch whose signature holds.
    Batch {
        /// What was signed, and by whom.
        batch: Arc<VerifiedBatch>,
        /// The peer that delivered it, which need not be who signed it.
        from: NodeId,
        /// Who wants to know whether it was new.
        ticket: Option<Ticket>,
    },
    /// Evidence that a peer passed on.
    Evidence {
        /// Two statements that contradict each other; not verified yet.
        evidence: Box<Evidence>,
        /// The peer that passed it on.
        from: NodeId,
        /// Who wants to know whether it was new.
        ticket: Option<Ticket>,
    },
    /// What a peer answered to one of [`Effects::asks`], or that it did not.
    Answered {
        /// The peer that was asked.
        from: NodeId,
        /// The question that it was asked.
        request: Request,
        /// Its answer, everything in it verified; `None` if none came that does.
        answer: Option<CheckedAnswer>,
    },
    /// What members' Git branches brought (SPEC §10), everything in it verified.
    Carried(Carried),
    /// A member's Git branch was fetched.
    Fetched {
        /// The member whose branch it is.
        node: NodeId,
        /// Whether all that was new in it holds.
        well: bool,
    },
    /// A member's Git branch is not the one it was.
    Rewritten {
        /// The member whose branch it is.
        node: NodeId,
        /// All that is to be kept of such histories of it, the one just seen last.
        histories: Vec<RewrittenRow>,
    },
    /// Whether commits are in members' repositories: answers to
    /// [`Engine::commit_questions`](super::Engine::commit_questions).
    Commits(Vec<(CommitQuestion, CommitStanding)>),
    /// Ask every connected member for what this node lacks, whatever their heartbeats say.
    CatchUp,
    /// A peer asks for this node's heartbeat.
    StatusAsked {
        /// The peer's request, which the answer goes to.
        ticket: Ticket,
    },
    /// A peer asks for open instances (rule 9).
    OpenAsked {
        /// The subjects asked about; empty for all, page by page.
        subjects: Vec<SubjectId>,
        /// The last subject of the page before; `None` for the first page.
        after: Option<SubjectId>,
        /// The peer's request, which the answer goes to.
        ticket: Ticket,
    },
    /// A peer asks for events.
    EventsAsked {
        /// The content digests of the events.
        digests: Vec<ContentDigest>,
        /// The peer's request, which the answer goes to.
        ticket: Ticket,
    },
    /// A peer asks for its own latest heartbeat.
    OwnAsked {
        /// The member that asks for what it signed.
        from: NodeId,
        /// The peer's request, which the answer goes to.
        ticket: Ticket,
    },
    /// A peer asks about changes of members.
    ChangeAsked {
        /// The member that asks.
        from: NodeId,
        /// What it asks.
        request: ChangeRequest,
        /// The peer's request, which the answer goes to.
        ticket: Ticket,
    },
    /// What these members said and what they hold of this node's was taken in by another transport than
    /// asking: Git.
    Heard(BTreeSet<NodeId>),
    /// Somebody on this machine wants something changed.
    Command {
        /// The change that is wanted.
        command: Command,
        /// Who waits for the reply.
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
        /// The member that was reached.
        node: NodeId,
        /// The multiaddresses at which it was.
        addresses: Vec<String>,
    },
}

impl Inbound {
    /// How many statements it is worth of what one tick takes.
    pub fn weight(&self) -> usize {
        match self {
            Self::Batch { batch, .. } => batch.statements().len(),
            Self::Command { command, .. } => command.weight(),
            Self::Registry(RegistryNews::Lines(lines)) => lines.len(),
            Self::Commits(answers) => answers.len(),
            Self::Carried(carried) => carried.weight(),
            Self::Answered { answer, .. } => answer.as_ref().map_or(1, CheckedAnswer::weight),
            _ => 1,
        }
    }

    /// The reply to whoever waits for this, if the node is read-only for `reason`; `None` if nobody
    /// waits.
    pub(super) fn refused(&self, reason: &str) -> Option<(Ticket, Reply)> {
        match self {
            Self::Batch { ticket, .. } | Self::Evidence { ticket, .. } => {
                ticket.map(|ticket| (ticket, Reply::Verdict(Validity::Nothing)))
            }
            Self::Command { command, ticket } => Some((*ticket, command.refused(reason))),
            Self::StatusAsked { ticket }
            | Self::OpenAsked { ticket, .. }
            | Self::OwnAsked { ticket, .. }
            | Self::ChangeAsked { ticket, .. }
            | Self::EventsAsked { ticket, .. } => Some((*ticket, Reply::answer_refused())),
            Self::Answered { .. }
            | Self::Carried(_)
            | Self::Fetched { .. }
            | Self::Rewritten { .. }
            | Self::Commits(_)
            | Self::CatchUp
            | Self::Heard(_)
            | Self::Registry(_)
            | Self::Projected(_)
            | Self::Connected(_)
            | Self::Addresses { .. } => None,
        }
    }
}

/// What a page of a peer's open instances, or a part of a member's Git branch, brings: every
/// signature and certificate in it was verified.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// Announcements, votes and proposals in the batches that were signed.
    pub batches: Vec<Arc<VerifiedBatch>>,
    /// Votes and proposals alone, each with the proof that its batch has it.
    pub statements: Vec<Signed>,
    /// Events, with the proof of their announcement where whoever sent them has it.
    pub events: Vec<(Event, Option<BatchProof>)>,
    /// Certificates of decided subjects.
    pub certificates: Vec<Certificate>,
}

impl Carried {
    /// How many statements it is worth of what one tick takes.
    pub fn weight(&self) -> usize {
        let batches = self.batches.iter();
        self.certificates.len() * CERTIFICATE_STATEMENTS
            + self.statements.len()
            + self.events.len()
            + batches.map(|batch| batch.statements().len()).sum::<usize>()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
            && self.statements.is_empty()
            && self.events.is_empty()
            && self.certificates.is_empty()
    }
}

/// An [`Answer`](ssid_protocol::sync::Answer) in which every signature and certificate was verified.
#[derive(Debug)]
pub enum CheckedAnswer {
    /// The peer's heartbeat.
    Status(Option<Arc<VerifiedBatch>>),
    /// A page of its log.
    Log {
        /// The name of the log, which changes when it is begun anew.
        log_id: LogId,
        /// How many entries it has in all.
        size: u64,
        /// Its entries from the asked sequence number on.
        certificates: Vec<Certificate>,
    },
    /// A page of open instances.
    Open {
        /// What was said of them; certificates of those asked for that are certified.
        carried: Carried,
        /// The last subject of this page, to go on after; `None` if there is no more.
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
    /// What concerns changes of members.
    Change(ChangeAnswer),
}

impl CheckedAnswer {
    fn weight(&self) -> usize {
        match self {
            Self::Log { certificates, .. } => certificates.len() * CERTIFICATE_STATEMENTS,
            Self::Open { carried, .. } => carried.weight(),
            _ => 1,
        }
    }
}

/// What a delivered batch was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
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
    /// For each ticket that came in and is done with, its outcome.
    pub replies: Vec<(Ticket, Reply)>,
    /// Evidence to gossip.
    pub evidence: Vec<Arc<Evidence>>,
    /// Questions to peers, each with who is asked.
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
