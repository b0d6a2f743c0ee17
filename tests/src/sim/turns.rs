//! A node's ticks, and carrying out what they give: the simulated `engine::task`.

use std::collections::BTreeSet;
use std::sync::Arc;

use ssid_engine::{Effects, Inbound, NodeEvent, Reply, Validity, evidence_answer};
use ssid_protocol::batch::VerifiedBatch;
use ssid_protocol::evidence::Evidence;
use ssid_protocol::id::NodeId;
use ssid_protocol::sync::{Answer, LOG_PAGE, Request};

use super::mutation::Mutation;
use super::node::Waiting;
use super::scenario::Liar;
use super::world::{Asker, Step, World};

/// Inputs taken into one tick.
const TICK_INPUTS: usize = 1024;
/// Ticks of one node within a millisecond after which it spins.
const TICKS_AT_ONCE: u32 = 1_000;
/// A look at the registry file takes at most so long.
const LOOK_TAKES_MS: u64 = 20;
/// How long a peer is waited for that does not answer.
const ANSWER_WITHIN_MS: u64 = 10_000;
/// Bytes in a page of the log.
const LOG_BYTES: usize = 768 * 1024;

impl World<'_> {
    pub(super) fn turn(&mut self, at: usize, life: u32) -> Result<(), String> {
        let now = self.clock.now();
        let machine = &mut self.machines[at];
        if machine.life != life || machine.turn_at != Some(now) || machine.pending.is_some() {
            return Ok(());
        }
        machine.turn_at = None;
        machine.ticks = (
            now,
            if machine.ticks.0 == now {
                machine.ticks.1 + 1
            } else {
                0
            },
        );
        if machine.ticks.1 > TICKS_AT_ONCE {
            return Err(format!(
                "machine {at} ticks without end and without a pause"
            ));
        }
        match self.mutation {
            Mutation::SendsBeforeFlush => {
                machine.flushed = Some(machine.disk.snapshot(machine.home()));
            }
            Mutation::LosesWhatWasSent => {
                machine.left = Some(machine.disk.snapshot(machine.home()));
            }
            _ => {}
        }
        let rest = machine
            .inbox
            .split_off(machine.inbox.len().min(TICK_INPUTS));
        let inputs = std::mem::replace(&mut machine.inbox, rest);
        let now = self.clock.both(machine.skew);
        let Some(engine) = &mut machine.engine else {
            return Ok(());
        };
        self.coverage.count("ticks");
        let effects = engine.tick(now, inputs);
        self.ticked(at, effects)
    }

    /// What a tick, or a start, gave: the machine may have died over it, and else its disk takes
    /// its time.
    pub(super) fn ticked(&mut self, at: usize, effects: Effects) -> Result<(), String> {
        if let Some(point) = self.machines[at].disk.died_at() {
            self.coverage.count(&format!("died in a write: {point:?}"));
            self.die(at, "died in a write");
            return Ok(());
        }
        if self.machines[at].inbox.is_empty() {
            self.checks.took_in(at);
        }
        for event in &effects.events {
            match event {
                NodeEvent::ReadOnly { reason } => {
                    return Err(format!("machine {at} is read-only: {reason}"));
                }
                // whoever forgets on purpose is to be found by its votes
                NodeEvent::Abstaining { reason }
                    if self.machines[at].is_honest && self.mutation != Mutation::DropsLocks =>
                {
                    return Err(format!("machine {at} abstains: {reason}"));
                }
                _ => {}
            }
        }
        self.look_at_log(at)?;
        let is_of_people = |reply: &Reply| matches!(reply, Reply::Emitted(_) | Reply::Operated(_));
        let wrote = !effects.publish.is_empty()
            || effects.replies.iter().any(|(_, reply)| is_of_people(reply));
        let most = self
            .scenario
            .disk_ms
            .get(self.machines[at].member)
            .copied()
            .unwrap_or(1);
        let takes = if wrote {
            self.rng
                .between(0, if self.healed { most.min(50) } else { most })
        } else {
            0
        };
        self.machines[at].pending = Some(effects);
        let life = self.machines[at].life;
        if takes == 0 {
            return self.finish(at, life);
        }
        self.clock.after(takes, Step::Finish(at, life));
        Ok(())
    }

    fn look_at_log(&mut self, at: usize) -> Result<(), String> {
        let machine = &self.machines[at];
        match &machine.store {
            Some(store) if machine.is_honest => self.checks.log(at, store, &mut self.coverage),
            _ => Ok(()),
        }
    }

    /// The writes are done: everything may be shown.
    pub(super) fn finish(&mut self, at: usize, life: u32) -> Result<(), String> {
        if self.machines[at].life != life {
            return Ok(());
        }
        let Some(effects) = self.machines[at].pending.take() else {
            return Ok(());
        };
        if self.trace.is_on() {
            self.trace_effects(at, &effects);
        }
        for event in &effects.events {
            if matches!(event, NodeEvent::Conflict { .. }) && self.machines[at].is_honest {
                self.coverage.count("conflicts");
            }
        }
        let wake = effects.wake_at.map(|wake| self.clock.until(wake));
        if !self.send_all(at, effects)? {
            self.coverage.count("died while sending");
            self.die(at, "died while sending");
            return Ok(());
        }
        let delay = if self.machines[at].inbox.is_empty() {
            wake
        } else {
            Some(0)
        };
        if let Some(delay) = delay {
            self.want_turn(at, delay);
        }
        Ok(())
    }

    /// Sends one after the other; false if the node died in between.
    fn send_all(&mut self, at: usize, effects: Effects) -> Result<bool, String> {
        if let Some(look) = effects.look {
            let after = self.rng.between(0, LOOK_TAKES_MS);
            self.clock
                .after(after, Step::File(at, self.machines[at].life, Some(look)));
        }
        for batch in effects.publish {
            if !self.lives_on(at) {
                return Ok(false);
            }
            if self.machines[at].is_honest {
                self.checks.sent(at, &self.machines[at], batch.batch())?;
            }
            self.broadcast(at, &batch);
        }
        for evidence in effects.evidence {
            for to in 0..self.machines.len() {
                if to != at && self.linked(at, to) {
                    let from = self.machines[at].member;
                    for delay in self.network.arrivals() {
                        self.clock.after(
                            delay,
                            Step::Evidence {
                                to,
                                from,
                                evidence: evidence.clone(),
                            },
                        );
                    }
                }
            }
        }
        for (ticket, reply) in effects.replies {
            if matches!(reply, Reply::Answer(_)) && !self.lives_on(at) {
                return Ok(false);
            }
            let waiting = self.machines[at].waiting.remove(&ticket);
            match (waiting, reply) {
                (Some(Waiting::Gossip(batch, from)), Reply::Verdict(validity)) => {
                    self.judged(at, &batch, from, validity)?;
                }
                (Some(Waiting::Peer(asker, request)), Reply::Answer(answer)) => {
                    if self.machines[at].is_honest {
                        self.checks.answered(at, &self.machines[at], &answer)?;
                    }
                    self.answer_travels(at, asker, request, answer);
                }
                _ => {}
            }
        }
        for (node, request) in effects.asks {
            if !self.lives_on(at) {
                return Ok(false);
            }
            self.ask(at, &node, request);
        }
        Ok(true)
    }

    /// What a batch was worth that gossip delivered: what is new is passed on.
    fn judged(
        &mut self,
        at: usize,
        batch: &Arc<VerifiedBatch>,
        from: usize,
        validity: Validity,
    ) -> Result<(), String> {
        if validity == Validity::Invalid {
            self.rejected(at, from, || format!("{:?}", batch.statements()))?;
        }
        if validity == Validity::New
            && self.network.link.forwards
            && self.machines[at].passed_on.insert(batch.id())
        {
            self.broadcast(at, batch);
        }
        Ok(())
    }

    /// Counts a send of a node that is to die between two.
    fn lives_on(&mut self, at: usize) -> bool {
        match &mut self.machines[at].dies_after {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }

    fn broadcast(&mut self, at: usize, batch: &Arc<VerifiedBatch>) {
        self.signed.note(batch);
        let from = self.machines[at].member;
        for to in 0..self.machines.len() {
            if to != at && self.linked(at, to) {
                self.travel(to, from, batch);
            }
        }
        let heard = self
            .liars
            .members()
            .iter()
            .any(|liar| !self.network.is_cut(from, *liar));
        if heard {
            self.liars.hear(self.fed, batch);
        }
    }

    /// A batch is on its way to a machine, unless it is lost.
    pub(super) fn travel(&mut self, to: usize, from: usize, batch: &Arc<VerifiedBatch>) {
        let arrivals = self.network.arrivals();
        match arrivals.len() {
            0 => self.coverage.count("messages lost"),
            1 => self.coverage.count("messages"),
            _ => self.coverage.count("messages duplicated"),
        }
        for delay in arrivals {
            self.clock.after(
                delay,
                Step::Batch {
                    to,
                    from,
                    batch: batch.clone(),
                },
            );
        }
    }

    pub(super) fn deliver(
        &mut self,
        to: usize,
        from: usize,
        batch: &Arc<VerifiedBatch>,
    ) -> Result<(), String> {
        if !self.machines[to].is_up()
            || self.network.is_cut(from, self.machines[to].member)
            || self.shuts_out(to, from)
        {
            return Ok(());
        }
        let is_own = batch.signer() == self.fed.node_id(self.machines[to].member);
        if is_own && self.is_deaf_to_itself(to) {
            return Ok(());
        }
        let ticket = Some(self.machines[to].ticket(Waiting::Gossip(batch.clone(), from)));
        let input = Inbound::Batch {
            batch: batch.clone(),
            from: self.fed.node_id(from),
            ticket,
        };
        self.trace_batch("gets", to, from, batch);
        if self.machines[to].is_honest {
            self.checks
                .heard(to, &self.machines[to], batch, &mut self.coverage)?;
        }
        self.give(to, input);
        Ok(())
    }

    pub(super) fn deliver_evidence(&mut self, to: usize, from: usize, evidence: &Evidence) {
        if self.machines[to].is_up()
            && !self.network.is_cut(from, self.machines[to].member)
            && !self.shuts_out(to, from)
        {
            let evidence = Box::new(evidence.clone());
            self.give(
                to,
                Inbound::Evidence {
                    evidence,
                    from: self.fed.node_id(from),
                    ticket: None,
                },
            );
        }
    }

    /// Whether it does not listen to what its own key signed: a twin would see what the other did,
    /// and stop.
    fn is_deaf_to_itself(&self, at: usize) -> bool {
        !self.machines[at].is_honest || self.mutation == Mutation::DropsLocks
    }

    fn ask(&mut self, at: usize, node: &NodeId, request: Request) {
        self.questions += 1;
        let asker = Asker {
            machine: at,
            life: self.machines[at].life,
            number: self.questions,
        };
        self.machines[at].asked.insert(asker.number);
        let Some(to) = self.fed.member(node) else {
            return;
        };
        let give_up = Step::Answer {
            asker,
            from: to,
            request: request.clone(),
            answer: None,
        };
        self.clock.after(ANSWER_WITHIN_MS, give_up);
        self.coverage.count("questions");
        if let Some(delay) = self.network.arrivals().first() {
            self.clock.after(*delay, Step::Ask { to, asker, request });
        }
    }

    /// A question arrives: the log is answered from the store, beside the engine.
    pub(super) fn asked(
        &mut self,
        to: usize,
        asker: Asker,
        request: Request,
    ) -> Result<(), String> {
        let member = self.machines[asker.machine].member;
        if self.network.is_cut(member, to) || self.shuts_out(asker.machine, to) {
            return Ok(());
        }
        if self.scenario.liars.get(&to) == Some(&Liar::Scripted) {
            let now = self.clock.shown(0);
            let answer = self.liars.answer(self.fed, to, &request, now);
            if let (Some(answer), Some(delay)) = (answer, self.network.arrivals().first()) {
                self.clock.after(
                    *delay,
                    Step::Answer {
                        asker,
                        from: to,
                        request,
                        answer: Some(answer),
                    },
                );
            }
            return Ok(());
        }
        let machines = 0..self.machines.len();
        let Some(at) = machines
            .into_iter()
            .find(|at| self.machines[*at].member == to && self.linked(*at, asker.machine))
        else {
            return Ok(());
        };
        if let (Request::Log { from, limit }, Some(store)) = (&request, &self.machines[at].store) {
            let head = store.log_head();
            let entries = store.certificates(*from, (*limit).min(LOG_PAGE) as usize, LOG_BYTES);
            let entries = entries.map_err(|error| error.to_string())?;
            let answer = Answer::Log {
                log_id: head.log_id,
                size: head.size,
                entries,
            };
            self.answer_travels(at, asker, request, answer);
            return Ok(());
        }
        if let (Request::Evidence { known }, Some(store)) = (&request, &self.machines[at].store) {
            let answer = evidence_answer(store, known);
            self.answer_travels(at, asker, request, answer);
            return Ok(());
        }
        let ticket = self.machines[at].ticket(Waiting::Peer(asker, request.clone()));
        let input = match request {
            Request::Status => Inbound::StatusAsked { ticket },
            Request::Open { subjects, after } => Inbound::OpenAsked {
                subjects,
                after,
                ticket,
            },
            Request::Events { digests } => Inbound::EventsAsked { digests, ticket },
            Request::Own => Inbound::OwnAsked {
                from: self.fed.node_id(member),
                ticket,
            },
            Request::Change(request) => Inbound::ChangeAsked {
                from: self.fed.node_id(member),
                request,
                ticket,
            },
            Request::Log { .. } | Request::Evidence { .. } => return Ok(()),
        };
        self.give(at, input);
        Ok(())
    }

    fn answer_travels(&mut self, at: usize, asker: Asker, request: Request, answer: Answer) {
        if let Some(delay) = self.network.arrivals().first()
            && self.linked(at, asker.machine)
        {
            let from = self.machines[at].member;
            self.clock.after(
                *delay,
                Step::Answer {
                    asker,
                    from,
                    request,
                    answer: Some(answer),
                },
            );
        }
    }

    /// An answer arrives, or nothing did in time. What does not verify is no answer.
    pub(super) fn answered(
        &mut self,
        asker: Asker,
        from: usize,
        request: Request,
        answer: Option<Answer>,
    ) -> Result<(), String> {
        let Asker {
            machine: at,
            life,
            number,
        } = asker;
        if self.machines[at].life != life || !self.machines[at].asked.remove(&number) {
            return Ok(());
        }
        let node = self.fed.node_id(from);
        let checked = match answer {
            Some(mut answer) => {
                if self.is_deaf_to_itself(at) {
                    leave_out(&mut answer, self.fed.node_id(self.machines[at].member));
                }
                let is_honest = self.scenario.is_honest(from);
                let engine = self.machines[at].engine.as_ref();
                let epochs = engine.map_or(&self.fed.epochs, |engine| engine.epochs());
                let checked = self
                    .signed
                    .check(self.fed, epochs, node, &request, answer, is_honest)?;
                if checked.is_none() {
                    self.false_answer(at, from);
                }
                checked
            }
            None => None,
        };
        self.give(
            at,
            Inbound::Answered {
                from: node,
                request,
                answer: checked,
            },
        );
        Ok(())
    }

    pub(super) fn see_connections(&mut self, at: usize) {
        if !self.machines[at].is_up() {
            return;
        }
        let machine = &self.machines[at];
        let mut connected: BTreeSet<usize> = (0..self.machines.len())
            .filter(|other| self.linked(at, *other))
            .map(|other| self.machines[other].member)
            .collect();
        let engineless = self
            .scenario
            .liars
            .iter()
            .filter(|(_, liar)| **liar != Liar::Twins)
            .map(|(member, _)| *member);
        connected.extend(engineless.filter(|m| {
            machine.hears(*m) && !self.network.is_cut(machine.member, *m) && !self.shuts_out(at, *m)
        }));
        if self.machines[at].connected == connected {
            return;
        }
        let nodes = connected
            .iter()
            .map(|member| self.fed.node_id(*member))
            .collect();
        self.trace.line(self.clock.now(), || {
            format!("{at} is connected to {connected:?}")
        });
        self.machines[at].connected = connected;
        self.give(at, Inbound::Connected(nodes));
    }

    /// Every machine sees before long how it is connected now.
    pub(super) fn reconnect(&mut self) {
        for at in 0..self.machines.len() {
            let pause = self.network.pause();
            self.clock.after(pause, Step::Connections(at));
        }
    }
}

/// An answer without what `own` signed.
fn leave_out(answer: &mut Answer, own: NodeId) {
    match answer {
        Answer::Own {
            heartbeat, votes, ..
        } => {
            *heartbeat = None;
            votes.clear();
        }
        Answer::Open {
            batches,
            statements,
            ..
        } => {
            batches.retain(|batch| batch.signer != own);
            statements.retain(|signed| signed.proof.signer != own);
        }
        _ => {}
    }
}
