//! Changes of members in a seed: planned, proposed by whoever is up, approved by operators; and the
//! chain of epochs that all of it must make.

use ssid_engine::{Command, Decider, Inbound, Operation};
use ssid_protocol::chain::{Chain, Link};
use ssid_protocol::id::UnixMillis;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::member::Status;
use ssid_protocol::testing;
use ssid_storage::{NoteKind, Store};

use super::rng::Rng;
use super::scenario::{Happening, Scenario};
use super::world::World;

/// Of so many seeds one has changes of members.
const CHANGES_EVERY: u64 = 4;

/// What a proposal changes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Edit {
    /// The reason alone.
    Nothing,
    /// This member votes no more.
    Suspend(usize),
    /// It votes again.
    Resume(usize),
}

impl Scenario {
    /// Changes at any time before all is well. They need operators, who approve them.
    pub(super) fn plan_changes(&mut self) {
        if !self.operators || self.seed % CHANGES_EVERY != 2 {
            return;
        }
        let rng = &mut Rng::stream(self.seed, 7);
        for _ in 0..rng.between(1, 3) {
            let member = rng.below(self.members());
            let edit = match rng.below(3) {
                0 => Edit::Nothing,
                1 => Edit::Suspend(member),
                _ => Edit::Resume(member),
            };
            let at = rng.between(500, self.healed_at);
            self.plan.push((at, Happening::Change(edit)));
        }
        // some begin with one that does not vote, and that may come to
        if rng.chance(500) {
            let member = rng.below(self.members());
            let mut manifest = self.manifest.clone();
            if let Some(member) = manifest.members.get_mut(member) {
                member.status = Status::Suspended;
            }
            if manifest.validate_genesis().is_ok() && self.is_safe(&manifest) {
                self.manifest = manifest;
                let at = rng.between(500, self.healed_at);
                self.plan
                    .push((at, Happening::Change(Edit::Resume(member))));
            }
        }
    }

    /// Whether the liars among the voters have at most weight F, and the others can decide alone.
    fn is_safe(&self, manifest: &Manifest) -> bool {
        let Ok(voters) = manifest.voters() else {
            return false;
        };
        let id_of = |member: usize| testing::key(member as u8).node_id();
        let weight_of = |member: usize| {
            let index = voters.index_of(&id_of(member));
            index.map(|index| voters.weight(index))
        };
        let liars = self.liars.keys().filter_map(|member| weight_of(*member));
        let liars: u64 = liars.sum();
        let honest = (0..self.members()).filter(|member| self.is_honest(*member));
        let honest: Vec<u64> = honest.filter_map(weight_of).collect();
        !voters.exceeds_faulty(liars) && voters.is_quorum(honest.iter().sum(), honest.len())
    }
}

impl World<'_> {
    /// A member's operator proposes a change.
    pub(super) fn propose_change(&mut self, edit: Edit) {
        let honest = self.honest_machines();
        let up: Vec<usize> = honest
            .into_iter()
            .filter(|at| self.machines[*at].is_up())
            .collect();
        let Some(at) = self.rng.pick(&up) else { return };
        let Some(engine) = &self.machines[at].engine else {
            return;
        };
        let current = engine.epochs().current().manifest().clone();
        let now = self.clock.shown(self.machines[at].skew);
        let Some(manifest) = self.edited(&current, edit, now) else {
            return;
        };
        self.coverage.count("changes of members proposed");
        self.trace
            .line(self.clock.now(), || format!("{at} proposes {edit:?}"));
        let command = Command::Propose(Box::new(manifest), Vec::new(), Decider::default());
        self.give(at, Inbound::Command { command, ticket: 0 });
    }

    /// The manifest after `current` with this change; one that would leave too many liars among the
    /// voters, or too few others, is another's to propose.
    fn edited(&self, current: &Manifest, edit: Edit, now: UnixMillis) -> Option<Manifest> {
        let mut manifest = testing::successor(current);
        manifest.created_at = now.iso();
        if let Some(change) = &mut manifest.change {
            change.reason = format!("{edit:?}");
        }
        let (member, status) = match edit {
            Edit::Nothing => return Some(manifest),
            Edit::Suspend(member) => (member, Status::Suspended),
            Edit::Resume(member) => (member, Status::Active),
        };
        manifest.members.get_mut(member)?.status = status;
        self.scenario.is_safe(&manifest).then_some(manifest)
    }

    /// Operators approve what is proposed, some of them, in whatever order.
    pub(super) fn approve_changes(&mut self) {
        for at in self.honest_machines() {
            let Some(engine) = &self.machines[at].engine else {
                continue;
            };
            let subject = engine.epochs().current().change();
            let views = engine.instances(Some(subject), None, 1);
            let Some(view) = views.first().filter(|view| view.awaiting_review) else {
                continue;
            };
            let known: Vec<_> = view.candidates.iter().map(|known| known.choice).collect();
            let choice = self.rng.pick(&known);
            if let Some(choice) = choice.filter(|_| self.rng.chance(500)) {
                let operation = Operation {
                    kind: NoteKind::Endorse,
                    subject,
                    choice,
                };
                self.operate(at, operation);
            }
        }
    }

    /// Whether all honest nodes are in the latest epoch.
    pub(super) fn is_in_latest_epoch(&self) -> bool {
        let latest = self.checks.chain().latest().epoch;
        self.honest_machines().into_iter().all(|at| {
            let engine = self.machines[at].engine.as_ref();
            engine.is_some_and(|engine| engine.epochs().current().number() == latest)
        })
    }
}

/// Takes the links that a node holds and the chain does not, each verified as anybody would offline.
pub(super) fn follow(chain: &mut Chain, store: &Store) -> Result<(), String> {
    for row in store.epochs(chain.latest().epoch.next()) {
        let (_, row) = row.map_err(|error| error.to_string())?;
        let manifest = Manifest::parse(row.manifest.as_bytes());
        let link = Link {
            manifest: manifest.map_err(|error| error.to_string())?,
            certificate: row.certificate.ok_or("an epoch without its certificate")?,
        };
        chain.extend(link).map_err(|error| error.to_string())?;
    }
    Ok(())
}
