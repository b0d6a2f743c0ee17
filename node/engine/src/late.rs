//! What this node would have prevoted in round 0, where a subject was decided before it could say
//! so (SPEC §7 *State*, §8): it says it once while the others still count it into their records.
//!
//! A node that starts last, or was stopped for a moment, would else be missing in every record
//! although its registry had the event, and a dissenter would go unnamed. For the vote such a
//! prevote comes too late: it is its voter's only one of round 0, and no quorum of round 0 needs it
//! any more.

use std::collections::VecDeque;

use ssid_protocol::event::Event;
use ssid_protocol::id::{Round, SubjectId};
use ssid_protocol::record::FirstPrevote;
use ssid_protocol::vote::{Phase, Vote};

use super::clock::Steady;
use super::engine::{Engine, Tick};
use super::settings::CLOSING_WINDOW;

/// Prevotes that wait to be said; what is past this is only compared.
const LATE_PREVOTES: usize = 4096;

/// A prevote that is still to be said.
#[derive(Debug)]
struct Late {
    subject: SubjectId,
    /// The look at the own registry file that has to be done before.
    look: u64,
    /// What the own registry has, as far as known.
    own: Option<Event>,
}

/// Prevotes for subjects that were decided before this node prevoted.
#[derive(Debug, Default)]
pub(super) struct LatePrevotes {
    waiting: VecDeque<Late>,
    /// Nothing is said of what is decided until then: this node may have said it already, on a disk
    /// that it has no more.
    forbidden_until: Option<Steady>,
}

impl LatePrevotes {
    /// Forgets what lines of the file said that is read again: they come again if they still stand
    /// there.
    pub(super) fn forget_lines(&mut self) {
        self.waiting.retain(|late| late.own.is_none());
    }
}

impl Engine {
    /// Notes what the own registry has for a subject that was decided within the last minute, to be
    /// said with the next votes; whether that may still be said.
    pub(super) fn observe_late(&mut self, subject: SubjectId, own: &Event) -> bool {
        if let Some(late) = self
            .late
            .waiting
            .iter_mut()
            .find(|late| late.subject == subject)
        {
            late.own.get_or_insert_with(|| own.clone());
            return true;
        }
        let may = self.late.waiting.len() < LATE_PREVOTES && self.may_prevote_late(&subject);
        if may {
            self.late.waiting.push_back(Late {
                subject,
                look: 0,
                own: Some(own.clone()),
            });
        }
        may
    }

    /// The subject was decided by a quorum that this node followed before it knew what its own
    /// registry has: it prevotes once the file has been read.
    pub(super) fn say_later(&mut self, tick: &mut Tick, subject: SubjectId) {
        let has_followed = self.closing.get(&subject).is_some_and(|decided| {
            let own = decided
                .held
                .iter()
                .find(|held| Some(held.voter) == self.rules.me);
            own.is_some_and(|held| held.phase == Phase::Precommit && held.ballot.is_some())
        });
        if has_followed
            && self.late.waiting.len() < LATE_PREVOTES
            && self.may_prevote_late(&subject)
        {
            let look = self.ask_for_look(tick);
            self.late.waiting.push_back(Late {
                subject,
                look,
                own: None,
            });
        }
    }

    /// Says nothing of what is decided by now, or comes to be known as decided within the window in
    /// which others count late prevotes: what they decided before this node's start is among it.
    pub(super) fn forbid_late(&mut self, now: Steady) {
        self.late.forbidden_until = Some(now.after(CLOSING_WINDOW));
        self.closing.forbid_late();
    }

    /// Forbids it for what this tick has decided, too.
    pub(super) fn keep_late_forbidden(&mut self, now: Steady) {
        if self.late.forbidden_until.is_some_and(|until| now <= until) {
            self.closing.forbid_late();
        }
    }

    /// Whether something can be said now.
    pub(super) fn has_late_prevotes(&self) -> bool {
        self.is_signing() && self.late.waiting.iter().any(|late| self.may_say(late))
    }

    fn may_say(&self, late: &Late) -> bool {
        self.registry.trouble().is_none()
            && (late.own.is_some() || self.registry.has_looked(late.look))
    }

    /// Whether this node has prevoted nothing in round 0 of a decided subject, as far as everybody
    /// knows, and the others still count what it says.
    fn may_prevote_late(&self, subject: &SubjectId) -> bool {
        let Some(me) = self
            .rules
            .me
            .filter(|_| self.standing.abstaining().is_none())
        else {
            return false;
        };
        self.closing.get(subject).is_some_and(|decided| {
            decided.may_sign
                && decided.knows_late
                && !decided
                    .held
                    .iter()
                    .any(|held| held.voter == me && held.is_first_prevote())
        })
    }

    /// Says what comes too late for the vote, once signing is possible and the own registry is
    /// known. What nobody counts any more is compared instead.
    pub(super) fn say_late(&mut self, tick: &mut Tick) {
        if !self.is_signing() || self.late.waiting.is_empty() {
            return;
        }
        for late in std::mem::take(&mut self.late.waiting) {
            if !self.may_prevote_late(&late.subject) {
                if let Some(own) = late.own {
                    self.compare_line(tick, late.subject, &own);
                }
            } else if self.may_say(&late) {
                self.prevote_late(tick, late);
            } else {
                self.late.waiting.push_back(late);
            }
        }
    }

    fn prevote_late(&mut self, tick: &mut Tick, late: Late) {
        let Late { subject, own, .. } = late;
        let Some(decided) = self.closing.get_mut(&subject) else {
            return;
        };
        let observed = own.is_some();
        let choice = own.as_ref().map_or(decided.record.choice, Event::choice);
        if let Some(own) = own {
            decided.others.entry(choice).or_insert(own);
        }
        let (round, phase) = (Round::ZERO, Phase::Prevote);
        tick.votes.push(Vote {
            epoch: self.epochs.current().number(),
            subject,
            round,
            phase,
            ballot: Some(choice),
            observed,
        });
        tick.late.push((
            subject,
            FirstPrevote {
                node: self.me,
                choice,
                observed,
            },
        ));
    }
}
