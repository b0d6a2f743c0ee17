//! Candidates of others in round 0 (SPEC §7 rule 1): whether this node stands behind one, and what
//! it waits for while it does not: a person, time, or an own observation.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use ssid_protocol::id::{Choice, NodeId, Round, SubjectId, UnixMillis};
use ssid_protocol::timeliness::CLOCK_TOLERANCE;
use ssid_protocol::trust::ENDORSEMENT_FLOOR;
use ssid_protocol::vote::Phase;
use ssid_protocol::voting::{Candidate, Input, Signing};
use ssid_storage::NoteKind;

use super::clock::{Now, Steady};
use super::engine::{Engine, Tick};
use super::membership::Approval;
use super::open::Open;
use super::request::{CommitQuestion, CommitStanding};
use super::settings::Endorsement;
use super::shown::{Review, ReviewReason};

/// How soon a subject of an earlier life is looked at again whose age the clock does not tell.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// Subjects to look at again, by time; each once.
#[derive(Debug, Default)]
pub(super) struct Reviews {
    order: BTreeSet<(Steady, SubjectId)>,
    at: HashMap<SubjectId, Steady>,
}

impl Reviews {
    fn schedule(&mut self, subject: SubjectId, at: Steady) {
        self.forget(&subject);
        self.at.insert(subject, at);
        self.order.insert((at, subject));
    }

    pub(super) fn forget(&mut self, subject: &SubjectId) {
        if let Some(at) = self.at.remove(subject) {
            self.order.remove(&(at, *subject));
        }
    }

    /// Takes out those that are due.
    pub(super) fn due(&mut self, now: Steady) -> Vec<SubjectId> {
        let mut due = Vec::new();
        while let Some((at, subject)) = self.order.first().copied().filter(|(at, _)| *at <= now) {
            self.order.remove(&(at, subject));
            self.at.remove(&subject);
            due.push(subject);
        }
        due
    }

    pub(super) fn next(&self) -> Option<Steady> {
        self.order.first().map(|(at, _)| *at)
    }
}

/// What a node thinks of the candidates of others.
enum Stand {
    Behind(Choice),
    Wait {
        reason: ReviewReason,
        explanation: String,
        again_at: Option<Steady>,
    },
}

impl Engine {
    /// Rule 1: stands behind a candidate of others as the policy for its type says, until this node
    /// has prevoted; after `review_timeout` without a person's word the prevote is nil.
    pub(super) fn endorse(&mut self, tick: &mut Tick, subject: SubjectId) {
        let now = tick.now();
        let Some(open) = self.open.get(&subject) else {
            return;
        };
        let stand = self.stand(now, open);
        let waits_for = match &stand {
            Some(Stand::Wait { reason, .. }) => Some(*reason),
            Some(Stand::Behind(_)) | None => None,
        };
        if let Some(open) = self.open.get_mut(&subject) {
            open.waits_for = waits_for;
        }
        self.recount(&subject);
        match stand {
            // an endorsement that cannot be signed yet would stand beside another one later: it is
            // looked at again then
            Some(Stand::Behind(_)) if self.rules.signing == Signing::Later => {}
            Some(Stand::Behind(choice)) => self.apply(tick, subject, Input::Endorse(choice)),
            // the look ends in a moment and looks at it again; only what will last has a deadline
            Some(Stand::Wait {
                reason: ReviewReason::Registry,
                ..
            }) if self.registry.trouble().is_none() => {}
            Some(Stand::Wait {
                reason, again_at, ..
            }) => {
                // the answer may be what it waits for
                self.ask_commits(subject);
                let Some(open) = self.open.get(&subject) else {
                    return;
                };
                let deadline = self.deadline(now, open, reason);
                if deadline.is_some_and(|at| at <= now.steady) {
                    tracing::info!(%subject, ?reason, "nobody reviewed it in time: a nil prevote");
                    self.refuse(tick, subject);
                } else if let Some(at) = again_at.into_iter().chain(deadline).min() {
                    // an age that is not known may turn out to be over
                    let at = if self.knows_age(now, open) {
                        at
                    } else {
                        at.min(now.steady.after(LOOK_AGAIN))
                    };
                    self.reviews.schedule(subject, at);
                }
            }
            None => {}
        }
    }

    /// A nil prevote: it contradicts nothing that the own registry may have.
    pub(super) fn refuse(&mut self, tick: &mut Tick, subject: SubjectId) {
        if let Some(open) = self.open.get_mut(&subject) {
            open.machine.hold_prevote(false);
        }
        self.apply(tick, subject, Input::Refuse);
    }

    /// What this node's prevote in round 0 waits for, if it does.
    pub(super) fn review(&self, open: &Open) -> Option<Review> {
        if open.machine.in_conflict() {
            return None; // nothing that is prevoted in this round decides any more
        }
        let Stand::Wait {
            reason,
            explanation,
            again_at,
        } = self.stand(self.now, open)?
        else {
            return None;
        };
        let until = match reason {
            ReviewReason::Settling => again_at,
            _ => self.deadline(self.now, open, reason),
        };
        Some(Review {
            reason,
            explanation,
            until: until.map(|at| self.now.wall_at(at)),
        })
    }

    /// Whether this node's operator is waited for.
    pub(super) fn awaits_review(&self, open: &Open) -> bool {
        self.review(open)
            .is_some_and(|review| review.reason.asks_a_person())
    }

    /// When the waiting ends in a nil prevote. Every reason has an end but
    /// [`ReviewReason::Settling`], which is one.
    fn deadline(&self, now: Now, open: &Open, reason: ReviewReason) -> Option<Steady> {
        let is_endless = reason != ReviewReason::Settling;
        is_endless.then(|| {
            self.opened_at(now, open)
                .after(self.settings.review_timeout)
        })
    }

    /// When a subject was first heard of. What that was before this node's start only the wall
    /// clock says; while peers contradict it, or nobody is there to confirm it, the subject counts
    /// as heard of at the start.
    fn opened_at(&self, now: Now, open: &Open) -> Steady {
        match open.opened {
            Some(at) => at,
            // a clock that was ahead may have written down a time to come
            None if self.knows_age(now, open) => now
                .steady
                .before(now.wall.since(open.first_seen))
                .min(self.started),
            None => self.started,
        }
    }

    fn knows_age(&self, now: Now, open: &Open) -> bool {
        open.opened.is_some() || self.peers.clock_offset(now).is_some() && !self.clock_is_off(now)
    }

    /// What this node thinks of the candidates of others, once its own registry file has been read
    /// since they arrived; `None` where there is nothing to decide.
    fn stand(&self, now: Now, open: &Open) -> Option<Stand> {
        let stand = self.stand_by_policy(now, open)?;
        // what the registry file says of a change of members is said by its certificate
        let is_looked_at = self.registry.has_looked(open.look) || open.machine.is_epoch_change();
        if !matches!(stand, Stand::Behind(_)) || is_looked_at {
            return Some(stand);
        }
        let explanation = self
            .registry
            .trouble()
            .unwrap_or("this node's registry file is being read")
            .to_owned();
        Some(Stand::Wait {
            reason: ReviewReason::Registry,
            explanation,
            again_at: None,
        })
    }

    /// `None` where there is nothing to decide: the node may not prevote, has prevoted, or has an
    /// own event.
    fn stand_by_policy(&self, now: Now, open: &Open) -> Option<Stand> {
        let machine = &open.machine;
        let me = self
            .rules
            .me
            .filter(|_| open.rules(self.rules).signing != Signing::Never)?;
        let has_voted = machine
            .tally(Round::ZERO, Phase::Prevote)
            .is_some_and(|t| t.first(me).is_some());
        if machine.round() != Round::ZERO || has_voted {
            return None;
        }
        if machine.is_epoch_change() {
            return self.stand_to_change(now, open);
        }
        if open.noted(NoteKind::Refuse).is_some() || machine.candidates().any(|c| c.own) {
            return None;
        }
        // what a person decided comes before every policy
        let chosen = open
            .noted(NoteKind::Endorse)
            .and_then(|choice| machine.candidate(choice));
        // who announced it may be no voter any more
        if let Some(chosen) = chosen.filter(|chosen| chosen.announced_by.is_some()) {
            return Some(Stand::Behind(chosen.choice));
        }
        let event_type = &open.subject.as_ref()?.event;
        let wait = |reason, explanation| {
            Some(Stand::Wait {
                reason,
                explanation,
                again_at: None,
            })
        };
        let policy =
            |word: &str, what: &str| format!("the policy for {event_type} is {word}: {what}");
        match self.settings.endorsement_of(event_type) {
            Endorsement::Trusted | Endorsement::Commit => self.judging_stand(now, open, event_type),
            Endorsement::Operator => wait(
                ReviewReason::Operator,
                policy("operator", "a person endorses or refuses it"),
            ),
            Endorsement::Observed => {
                let what = "this node votes only for what its own registry has";
                wait(ReviewReason::Observed, policy("observed", what))
            }
        }
    }

    /// The stand under a policy that looks at who announced what, and at nothing else.
    fn judging_stand(&self, now: Now, open: &Open, event_type: &str) -> Option<Stand> {
        let wait = |reason, explanation, again_at| {
            Some(Stand::Wait {
                reason,
                explanation,
                again_at,
            })
        };
        let (mut behind, mut objection) =
            (Vec::new(), None::<(ReviewReason, String, Option<Steady>)>);
        for candidate in open.machine.candidates() {
            match self.objection(now, open, candidate) {
                None => behind.push(candidate.choice),
                // what a person could decide comes first: anybody can serve an event without its
                // proof
                Some(found)
                    if objection
                        .as_ref()
                        .is_none_or(|(r, ..)| !r.asks_a_person() && found.0.asks_a_person()) =>
                {
                    objection = Some(found);
                }
                Some(_) => {}
            }
        }
        if behind.is_empty() {
            return objection.and_then(|(reason, why, again_at)| wait(reason, why, again_at));
        }
        let Some(choice) = open.machine.preferred(
            self.epochs.current().voters(),
            open.rules(self.rules),
            &behind,
        ) else {
            let why = "events that do not agree were announced for it: a person endorses one, or refuses them";
            return wait(ReviewReason::Disagreeing, why.to_owned(), None);
        };
        // unless enough others stand behind it: then waiting changes nothing
        let settle = self.settings.settle_of(event_type);
        let settled_at = self.opened_at(now, open).after(settle);
        if settle > Duration::ZERO && now.steady < settled_at && !self.is_supported(open, choice) {
            let why = format!(
                "events of type {event_type} settle for {} s before they are endorsed",
                settle.as_secs()
            );
            return wait(ReviewReason::Settling, why, Some(settled_at));
        }
        Some(Stand::Behind(choice))
    }

    /// Why this node does not stand behind a candidate.
    fn objection(
        &self,
        now: Now,
        open: &Open,
        candidate: &Candidate,
    ) -> Option<(ReviewReason, String, Option<Steady>)> {
        let Some(voter) = candidate
            .announced_by
            .and_then(|voter| self.epochs.current().voters().get(voter))
        else {
            let why = "the proof that a voter of this epoch announced it has not arrived";
            return Some((ReviewReason::Unproven, why.to_owned(), None));
        };
        let origin = voter.key.id();
        let (reason, why) = match self.settings.endorsement_of(&candidate.event.event) {
            Endorsement::Commit => (
                ReviewReason::Commit,
                self.unseen_commit(origin, &candidate.event.commit_hash),
            ),
            _ => (ReviewReason::LowTrust, self.lacking_trust(origin)),
        };
        if let Some(why) = why {
            return Some((reason, why, None));
        }
        // what enough others saw in time was in time, whatever this clock says
        if self.is_timely(now.wall, &candidate.event) || self.is_supported(open, candidate.choice) {
            return None;
        }
        let timestamp = &candidate.event.timestamp;
        let at = candidate
            .event
            .instant()
            .and_then(|at| u64::try_from(at.unix_millis()).ok())
            .map(UnixMillis);
        let ahead = at.filter(|at| *at > now.wall);
        let why = match ahead {
            Some(_) => format!(
                "its timestamp {timestamp} is more than 5 minutes ahead of this node's clock"
            ),
            None => format!("its timestamp {timestamp} is older than max_event_age_days"),
        };
        let tolerance = u64::try_from(CLOCK_TOLERANCE.as_millis()).unwrap_or_default();
        // one from the future needs nobody: its time comes
        let timely_at = ahead
            .map(|at| UnixMillis(at.0.saturating_sub(tolerance)).max(UnixMillis(now.wall.0 + 1)));
        let timely_at = timely_at.map(|at| now.steady_at(at));
        Some((ReviewReason::Untimely, why, timely_at))
    }

    /// Why the announcing member's trust does not do, if it does not.
    fn lacking_trust(&self, origin: NodeId) -> Option<String> {
        let score = self.trust.score(&origin);
        let name = self.name_of(&origin);
        (score < ENDORSEMENT_FLOOR).then(|| {
            format!("{name} announced it, whose trust here is {score}, below {ENDORSEMENT_FLOOR}")
        })
    }

    /// Why the commit that an event names is not known to exist, if it is not.
    fn unseen_commit(&self, origin: NodeId, commit: &str) -> Option<String> {
        let (name, short) = (
            self.name_of(&origin),
            commit.chars().take(12).collect::<String>(),
        );
        let question = CommitQuestion {
            node: origin,
            commit: commit.to_owned(),
        };
        let waits = match self.commits.standing(&question) {
            Some(CommitStanding::Exists) => return None,
            Some(CommitStanding::Missing { fetched_at }) => {
                format!(
                    "waits for commit {short} in {name}'s repository, as last fetched at {}",
                    fetched_at.iso()
                )
            }
            Some(CommitStanding::Unseen { reason }) => {
                format!("waits for commit {short} of {name}: {reason}")
            }
            None => format!(
                "waits for commit {short} in {name}'s repository, which was not looked at yet"
            ),
        };
        Some(format!("{waits}; a person may endorse or refuse it"))
    }

    /// Whether round-0 prevotes of weight > F, of at least two voters, for `choice` are known: in a
    /// federation in which F is 0 the announcer's own prevote alone shall waive nothing.
    fn is_supported(&self, open: &Open, choice: Choice) -> bool {
        let round0 = open.machine.tally(Round::ZERO, Phase::Prevote);
        round0.is_some_and(|tally| {
            tally.is_supported_by_several(self.epochs.current().voters(), choice)
        })
    }

    /// Whether this node stands behind a change of members: no policy does, only its operator's
    /// approval, for as long as that holds (SPEC §4, *Approving*).
    fn stand_to_change(&self, now: Now, open: &Open) -> Option<Stand> {
        let mut known = open.machine.candidates();
        if known.all(|it| open.has_note(NoteKind::Refuse, it.choice)) {
            return None;
        }
        let (reason, explanation) = match self.approval(now, open) {
            Approval::Holds(choice) => return Some(Stand::Behind(choice)),
            Approval::Waits(whom) => (
                ReviewReason::NotReady,
                format!("it waits for {} to say that it is ready", whom.join(", ")),
            ),
            Approval::Untimely => (
                ReviewReason::Operator,
                "the approved change of members is too old by now: propose it anew".to_owned(),
            ),
            Approval::Missing => (
                ReviewReason::Operator,
                "a change of members: a person approves or refuses it".to_owned(),
            ),
        };
        Some(Stand::Wait {
            reason,
            explanation,
            again_at: None,
        })
    }
}
