//! Asking before signing (SPEC §7 *State*, §14): a journal that is whole may still be an old one, brought back with a disk
//! image or a backup. So a node that starts signs nothing until voters that make a quorum with it have answered what they
//! hold: its own heartbeat, their log, their open instances. A statement of its own that neither its journal nor its log
//! knows means that the journal was rolled back, whenever it turns up: the node abstains from then on, for good.
//!
//! Until then the heartbeats name the log as it was at the start, which every head signed before contains or is contained
//! in; an abstaining node's name an empty log, because it cannot know what it signed.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::event::Event;
use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::id::{Choice, NodeId, SubjectId, UnixMillis};
use ssid_protocol::merkle;
use ssid_protocol::sync::Answer;
use ssid_protocol::vote::{Phase, Proposal, Vote};
use ssid_protocol::voting::{Input, Signing};
use ssid_storage::{JournalRecord, LogHead};

use super::core::{Engine, Tick};
use super::handle::{EmitOutcome, HearingView, NodeEvent};
use super::messages::{Inbound, Ticket};

/// Offered events wait this long for the hearing to end; then they are refused, and may be offered again.
const HELD_BACK: Duration = Duration::from_secs(5);
/// A voter whose answers broke off is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Round-0 prevotes in one answer to `Own`: each takes less than a kilobyte of the frame.
const OWN_VOTES: usize = 512;
/// Offers that wait at once.
const OFFERS: usize = 64;

/// A hearing that is not over.
#[derive(Debug)]
pub(super) struct Hearing {
    heard: BTreeSet<NodeId>,
    head: LogHead,
    /// Events of the registry file that are not certified yet. Bounded by who hands them over: they count as open.
    observed: Vec<Event>,
    offers: VecDeque<Offer>,
    ask_at: Option<UnixMillis>,
    /// Whether those heard told all that this node may have prevoted of what was decided meanwhile.
    knows_late: bool,
    /// When to look next for what of `observed` was certified meanwhile.
    release_at: UnixMillis,
}

#[derive(Debug)]
struct Offer {
    until: UnixMillis,
    events: Vec<Event>,
    ticket: Ticket,
}

impl Hearing {
    pub(super) fn since(head: LogHead) -> Self {
        Self {
            heard: BTreeSet::new(),
            head,
            observed: Vec::new(),
            offers: VecDeque::new(),
            ask_at: None,
            knows_late: true,
            release_at: UnixMillis(0),
        }
    }

    /// When the next offer has waited long enough, or voters are asked again.
    pub(super) fn next(&self) -> Option<UnixMillis> {
        self.refuse_at().into_iter().chain(self.ask_at).min()
    }

    fn refuse_at(&self) -> Option<UnixMillis> {
        self.offers.front().map(|offer| offer.until)
    }

    /// Who waits, and for how many outcomes.
    pub(super) fn emitters(self) -> impl Iterator<Item = (Ticket, usize)> {
        self.offers.into_iter().map(|offer| (offer.ticket, offer.events.len()))
    }
}

impl Engine {
    /// Whether votes may be signed, as far as that holds for all subjects.
    pub(super) fn signing(&self) -> Signing {
        match (&self.abstaining, &self.hearing) {
            (Some(_), _) => Signing::Never,
            (None, Some(_)) => Signing::Later,
            (None, None) => Signing::Now,
        }
    }

    /// The log head that a heartbeat may name without contradicting one that was signed in a forgotten life.
    pub(super) fn head_to_sign(&self) -> LogHead {
        let head = self.store.log_head();
        match (&self.abstaining, &self.hearing) {
            (Some(_), _) => LogHead { size: 0, root: merkle::root(&[]), ..head },
            (None, Some(hearing)) => hearing.head,
            (None, None) => head,
        }
    }

    /// The hearing for people; `None` once it is over.
    pub(super) fn hearing_view(&self) -> Option<HearingView> {
        let hearing = self.hearing.as_ref()?;
        Some(HearingView { heard: hearing.heard.iter().copied().collect() })
    }

    /// Own events wait until they may be signed: those of the registry as long as it takes, offered ones for a while.
    pub(super) fn hold_back(&mut self, tick: &mut Tick, input: Inbound) {
        match input {
            Inbound::Emit { events, ticket } if events.iter().all(|event| self.judge(tick, event).is_err()) => {
                self.take_emitted(tick, events, ticket); // nothing to sign
            }
            Inbound::Emit { events, ticket } => self.hold_offer(tick, events, ticket),
            Inbound::Observed(events) => self.hold_observed(tick, events),
            _ => {} // nothing else is held back
        }
    }

    /// Of what is certified nothing is left to sign: it is only compared, and not kept.
    fn hold_observed(&mut self, tick: &mut Tick, events: Vec<Event>) {
        let is_certified = |event: &Event| {
            let subject = self.policies.subject_of(event).id(&self.federation);
            self.certified_choice(&subject).is_some()
        };
        let (certified, held): (Vec<Event>, Vec<Event>) = events.into_iter().partition(is_certified);
        self.take_observed(tick, certified);
        if let Some(hearing) = &mut self.hearing {
            hearing.observed.extend(held);
        }
    }

    /// Lets go of what was certified meanwhile: a long hearing must not keep the registry from going on.
    fn release_observed(&mut self, tick: &mut Tick) {
        let Some(hearing) = self.hearing.as_mut().filter(|hearing| hearing.release_at <= tick.now) else { return };
        hearing.release_at = tick.now.after(ASK_AGAIN);
        let held = std::mem::take(&mut hearing.observed);
        self.hold_observed(tick, held);
    }

    /// Events of the registry file that wait for the hearing to end.
    pub(super) fn observed_waiting(&self) -> usize {
        self.hearing.as_ref().map_or(0, |hearing| hearing.observed.len())
    }

    fn hold_offer(&mut self, tick: &mut Tick, events: Vec<Event>, ticket: Ticket) {
        let Some(hearing) = &mut self.hearing else { return };
        let until = tick.now.after(HELD_BACK);
        if hearing.offers.len() < OFFERS {
            hearing.offers.push_back(Offer { until, events, ticket });
        } else {
            self.refuse_offer(tick, ticket, events.len());
        }
    }

    /// Asks voters again whose answers broke off, while any are connected.
    pub(super) fn go_on_hearing(&mut self, tick: &mut Tick) {
        self.release_observed(tick);
        if self.hearing.as_ref().is_none_or(|hearing| hearing.ask_at.is_some_and(|at| at > tick.now)) {
            return;
        }
        let unheard = self.peers.connected.iter().filter(|node| self.is_unheard(node)).copied();
        let unheard: Vec<NodeId> = unheard.collect();
        for node in unheard.iter().filter(|node| !self.catch_up.is_under_way(node)).copied().collect::<Vec<_>>() {
            self.start_catch_up(tick, node);
        }
        if let Some(hearing) = &mut self.hearing {
            hearing.ask_at = (!unheard.is_empty()).then(|| tick.now.after(ASK_AGAIN));
        }
    }

    /// Refuses the offers that have waited long enough.
    pub(super) fn refuse_held_back(&mut self, tick: &mut Tick) {
        while let Some(hearing) = self.hearing.as_mut().filter(|h| h.refuse_at().is_some_and(|until| until <= tick.now))
        {
            if let Some(offer) = hearing.offers.pop_front() {
                self.refuse_offer(tick, offer.ticket, offer.events.len());
            }
        }
    }

    fn refuse_offer(&self, tick: &mut Tick, ticket: Ticket, count: usize) {
        let heard = self.hearing.as_ref().map_or(0, |hearing| hearing.heard.len());
        let reason = format!(
            "this node has just started and signs nothing before a quorum has told it what it signed earlier: {heard} \
             of {} other voters have answered",
            self.voters.len() - usize::from(self.rules.me.is_some())
        );
        tick.effects.emitted.push((ticket, vec![EmitOutcome::Refused { reason, retry: true }; count]));
    }

    /// Whether this voter has still to be heard.
    pub(super) fn is_unheard(&self, node: &NodeId) -> bool {
        self.voters.index_of(node).is_some() && self.hearing.as_ref().is_some_and(|h| !h.heard.contains(node))
    }

    /// A voter has answered everything. With a quorum of them, this node included, the hearing is over.
    pub(super) fn note_heard(&mut self, tick: &mut Tick, node: NodeId) {
        if !self.is_unheard(&node) {
            return;
        }
        let Some(hearing) = &mut self.hearing else { return };
        hearing.heard.insert(node);
        let voters = hearing.heard.iter().filter_map(|node| self.voters.index_of(node)).chain(self.rules.me);
        let voters: BTreeSet<_> = voters.collect();
        let weight = voters.iter().map(|voter| self.voters.weight(*voter)).sum();
        if self.voters.is_quorum(weight, voters.len()) {
            self.end_hearing(tick);
        }
    }

    fn end_hearing(&mut self, tick: &mut Tick) {
        let Some(hearing) = self.hearing.take() else { return };
        tracing::info!(voters = hearing.heard.len(), "a quorum has told what this node signed before: it may sign now");
        self.rules.signing = self.signing();
        for subject in self.open.keys().copied().collect::<Vec<_>>() {
            self.apply(tick, subject, Input::MaySign);
            self.endorse(tick, subject);
        }
        self.take_observed(tick, hearing.observed);
        for offer in hearing.offers {
            self.take_emitted(tick, offer.events, offer.ticket);
        }
    }

    /// Tells a member what it may have forgotten that it signed: the latest heartbeat of its own that this node has, and
    /// its round-0 prevotes for what was decided within the last minute. What it said of open instances is asked apart.
    pub(super) fn answer_own(&self, tick: &mut Tick, from: NodeId, ticket: Ticket) {
        let batch = self.peers.states.get(&from).and_then(|state| state.heartbeat.as_ref());
        let heartbeat = batch.map(|batch| Box::new(batch.batch().clone()));
        let mut votes = self.closing.first_prevotes_of(from, self.epoch, OWN_VOTES + 1);
        let complete = votes.len() <= OWN_VOTES;
        votes.truncate(OWN_VOTES);
        tick.effects.answers.push((ticket, Answer::Own { heartbeat, votes, complete }));
    }

    /// What a member holds of what this node signed: none of it may be news.
    pub(super) fn take_own(
        &mut self,
        tick: &mut Tick,
        heartbeat: Option<Arc<VerifiedBatch>>,
        votes: Vec<Signed>,
        complete: bool,
    ) {
        if let Some(batch) = heartbeat {
            self.look_for_lost_log(tick, &batch);
        }
        for Signed { statement, proof } in votes {
            if let (Statement::Vote(vote), true) = (statement, proof.signer == self.me) {
                self.look_for_lost(tick, &Statements::Votes(vec![vote]));
            }
        }
        if let (Some(hearing), false) = (&mut self.hearing, complete) {
            hearing.knows_late = false;
        }
    }

    /// Looks for statements in an own batch that this node does not remember.
    pub(super) fn look_for_lost_past(&mut self, tick: &mut Tick, batch: &Arc<VerifiedBatch>) {
        if !self.journaled.contains(&(batch.signer(), batch.root())) {
            self.look_for_lost(tick, batch.statements());
        }
    }

    /// Looks for own statements that this node does not remember.
    pub(super) fn look_for_lost(&mut self, tick: &mut Tick, own: &Statements) {
        if self.abstaining.is_some() {
            return;
        }
        let lost = match own {
            Statements::Votes(votes) => votes.iter().find(|vote| self.has_forgotten_vote(vote)).map(|v| v.subject),
            Statements::Proposals(proposals) => {
                proposals.iter().find(|proposal| self.has_forgotten_proposal(proposal)).map(|p| p.subject)
            }
            Statements::Events(events) => events.iter().find_map(|event| {
                let subject = self.policies.subject_of(event).id(&self.federation);
                self.has_forgotten_event(tick, &subject, event.choice()).then_some(subject)
            }),
            Statements::Heartbeat(_) | Statements::Closes(_) => None,
        };
        if let Some(subject) = lost {
            self.abstain(tick, format!("its vote history was rolled back: others hold what it signed for {subject}"));
        }
    }

    /// Looks for an own precommit in a certificate that this node does not remember.
    pub(super) fn look_for_lost_precommit(&mut self, tick: &mut Tick, subject: SubjectId, certificate: &Certificate) {
        let Some(me) = self.rules.me.filter(|_| self.abstaining.is_none() && certificate.epoch == self.epoch) else {
            return;
        };
        let ballot = Some(certificate.choice);
        let holds = |open: &super::open::Open| {
            let tally = open.machine.tally(certificate.round, Phase::Precommit);
            tally.is_some_and(|tally| tally.contains(me, ballot))
        };
        let is_own = certificate.precommits.iter().any(|proof| proof.signer == self.me);
        if is_own && !self.done.contains(&subject) && !self.open.get(&subject).is_some_and(holds) {
            self.abstain(
                tick,
                format!("its vote history was rolled back: a certificate of {subject} has its precommit"),
            );
        }
    }

    /// Looks at an own heartbeat of an earlier life: the log it names must be part of the one that is held.
    pub(super) fn look_for_lost_log(&mut self, tick: &mut Tick, batch: &VerifiedBatch) {
        let Statements::Heartbeat(heartbeat) = batch.statements() else { return };
        let head = self.store.log_head();
        if batch.signer() != self.me || heartbeat.log_id != head.log_id || self.abstaining.is_some() {
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
            let reason = format!("its log was rolled back: it signed a head of {said} entries, and holds {holds}");
            self.abstain(tick, reason);
        }
    }

    /// Whether this subject is one for which the journal would still have what was signed.
    fn remembers(&self, subject: &SubjectId) -> bool {
        let is_decided = match self.open.get(subject) {
            Some(open) => open.machine.decided().is_some(),
            None => self.certified_choice(subject).is_some(),
        };
        !is_decided && !self.done.contains(subject)
    }

    fn has_forgotten_vote(&self, vote: &Vote) -> bool {
        let Some(me) = self.rules.me.filter(|_| vote.epoch == self.epoch) else { return false };
        let tally = self.open.get(&vote.subject).and_then(|open| open.machine.tally(vote.round, vote.phase));
        if tally.is_some_and(|tally| tally.contains(me, vote.ballot)) {
            return false;
        }
        match self.closing.get(&vote.subject) {
            Some(decided) => decided.may_sign && !decided.holds(me, vote),
            None => self.remembers(&vote.subject),
        }
    }

    fn has_forgotten_proposal(&self, proposal: &Proposal) -> bool {
        let known = self.open.get(&proposal.subject).and_then(|open| open.machine.proposal(proposal.round));
        self.rules.me.is_some()
            && proposal.epoch == self.epoch
            && known != Some(proposal)
            && self.remembers(&proposal.subject)
    }

    fn has_forgotten_event(&self, tick: &Tick, subject: &SubjectId, choice: Choice) -> bool {
        self.rules.me.is_some() && self.remembers(subject) && self.own_choice(tick, subject) != Some(choice)
    }

    /// Signs nothing more under this key, also after a restart; what was wanted signed in this tick is not.
    fn abstain(&mut self, tick: &mut Tick, reason: String) {
        tracing::error!(reason, "abstaining: this node signs nothing more under this key");
        tick.votes.clear();
        tick.proposals.clear();
        for event in std::mem::take(&mut tick.own_events) {
            self.backlog_choices.remove(&self.policies.subject_of(&event).id(&self.federation));
        }
        for outcome in tick.effects.emitted.iter_mut().flat_map(|(_, outcomes)| outcomes) {
            if matches!(outcome, EmitOutcome::Accepted { .. }) {
                let reason = format!("this node abstains: {reason}");
                *outcome = EmitOutcome::Refused { reason, retry: false };
            }
        }
        tick.journal.push(JournalRecord::Abstain(reason.clone()));
        tick.effects.events.push(NodeEvent::Abstaining { reason: reason.clone() });
        self.rolled_back = Some(reason.clone());
        self.abstaining = Some(reason);
        self.rules.signing = self.signing();
    }
}
