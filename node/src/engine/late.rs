//! What this node observed and could not say before a subject was decided without it (SPEC §7 *State*, §8): it says so
//! once, as a round-0 prevote, while the others still count it into their records.
//!
//! A node that starts last, or was stopped for a moment, would else be missing in every record although its registry had
//! the event, and a dissenter would go unnamed. For the vote such a prevote comes too late: it is its voter's only one of
//! round 0, and no quorum of round 0 needs it any more.

use std::collections::VecDeque;

use ssid_protocol::event::Event;
use ssid_protocol::id::{Round, SubjectId};
use ssid_protocol::record::FirstPrevote;
use ssid_protocol::vote::{Phase, Vote};

use super::core::{Engine, Tick};

/// Observations that wait to be said; what is past this is only compared.
const LATE_OBSERVATIONS: usize = 4096;

/// Observations of subjects that were decided before this node prevoted.
#[derive(Debug, Default)]
pub(super) struct LateObservations(VecDeque<(SubjectId, Event)>);

impl LateObservations {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Engine {
    /// Notes what the own registry has for a subject that was decided within the last minute, to be said with the next
    /// votes; whether that may still be said.
    pub(super) fn observe_late(&mut self, subject: SubjectId, own: &Event) -> bool {
        let is_known = self.late.0.iter().any(|(known, _)| *known == subject);
        if is_known || self.late.0.len() >= LATE_OBSERVATIONS || !self.may_observe_late(&subject) {
            return is_known;
        }
        self.late.0.push_back((subject, own.clone()));
        true
    }

    /// Whether this node has prevoted nothing in round 0 of a decided subject, as far as everybody knows, and the others
    /// still count what it says.
    fn may_observe_late(&self, subject: &SubjectId) -> bool {
        let Some(me) = self.rules.me.filter(|_| self.abstaining.is_none() && self.knows_late) else { return false };
        self.closing.get(subject).is_some_and(|decided| {
            decided.may_sign && !decided.held.iter().any(|held| held.voter == me && held.is_first_prevote())
        })
    }

    /// Says what was observed too late, once signing is possible. What nobody counts any more is compared instead.
    pub(super) fn say_late(&mut self, tick: &mut Tick) {
        if !self.is_signing() {
            return;
        }
        for (subject, own) in std::mem::take(&mut self.late.0) {
            if !self.may_observe_late(&subject) {
                self.compare_line(tick, subject, &own);
                continue;
            }
            let choice = own.choice();
            let (round, phase) = (Round::ZERO, Phase::Prevote);
            let vote = Vote { epoch: self.epoch, subject, round, phase, ballot: Some(choice), observed: true };
            tick.votes.push(vote);
            if let Some(decided) = self.closing.get_mut(&subject) {
                decided.others.entry(choice).or_insert(own);
            }
            tick.late.push((subject, FirstPrevote { node: self.me, choice, observed: true }));
        }
    }
}
