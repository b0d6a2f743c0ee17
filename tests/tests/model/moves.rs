//! Everything one node can do next: the shortest runs of inputs after which it has said or
//! concluded something new.

use std::collections::HashMap;

use ssid_protocol::vote::Phase;
use ssid_protocol::voting::{Instance, Output, Step, Timer};

use crate::mutation::{Mutation, unlocked};
use crate::node::Node;
use crate::terms::{
    Bid, CHOICES, Cast, Federation, PHASES, PICKS, Pick, Said, Told, bids_of, timer,
};

/// What holds for all nodes of a model.
pub(crate) struct Setting {
    pub(crate) fed: Federation,
    /// The last round that is explored.
    pub(crate) last: u8,
    /// How many different ballots of one round and phase the Byzantine member sends to one node in
    /// one run.
    pub(crate) lies: usize,
    pub(crate) restarts: bool,
    /// Nodes keep what the Byzantine member told them, to offer it again (rule 9).
    pub(crate) keeps_lies: bool,
    pub(crate) mutation: Mutation,
}

/// A run of inputs at one node, and the node after it.
pub(crate) struct Run {
    pub(crate) path: Vec<Told>,
    pub(crate) to: Node,
}

/// What can be heard of the other honest nodes.
pub(crate) type Others = [(u8, Said); 2];

/// A part of what a node can do next. A run reads votes of one round and phase only, because each
/// rule does; so the runs of a part depend on the node and on what of that part was said, and are
/// worked out once for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// Observing, choosing, timers that run already; a restart is the model's.
    Alone,
    /// Votes of one round and phase.
    Tally(u8, Phase),
    /// The proposal of the current round, and the prevotes of a round that may make it eligible.
    Proposal(Bid, u8),
    /// Votes of later rounds.
    Later,
}

/// The parts of what `node` can do, each with what of it the others said.
pub(crate) fn parts(setting: &Setting, node: &Node, others: &Others) -> Vec<(Part, Others)> {
    if node.decided.is_some() {
        return Vec::new();
    }
    let hear = |only: &dyn Fn(Said) -> Said| others.map(|(voter, said)| (voter, only(said)));
    let mut parts = vec![(Part::Alone, hear(&|_| Said::default()))];
    for round in 0..=node.round {
        parts.extend(PHASES.map(|phase| {
            (
                Part::Tally(round, phase),
                hear(&|said| said.only(round, phase)),
            )
        }));
    }
    if setting.fed.is_automatic(node.round) {
        for bid in bids_of(node.round) {
            for round in [Some(0), bid.valid.filter(|valid| *valid > 0)]
                .into_iter()
                .flatten()
            {
                let heard = |said: Said| said.only(round, Phase::Prevote).with_bid_of(said, bid);
                parts.push((Part::Proposal(bid, round), hear(&heard)));
            }
        }
    }
    parts.push((
        Part::Later,
        hear(&|said| said.one_a_round_after(node.round)),
    ));
    parts
}

struct Search<'a> {
    setting: &'a Setting,
    me: u8,
    node: &'a Node,
    found: HashMap<Node, Vec<Told>>,
}

/// A point in a run: the instance, what it was told, and the timers that it started.
#[derive(Clone)]
struct Point {
    instance: Instance,
    path: Vec<Told>,
    timers: Vec<Timer>,
}

/// The runs of `node`, who is voter `me`, within a part. `observes`: what it may come to observe.
pub(crate) fn runs(
    setting: &Setting,
    me: u8,
    node: &Node,
    part: Part,
    others: &Others,
    observes: &[Pick],
) -> Vec<Run> {
    let mut search = Search {
        setting,
        me,
        node,
        found: HashMap::new(),
    };
    let start = search.start();
    match part {
        Part::Alone => search.alone(&start, observes),
        Part::Tally(round, phase) => search.tally(&start, others, round, phase),
        Part::Proposal(bid, round) => search.proposal(&start, others, bid, round),
        Part::Later => search.later(&start, others),
    }
    let mut found: Vec<_> = search
        .found
        .into_iter()
        .map(|(to, path)| Run { path, to })
        .collect();
    found.sort_by_key(|run| format!("{:?}", run.path));
    found
}

impl Search<'_> {
    fn start(&self) -> Point {
        let round = self.node.round;
        let awaits = self.setting.fed.is_automatic(round) && !self.node.propose_over;
        let timers = if awaits {
            vec![timer(round, Step::Propose)]
        } else {
            vec![]
        };
        Point {
            instance: self.node.instance(&self.setting.fed, self.me),
            path: Vec::new(),
            timers,
        }
    }

    fn alone(&mut self, start: &Point, observes: &[Pick]) {
        let no_prevote = self.node.said.votes_of(0, Phase::Prevote).next().is_none();
        for pick in observes
            .iter()
            .filter(|_| no_prevote && self.node.round == 0)
        {
            self.tell(start, Told::Observe(*pick));
        }
        self.pause(start);
        self.late_prevotes();
    }

    /// One input. `Some` if nothing came of it that others or a restart could notice: the run goes
    /// on. Else the run ends here and is noted.
    fn tell(&mut self, point: &Point, told: Told) -> Option<Point> {
        let mut next = point.clone();
        let fed = &self.setting.fed;
        let outputs = next
            .instance
            .process(&fed.voters, fed.rules(self.me), fed.input(told));
        next.path.push(told);
        next.timers
            .extend(outputs.iter().filter_map(|output| match output {
                Output::Schedule(timer) => Some(*timer),
                _ => None,
            }));
        let node = self
            .node
            .after(fed, self.me, &next.instance, told, &outputs);
        if node == *self.node {
            return Some(next);
        }
        self.note(node, next.path);
        None
    }

    fn note(&mut self, mut node: Node, path: Vec<Told>) {
        if self.setting.mutation.unlocks(self.node, &path, &node) && self.node.locked.is_some() {
            match self.again_unlocked(&path) {
                Some(other) => node = other,
                None => return,
            }
        }
        if self.setting.keeps_lies {
            path.iter().for_each(|told| match told {
                Told::Vote(from, cast) if *from == self.setting.fed.byzantine => {
                    node.lies.add(*cast);
                }
                _ => {}
            });
        }
        if node.round <= self.setting.last {
            self.found.entry(node).or_insert(path);
        }
    }

    /// The same run at an instance without the lock; `None` if nothing comes of it there.
    fn again_unlocked(&self, path: &[Told]) -> Option<Node> {
        let fed = &self.setting.fed;
        let mut node = unlocked(self.node);
        let mut instance = node.instance(fed, self.me);
        for told in path {
            let outputs = instance.process(&fed.voters, fed.rules(self.me), fed.input(*told));
            node = node.after(fed, self.me, &instance, *told, &outputs);
        }
        (node.said != self.node.said || node.round > self.node.round).then_some(node)
    }

    /// What needs no message: timers that run, and the operator.
    fn pause(&mut self, point: &Point) {
        let fed = &self.setting.fed;
        if point.instance.may_choose(&fed.voters, fed.rules(self.me)) {
            for pick in CHOICES {
                self.tell(point, Told::Choose(pick));
            }
        }
        for timer in point
            .timers
            .iter()
            .filter(|timer| timer.round == point.instance.round())
        {
            if point.path.contains(&Told::Timeout(*timer)) {
                continue;
            }
            if let Some(next) = self.tell(point, Told::Timeout(*timer)) {
                self.pause(&next);
            }
        }
    }

    /// `point` after each of these inputs, where nothing came of it yet.
    fn each(&mut self, points: &[Point], inputs: impl Fn(&Point) -> Vec<Told>) -> Vec<Point> {
        let mut next = Vec::new();
        for point in points {
            for told in inputs(point) {
                next.extend(self.tell(point, told));
            }
        }
        for point in &next {
            self.pause(point);
        }
        next
    }

    /// Votes of one round and phase, in every combination, the Byzantine member's first: among
    /// different voters' votes the order makes no difference to a tally.
    fn tally(&mut self, start: &Point, others: &Others, round: u8, phase: Phase) {
        let byzantine = self.setting.fed.byzantine;
        let lies = PICKS.map(|pick| Told::Vote(byzantine, Cast { round, phase, pick }));
        let mut points = vec![start.clone()];
        let mut fresh = points.clone();
        for _ in 0..self.setting.lies {
            fresh = self.each(&fresh, |point| {
                lies.into_iter()
                    .filter(|told| !point.path.contains(told))
                    .collect()
            });
            points.extend(fresh.iter().cloned());
        }
        for (voter, said) in others {
            let casts = || {
                said.votes_of(round, phase)
                    .map(|cast| Told::Vote(*voter, cast))
            };
            let more = self.each(&points, |_| casts().collect());
            points.extend(more);
        }
    }

    /// The proposal, if its proposer made it (the Byzantine member makes any), then prevotes that
    /// make it eligible.
    fn proposal(&mut self, start: &Point, others: &Others, bid: Bid, round: u8) {
        let fed = &self.setting.fed;
        let strategy = fed.automatic.filter(|_| fed.is_automatic(bid.round));
        let proposer = strategy.and_then(|s| {
            start
                .instance
                .proposer(&fed.voters, s, start.instance.round())
        });
        let Some(proposer) = proposer.map(|voter| voter.0 as u8) else {
            return;
        };
        let made = match others.iter().find(|(voter, _)| *voter == proposer) {
            Some((_, said)) => said.bids().any(|other| other == bid),
            None => proposer == fed.byzantine,
        };
        if let Some(next) = made
            .then(|| self.tell(start, Told::Bid(proposer, bid)))
            .flatten()
        {
            self.tally(&next, others, round, Phase::Prevote);
        }
    }

    /// Votes of later rounds: of two voters, one each, because two make the node join (rule 8).
    fn later(&mut self, start: &Point, others: &Others) {
        let later = self.node.round + 1..=self.setting.last;
        let any = |said: &Said, round| said.votes_in(round).next();
        let mut votes: Vec<_> = later
            .clone()
            .flat_map(|round| {
                others
                    .iter()
                    .filter_map(move |(voter, said)| Some(Told::Vote(*voter, any(said, round)?)))
            })
            .collect();
        let lie = |round| Cast {
            round,
            phase: Phase::Prevote,
            pick: Pick::Nil,
        };
        votes.extend(later.map(|round| Told::Vote(self.setting.fed.byzantine, lie(round))));
        for (i, first) in votes.iter().enumerate() {
            let Some(next) = self.tell(start, *first) else {
                continue;
            };
            for second in &votes[i + 1..] {
                self.tell(&next, *second);
            }
        }
    }

    fn late_prevotes(&mut self) {
        if self.setting.mutation != Mutation::EarlierPrevoteUnheld {
            return;
        }
        for round in 0..self.node.round {
            if self
                .node
                .said
                .votes_of(round, Phase::Prevote)
                .next()
                .is_none()
            {
                for pick in CHOICES {
                    let cast = Cast {
                        round,
                        phase: Phase::Prevote,
                        pick,
                    };
                    let mut node = self.node.clone();
                    node.sign(cast);
                    self.found.insert(node, vec![Told::Late(cast)]);
                }
            }
        }
    }
}
