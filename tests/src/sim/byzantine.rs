//! Members that lie by script: they hold their real keys, hear everything that is sent to them,
//! share what they know, and sign whatever does harm. (Those that lie by being two honest nodes at
//! once are machines: `scenario::Liar::Twins`.)

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ssid_protocol::batch::{BatchProof, Statements, VerifiedBatch};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::event::Event;
use ssid_protocol::evidence::{Evidence, Signed};
use ssid_protocol::id::{
    Choice, Epoch, LogId, ManifestHash, MerkleHash, Round, Sha256Hash, SubjectId, UnixMillis,
};
use ssid_protocol::subject::Subject;
use ssid_protocol::sync::{Answer, ProvenEvent, Request};
use ssid_protocol::testing;
use ssid_protocol::vote::{Ballot, Phase, Proposal, RoundId, Vote};

use super::federation::Federation;
use super::rng::Rng;

/// Events and floods made up in one seed: each costs every node a subject's whole life.
const MOST_MADE: u32 = 4;
/// Votes in one flood.
const FLOOD: u64 = 8;
/// Batches remembered, for replays.
const HEARD: usize = 64;

/// What the liars know of a subject.
#[derive(Debug, Default)]
struct Known {
    events: BTreeMap<Choice, Event>,
    subject: Option<Subject>,
    round: u32,
}

/// One thing that a liar sends, to some of the machines.
#[derive(Debug)]
pub(super) struct Lie {
    pub(super) from: usize,
    /// Every how-manieth machine gets it, and which of them: an equivocator tells different parts
    /// different things.
    pub(super) part: Option<Vec<usize>>,
    pub(super) batch: Arc<VerifiedBatch>,
    pub(super) name: &'static str,
}

/// All scripted liars.
#[derive(Debug)]
pub(super) struct Liars {
    rng: Rng,
    members: Vec<usize>,
    machines: usize,
    heard: VecDeque<Arc<VerifiedBatch>>,
    known: BTreeMap<SubjectId, Known>,
    made: u32,
    /// The latest epoch that is decided, and the hash of its manifest.
    pub(super) latest: (Epoch, ManifestHash),
}

impl Liars {
    pub(super) fn new(rng: Rng, members: Vec<usize>, machines: usize) -> Self {
        Self {
            rng,
            members,
            machines,
            heard: VecDeque::new(),
            known: BTreeMap::new(),
            made: 0,
            latest: (Epoch::ZERO, ManifestHash([0; 32])),
        }
    }

    pub(super) fn members(&self) -> &[usize] {
        &self.members
    }

    /// What reaches any of them.
    pub(super) fn hear(&mut self, fed: &Federation, batch: &Arc<VerifiedBatch>) {
        if self.members.is_empty() {
            return;
        }
        match batch.statements() {
            Statements::Events(events) => {
                for event in events {
                    let subject = fed.manifest.event_policies.subject_of(event);
                    let known = self.known.entry(subject.id(&fed.id)).or_default();
                    known.subject = Some(subject);
                    known.events.insert(event.choice(), event.clone());
                }
            }
            Statements::Votes(votes) => {
                for vote in votes {
                    if let Some(known) = self.known.get_mut(&vote.subject) {
                        known.round = known.round.max(vote.round.0);
                    }
                }
            }
            _ => {}
        }
        self.heard.push_back(batch.clone());
        if self.heard.len() > HEARD {
            self.heard.pop_front();
        }
    }

    /// What one of them does next. With `opens` it may make subjects up: with new ones without end
    /// there is always something undecided.
    pub(super) fn lie(&mut self, fed: &Federation, now: UnixMillis, opens: bool) -> Vec<Lie> {
        let Some(from) = self.rng.pick(&self.members) else {
            return Vec::new();
        };
        match self.rng.below(16) {
            0 | 1 | 7 if !opens || self.made >= MOST_MADE => self.replay(from),
            0 => self.two_events(fed, from),
            1 => self.flood(fed, from),
            2 if self.latest.0 > Epoch::ZERO && self.rng.chance(500) => self.close(fed, from),
            2 | 3 => self.replay(from),
            4 => self.heartbeat(fed, from, now),
            5 | 6 => self.propose(fed, from),
            7 if self.rng.chance(500) => self.half_admissible(fed, from),
            7 => self.bad_event(fed, from),
            _ => self.equivocate(fed, from),
        }
    }

    fn known_subject(&mut self) -> Option<(SubjectId, Vec<Choice>, u32)> {
        let subjects: Vec<_> = self.known.keys().copied().collect();
        let subject = self.rng.pick(&subjects)?;
        let known = self.known.get(&subject)?;
        Some((subject, known.events.keys().copied().collect(), known.round))
    }

    fn ballot(&mut self, choices: &[Choice]) -> Ballot {
        if self.rng.chance(250) {
            None
        } else {
            self.rng.pick(choices)
        }
    }

    pub(super) fn one(
        fed: &Federation,
        from: usize,
        name: &'static str,
        statements: Statements,
    ) -> Vec<Lie> {
        let batch = fed.sign(from, statements);
        batch
            .map(|batch| Lie {
                from,
                part: None,
                batch: Arc::new(batch),
                name,
            })
            .into_iter()
            .collect()
    }

    /// Two parts of the federation, at random.
    fn halves(&mut self) -> [Vec<usize>; 2] {
        let few = self.rng.below(self.machines + 1);
        let one = self.rng.some_of(self.machines, few);
        let other = (0..self.machines)
            .filter(|machine| !one.contains(machine))
            .collect();
        [one, other]
    }

    /// One vote to some, another to the rest, in a round that matters; or only to some, to be told
    /// the others later.
    fn equivocate(&mut self, fed: &Federation, from: usize) -> Vec<Lie> {
        let Some((subject, choices, latest)) = self.known_subject() else {
            return Vec::new();
        };
        let round = match self.rng.below(5) {
            0 => 0,
            1 => latest + 1,
            2 => self.rng.between(0, u64::from(latest) + 3) as u32,
            _ => latest,
        };
        let both = self.rng.chance(500);
        let parts = if self.rng.chance(700) {
            self.halves()
        } else {
            [(0..self.machines).collect(), Vec::new()]
        };
        let mut lies = Vec::new();
        for part in parts {
            let ballot = self.ballot(&choices);
            let epoch = self.latest.0;
            let vote = |phase| Vote {
                epoch,
                subject,
                round: Round(round),
                phase,
                ballot,
                observed: false,
            };
            let votes = match (both, self.rng.chance(500)) {
                (true, _) => vec![vote(Phase::Prevote), vote(Phase::Precommit)],
                (false, true) => vec![vote(Phase::Prevote)],
                (false, false) => vec![vote(Phase::Precommit)],
            };
            let batch = fed.sign(from, Statements::Votes(votes)).map(Arc::new);
            lies.extend(batch.map(|batch| Lie {
                from,
                part: Some(part),
                batch,
                name: "votes",
            }));
        }
        lies
    }

    fn two_events(&mut self, fed: &Federation, from: usize) -> Vec<Lie> {
        let old: Vec<Event> = self
            .known
            .values()
            .flat_map(|known| known.events.values().cloned())
            .collect();
        self.made += 1;
        let copies = self.rng.chance(600);
        let base = if copies && !old.is_empty() {
            old[self.rng.below(old.len())].clone()
        } else {
            testing::event("blueprint_tagged", &format!("lie-{}", self.made))
        };
        let mut lies = Vec::new();
        for (number, part) in self.halves().into_iter().enumerate() {
            let event = Event {
                commit_hash: format!("{:07x}", u64::from(self.made) * 2 + number as u64),
                ..base.clone()
            };
            let batch = fed
                .sign(from, Statements::Events(vec![event]))
                .map(Arc::new);
            lies.extend(batch.map(|batch| Lie {
                from,
                part: Some(part),
                batch,
                name: "two events",
            }));
        }
        for lie in &lies {
            self.hear(fed, &lie.batch.clone());
        }
        lies
    }

    fn bad_event(&mut self, fed: &Federation, from: usize) -> Vec<Lie> {
        self.made += 1;
        let good = testing::event("blueprint_tagged", &format!("bad-{}", self.made));
        let event = match self.rng.below(4) {
            0 => Event {
                version: "a|b".into(),
                ..good
            },
            1 => Event {
                timestamp: "2031-01-01T00:00:00Z".into(),
                ..good
            },
            2 => Event {
                timestamp: "2001-01-01T00:00:00Z".into(),
                ..good
            },
            _ => Event {
                event: "federation_epoch".into(),
                version: "1".into(),
                ..good
            },
        };
        Self::one(fed, from, "bad event", Statements::Events(vec![event]))
    }

    /// One good event to all, with another bad one beside it for each part: what is new to one node
    /// must not be worse to the next.
    fn half_admissible(&mut self, fed: &Federation, from: usize) -> Vec<Lie> {
        self.made += 1;
        let good = testing::event("blueprint_tagged", &format!("half-{}", self.made));
        let of_another_epoch = self.rng.chance(300);
        let mut lies = Vec::new();
        for (number, part) in self.halves().into_iter().enumerate() {
            let bad = if of_another_epoch {
                testing::epoch_event(&(number + 2).to_string())
            } else {
                Event {
                    version: format!("a|{number}"),
                    ..good.clone()
                }
            };
            let events = if self.rng.chance(500) {
                vec![bad, good.clone()]
            } else {
                vec![good.clone(), bad]
            };
            let batch = fed.sign(from, Statements::Events(events)).map(Arc::new);
            lies.extend(batch.map(|batch| Lie {
                from,
                part: Some(part),
                batch,
                name: "half bad",
            }));
        }
        lies
    }

    fn flood(&mut self, fed: &Federation, from: usize) -> Vec<Lie> {
        self.made += 1;
        let subject = |n: u64| {
            SubjectId(Sha256Hash::of(&[&u64::from(self.made).to_be_bytes(), &n.to_be_bytes()]).0)
        };
        let vote = |n| Vote {
            epoch: Epoch(n % 7 / 6),
            subject: subject(n),
            round: Round((n % 3) as u32),
            phase: Phase::Prevote,
            ballot: None,
            observed: false,
        };
        Self::one(
            fed,
            from,
            "flood",
            Statements::Votes((0..FLOOD).map(vote).collect()),
        )
    }

    fn replay(&mut self, from: usize) -> Vec<Lie> {
        let at = self.rng.below(self.heard.len());
        let heard = self.heard.get(at).cloned();
        heard
            .map(|batch| Lie {
                from,
                part: None,
                batch,
                name: "replay",
            })
            .into_iter()
            .collect()
    }

    /// A statement that somebody made before, at random.
    pub(super) fn said_before(&mut self, from: usize) -> Option<Signed> {
        let lie = self.replay(from).pop()?;
        Signed::of(&lie.batch, 0)
    }

    /// A number below `end`, at random.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.rng.below(end)
    }

    fn heartbeat(&mut self, fed: &Federation, from: usize, now: UnixMillis) -> Vec<Lie> {
        let mut heartbeat = testing::heartbeat(self.rng.between(0, 40));
        heartbeat.epoch = self.latest.0;
        heartbeat.sequence = now.0 + self.rng.between(0, 20_000);
        heartbeat.sent_at = UnixMillis(now.0 + self.rng.between(0, 7_200_000) - 3_600_000);
        heartbeat.log_root = MerkleHash([self.rng.below(256) as u8; 32]);
        Self::one(
            fed,
            from,
            "heartbeat",
            Statements::Heartbeat(Box::new(heartbeat)),
        )
    }

    /// Proposals for any choice, with or without a claim of a polka, one to some and another to the
    /// rest.
    fn propose(&mut self, fed: &Federation, from: usize) -> Vec<Lie> {
        let Some((subject, choices, latest)) = self.known_subject() else {
            return Vec::new();
        };
        let round = self.rng.between(1, u64::from(latest) + 1) as u32;
        let mut lies = Vec::new();
        for part in self.halves() {
            let Some(choice) = self.rng.pick(&choices) else {
                continue;
            };
            let claimed = RoundId {
                epoch: Epoch::ZERO,
                round: Round(self.rng.between(0, u64::from(round)) as u32),
            };
            let valid = self.rng.chance(400).then_some(claimed);
            let proposal = Proposal {
                epoch: Epoch::ZERO,
                subject,
                round: Round(round),
                choice,
                valid,
            };
            let batch = fed
                .sign(from, Statements::Proposals(vec![proposal]))
                .map(Arc::new);
            lies.extend(batch.map(|batch| Lie {
                from,
                part: Some(part),
                batch,
                name: "proposals",
            }));
        }
        lies
    }

    /// What a liar answers, if it does.
    pub(super) fn answer(
        &mut self,
        fed: &Federation,
        from: usize,
        request: &Request,
        now: UnixMillis,
    ) -> Option<Answer> {
        if self.rng.chance(250) {
            return None;
        }
        if self.rng.chance(100) {
            return Some(Answer::Refused("no".into()));
        }
        Some(match request {
            Request::Status => {
                let lie = self.heartbeat(fed, from, now).pop()?;
                Answer::Status(Some(Box::new(lie.batch.batch().clone())))
            }
            Request::Log { .. } => {
                let entries = self.forged(fed, from).into_iter().collect();
                Answer::Log {
                    log_id: LogId([from as u8; 32]),
                    size: self.rng.between(0, 1_000),
                    entries,
                }
            }
            Request::Open { .. } => {
                let old = (0..self.rng.below(6)).filter_map(|_| self.replay(from).pop());
                let batches: Vec<_> = old
                    .collect::<Vec<_>>()
                    .iter()
                    .map(|lie| lie.batch.batch().clone())
                    .collect();
                let certificates = if self.rng.chance(300) {
                    self.forged(fed, from).into_iter().collect()
                } else {
                    Vec::new()
                };
                let next = self
                    .rng
                    .chance(200)
                    .then_some(SubjectId([self.rng.below(256) as u8; 32]));
                let old: Vec<_> = (0..self.rng.below(3))
                    .filter_map(|_| self.replay(from).pop())
                    .collect();
                let statements = old
                    .iter()
                    .filter_map(|lie| Signed::of(&lie.batch, 0))
                    .collect();
                Answer::Open {
                    batches,
                    statements,
                    events: self.unproven(),
                    certificates,
                    next,
                }
            }
            Request::Events { .. } => Answer::Events(self.unproven()),
            Request::Own => {
                let mut told = || self.replay(from).pop().map(|lie| lie.batch);
                let heartbeat = told().map(|batch| Box::new(batch.batch().clone()));
                let votes = told()
                    .and_then(|batch| Signed::of(&batch, 0))
                    .into_iter()
                    .collect();
                Answer::Own {
                    heartbeat,
                    votes,
                    complete: self.rng.chance(700),
                }
            }
            Request::Evidence { .. } => Answer::Evidence(self.accusation(fed)),
            Request::Change(request) => Answer::Change(self.lie_about_change(from, request)),
        })
    }

    /// Two statements that contradict nothing, or are not of one member.
    fn accusation(&mut self, fed: &Federation) -> Vec<Evidence> {
        let some = [
            self.rng.below(self.heard.len()),
            self.rng.below(self.heard.len()),
        ];
        let signed = some.map(|at| self.heard.get(at).and_then(|batch| Signed::of(batch, 0)));
        match signed {
            [Some(one), Some(other)] => vec![Evidence::of_statements(fed.id, one, other)],
            _ => Vec::new(),
        }
    }

    fn unproven(&mut self) -> Vec<ProvenEvent> {
        let all: Vec<Event> = self
            .known
            .values()
            .flat_map(|known| known.events.values().cloned())
            .collect();
        let count = self.rng.below(3).min(all.len());
        let some = self.rng.some_of(all.len(), count);
        some.into_iter()
            .map(|at| ProvenEvent {
                event: all[at].clone(),
                announced: None,
            })
            .collect()
    }

    /// A certificate with precommits of liars only, one of them repeated, and prevotes of others in
    /// their place.
    fn forged(&mut self, fed: &Federation, from: usize) -> Option<Certificate> {
        let (subject_id, choices, round) = self.known_subject()?;
        let choice = self.rng.pick(&choices)?;
        let known = self.known.get(&subject_id)?;
        let (subject, event) = (known.subject.clone()?, known.events.get(&choice)?.clone());
        let round = Round(round);
        let ballot = Some(choice);
        let vote = Vote {
            epoch: Epoch::ZERO,
            subject: subject_id,
            round,
            phase: Phase::Precommit,
            ballot,
            observed: false,
        };
        let mut precommits: Vec<BatchProof> = Vec::new();
        for member in self.members.clone() {
            precommits.extend(fed.sign(member, Statements::Votes(vec![vote]))?.proof(0));
        }
        let of_others = self
            .heard
            .iter()
            .filter(|batch| batch.signer() != fed.node_id(from));
        precommits.extend(
            of_others
                .filter_map(|batch| batch.proof(0))
                .take(fed.members()),
        );
        if self.rng.chance(500) {
            precommits.extend(precommits.first().cloned());
        }
        Some(Certificate::assemble(
            fed.id,
            Epoch::ZERO,
            subject,
            round,
            event,
            precommits,
        ))
    }
}
