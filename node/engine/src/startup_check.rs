//! Asking before signing (SPEC §7 *State*, §14): a journal that is whole may still be an old one,
//! brought back with a disk image or a backup. So a node that starts signs nothing until voters
//! that make a quorum with it have answered what they hold: its own heartbeat, their log, their
//! open instances. A statement of its own that neither its journal nor its log knows means that the
//! journal was rolled back, whenever it turns up: the node abstains from then on, for good.
//!
//! Until then the heartbeats name the log as it was at the start, which every head signed before
//! contains or is contained in; an abstaining node's name an empty log, because it cannot know what
//! it signed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::id::{Choice, NodeId, SubjectId, UnixMillis};
use ssid_protocol::merkle;
use ssid_protocol::quorum::{VoterIndex, VoterSet};
use ssid_protocol::sync::Answer;
use ssid_protocol::vote::{Phase, Proposal, Vote};
use ssid_protocol::voting::{Input, Signing};
use ssid_storage::{JournalRecord, LogHead};

use super::clock::Steady;
use super::engine::{Engine, Tick};
use super::messages::Ticket;
use super::node_event::NodeEvent;
use super::request::{EmitOutcome, Reply};
use super::settings::CLOSING_WINDOW;
use super::shown::StartupCheckView;

/// A voter whose answers broke off is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Round-0 prevotes in one answer to `Own`: each takes less than a kilobyte of the frame.
const OWN_VOTES: usize = 512;

/// A start-up check that is not over.
#[derive(Debug)]
pub(super) struct StartupCheck {
    heard: BTreeSet<NodeId>,
    head: LogHead,
    ask_at: Option<Steady>,
    /// Those of them who told all that this node may have prevoted of what was decided within the
    /// last minute: others have said it over Git, or hold more than an answer has room for.
    told: BTreeSet<NodeId>,
    /// Those who told what they hold of what this node signed, and go on with the rest.
    answered: BTreeSet<NodeId>,
    /// The number of the latest own heartbeat on disk at the start; 0 if there is none.
    numbered: u64,
    /// Whether nothing says that this node prevoted what nobody can tell any more.
    is_own_disk: bool,
}

impl StartupCheck {
    pub(super) fn since(head: LogHead) -> Self {
        Self {
            heard: BTreeSet::new(),
            head,
            ask_at: None,
            told: BTreeSet::new(),
            answered: BTreeSet::new(),
            numbered: 0,
            is_own_disk: true,
        }
    }

    /// Notes when this disk was last this node's, as the number of its latest own heartbeat tells.
    ///
    /// What was prevoted on another disk since then is told by those who count it still, for
    /// [`CLOSING_WINDOW`]. If that is longer ago, or the clock was set back, the disk may be a copy
    /// that was brought back, and nobody may know any more what was said without it.
    pub(super) fn note_numbered(&mut self, numbered: u64, now: UnixMillis) {
        self.numbered = numbered;
        let window = u64::try_from(CLOSING_WINDOW.as_millis()).unwrap_or(u64::MAX);
        let is_recent = now
            .0
            .checked_sub(numbered)
            .is_some_and(|since| since < window);
        self.is_own_disk = numbered == 0 || is_recent;
    }

    /// When voters are asked again.
    pub(super) fn next(&self) -> Option<Steady> {
        self.ask_at
    }
}

impl Engine {
    /// Whether votes may be signed, as far as that holds for all subjects.
    pub(super) fn signing(&self) -> Signing {
        match self.standing.abstaining() {
            Some(_) => Signing::Never,
            None if self.has_epoch_ended() => Signing::Never,
            None if self.startup_check.is_some() || !self.registry.has_begun() => Signing::Later,
            None => Signing::Now,
        }
    }

    /// Whether votes and events are signed now.
    pub(super) fn is_signing(&self) -> bool {
        self.signing() == Signing::Now
    }

    /// The log head that a heartbeat may name without contradicting one that was signed in a
    /// forgotten life.
    pub(super) fn head_to_sign(&self) -> LogHead {
        let head = self.store.log_head();
        match (self.standing.abstaining(), &self.startup_check) {
            (Some(_), _) => LogHead {
                size: 0,
                root: merkle::root(&[]),
                ..head
            },
            (None, Some(check)) => check.head,
            (None, None) => head,
        }
    }

    /// The start-up check for people; `None` once it is over.
    pub(super) fn startup_check_view(&self) -> Option<StartupCheckView> {
        // a guest has signed nothing, and asks nobody
        let check = self.startup_check.as_ref().filter(|_| self.is_member())?;
        Some(StartupCheckView {
            heard: check.heard.iter().copied().collect(),
        })
    }

    /// Asks voters again whose answers broke off, while any are connected.
    pub(super) fn go_on_with_startup_check(&mut self, tick: &mut Tick) {
        if self
            .startup_check
            .as_ref()
            .is_none_or(|check| check.ask_at.is_some_and(|at| at > tick.steady))
        {
            return;
        }
        let unheard = self
            .peers
            .connected
            .iter()
            .filter(|node| self.is_unheard(node))
            .copied();
        // those alone who are connected: the others are asked when they connect
        let unheard: Vec<NodeId> = unheard.collect();
        for node in unheard
            .iter()
            .filter(|node| !self.catch_up.is_under_way(node))
            .copied()
            .collect::<Vec<_>>()
        {
            self.start_catch_up(tick, node);
        }
        if let Some(check) = &mut self.startup_check {
            check.ask_at = (!unheard.is_empty()).then(|| tick.steady.after(ASK_AGAIN));
        }
    }

    /// Whether this voter has still to be heard.
    pub(super) fn is_unheard(&self, node: &NodeId) -> bool {
        self.epochs.current().voters().index_of(node).is_some()
            && self
                .startup_check
                .as_ref()
                .is_some_and(|check| !check.heard.contains(node))
    }

    /// A conversation has come to its end: if it began with what this node signed, all of that was
    /// heard.
    pub(super) fn note_conversation(&mut self, tick: &mut Tick, node: NodeId) {
        let check = self.startup_check.as_ref();
        if check.is_some_and(|check| check.answered.contains(&node)) {
            self.note_heard(tick, node);
        }
    }

    /// A voter has answered everything. With a quorum of them, this node included, the start-up check is
    /// over.
    pub(super) fn note_heard(&mut self, tick: &mut Tick, node: NodeId) {
        if !self.is_unheard(&node) {
            return;
        }
        let Some(check) = &mut self.startup_check else {
            return;
        };
        check.heard.insert(node);
        // any quorum that certified what this node signed had one of these in it
        let heard = &check.heard;
        if is_quorum_with(self.rules.me, self.epochs.current().voters(), heard) {
            self.end_startup_check(tick);
        }
    }

    fn end_startup_check(&mut self, tick: &mut Tick) {
        let Some(check) = self.startup_check.take() else {
            return;
        };
        tracing::info!(
            voters = check.heard.len(),
            "a quorum has told what this node signed before"
        );
        let voters = self.epochs.current().voters();
        let is_told = is_quorum_with(self.rules.me, voters, &check.told);
        if !(check.is_own_disk && is_told) {
            self.forbid_late(tick.steady);
        }
        self.go_on_starting(tick);
    }

    /// The second of what a start waits for has come: the quorum's answers, and the end of the own
    /// registry file.
    pub(super) fn go_on_starting(&mut self, tick: &mut Tick) {
        if !self.is_signing() || self.rules.signing == Signing::Now {
            return;
        }
        tracing::info!("this node has read its registry file and may sign from now on");
        self.rules.signing = Signing::Now;
        // before anything of others is endorsed for its subjects
        self.accept_kept(tick);
        for subject in self.open.keys().copied().collect::<Vec<_>>() {
            self.adopt_own(tick, subject);
            self.apply(tick, subject, Input::MaySign);
            self.endorse(tick, subject);
        }
        self.settle_offers(tick);
    }

    /// Tells a member what it may have forgotten that it signed: the latest heartbeat of its own
    /// that this node has, and its round-0 prevotes for what was decided within the last minute.
    /// What it said of open instances is asked apart.
    pub(super) fn answer_own(&self, tick: &mut Tick, from: NodeId, ticket: Ticket) {
        let batch = self
            .peers
            .states
            .get(&from)
            .and_then(|state| state.heartbeat.as_ref());
        let heartbeat = batch.map(|batch| Box::new(batch.batch().clone()));
        let mut votes =
            self.closing
                .first_prevotes_of(from, self.epochs.current().number(), OWN_VOTES + 1);
        let complete = votes.len() <= OWN_VOTES;
        votes.truncate(OWN_VOTES);
        let answer = Answer::Own {
            heartbeat,
            votes,
            complete,
        };
        tick.reply(ticket, Reply::Answer(answer));
    }

    /// What a member holds of what this node signed: none of it may be news.
    pub(super) fn take_own(
        &mut self,
        tick: &mut Tick,
        from: NodeId,
        heartbeat: Option<Arc<VerifiedBatch>>,
        votes: Vec<Signed>,
        complete: bool,
    ) {
        if let Some(batch) = heartbeat {
            self.look_for_lost_number(&batch);
            self.go_on_from(&batch);
            self.look_for_lost_log(tick, &batch);
        }
        let mut own = BTreeSet::new();
        for Signed { statement, proof } in votes {
            if let (Statement::Vote(vote), true) = (statement, proof.signer == self.me) {
                own.insert((vote.subject, vote.ballot));
                self.look_for_lost(tick, &Statements::Votes(vec![vote]));
            }
        }
        if let Some(check) = &mut self.startup_check {
            check.answered.insert(from);
        }
        // an answer is cut only where it is full of what this node signed: nobody makes it silent
        // by saying so
        let is_cut = !complete && own.len() >= OWN_VOTES;
        if let Some(check) = self.startup_check.as_mut().filter(|_| !is_cut) {
            check.told.insert(from);
        }
    }

    /// An own heartbeat with a number that was not on disk, and that was not given since, is of a
    /// life that this disk does not know: nobody may know all that was prevoted in it.
    fn look_for_lost_number(&mut self, own: &VerifiedBatch) {
        let Statements::Heartbeat(heartbeat) = own.statements() else {
            return;
        };
        let is_lost = own.signer() == self.me && !self.heartbeats.has_given(heartbeat.sequence);
        if let Some(check) = self.startup_check.as_mut().filter(|_| is_lost) {
            check.is_own_disk &= heartbeat.sequence <= check.numbered;
        }
    }

    /// Looks for statements in an own batch that this node does not remember.
    pub(super) fn look_for_lost_past(&mut self, tick: &mut Tick, batch: &Arc<VerifiedBatch>) {
        if !self.record.is_journaled(batch) {
            self.look_for_lost(tick, batch.statements());
        }
    }

    /// Looks for own statements that this node does not remember.
    pub(super) fn look_for_lost(&mut self, tick: &mut Tick, own: &Statements) {
        if self.standing.abstaining().is_some() {
            return;
        }
        let lost = match own {
            Statements::Votes(votes) => votes
                .iter()
                .find(|vote| self.has_forgotten_vote(vote))
                .map(|v| v.subject),
            Statements::Proposals(proposals) => proposals
                .iter()
                .find(|proposal| self.has_forgotten_proposal(proposal))
                .map(|p| p.subject),
            Statements::Events(events) => events.iter().find_map(|event| {
                let subject = self.epochs.current().subject_of(event);
                let is_lost = self.has_forgotten_event(&subject, event.choice());
                let is_known = self.returning.is_of_former_life(event);
                (is_lost && !is_known).then_some(subject)
            }),
            Statements::Heartbeat(_) | Statements::Closes(_) | Statements::Ready(_) => None,
        };
        if let Some(subject) = lost {
            self.abstain(
                tick,
                format!(
                    "its vote history was rolled back: others hold what it signed for {subject}"
                ),
            );
        }
    }

    /// Looks for an own precommit in a certificate that this node does not remember.
    pub(super) fn look_for_lost_precommit(
        &mut self,
        tick: &mut Tick,
        subject: SubjectId,
        certificate: &Certificate,
    ) {
        let Some(me) = self.rules.me.filter(|_| {
            self.standing.abstaining().is_none()
                && certificate.epoch == self.epochs.current().number()
        }) else {
            return;
        };
        let ballot = Some(certificate.choice);
        let holds = |open: &super::open::Open| {
            let tally = open.machine.tally(certificate.round, Phase::Precommit);
            tally.is_some_and(|tally| tally.contains(me, ballot))
        };
        let is_own = certificate
            .precommits
            .iter()
            .any(|proof| proof.signer == self.me);
        if is_own
            && !self.open.is_decided_before(&subject)
            && !self.open.get(&subject).is_some_and(holds)
        {
            self.abstain(
                tick,
                format!(
                    "its vote history was rolled back: a certificate of {subject} has its precommit"
                ),
            );
        }
    }

    /// Looks at an own heartbeat of an earlier life: the log it names must be part of the one that
    /// is held.
    pub(super) fn look_for_lost_log(&mut self, tick: &mut Tick, batch: &VerifiedBatch) {
        let Statements::Heartbeat(heartbeat) = batch.statements() else {
            return;
        };
        let head = self.store.log_head();
        if batch.signer() != self.me
            || heartbeat.log_id != head.log_id
            || self.standing.abstaining().is_some()
        {
            return;
        }
        let is_part = match self.store.log_root(heartbeat.log_size) {
            Ok(root) => root == Some(heartbeat.log_root),
            Err(error) => {
                tracing::error!(%error, "cannot read the log's tree");
                false
            }
        };
        if !is_part {
            let (said, holds) = (heartbeat.log_size, head.size);
            let reason = format!(
                "its log was rolled back: it signed a head of {said} entries, and holds {holds}"
            );
            self.abstain(tick, reason);
        }
    }

    /// Whether this subject is one for which the journal would still have what was signed.
    fn remembers(&self, subject: &SubjectId) -> bool {
        let is_decided = match self.open.get(subject) {
            Some(open) => open.machine.decided().is_some(),
            None => self.certified_choice(subject).is_some(),
        };
        !is_decided && !self.open.is_decided_before(subject)
    }

    fn has_forgotten_vote(&self, vote: &Vote) -> bool {
        let Some(me) = self
            .rules
            .me
            .filter(|_| vote.epoch == self.epochs.current().number())
        else {
            return false;
        };
        let tally = self
            .open
            .get(&vote.subject)
            .and_then(|open| open.machine.tally(vote.round, vote.phase));
        if tally.is_some_and(|tally| tally.contains(me, vote.ballot)) {
            return false;
        }
        match self.closing.get(&vote.subject) {
            Some(decided) => decided.may_sign && !decided.holds(me, vote),
            None => self.remembers(&vote.subject),
        }
    }

    fn has_forgotten_proposal(&self, proposal: &Proposal) -> bool {
        let known = self
            .open
            .get(&proposal.subject)
            .and_then(|open| open.machine.proposal(proposal.round));
        self.rules.me.is_some()
            && proposal.epoch == self.epochs.current().number()
            && known != Some(proposal)
            && self.remembers(&proposal.subject)
    }

    fn has_forgotten_event(&self, subject: &SubjectId, choice: Choice) -> bool {
        self.rules.me.is_some()
            && self.remembers(subject)
            && self.announced_choice(subject) != Some(choice)
    }

    /// Signs nothing more under this key, also after a restart; what was wanted signed in this tick
    /// is not.
    fn abstain(&mut self, tick: &mut Tick, reason: String) {
        tracing::error!(
            reason,
            "abstaining: this node signs nothing more under this key"
        );
        // nothing of this tick is signed yet: none of it may be, even what is no contradiction
        tick.votes.clear();
        tick.proposals.clear();
        for event in std::mem::take(&mut tick.own_events) {
            self.own_events
                .drop_accepted(&self.epochs.current().subject_of(&event));
        }
        // who was told in this tick that an event is accepted is told otherwise
        let emitted = tick.effects.replies.iter_mut();
        let emitted = emitted.filter_map(|(_, reply)| match reply {
            Reply::Emitted(outcomes) => Some(outcomes),
            _ => None,
        });
        for outcome in emitted.flatten() {
            if matches!(outcome, EmitOutcome::Accepted { .. }) {
                let reason = format!("this node abstains: {reason}");
                *outcome = EmitOutcome::Refused {
                    reason,
                    retry: false,
                };
            }
        }
        self.returning.forget();
        // in the journal: a restart must not forget it
        tick.journal.push(JournalRecord::Abstain(reason.clone()));
        tick.effects.events.push(NodeEvent::Abstaining {
            reason: reason.clone(),
        });
        self.standing.note_rolled_back(reason);
        self.rules.signing = self.signing();
    }
}

/// Whether these voters make a quorum with this node, which counts itself.
fn is_quorum_with(me: Option<VoterIndex>, voters: &VoterSet, others: &BTreeSet<NodeId>) -> bool {
    let indices = others.iter().filter_map(|node| voters.index_of(node));
    let all: BTreeSet<_> = indices.chain(me).collect();
    let weight = all.iter().map(|voter| voters.weight(*voter)).sum();
    voters.is_quorum(weight, all.len())
}
