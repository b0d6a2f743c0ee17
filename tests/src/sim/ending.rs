//! The end of a seed: after everything healed all honest nodes hold the same certified set, and
//! what is open anywhere is decided, or in conflict where nobody resolves conflicts. And what the
//! liars did to honest members' trust.

use std::collections::BTreeSet;

use ssid_engine::InstanceView;
use ssid_protocol::trust::TrustReason;

use super::mutation::Mutation;
use super::world::{Step, World};

/// Simulated time after healing within which everything must be decided.
const SETTLED_WITHIN_MS: u64 = 30 * 60_000;

impl World<'_> {
    pub(super) fn is_over(&mut self) -> Result<bool, String> {
        if self.is_settled() {
            self.measure_trust()?;
            self.look_at_evidence()?;
            self.look_at_rows()?;
            let after = self.clock.now() - self.scenario.healed_at;
            self.coverage
                .most("simulated seconds until all was decided", after / 1000);
            self.coverage
                .add("simulated seconds", self.clock.now() / 1000);
            return Ok(true);
        }
        let is_late = self.clock.now() > self.scenario.healed_at + SETTLED_WITHIN_MS;
        if self.mutation == Mutation::TooManyLiars
            && self.clock.now() > self.scenario.healed_at + 60_000
        {
            return Ok(true); // such a federation need not settle: only what it certifies is of interest
        }
        if is_late {
            let all = self.pending().join("\n  ");
            return Err(format!(
                "{} s after healing it is not settled:\n  {all}",
                SETTLED_WITHIN_MS / 1000
            ));
        }
        self.clock.after(1_000, Step::Look);
        Ok(false)
    }

    fn is_settled(&self) -> bool {
        let all = self.checks.certified().len() as u64;
        self.honest_machines().into_iter().all(|at| {
            let engine = self.machines[at].engine.as_ref();
            engine.is_some_and(|engine| engine.log_head().size == all)
                && self.undecided(at).is_empty()
        }) && self.is_in_latest_epoch()
    }

    /// What is open at a node and should not be in the end. Votes of a flood name subjects that
    /// nobody knows: nothing is pending there.
    fn undecided(&self, at: usize) -> Vec<InstanceView> {
        let Some(engine) = &self.machines[at].engine else {
            return Vec::new();
        };
        let mut open = engine.instances(None, None, usize::MAX);
        open.retain(|view| {
            view.subject.is_some()
                && (self.scenario.operators || !view.in_conflict)
                && self.may_be_decided(at, view)
        });
        open
    }

    /// What is not as it should be in the end, in words.
    pub(super) fn pending(&self) -> Vec<String> {
        let mut pending = Vec::new();
        let all = self.checks.certified().len();
        for at in self.honest_machines() {
            let Some(engine) = &self.machines[at].engine else {
                continue;
            };
            let (size, status) = (engine.log_head().size, engine.status());
            pending.push(format!(
                "machine {at} (member {}, epoch {}) holds {size} of {all} certified subjects, start-up check {:?}, connected {:?}",
                self.machines[at].member, status.epoch, status.startup_check, self.machines[at].connected
            ));
            pending.extend(
                engine
                    .change()
                    .map(|change| format!("machine {at}: {change:?}")),
            );
            pending.extend(self.undecided(at).iter().map(|view| describe(at, view)));
        }
        pending
    }

    /// Nobody honest is accused, and whoever voted twice where honest nodes could see it is,
    /// somewhere.
    fn look_at_evidence(&mut self) -> Result<(), String> {
        let mut accused = BTreeSet::new();
        for at in self.honest_machines() {
            let Some(store) = &self.machines[at].store else {
                continue;
            };
            for row in store.evidence() {
                let (_, row) = row.map_err(|error| error.to_string())?;
                let member = row
                    .evidence
                    .member()
                    .and_then(|node| self.fed.member(&node));
                let Some(member) = member.filter(|member| !self.scenario.is_honest(*member)) else {
                    return Err(format!(
                        "machine {at} holds evidence against honest member {member:?}: {:?}",
                        row.evidence
                    ));
                };
                accused.insert(member);
                self.coverage.count("pieces of evidence kept");
            }
        }
        self.coverage.add("liars convicted", accused.len() as u64);
        let seen = self.checks.equivocators();
        self.coverage
            .add("liars seen voting twice", seen.len() as u64);
        for node in seen {
            let member = self.fed.member(node).unwrap_or(usize::MAX);
            if !accused.contains(&member) {
                return Err(format!(
                    "member {member} voted twice at one honest node, and nobody holds evidence"
                ));
            }
        }
        Ok(())
    }

    /// What origins that lie took from honest members, in the eyes of honest ones: −5 an origin in
    /// 30 days at most.
    fn measure_trust(&mut self) -> Result<(), String> {
        let liars: Vec<_> = self
            .scenario
            .liars
            .keys()
            .map(|member| self.fed.node_id(*member))
            .collect();
        let bound = 5 * liars.len() as u64;
        for at in self.honest_machines() {
            let Some(store) = &self.machines[at].store else {
                continue;
            };
            for member in (0..self.fed.members()).filter(|member| self.scenario.is_honest(*member))
            {
                let rows = store
                    .trust_of(&self.fed.node_id(member))
                    .map_err(|error| error.to_string())?;
                let harmful = rows.iter().filter(|row| {
                    row.reason == TrustReason::Disagreement
                        && row.origin.is_none_or(|origin| liars.contains(&origin))
                });
                let lost: u64 = harmful
                    .map(|row| u64::from(row.reason.points().min(0).unsigned_abs()))
                    .sum();
                if lost > bound
                    || rows
                        .iter()
                        .any(|row| row.reason == TrustReason::Equivocation)
                {
                    return Err(format!(
                        "{} liars took {lost} points, of at most {bound}, from honest member {member} at machine {at}: {rows:?}",
                        liars.len()
                    ));
                }
                self.coverage.most(
                    "points of trust that liars took from an honest member",
                    lost,
                );
                self.coverage.most("bound on those points", bound);
            }
        }
        Ok(())
    }
}

fn describe(at: usize, view: &InstanceView) -> String {
    let name = view
        .subject
        .as_ref()
        .map(|s| format!("{} {}", s.event, s.version))
        .unwrap_or_default();
    let votes: Vec<String> = view
        .votes
        .iter()
        .map(|v| {
            let ballot = v.choice.map_or_else(
                || "nil".to_owned(),
                |c| c.content_digest.to_string()[..4].to_owned(),
            );
            format!(
                "{}:{}{}={ballot}",
                &v.node.to_string()[..4],
                v.round,
                if v.phase.byte() == 1 { 'v' } else { 'c' }
            )
        })
        .collect();
    format!(
        "machine {at}: {name} in round {}, conflict {}, review {:?}, locked {:?}, standing {:?}, candidates {:?}, {:?}, votes {}",
        view.round,
        view.in_conflict,
        view.review.as_ref().map(|r| r.reason),
        view.locked
            .as_ref()
            .map(|l| (l.round, l.choice.content_digest)),
        view.standing.map(|c| c.content_digest),
        view.candidates
            .iter()
            .map(|c| (c.choice.content_digest, c.own))
            .collect::<Vec<_>>(),
        view.no_choice_because,
        votes.join(" ")
    )
}
