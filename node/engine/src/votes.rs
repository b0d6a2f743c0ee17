//! Votes and proposals: taking others', signing one's own (SPEC §5, §7).

use std::sync::Arc;

use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::id::{NodeId, Round, SubjectId};
use ssid_protocol::limits;
use ssid_protocol::quorum::VoterIndex;
use ssid_protocol::record::{FirstPrevote, Transport};
use ssid_protocol::vote::{Phase, Proposal, Vote};
use ssid_protocol::voting::Input;
use ssid_storage::JournalRecord;

use super::engine::{Engine, Tick};
use super::evidence::hold_late;
use super::messages::Validity;
use super::open::{Asked, Held, Open, Proposed};
use super::proof::{HOLLOW, Proof};
use super::settings::VOTES_IN_A_BATCH;
use super::vote_buffer::Kept;

/// A batch of at most so many votes is passed on for one that is new.
const SMALL_BATCH: usize = 256;

impl Engine {
    /// A batch whose signature holds, from gossip or from an answer.
    pub(super) fn take_batch(
        &mut self,
        tick: &mut Tick,
        batch: &Arc<VerifiedBatch>,
        from: NodeId,
    ) -> Validity {
        if batch.signer() == self.me {
            self.look_for_lost_past(tick, batch);
        }
        let users = Arc::strong_count(batch);
        let validity = match batch.statements() {
            Statements::Events(events) => self.take_announcements(tick, batch, events),
            Statements::Votes(votes) => self.take_votes(tick, batch, votes),
            Statements::Heartbeat(heartbeat) => {
                return self.take_gossiped_heartbeat(tick, batch, heartbeat, from);
            }
            Statements::Proposals(proposals) => self.take_proposals(tick, batch, proposals),
            Statements::Closes(closes) => self.take_closes(tick, batch, closes),
            // of a proposed manifest, which this node does not know
            Statements::Ready(_) => Validity::Nothing,
        };
        if Arc::strong_count(batch) > users {
            self.note_kept(batch);
        }
        validity
    }

    /// A vote or proposal whose proof holds, from an answer.
    pub(super) fn take_alone(&mut self, tick: &mut Tick, Signed { statement, proof }: Signed) {
        let Some(voter) = self.epochs.current().voters().index_of(&proof.signer) else {
            return;
        };
        let proof = Proof::alone(proof);
        match statement {
            Statement::Vote(vote) if vote.epoch == self.epochs.current().number() => {
                if proof.signer() == self.me {
                    self.look_for_lost(tick, &Statements::Votes(vec![vote]));
                }
                self.take_vote(tick, voter, &vote, proof);
            }
            Statement::Proposal(proposal) if proposal.epoch == self.epochs.current().number() => {
                if proof.signer() == self.me {
                    self.look_for_lost(tick, &Statements::Proposals(vec![proposal]));
                }
                self.take_proposal(tick, voter, &proposal, proof);
            }
            _ => {}
        }
    }

    fn take_votes(
        &mut self,
        tick: &mut Tick,
        batch: &Arc<VerifiedBatch>,
        votes: &[Vote],
    ) -> Validity {
        let Some(voter) = self.epochs.current().voters().index_of(&batch.signer()) else {
            return Validity::Nothing;
        };
        let unknown_before = self.refused.unknown_votes;
        let mut new = 0;
        for (index, vote) in (0..).zip(votes) {
            if vote.epoch == self.epochs.current().number() {
                new += usize::from(self.take_vote(
                    tick,
                    voter,
                    vote,
                    Proof::Batch(batch.clone(), index),
                ));
            } else {
                self.refused.other_epochs += 1;
            }
        }
        // what is nearly all known or refused is not worth everybody's time again: a re-offer
        // brings the rest
        let is_worth_it = new > 0 && (votes.len() <= SMALL_BATCH || new * HOLLOW >= votes.len());
        match is_worth_it {
            true => Validity::New,
            false if self.refused.unknown_votes != unknown_before => Validity::Excess,
            false => Validity::Nothing,
        }
    }

    /// Takes one vote; whether it was new.
    fn take_vote(&mut self, tick: &mut Tick, voter: VoterIndex, vote: &Vote, proof: Proof) -> bool {
        let Vote {
            subject,
            round,
            phase,
            ballot,
            observed,
            ..
        } = *vote;
        let held = Held {
            voter,
            round,
            phase,
            ballot,
            observed,
            proof,
            transport: tick.transport,
        };
        match self.open.get(&subject) {
            Some(open) if open.machine.decided().is_some() => {
                self.take_late_vote(tick, subject, &held)
            }
            Some(_) => self.count_vote(tick, subject, held),
            None if self.membership.again(&subject).is_some() => {
                self.open_certified_again(tick, subject);
                self.count_vote(tick, subject, held)
            }
            None if self.closing.contains(&subject) => self.take_late_vote(tick, subject, &held),
            None if self.is_certified(&subject) => {
                self.compare_with_certificate(tick, subject, &held);
                false
            }
            None => self.keep_waiting(tick, subject, &held),
        }
    }

    /// Keeps a vote for a subject of which no event is known, and wants that event. Past the limits
    /// it comes again with a re-offer. Whether it was new.
    fn keep_waiting(&mut self, tick: &mut Tick, subject: SubjectId, vote: &Held) -> bool {
        let conflicting = match self.vote_buffer.keep(tick.now(), subject, vote) {
            Kept::New => None,
            Kept::Conflicting(first) => Some(first),
            Kept::Known => return false,
            Kept::Full => {
                self.refused.unknown_votes += 1;
                return false;
            }
        };
        if let Some(choice) = vote.ballot {
            self.wants.add(choice.content_digest, subject, tick.steady);
        }
        if let Some(first) = conflicting {
            self.accuse_voter(tick, subject, &first, vote);
        }
        true
    }

    /// Counts a vote in its open instance; whether it was new.
    pub(super) fn count_vote(&mut self, tick: &mut Tick, subject: SubjectId, vote: Held) -> bool {
        let Some(open) = self.open.get_mut(&subject) else {
            return false;
        };
        let (voter, round, phase, ballot) = (vote.voter, vote.round, vote.phase, vote.ballot);
        let input = vote.input();
        let held = |open: &Open| {
            open.machine
                .tally(round, phase)
                .is_some_and(|t| t.contains(voter, ballot))
        };
        if held(open) {
            return false;
        }
        // held before the machine sees it: its outputs look for the proof
        open.held.push(vote);
        self.apply(tick, subject, input);
        let Some(open) = self.open.get_mut(&subject) else {
            return true;
        };
        if !held(open) {
            // dropped for a limit: of what does not count no proof is kept
            open.held.pop();
            return false;
        }
        if round <= open.machine.round().next() {
            // what helps nobody on is no progress: its sender must not keep a stalled subject from
            // being asked about
            open.asked = Asked::new(tick.steady);
        } else {
            // of rounds that far ahead the machine keeps each voter's latest; so do the proofs
            let Open { held, machine, .. } = open;
            held.retain(|h| {
                h.voter != voter
                    || machine
                        .tally(h.round, h.phase)
                        .is_some_and(|t| t.contains(voter, h.ballot))
            });
        }
        if open
            .origin
            .is_none_or(|origin| self.epochs.current().voters().index_of(&origin) != Some(voter))
        {
            open.is_supported = true;
        }
        // enough prevotes of others end some kinds of waiting
        if open.subject.is_some() && phase == Phase::Prevote {
            self.endorse(tick, subject);
        }
        self.recount(&subject);
        true
    }

    /// A vote for a subject that is decided. An observation counts into the record for a while, and
    /// a vote that contradicts another is evidence still. Whether it is of use.
    fn take_late_vote(&mut self, tick: &mut Tick, subject: SubjectId, late: &Held) -> bool {
        let earlier = match self.open.get_mut(&subject) {
            Some(open) => {
                let decided = open
                    .machine
                    .decided()
                    .map_or(Round::ZERO, |(round, _)| round);
                hold_late(&mut open.held, decided, late)
            }
            None => self.closing.get_mut(&subject).and_then(|decided| {
                let round = decided.record.round;
                hold_late(&mut decided.held, round, late)
            }),
        };
        if let Some(earlier) = earlier {
            self.accuse_voter(tick, subject, &earlier, late);
        }
        if let (Round::ZERO, Phase::Prevote, Some(choice)) = (late.round, late.phase, late.ballot) {
            let prevote = FirstPrevote {
                node: late.proof.signer(),
                choice,
                observed: late.observed,
            };
            tick.late.push((subject, prevote));
            return true;
        }
        false
    }

    /// Proposals for open instances. One for an unknown subject comes again with a re-offer:
    /// nothing is eligible there.
    fn take_proposals(
        &mut self,
        tick: &mut Tick,
        batch: &Arc<VerifiedBatch>,
        proposals: &[Proposal],
    ) -> Validity {
        let Some(voter) = self.epochs.current().voters().index_of(&batch.signer()) else {
            return Validity::Nothing;
        };
        let epoch = self.epochs.current().number();
        let mut is_new = false;
        for (index, proposal) in (0..).zip(proposals).filter(|(_, p)| p.epoch == epoch) {
            is_new |= self.take_proposal(tick, voter, proposal, Proof::Batch(batch.clone(), index));
        }
        if is_new {
            Validity::New
        } else {
            Validity::Nothing
        }
    }

    /// Takes one proposal; whether it was new.
    fn take_proposal(
        &mut self,
        tick: &mut Tick,
        voter: VoterIndex,
        proposal: &Proposal,
        proof: Proof,
    ) -> bool {
        self.compare_proposals(tick, proposal, &proof);
        let Some(open) = self.open.get(&proposal.subject) else {
            return false;
        };
        let before = open.machine.proposal(proposal.round).is_some();
        self.apply(
            tick,
            proposal.subject,
            Input::Proposal {
                voter,
                proposal: *proposal,
            },
        );
        let Some(open) = self.open.get_mut(&proposal.subject) else {
            return false;
        };
        let is_new = !before && open.machine.proposal(proposal.round) == Some(proposal);
        if is_new {
            open.proposals.push(Proposed {
                proposal: *proposal,
                proof,
            });
        }
        is_new
    }

    /// Signs this tick's votes and proposals, one signature for up to 4096 of them, and keeps their
    /// proofs.
    pub(super) fn sign_votes(&mut self, tick: &mut Tick) {
        let Some(me) = self.rules.me else { return };
        let votes = std::mem::take(&mut tick.votes);
        // what justifies them stands before them in the journal
        votes
            .iter()
            .for_each(|vote| self.keep_justification(tick, *vote));
        for part in votes.chunks(VOTES_IN_A_BATCH) {
            let Some(batch) = self.sign(tick, Statements::Votes(part.to_vec())) else {
                continue;
            };
            for (index, vote) in (0..).zip(part) {
                let Vote {
                    round,
                    phase,
                    ballot,
                    observed,
                    ..
                } = *vote;
                let transport = Transport::Live; // own votes travel by every transport
                let proof = Proof::Batch(batch.clone(), index);
                let held = Held {
                    voter: me,
                    round,
                    phase,
                    ballot,
                    observed,
                    proof,
                    transport,
                };
                if let Some(open) = self.open.get_mut(&vote.subject) {
                    open.held.push(held);
                } else if let Some(decided) = self.closing.get_mut(&vote.subject) {
                    decided.held.push(held); // what was observed too late
                }
            }
        }
        // a proposer may be asked for its proposal as others are for votes
        let proposals = std::mem::take(&mut tick.proposals);
        for part in proposals.chunks(limits::BATCH_STATEMENTS) {
            let Some(batch) = self.sign(tick, Statements::Proposals(part.to_vec())) else {
                continue;
            };
            for (index, proposal) in (0..).zip(part) {
                if let Some(open) = self.open.get_mut(&proposal.subject) {
                    let proof = Proof::Batch(batch.clone(), index);
                    open.proposals.push(Proposed {
                        proposal: *proposal,
                        proof,
                    });
                }
            }
        }
    }

    /// Signs statements: in the journal with this tick, and published after it.
    pub(super) fn sign(
        &mut self,
        tick: &mut Tick,
        statements: Statements,
    ) -> Option<Arc<VerifiedBatch>> {
        let batch = Arc::new(
            VerifiedBatch::sign(&self.key, self.epochs.current().federation(), statements).ok()?,
        );
        self.record.note_journaled(&batch);
        tick.journal.push(JournalRecord::Own(batch.batch().clone()));
        tick.effects.publish.push(batch.clone());
        Some(batch)
    }

    /// Drops an open instance and what is counted about it.
    pub(super) fn forget(&mut self, subject: &SubjectId) -> Option<Open> {
        let open = self.open.remove(subject)?;
        self.uncount(&open);
        self.reviews.forget(subject);
        self.commits.forget(subject);
        self.own_events.end(subject);
        if let Some(origin) = &open.origin {
            self.counts.close(origin, open.first_seen, *subject);
        }
        Some(open)
    }
}
