//! What this node's operator decides (SPEC §7): to endorse or refuse a candidate of others (rule
//! 1), or to choose one in a conflict (rule 7). A decision is a note in the votes' journal, written
//! before what it makes the node sign.

use std::fmt::Write as _;

use ssid_protocol::id::{Choice, NodeId, Round, SubjectId};
use ssid_protocol::quorum::VoterIndex;
use ssid_protocol::vote::{Ballot, Phase};
use ssid_protocol::voting::Input;
use ssid_storage::{DecisionRow, JournalRecord, NoteKind, OperatorNote};

use super::engine::{Engine, Tick};
use super::node_event::NodeEvent;
use super::open::Open;
use super::request::{Decider, Operated, Operation, OperatorRefusal, RefusalKind};
use super::settings::Endorsement;

/// Decisions about one subject that are kept; the oldest go first.
const DECISIONS_KEPT: usize = 16;

impl Engine {
    /// Takes an operator's decision. The note goes into the journal before anything that it makes
    /// the node sign.
    pub(super) fn operate(
        &mut self,
        tick: &mut Tick,
        operation: Operation,
        decider: Decider,
    ) -> Result<Operated, OperatorRefusal> {
        let Operation {
            kind,
            subject,
            choice,
        } = operation;
        // every refusal comes before anything is written
        let is_done = match kind {
            _ if subject == self.epochs.current().change() => {
                let open = self.check_open(&subject)?;
                Self::check_candidate(&subject, open, choice, false)?;
                self.check_approval(open, kind, choice)
            }
            NoteKind::Stand => self.check_choice(&subject, choice).map(|()| false),
            NoteKind::Endorse | NoteKind::Waive => {
                self.check_review(&subject, choice, Some(choice))
            }
            NoteKind::Refuse => self.check_review(&subject, choice, None),
        }?;
        if !is_done {
            self.carry_out(tick, operation);
            tracing::info!(
                %subject,
                event = %choice.event_hash,
                by = decider.by,
                reason = decider.reason,
                "the operator {} it",
                kind.word()
            );
            self.keep_decision(tick, operation, decider);
        } else if kind != NoteKind::Refuse {
            self.renew_approval(tick, subject, choice);
        }
        let open = self
            .open
            .get(&subject)
            .ok_or_else(|| OperatorRefusal::new(RefusalKind::NotOpen, "it is gone"))?;
        Ok(self.operated(kind, subject, choice, open))
    }

    /// Writes down what the operator said: in the journal it comes before what it makes this node
    /// sign.
    pub(super) fn write_note(
        &mut self,
        tick: &mut Tick,
        subject: SubjectId,
        kind: NoteKind,
        choice: Choice,
    ) {
        let note = OperatorNote {
            subject,
            kind,
            choice: Some(choice),
        };
        tick.journal.push(JournalRecord::Note(note));
        if let Some(open) = self.open.get_mut(&subject) {
            open.note(note);
        }
    }

    /// Writes the decision down, and lets the voting go on by it.
    fn carry_out(&mut self, tick: &mut Tick, operation: Operation) {
        let Operation {
            kind,
            subject,
            choice,
        } = operation;
        if subject == self.epochs.current().change() {
            match kind {
                NoteKind::Refuse => self.reject(tick, choice),
                _ => self.approve(tick, choice, kind == NoteKind::Waive),
            }
            return;
        }
        self.write_note(tick, subject, kind, choice);
        match kind {
            NoteKind::Stand => {
                self.apply(tick, subject, Input::Choose(choice));
                // chosen by its name alone: the event is needed now
                if self.is_wanted(&choice.content_digest, &subject) {
                    self.wants
                        .ask_anew(choice.content_digest, subject, tick.steady);
                }
            }
            NoteKind::Endorse | NoteKind::Waive => self.endorse(tick, subject),
            NoteKind::Refuse => self.refuse(tick, subject),
        }
    }

    /// Writes down who decided and why, and tells subscribers.
    fn keep_decision(
        &self,
        tick: &mut Tick,
        operation: Operation,
        Decider { by, reason }: Decider,
    ) {
        let Operation {
            kind,
            subject,
            choice,
        } = operation;
        let of_tick = tick
            .changes
            .decisions
            .iter()
            .position(|(of, _)| *of == subject);
        let place = of_tick.unwrap_or_else(|| {
            // what cannot be read is shown as not there; the decision itself is in the journal
            let rows = self.store.decisions_of(&subject).unwrap_or_default();
            tick.changes.decisions.push((subject, rows));
            tick.changes.decisions.len() - 1
        });
        if let Some((_, rows)) = tick.changes.decisions.get_mut(place) {
            rows.push(DecisionRow {
                at: tick.now,
                kind,
                choice,
                by,
                reason,
            });
            let surplus = rows.len().saturating_sub(DECISIONS_KEPT);
            rows.drain(..surplus);
        }
        tick.effects.events.push(NodeEvent::Decided {
            subject_id: subject,
            decision: kind,
            choice,
        });
    }

    /// Whether the operator may decide about this subject at all.
    fn check_open(&self, subject: &SubjectId) -> Result<&Open, OperatorRefusal> {
        if let Some(reason) = self.standing.abstaining() {
            return Err(OperatorRefusal::new(
                RefusalKind::NoVoter,
                format!("this node abstains: {reason}"),
            ));
        }
        if self.rules.me.is_none() {
            return Err(OperatorRefusal::new(
                RefusalKind::NoVoter,
                "this node is no voter of the current epoch",
            ));
        }
        if let Some((_, certified)) = self.certified_choice(subject) {
            let reason = format!(
                "the subject is certified for event {}: that is final",
                certified.event_hash
            );
            return Err(OperatorRefusal::new(RefusalKind::Decided, reason));
        }
        let open = self.open.get(subject);
        let open = open.ok_or_else(|| {
            OperatorRefusal::new(
                RefusalKind::NotOpen,
                format!("subject {subject} is not open here"),
            )
        })?;
        if !open.may_sign {
            let reason = "this subject was decided before this node's database was lost; wait for the catch-up";
            return Err(OperatorRefusal::new(RefusalKind::Decided, reason));
        }
        Ok(open)
    }

    /// Whether the event of this choice is here; to choose it, it is enough that a vote names it.
    /// An origin that shows each node another event could else keep operators from ever choosing
    /// alike: of each origin a node takes one.
    fn check_candidate(
        subject: &SubjectId,
        open: &Open,
        choice: Choice,
        by_name: bool,
    ) -> Result<(), OperatorRefusal> {
        let is_named = open.machine.is_named(choice);
        if open.machine.candidate(choice).is_some() || by_name && is_named {
            return Ok(());
        }
        let event = choice.event_hash;
        let reason = if is_named {
            format!("votes name event {event}, but it has not arrived here yet")
        } else {
            format!("event {event} is no candidate of this subject")
        };
        let hint = format!("see the candidates with: ssid conflicts show {subject}");
        Err(OperatorRefusal::new(RefusalKind::UnknownCandidate, reason).hint(hint))
    }

    fn check_choice(&self, subject: &SubjectId, choice: Choice) -> Result<(), OperatorRefusal> {
        let open = self.check_open(subject)?;
        Self::check_candidate(subject, open, choice, true)?;
        self.no_choice_because(subject, open).map_or(Ok(()), Err)
    }

    /// Rule 7: why the operator may not choose now.
    pub(super) fn no_choice_because(
        &self,
        subject: &SubjectId,
        open: &Open,
    ) -> Option<OperatorRefusal> {
        if open
            .machine
            .may_choose(self.epochs.current().voters(), open.rules(self.rules))
        {
            return None;
        }
        if open.machine.decided().is_some() {
            return Some(OperatorRefusal::new(
                RefusalKind::Decided,
                "the subject is certified: that is final",
            ));
        }
        let round = open.machine.round();
        let name = if round == Round::ZERO {
            "round 0".to_owned()
        } else {
            format!("automatic round {round}")
        };
        // who holds it up has a name, which people can call
        let why = match (
            self.missing(open, Phase::Prevote),
            self.missing(open, Phase::Precommit),
        ) {
            (Some(prevotes), _) => format!("prevotes of {prevotes} are missing"),
            (None, Some(precommits)) => format!("precommits of {precommits} are missing"),
            (None, None) => "its votes are all here and its timeout runs".to_owned(),
        };
        // the missing vote may be this node's own
        let hint = if open.machine.candidates().next().is_some() && self.review(open).is_some() {
            format!(
                "this node has not prevoted itself: ssid events endorse HASH; see: ssid conflicts show {subject}"
            )
        } else {
            "once a quorum has voted, the others are waited for until the timeout; then it fails or decides".to_owned()
        };
        Some(
            OperatorRefusal::new(
                RefusalKind::RoundUnfailed,
                format!("{name} has not failed yet: {why}"),
            )
            .hint(hint),
        )
    }

    /// Names of the voters whose vote of the current round is not here; `None` if all are.
    fn missing(&self, open: &Open, phase: Phase) -> Option<String> {
        let tally = open.machine.tally(open.machine.round(), phase);
        let has_voted = |index: VoterIndex| tally.is_some_and(|tally| tally.first(index).is_some());
        let missing = self
            .epochs
            .current()
            .voters()
            .iter()
            .filter(|(index, _)| !has_voted(*index));
        let mut names: Vec<_> = missing
            .map(|(_, voter)| self.name_of(&voter.key.id()))
            .collect();
        names.sort_unstable();
        let more = names.len().saturating_sub(MISSING_NAMED);
        names.truncate(MISSING_NAMED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        (!names.is_empty()).then(|| names.join(", ") + &more)
    }

    /// What people call a node.
    pub(super) fn name_of(&self, node: &NodeId) -> String {
        self.epochs
            .current()
            .name(node)
            .filter(|name| !name.is_empty())
            .map_or_else(|| node.to_string(), str::to_owned)
    }

    /// Rule 1: whether a person may endorse or refuse; `true` if this node has prevoted just that
    /// already.
    fn check_review(
        &self,
        subject: &SubjectId,
        choice: Choice,
        wanted: Ballot,
    ) -> Result<bool, OperatorRefusal> {
        let open = self.check_open(subject)?;
        Self::check_candidate(subject, open, choice, false)?;
        let machine = &open.machine;
        let voted = self.own_ballot(open, Round::ZERO);
        let resolve =
            format!("in a conflict choose with: ssid conflicts resolve {subject} --choose HASH");
        // repeating a command is no error
        if voted == Some(wanted) {
            return Ok(true);
        }
        if let Some(ballot) = voted {
            let reason = format!(
                "this node has prevoted {} in round 0 already",
                words(ballot)
            );
            return Err(OperatorRefusal::new(RefusalKind::Voted, reason).hint(resolve));
        }
        if machine.round() != Round::ZERO {
            let reason = format!(
                "round 0 is over: the subject is in round {}",
                machine.round()
            );
            return Err(OperatorRefusal::new(RefusalKind::RoundOver, reason).hint(resolve));
        }
        if machine.in_conflict() {
            return Err(OperatorRefusal::new(
                RefusalKind::RoundOver,
                "round 0 has failed: the subject is in conflict",
            )
            .hint(resolve));
        }
        if let Some(own) = self.own_event(subject).map(|own| own.choice()) {
            let reason = format!(
                "this node's own registry has event {}, and that is what it votes for",
                own.event_hash
            );
            return Err(OperatorRefusal::new(RefusalKind::OwnEvent, reason).hint(resolve));
        }
        // a refusal needs neither policy nor proof
        if wanted.is_none() {
            return Ok(false);
        }
        let event_type = open.subject.as_ref().map_or("", |s| s.event.as_str());
        if self.settings.endorsement_of(event_type) == Endorsement::Observed {
            let reason = format!(
                "the policy for {event_type} is observed: this node votes only for what its own registry has"
            );
            let hint = format!("emit it here, or change endorsement.by_event.{event_type}");
            return Err(OperatorRefusal::new(RefusalKind::NotEndorsable, reason).hint(hint));
        }
        if machine
            .candidate(choice)
            .is_none_or(|c| c.announced_by.is_none())
        {
            let reason = "the proof that a voter of this epoch announced it has not arrived";
            return Err(OperatorRefusal::new(RefusalKind::NotEndorsable, reason)
                .hint("try again in a moment"));
        }
        Ok(false)
    }

    fn own_ballot(&self, open: &Open, round: Round) -> Option<Ballot> {
        open.machine
            .tally(round, Phase::Prevote)?
            .first(self.rules.me?)
    }

    /// What the node does about a decision that was taken.
    fn operated(
        &self,
        kind: NoteKind,
        subject_id: SubjectId,
        choice: Choice,
        open: &Open,
    ) -> Operated {
        let machine = &open.machine;
        let round = machine.round();
        let weight = machine
            .tally(round, Phase::Prevote)
            .map_or(0, |tally| tally.weight_of(choice));
        let quorum = self.epochs.current().voters().quorum();
        let certified = machine.decided().is_some();
        let mut explanation = match kind {
            NoteKind::Stand => self.words_for_choice(open, choice),
            NoteKind::Endorse | NoteKind::Refuse | NoteKind::Waive => {
                let ballot = self.own_ballot(open, Round::ZERO);
                let review = || self.review(open).map(|review| review.explanation);
                ballot.map_or_else(
                    || review().unwrap_or_else(|| "noted".to_owned()),
                    |b| format!("this node prevoted {} in round 0", words(b)),
                )
            }
        };
        if let Some((_, decided)) = machine.decided() {
            // writing to a String does not fail
            let _ = write!(
                explanation,
                "; the subject is certified for event {}",
                decided.event_hash
            );
        } else if kind == NoteKind::Stand && weight < quorum {
            // so that people know whom to wait for
            let missing = self
                .missing(open, Phase::Prevote)
                .map_or_else(String::new, |names| format!("; still to choose: {names}"));
            let _ = write!(
                explanation,
                ". {weight} of {quorum} needed votes are for it{missing}"
            );
        }
        Operated {
            subject_id,
            choice,
            round,
            weight,
            quorum,
            certified,
            explanation,
        }
    }

    fn words_for_choice(&self, open: &Open, choice: Choice) -> String {
        let machine = &open.machine;
        let (round, event) = (machine.round(), choice.event_hash);
        let ballot = self.own_ballot(open, round);
        match (
            machine.locked().filter(|lock| lock.choice != choice),
            ballot,
        ) {
            (_, Some(Some(voted))) if voted == choice => {
                format!("your choice is recorded: event {event}")
            }
            (Some(lock), _) => format!(
                "this node is locked on event {} since round {}{}; it prevotes its lock in round {round}; your choice \
                 stands for later rounds, in case the lock is released",
                lock.choice.event_hash,
                lock.at.round,
                if lock.at.epoch == machine.epoch() {
                    String::new()
                } else {
                    format!(" of epoch {}", lock.at.epoch)
                },
            ),
            (None, Some(other)) => {
                format!(
                    "this node has prevoted {} in round {round}; your choice stands for later rounds",
                    words(other)
                )
            }
            (None, None) if machine.candidate(choice).is_none() => {
                format!(
                    "your choice of event {event} stands; the event is not here yet and is asked for"
                )
            }
            (None, None) => format!("your choice of event {event} stands"),
        }
    }

    /// Whether a subject waits for people: its round failed and no automatic one follows, or it is
    /// in an operator round.
    pub(super) fn is_in_conflict(&self, open: &Open) -> bool {
        let round = open.machine.round();
        let is_operators = round != Round::ZERO && !open.rules(self.rules).is_automatic(round);
        open.machine.in_conflict() || is_operators && open.machine.decided().is_none()
    }
}

/// Voters named in one sentence.
const MISSING_NAMED: usize = 10;

fn words(ballot: Ballot) -> String {
    ballot.map_or_else(
        || "nil".to_owned(),
        |choice| format!("event {}", choice.event_hash),
    )
}
