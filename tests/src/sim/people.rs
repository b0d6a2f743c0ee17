//! Operators. While things go wrong each does anything that the interface lets them; in the end all
//! choose the same.

use std::collections::BTreeMap;

use ssid_engine::settings::PROPOSAL_AGE;
use ssid_engine::{Command, Decider, Inbound, InstanceView, Operation};
use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, Epoch, Round, SubjectId};
use ssid_protocol::timeliness::untimely;
use ssid_storage::NoteKind;

use super::world::{Step, World};

impl World<'_> {
    pub(super) fn operators(&mut self) {
        if self.healed && self.scenario.operators {
            self.choose_alike();
        } else if self.scenario.operators && self.rng.chance(300) {
            self.do_anything();
        }
        if !self.healed && self.scenario.operators {
            self.approve_changes();
        }
        let pause = if self.healed {
            5_000
        } else {
            self.rng.between(500, 5_000)
        };
        self.clock.after(pause, Step::Operators);
    }

    pub(super) fn operate(&mut self, at: usize, operation: Operation) {
        self.coverage.count("operators' decisions");
        self.trace.line(self.clock.now(), || {
            format!("operator of {at}: {operation:?}")
        });
        self.give(
            at,
            Inbound::Command {
                command: Command::Operate(operation, Decider::default()),
                ticket: 0,
            },
        );
    }

    fn views(&self, at: usize) -> Vec<InstanceView> {
        self.machines[at]
            .engine
            .as_ref()
            .map(|engine| engine.instances(None, None, usize::MAX))
            .unwrap_or_default()
    }

    /// Whether a subject is the change of members of the epoch that a machine is in.
    fn is_change(&self, at: usize, subject: SubjectId) -> bool {
        let engine = self.machines[at].engine.as_ref();
        engine.is_some_and(|engine| engine.epochs().current().change() == subject)
    }

    /// Whether operators may still stand for a candidate. A change of members that is too old, or
    /// ahead of the clock, is proposed anew, unless somebody is locked on it; and one that some have
    /// no room for, since its proposer has others, can be approved by the rest alone.
    fn may_be_chosen(&self, at: usize, subject: SubjectId, event: Option<&Event>) -> bool {
        let now = self.clock.shown(self.machines[at].skew);
        let is_for_all = |event: &Event| {
            untimely(event, now, PROPOSAL_AGE).is_none() && self.is_known_to_all(subject, event)
        };
        event.is_some_and(|event| !self.is_change(at, subject) || is_for_all(event))
    }

    /// Whether every honest machine that has a subject open has this event for it.
    fn is_known_to_all(&self, subject: SubjectId, event: &Event) -> bool {
        let engines = self.honest_machines().into_iter();
        let engines = engines.filter_map(|at| self.machines[at].engine.as_ref());
        let mut views = engines.flat_map(|engine| engine.instances(Some(subject), None, 1));
        views.all(|view| {
            let mut known = view.candidates.iter();
            known.any(|known| known.event.as_ref() == Some(event))
        })
    }

    /// Whether what is open can be decided by those who are there.
    pub(super) fn may_be_decided(&self, at: usize, view: &InstanceView) -> bool {
        let may_be_chosen = |event| self.may_be_chosen(at, view.subject_id, event);
        let mut candidates = view.candidates.iter().map(|it| it.event.as_ref());
        !self.is_change(at, view.subject_id)
            || view.locked.is_some()
            || candidates.any(may_be_chosen)
    }

    fn do_anything(&mut self) {
        let at = self.rng.below(self.machines.len());
        let views = self.views(at);
        let Some(view) = views.get(self.rng.below(views.len())) else {
            return;
        };
        let known: Vec<Choice> = view
            .candidates
            .iter()
            .filter(|c| c.event.is_some())
            .map(|c| c.choice)
            .collect();
        let Some(choice) = self.rng.pick(&known) else {
            return;
        };
        let kind = if view.in_conflict {
            NoteKind::Stand
        } else {
            [NoteKind::Endorse, NoteKind::Refuse][self.rng.below(2)]
        };
        self.operate(
            at,
            Operation {
                kind,
                subject: view.subject_id,
                choice,
            },
        );
    }

    /// Everybody chooses the latest lock's choice, else the lowest that anybody knows.
    fn choose_alike(&mut self) {
        let honest = self.honest_machines();
        let views: Vec<_> = honest.iter().map(|at| (*at, self.views(*at))).collect();
        let mut picks: BTreeMap<SubjectId, (Option<(Epoch, Round)>, Choice)> = BTreeMap::new();
        let all = views
            .iter()
            .flat_map(|(at, views)| views.iter().map(|view| (*at, view)));
        for (at, view) in all {
            let locks = view
                .locked
                .iter()
                .map(|lock| (Some((lock.epoch, lock.round)), lock.choice));
            let known = view
                .candidates
                .iter()
                .filter(|c| self.may_be_chosen(at, view.subject_id, c.event.as_ref()))
                .map(|c| (None, c.choice));
            for (lock, choice) in locks.chain(known) {
                let pick = picks.entry(view.subject_id).or_insert((lock, choice));
                if lock > pick.0 || (lock == pick.0 && choice < pick.1) {
                    *pick = (lock, choice);
                }
            }
        }
        for (at, views) in views {
            for view in views {
                let Some((_, choice)) = picks.get(&view.subject_id).copied() else {
                    continue;
                };
                let subject = view.subject_id;
                // in the end whoever is to become a voter may be a liar, and never ready
                if self.is_change(at, subject) {
                    let kind = NoteKind::Waive;
                    self.operate(
                        at,
                        Operation {
                            kind,
                            subject,
                            choice,
                        },
                    );
                } else if view.awaiting_review {
                    self.operate(
                        at,
                        Operation {
                            kind: NoteKind::Endorse,
                            subject,
                            choice,
                        },
                    );
                } else if view.in_conflict && view.no_choice_because.is_none() {
                    self.operate(
                        at,
                        Operation {
                            kind: NoteKind::Stand,
                            subject,
                            choice,
                        },
                    );
                }
            }
        }
    }
}
