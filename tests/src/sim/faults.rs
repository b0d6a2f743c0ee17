//! What goes wrong: the plan, deaths and restarts, and the end of all faults.

use ssid_engine::{Command, Inbound};
use ssid_protocol::event::Event;

use super::mutation::Mutation;
use super::scenario::{End, Happening, death};
use super::world::{Step, World};

/// An armed death that no write came to within this time is a kill.
const DEATH_WITHIN_MS: u64 = 15_000;
/// New lines of a registry file are read within this time, if no look is asked for before.
const NOTICED_WITHIN_MS: u64 = 600;

impl World<'_> {
    pub(super) fn happen(&mut self, number: usize) {
        let Some((_, happening)) = self.scenario.plan.get(number) else {
            return;
        };
        self.trace
            .line(self.clock.now(), || format!("PLAN {happening}"));
        match happening {
            Happening::Emit(member, event) => {
                self.at_member(*member, || Inbound::Command {
                    command: Command::Emit(vec![event.clone()]),
                    ticket: 0,
                });
            }
            Happening::Burst(member, events) => {
                self.coverage.count("bursts of own events");
                self.at_member(*member, || Inbound::Command {
                    command: Command::Emit(events.clone()),
                    ticket: 0,
                });
            }
            Happening::Observe(member, events) => self.write_lines(*member, events),
            Happening::Split(parts) if !self.healed => {
                self.coverage.count("partitions");
                self.network.split(parts);
                self.reconnect();
            }
            Happening::Whole => {
                self.network.make_whole();
                self.reconnect();
            }
            Happening::Crash(member, end, down) if !self.healed => self.crash(*member, *end, *down),
            Happening::Skew(member, skew) if !self.healed => {
                let is_jump = skew.unsigned_abs() > 3_600_000;
                self.coverage.count(match skew {
                    0 => "clocks put right",
                    _ if is_jump => "clocks off by days",
                    _ => "clocks set wrong",
                });
                self.set_clock(*member, *skew);
            }
            Happening::Change(edit) => self.propose_change(*edit),
            Happening::Split(_) | Happening::Crash(..) | Happening::Skew(..) => {}
        }
    }

    /// Lines are written into a member's registry file, whether its node is up or not; it notices
    /// them soon.
    fn write_lines(&mut self, member: usize, events: &[Event]) {
        for at in 0..self.machines.len() {
            if self.machines[at].member == member {
                self.machines[at].file.extend_from_slice(events);
                let (life, after) = (
                    self.machines[at].life,
                    self.rng.between(0, NOTICED_WITHIN_MS),
                );
                self.clock.after(after, Step::File(at, life, None));
            }
        }
    }

    fn at_member(&mut self, member: usize, input: impl Fn() -> Inbound) {
        for at in 0..self.machines.len() {
            if self.machines[at].member == member {
                self.give(at, input());
            }
        }
    }

    fn set_clock(&mut self, member: usize, skew: i64) {
        for at in 0..self.machines.len() {
            if self.machines[at].member == member {
                self.machines[at].skew = skew;
                self.want_turn(at, 0);
            }
        }
    }

    fn crash(&mut self, member: usize, end: End, down_ms: u64) {
        for at in 0..self.machines.len() {
            if self.machines[at].member != member || !self.machines[at].is_up() {
                continue;
            }
            self.machines[at].down_ms = down_ms;
            let life = self.machines[at].life;
            match end {
                End::Killed => self.die(at, "killed"),
                End::Writing(death) => {
                    self.machines[at].disk.arm(death);
                    self.clock.after(DEATH_WITHIN_MS, Step::Kill(at, life));
                }
                End::Sending(after) => {
                    self.machines[at].dies_after = Some(after);
                    self.clock.after(DEATH_WITHIN_MS, Step::Kill(at, life));
                }
            }
        }
    }

    /// A node is gone, and comes back after a while.
    pub(super) fn die(&mut self, at: usize, how: &str) {
        self.trace
            .line(self.clock.now(), || format!("DEATH of {at}: {how}"));
        self.coverage.count("crashes");
        self.checks.died(at);
        let machine = &mut self.machines[at];
        machine.stop();
        if let Some(left) = machine.left.take() {
            machine.disk.restore(machine.home(), &left).ok();
        }
        let down = machine.down_ms;
        self.reconnect();
        self.clock.after(down, Step::Start(at));
    }

    /// A node is started on what its disk holds; it may die again over it.
    pub(super) fn start(&mut self, at: usize) -> Result<(), String> {
        if self.machines[at].is_up() {
            return Ok(());
        }
        let power_lost = self.rng.chance(500).then(|| self.rng.between(0, u64::MAX));
        let machine = &mut self.machines[at];
        machine
            .disk
            .revive(machine.home(), power_lost)
            .map_err(|error| error.to_string())?;
        if !self.healed && self.rng.chance(150) {
            machine.disk.arm(death(&mut self.rng));
        }
        if self.mutation == Mutation::RestoresOldDisk && machine.is_honest {
            if let Some(old) = &machine.old {
                machine
                    .disk
                    .restore(machine.home(), old)
                    .map_err(|error| error.to_string())?;
            } else if machine.life > 0 {
                machine.old = Some(machine.disk.snapshot(machine.home()));
            }
        }
        let now = self.clock.both(machine.skew);
        let settings = self.scenario.settings_of(machine.member);
        let started = machine.start(self.fed, &settings, now, self.mutation);
        let effects = match started {
            Ok(effects) => effects,
            // it died while it was starting: it is started again
            Err(error) => {
                let Some(point) = machine.disk.died_at() else {
                    return Err(format!("machine {at}: {error}"));
                };
                self.coverage.count(&format!("died in a write: {point:?}"));
                self.die(at, "died while starting");
                return Ok(());
            }
        };
        let life = machine.life;
        self.trace
            .line(self.clock.now(), || format!("START of {at}, life {life}"));
        self.reconnect();
        self.ticked(at, effects)
    }

    /// The network is whole, clocks are right, all nodes are up and stay so. Liars lie on.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        self.trace
            .line(self.clock.now(), || "EVERYTHING HEALS".to_owned());
        self.healed = true;
        self.network.make_whole();
        self.network.link.loss = 0;
        self.network.link.delay.1 = self.network.link.delay.1.min(500);
        for at in 0..self.machines.len() {
            self.machines[at].skew = 0;
            self.machines[at].dies_after = None;
            if self.machines[at].disk.died_at().is_none() {
                self.machines[at]
                    .disk
                    .revive(self.machines[at].home(), None)
                    .map_err(|e| e.to_string())?;
            }
            self.start(at)?;
            self.want_turn(at, 0);
        }
        self.reconnect();
        self.clock.after(1_000, Step::Look);
        Ok(())
    }
}
