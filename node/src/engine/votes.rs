//! Votes and proposals: taking others', signing one's own (SPEC §5, §7).

use std::sync::Arc;

use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::id::{NodeId, Round, SubjectId};
use ssid_protocol::limits;
use ssid_protocol::quorum::VoterIndex;
use ssid_protocol::record::Transport;
use ssid_protocol::vote::{Phase, Proposal, Vote};
use ssid_protocol::voting::Input;
use ssid_storage::JournalRecord;

use super::core::{Engine, Tick};
use super::evidence::hold_late;
use super::messages::Worth;
use super::open::{Held, Open};
use super::settings::VOTES_IN_A_BATCH;

impl Engine {
    /// A batch whose signature holds, from gossip or from an answer.
    pub(super) fn take_batch(&mut self, tick: &mut Tick, batch: &Arc<VerifiedBatch>, from: NodeId) -> Worth {
        if batch.signer() == self.me {
            self.look_for_lost_past(tick, batch);
        }
        match batch.statements() {
            Statements::Events(events) => self.take_announcements(tick, batch, events),
            Statements::Votes(votes) => self.take_votes(tick, batch, votes),
            Statements::Heartbeat(heartbeat) => self.take_heartbeat(tick, batch, heartbeat, from),
            Statements::Proposals(proposals) => self.take_proposals(tick, batch, proposals),
            Statements::Closes(_) => Worth::Nothing,
        }
    }

    fn take_votes(&mut self, tick: &mut Tick, batch: &Arc<VerifiedBatch>, votes: &[Vote]) -> Worth {
        let Some(voter) = self.voters.index_of(&batch.signer()) else { return Worth::Invalid };
        let refused_before = self.refused;
        let mut is_new = false;
        for (index, vote) in (0..).zip(votes) {
            if vote.epoch == self.epoch {
                is_new |= self.take_vote(tick, voter, vote, batch, index);
            } else {
                self.refused.other_epochs += 1;
            }
        }
        match is_new {
            true => Worth::New,
            false if self.refused != refused_before => Worth::Excess,
            false => Worth::Nothing,
        }
    }

    /// Takes one vote; whether it was new.
    fn take_vote(
        &mut self,
        tick: &mut Tick,
        voter: VoterIndex,
        vote: &Vote,
        batch: &Arc<VerifiedBatch>,
        index: u32,
    ) -> bool {
        if !self.open.contains_key(&vote.subject) {
            if self.closing.contains(&vote.subject) {
                return self.take_late_vote(tick, voter, vote, batch, index);
            }
            // bounded: beyond the limit it comes again with a re-offer
            let unknown = self.unknown_votes.entry(voter).or_default();
            if *unknown >= limits::UNKNOWN_VOTES {
                self.refused.unknown_votes += 1;
                return false;
            }
            if self.ensure_open(tick.now, vote.subject).is_none() {
                return false;
            }
        }
        let Some(open) = self.open.get_mut(&vote.subject) else { return false };
        if open.machine.decided().is_some() {
            return self.take_late_vote(tick, voter, vote, batch, index);
        }
        let (round, phase, ballot) = (vote.round, vote.phase, vote.ballot);
        let held = |open: &Open| open.machine.tally(round, phase).is_some_and(|t| t.contains(voter, ballot));
        if held(open) {
            return false;
        }
        // held before the machine sees it: its outputs look for the proof
        open.held.push(Held { voter, round, phase, ballot, batch: batch.clone(), index, road: tick.road });
        open.progressed(tick.now);
        let is_unknown = open.subject.is_none();
        self.apply(tick, vote.subject, Input::Vote { voter, round, phase, ballot });
        let Some(open) = self.open.get_mut(&vote.subject) else { return true };
        if !held(open) {
            open.held.pop();
            return false;
        }
        if round > open.machine.round().next() {
            // of rounds that far ahead the machine keeps each voter's latest; so do the proofs
            let Open { held, machine, .. } = open;
            held.retain(|h| {
                h.voter != voter || machine.tally(h.round, h.phase).is_some_and(|t| t.contains(voter, h.ballot))
            });
        }
        if is_unknown {
            *self.unknown_votes.entry(voter).or_default() += 1;
        } else if phase == Phase::Prevote {
            self.endorse(tick, vote.subject);
        }
        true
    }

    /// A vote for a subject that is decided. An observation counts into the record for a while, and a vote that
    /// contradicts another is evidence still. Whether it is of use.
    fn take_late_vote(
        &mut self,
        tick: &mut Tick,
        voter: VoterIndex,
        vote: &Vote,
        batch: &Arc<VerifiedBatch>,
        index: u32,
    ) -> bool {
        let (round, phase, ballot) = (vote.round, vote.phase, vote.ballot);
        let late = Held { voter, round, phase, ballot, batch: batch.clone(), index, road: tick.road };
        let earlier = match self.open.get_mut(&vote.subject) {
            Some(open) => {
                let decided = open.machine.decided().map_or(Round::ZERO, |(round, _)| round);
                hold_late(&mut open.held, decided, late.clone())
            }
            None => self.closing.get_mut(&vote.subject).and_then(|decided| {
                let round = decided.record.round;
                hold_late(&mut decided.held, round, late.clone())
            }),
        };
        if let Some(earlier) = earlier {
            self.accuse_voter(tick, &earlier, &late);
        }
        let node = batch.signer();
        if let (Round::ZERO, Phase::Prevote, Some(choice)) = (vote.round, vote.phase, vote.ballot) {
            tick.late.push((vote.subject, node, choice));
            return true;
        }
        false
    }

    /// Proposals for open instances. One for an unknown subject comes again with a re-offer: nothing is eligible there.
    fn take_proposals(&mut self, tick: &mut Tick, batch: &Arc<VerifiedBatch>, proposals: &[Proposal]) -> Worth {
        let Some(voter) = self.voters.index_of(&batch.signer()) else { return Worth::Invalid };
        let mut worth = Worth::Nothing;
        let epoch = self.epoch;
        for (index, proposal) in (0..).zip(proposals).filter(|(_, p)| p.epoch == epoch) {
            self.compare_proposals(tick, batch, index, proposal);
            let Some(open) = self.open.get(&proposal.subject) else { continue };
            let before = open.machine.proposal(proposal.round).is_some();
            self.apply(tick, proposal.subject, Input::Proposal { voter, proposal: *proposal });
            let Some(open) = self.open.get_mut(&proposal.subject) else { continue };
            if !before && open.machine.proposal(proposal.round) == Some(proposal) {
                open.proposals.push(batch.clone());
                worth = Worth::New;
            }
        }
        worth
    }

    /// Signs this tick's votes and proposals, one signature for up to 4096 of them, and keeps their proofs.
    pub(super) fn sign_votes(&mut self, tick: &mut Tick) {
        let Some(me) = self.rules.me else { return };
        let votes = std::mem::take(&mut tick.votes);
        for part in votes.chunks(VOTES_IN_A_BATCH) {
            let Some(batch) = self.sign(tick, Statements::Votes(part.to_vec())) else { continue };
            for (index, vote) in (0..).zip(part) {
                let (round, phase, ballot) = (vote.round, vote.phase, vote.ballot);
                if let Some(open) = self.open.get_mut(&vote.subject) {
                    let road = Transport::Live; // own votes travel by every road
                    open.held.push(Held { voter: me, round, phase, ballot, batch: batch.clone(), index, road });
                }
            }
        }
        let proposals = std::mem::take(&mut tick.proposals);
        for part in proposals.chunks(limits::BATCH_STATEMENTS) {
            let Some(batch) = self.sign(tick, Statements::Proposals(part.to_vec())) else { continue };
            for proposal in part {
                if let Some(open) = self.open.get_mut(&proposal.subject) {
                    open.proposals.push(batch.clone());
                }
            }
        }
    }

    fn sign(&mut self, tick: &mut Tick, statements: Statements) -> Option<Arc<VerifiedBatch>> {
        let batch = Arc::new(VerifiedBatch::sign(&self.key, &self.federation, statements).ok()?);
        self.journaled.insert((batch.signer(), batch.root()));
        tick.journal.push(JournalRecord::Own(batch.batch().clone()));
        tick.effects.publish.push(batch.clone());
        Some(batch)
    }

    /// Drops an open instance and what is counted about it.
    pub(super) fn forget(&mut self, subject: &SubjectId) -> Option<Open> {
        let open = self.open.remove(subject)?;
        self.announced.remove(subject);
        self.reviews.forget(subject);
        self.commits.forget(subject);
        self.in_flight.remove(subject);
        if let Some(count) = open.origin.and_then(|origin| self.by_origin.get_mut(&origin)) {
            *count = count.saturating_sub(1);
        }
        Some(open)
    }
}
