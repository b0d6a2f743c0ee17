//! What this node's operator says to a proposed change of members, and for how long it holds (SPEC
//! §4, *Approving*). An approval is both the endorsement of round 0 and the standing choice of all
//! later ones; it takes effect once the new voters say to be ready, unless the operator waives that.

use ssid_protocol::id::{Choice, SubjectId};
use ssid_protocol::voting::Input;
use ssid_storage::NoteKind;

use super::proposals::manifest_of;
use super::proposing::is_timely_proposal;
use crate::clock::Now;
use crate::engine::{Engine, Tick};
use crate::open::Open;
use crate::request::{OperatorRefusal, RefusalKind};

/// How an approval stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Approval {
    /// Nobody approved any of the proposals.
    Missing,
    /// The approved one is too old by now, or ahead of this node's clock.
    Untimely,
    /// It waits for these to say that they are ready.
    Waits(Vec<String>),
    /// It is voted for.
    Holds(Choice),
}

impl Engine {
    /// Whether the operator may approve or refuse this proposal now; `true` if just that was said
    /// already.
    pub(crate) fn check_approval(
        &self,
        open: &Open,
        kind: NoteKind,
        choice: Choice,
    ) -> Result<bool, OperatorRefusal> {
        let repeated = match kind {
            NoteKind::Endorse | NoteKind::Stand => open.noted(NoteKind::Endorse) == Some(choice),
            NoteKind::Refuse | NoteKind::Waive => open.has_note(kind, choice),
        };
        // a refusal needs neither age nor proof
        if repeated || kind == NoteKind::Refuse {
            return Ok(repeated);
        }
        let candidate = open.machine.candidate(choice);
        if candidate.is_none_or(|known| known.announced_by.is_none()) {
            let reason = "the proof that a voter of this epoch announced it has not arrived";
            let refusal = OperatorRefusal::new(RefusalKind::NotEndorsable, reason);
            return Err(refusal.hint("try again in a moment"));
        }
        match candidate {
            Some(known) if !Self::may_still_be_approved(self.now, open, choice) => {
                let reason = format!(
                    "the proposal is of {}: too old, or ahead of this node's clock",
                    known.event.timestamp
                );
                let refusal = OperatorRefusal::new(RefusalKind::NotEndorsable, reason);
                Err(refusal.hint("propose it anew: its members may be the same"))
            }
            _ => Ok(false),
        }
    }

    /// Whether a proposal is young enough, or a quorum stood behind it already.
    fn may_still_be_approved(now: Now, open: &Open, choice: Choice) -> bool {
        let has_polka = open.machine.valid().is_some_and(|it| it.choice == choice);
        let candidate = open.machine.candidate(choice);
        has_polka || candidate.is_some_and(|known| is_timely_proposal(now.wall, &known.event))
    }

    /// How this node stands to the proposals of a change.
    pub(crate) fn approval(&self, now: Now, open: &Open) -> Approval {
        let approved = open
            .noted(NoteKind::Endorse)
            .and_then(|choice| open.machine.candidate(choice));
        let Some(candidate) = approved else {
            return Approval::Missing;
        };
        let choice = candidate.choice;
        if !Self::may_still_be_approved(now, open, choice) {
            return Approval::Untimely;
        }
        let is_waived = open.has_note(NoteKind::Waive, choice);
        let hash = manifest_of(&candidate.event);
        let proposed = hash.and_then(|hash| self.membership.proposals.manifest(&hash));
        let missing = match (hash, proposed) {
            (Some(hash), Some(manifest)) if !is_waived => {
                self.not_ready(now.steady, &hash, manifest)
            }
            _ => Vec::new(),
        };
        if missing.is_empty() {
            return Approval::Holds(choice);
        }
        let name = |node| {
            let named = proposed.and_then(|manifest| manifest.member(node));
            named.map_or_else(|| node.to_string(), |member| member.node_name.clone())
        };
        Approval::Waits(missing.iter().map(name).collect())
    }

    /// Writes down that the operator approves a proposal, whether or not its new voters are ready.
    pub(crate) fn approve(&mut self, tick: &mut Tick, choice: Choice, waives: bool) {
        let subject = self.epochs.current().change();
        let waived = waives.then_some(NoteKind::Waive);
        for kind in [NoteKind::Endorse, NoteKind::Stand]
            .into_iter()
            .chain(waived)
        {
            self.write_note(tick, subject, kind, choice);
        }
        self.follow_approval(tick);
    }

    /// The operator approves once more what the approval stands for already: in a conflict that
    /// carries it through further rounds.
    pub(crate) fn renew_approval(&mut self, tick: &mut Tick, subject: SubjectId, choice: Choice) {
        let open = self.open.get(&subject);
        let is_it = open.is_some_and(|open| open.machine.standing() == Some(choice));
        if is_it && subject == self.epochs.current().change() {
            self.apply(tick, subject, Input::Choose(choice));
        }
    }

    /// Writes down that the operator refuses a proposal, or takes an approval back. Once all that
    /// are known are refused the prevote is nil.
    pub(crate) fn reject(&mut self, tick: &mut Tick, choice: Choice) {
        let subject = self.epochs.current().change();
        self.write_note(tick, subject, NoteKind::Refuse, choice);
        self.follow_approval(tick);
    }

    /// Brings the voting on the change in line with what the operator said, the age of what was
    /// approved, and who is ready. Called with every tick: each of these changes by itself.
    pub(crate) fn follow_approval(&mut self, tick: &mut Tick) {
        let subject = self.epochs.current().change();
        let Some(open) = self.open.get(&subject) else {
            return;
        };
        let standing = open.machine.standing();
        let approval = self.approval(tick.now(), open);
        let approved = match approval {
            Approval::Holds(_) | Approval::Waits(_) => open.noted(NoteKind::Endorse),
            Approval::Missing | Approval::Untimely => None,
        };
        let approved = approved.and_then(|choice| open.machine.candidate(choice));
        let approved = approved.and_then(|candidate| manifest_of(&candidate.event));
        self.admit_guests(approved);
        match approval {
            Approval::Holds(choice) if standing != Some(choice) => {
                tracing::info!(event = %choice.event_hash, "voting for a change of members");
                self.apply(tick, subject, Input::Choose(choice));
                self.endorse(tick, subject);
            }
            Approval::Missing | Approval::Untimely if standing.is_some() => {
                tracing::info!("the approval of a change of members holds no more");
                self.apply(tick, subject, Input::Withdraw);
            }
            // who was ready once may be approved: the approval is not taken back by silence
            Approval::Holds(_) | Approval::Waits(_) | Approval::Missing | Approval::Untimely => {}
        }
        let is_refused = self.open.get(&subject).is_some_and(|open| {
            let mut known = open.machine.candidates().peekable();
            known.peek().is_some() && known.all(|it| open.has_note(NoteKind::Refuse, it.choice))
        });
        if is_refused {
            self.refuse(tick, subject);
        }
    }
}
