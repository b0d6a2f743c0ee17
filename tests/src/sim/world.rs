//! One simulated federation: machines, liars, network and clock, and the loop that lets happen what
//! is next.

use std::sync::Arc;

use ssid_engine::Inbound;
use ssid_protocol::batch::VerifiedBatch;
use ssid_protocol::evidence::Evidence;
use ssid_protocol::sync::{Answer, Request};

use super::believing::Signed;
use super::byzantine::Liars;
use super::checks::Checks;
use super::clock::Clock;
use super::coverage::Coverage;
use super::federation::Federation;
use super::mutation::Mutation;
use super::network::Network;
use super::node::Machine;
use super::rng::Rng;
use super::scenario::{Liar, Scenario};
use super::trace::Trace;

/// Steps of one seed after which something goes round in circles.
const MOST_STEPS: u64 = 2_000_000;

/// What happens next.
#[derive(Debug)]
pub(super) enum Step {
    /// A node ticks. Only if it still wants to at this time.
    Turn(usize, u32),
    /// A tick's writes are done.
    Finish(usize, u32),
    /// A batch arrives at a machine.
    Batch {
        to: usize,
        from: usize,
        batch: Arc<VerifiedBatch>,
    },
    /// Evidence arrives at a machine.
    Evidence {
        to: usize,
        from: usize,
        evidence: Arc<Evidence>,
    },
    /// A question arrives at a member.
    Ask {
        to: usize,
        asker: Asker,
        request: Request,
    },
    /// An answer arrives.
    Answer {
        asker: Asker,
        from: usize,
        request: Request,
        answer: Option<Answer>,
    },
    /// A machine sees who is connected.
    Connections(usize),
    /// A node's registry file is read, for this look if one was asked for.
    File(usize, u32, Option<u64>),
    /// A thing of the plan.
    Plan(usize),
    /// A node whose death was armed dies now if it has not.
    Kill(usize, u32),
    /// A node is started.
    Start(usize),
    /// A liar acts.
    Lie,
    /// Operators look at what is open.
    Operators,
    /// Everything is well from now on.
    Heal,
    /// Whether all is decided.
    Look,
}

/// Who asked, in which life, and the question's number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) machine: usize,
    pub(super) life: u32,
    pub(super) number: u64,
}

/// Everything of one seed.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) fed: &'a Federation,
    pub(super) mutation: Mutation,
    pub(super) clock: Clock<Step>,
    pub(super) network: Network,
    pub(super) machines: Vec<Machine>,
    pub(super) liars: Liars,
    pub(super) checks: Checks<'a>,
    pub(super) signed: Signed,
    pub(super) coverage: Coverage,
    pub(super) trace: Trace,
    /// Faults and people.
    pub(super) rng: Rng,
    pub(super) healed: bool,
    pub(super) questions: u64,
}

impl<'a> World<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        fed: &'a Federation,
        mutation: Mutation,
        trace: Trace,
    ) -> Result<Self, String> {
        let mut machines = Vec::new();
        for member in 0..scenario.members() {
            let machine = |is_honest| Machine::new(fed, member, is_honest, scenario.in_files);
            match scenario.liars.get(&member) {
                None => machines.push(machine(true)?),
                Some(Liar::Twins) => machines.extend([machine(false)?, machine(false)?]),
                Some(Liar::Silent | Liar::Scripted) => {}
            }
        }
        let mut rng = Rng::stream(scenario.seed, 1);
        take_sides(
            &mut machines,
            fed.members(),
            &mut rng,
            mutation == Mutation::TooManyLiars,
        );
        let scripted = scenario
            .liars
            .iter()
            .filter(|(_, liar)| **liar == Liar::Scripted)
            .map(|(member, _)| *member);
        let liars = Liars::new(
            Rng::stream(scenario.seed, 2),
            scripted.collect(),
            machines.len(),
        );
        Ok(Self {
            scenario,
            fed,
            mutation,
            clock: Clock::new(),
            network: Network::new(Rng::stream(scenario.seed, 3), scenario.link, fed.members()),
            checks: Checks::new(fed, machines.len()),
            machines,
            liars,
            signed: Signed::default(),
            coverage: Coverage::default(),
            trace,
            rng,
            healed: false,
            questions: 0,
        })
    }

    /// Lets everything happen until all is decided.
    pub(super) fn run(&mut self) -> Result<(), String> {
        for at in 0..self.machines.len() {
            self.start(at)?;
        }
        for (number, (at, _)) in self.scenario.plan.iter().enumerate() {
            self.clock.after(*at, Step::Plan(number));
        }
        self.clock.after(self.scenario.healed_at, Step::Heal);
        self.clock.after(1_000, Step::Operators);
        if !self.liars.members().is_empty() {
            self.clock.after(500, Step::Lie);
        }
        for _ in 0..MOST_STEPS {
            let Some(step) = self.clock.next() else {
                return Err("nothing happens any more".to_owned());
            };
            if matches!(step, Step::Look) {
                if self.is_over()? {
                    return Ok(());
                }
                continue;
            }
            self.step(step)?;
        }
        let all = self.pending().join("\n  ");
        Err(format!("{MOST_STEPS} steps, and no end:\n  {all}"))
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Turn(at, life) => self.turn(at, life),
            Step::Finish(at, life) => self.finish(at, life),
            Step::Batch { to, from, batch } => self.deliver(to, from, &batch),
            Step::Evidence { to, from, evidence } => {
                self.deliver_evidence(to, from, &evidence);
                Ok(())
            }
            Step::Ask { to, asker, request } => self.asked(to, asker, request),
            Step::Answer {
                asker,
                from,
                request,
                answer,
            } => self.answered(asker, from, request, answer),
            Step::Connections(at) => {
                self.see_connections(at);
                Ok(())
            }
            Step::File(at, life, look) => {
                self.read_file(at, life, look);
                Ok(())
            }
            Step::Plan(number) => {
                self.happen(number);
                Ok(())
            }
            Step::Kill(at, life) => {
                if self.machines[at].life == life && self.machines[at].is_up() && !self.healed {
                    self.die(at, "killed");
                }
                Ok(())
            }
            Step::Start(at) => self.start(at),
            Step::Lie => {
                self.lie();
                Ok(())
            }
            Step::Operators => {
                self.operators();
                Ok(())
            }
            Step::Heal => self.heal(),
            Step::Look => Ok(()),
        }
    }

    /// An input for a node that is up; it ticks soon.
    pub(super) fn give(&mut self, at: usize, input: Inbound) {
        if self.machines[at].is_up() {
            self.machines[at].inbox.push(input);
            self.want_turn(at, 0);
        }
    }

    /// A node's registry file is read, if the node still lives.
    fn read_file(&mut self, at: usize, life: u32, look: Option<u64>) {
        if self.machines[at].life == life && self.machines[at].is_up() {
            for input in self.machines[at].read_file(look) {
                self.give(at, input);
            }
        }
    }

    /// A node wants to tick in so many milliseconds, if not earlier, once its disk is idle.
    pub(super) fn want_turn(&mut self, at: usize, delay: u64) {
        let when = self.clock.now() + delay;
        let machine = &mut self.machines[at];
        if machine.pending.is_none() && machine.turn_at.is_none_or(|known| when < known) {
            machine.turn_at = Some(when);
            let life = machine.life;
            self.clock.after(delay, Step::Turn(at, life));
        }
    }

    /// Whether two machines could talk now.
    pub(super) fn linked(&self, a: usize, b: usize) -> bool {
        let (first, second) = (&self.machines[a], &self.machines[b]);
        first.is_up()
            && second.is_up()
            && first.hears(second.member)
            && second.hears(first.member)
            && !self.network.is_cut(first.member, second.member)
            && !self.shuts_out(a, second.member)
            && !self.shuts_out(b, first.member)
    }

    pub(super) fn honest_machines(&self) -> Vec<usize> {
        (0..self.machines.len())
            .filter(|at| self.machines[*at].is_honest)
            .collect()
    }

    fn lie(&mut self) {
        let now = self.clock.shown(0);
        let latest = self.checks.chain().latest();
        self.liars.note_latest(latest.epoch, latest.hash());
        for lie in self.liars.lie(self.fed, now, !self.healed) {
            self.coverage.count(&format!("lies: {}", lie.name));
            self.signed.note(&lie.batch);
            let all = 0..self.machines.len();
            for to in all.filter(|to| lie.part.as_ref().is_none_or(|part| part.contains(to))) {
                if !self.network.is_cut(lie.from, self.machines[to].member)
                    && self.machines[to].hears(lie.from)
                {
                    self.travel(to, lie.from, &lie.batch);
                }
            }
        }
        let pause = self
            .rng
            .between(50, if self.healed { 6_000 } else { 2_000 });
        self.clock.after(pause, Step::Lie);
    }
}

/// Each of two twins talks to a part of the members, and to some both do. Those that conspire
/// divide the honest alike.
fn take_sides(machines: &mut [Machine], members: usize, rng: &mut Rng, conspire: bool) {
    let honest: Vec<bool> = (0..members)
        .map(|m| machines.iter().any(|at| at.member == m && at.is_honest))
        .collect();
    let twins: Vec<usize> = (1..machines.len())
        .filter(|at| machines[*at].member == machines[at - 1].member)
        .collect();
    for second in twins {
        let mut sides = [
            std::collections::BTreeSet::new(),
            std::collections::BTreeSet::new(),
        ];
        for (member, honest) in honest.iter().copied().enumerate() {
            let side = match (conspire, honest) {
                (true, true) => member % 2 * 2,
                (true, false) => 4,
                (false, _) => rng.below(5),
            };
            if side != 0 && side != 1 {
                sides[0].insert(member);
            }
            if side != 2 && side != 3 {
                sides[1].insert(member);
            }
        }
        let [one, other] = sides;
        machines[second - 1].side = Some(one);
        machines[second].side = Some(other);
    }
}
