//! Whether honest nodes can still certify: from a global state on, every message between honest
//! nodes arrives, timers run out, the Byzantine member is silent, and the operators choose the
//! same.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use ssid_protocol::vote::Phase;
use ssid_protocol::voting::{Instance, Output, Step, Timer};

use crate::node::Node;
use crate::terms::{CHOICES, Cast, Federation, HONEST, Pick, Told, timer};

/// Rounds of exchange after which a federation that has not decided never will.
const EXCHANGES: usize = 60;

/// Whether there is a choice that operators can bring the nodes to certify: where a polka is known
/// or comes to be known it is that polka's, because who is locked on it prevotes nothing else. With
/// automatic rounds nobody need choose, but after the tenth.
pub(crate) fn completes(fed: &Federation, nodes: &[Arc<Node>; HONEST]) -> bool {
    CHOICES
        .into_iter()
        .any(|pick| certified(fed, nodes, pick).is_some())
}

/// What all honest nodes certify if the operators choose `pick`; `None` if they do not, or differ.
pub(crate) fn certified(fed: &Federation, nodes: &[Arc<Node>; HONEST], pick: Pick) -> Option<Pick> {
    if let Some(decided) = nodes.iter().find_map(|node| node.decided) {
        // its certificate certifies everywhere (rule 3)
        return Some(decided);
    }
    let mut run = Completion::new(fed, nodes);
    for _ in 0..EXCHANGES {
        while run.exchange() {}
        run.offer_again();
        while run.exchange() {}
        if let Some(decided) = run.decided() {
            return decided
                .iter()
                .all(|pick| *pick == decided[0])
                .then_some(decided[0]);
        }
        if !(run.observe_nothing() || run.time_passes() || run.operators_choose(pick)) {
            return None;
        }
    }
    None
}

struct Member {
    me: u8,
    node: Node,
    instance: Instance,
    timers: BTreeSet<Timer>,
    heard: HashSet<Told>,
}

/// A federation whose messages arrive.
struct Completion<'a> {
    fed: &'a Federation,
    members: Vec<Member>,
    /// The Byzantine member's part in the polkas that honest nodes keep and offer again (rule 9).
    offered: Vec<Told>,
}

impl<'a> Completion<'a> {
    fn new(fed: &'a Federation, nodes: &[Arc<Node>; HONEST]) -> Self {
        let members = nodes
            .iter()
            .enumerate()
            .map(|(i, node)| Member::new(fed, fed.voter(i), node))
            .collect();
        Self {
            fed,
            members,
            offered: offered(fed, nodes),
        }
    }

    /// Delivers everything that was said; whether there was anything new.
    fn exchange(&mut self) -> bool {
        let mut all = self.offered.clone();
        for member in &self.members {
            all.extend(
                member
                    .node
                    .said
                    .votes()
                    .map(|cast| Told::Vote(member.me, cast)),
            );
            all.extend(member.node.said.bids().map(|bid| Told::Bid(member.me, bid)));
        }
        let mut news = false;
        for member in &mut self.members {
            for told in &all {
                let own =
                    matches!(told, Told::Vote(from, _) | Told::Bid(from, _) if *from == member.me);
                if !own && member.heard.insert(*told) {
                    news = true;
                    member.tell(self.fed, *told);
                }
            }
        }
        news
    }

    /// Rule 9 again: a third ballot of an equivocator counts only once its choice is near a quorum,
    /// so it may come twice.
    fn offer_again(&mut self) {
        for member in &mut self.members {
            self.offered
                .iter()
                .for_each(|told| member.tell(self.fed, *told));
        }
    }

    /// What each has decided, once all have.
    fn decided(&self) -> Option<Vec<Pick>> {
        self.members
            .iter()
            .map(|member| member.node.decided)
            .collect()
    }

    /// Who observes nothing is asked, and refuses (rule 1).
    fn observe_nothing(&mut self) -> bool {
        let waits = |m: &&mut Member| {
            m.node.round == 0
                && m.node.decided.is_none()
                && m.node.said.votes_of(0, Phase::Prevote).next().is_none()
        };
        let waiting: Vec<_> = self.members.iter_mut().filter(waits).collect();
        let any = !waiting.is_empty();
        waiting
            .into_iter()
            .for_each(|member| member.tell(self.fed, Told::Observe(Pick::Nil)));
        any
    }

    /// All timers run out.
    fn time_passes(&mut self) -> bool {
        let mut any = false;
        for member in &mut self.members {
            for timer in std::mem::take(&mut member.timers) {
                any |= timer.round == member.instance.round();
                member.tell(self.fed, Told::Timeout(timer));
            }
        }
        any
    }

    /// Operators whose node lets them choose do. Whether any choice was new.
    fn operators_choose(&mut self, pick: Pick) -> bool {
        let mut any = false;
        for member in &mut self.members {
            let may = member
                .instance
                .may_choose(&self.fed.voters, self.fed.rules(member.me));
            if may && member.instance.standing() != self.fed.ballot(pick) {
                any = true;
                member.tell(self.fed, Told::Choose(pick));
            }
        }
        any
    }
}

impl Member {
    fn new(fed: &Federation, me: u8, node: &Node) -> Self {
        let awaits = fed.is_automatic(node.round) && !node.propose_over;
        let timers = if node.resumed {
            node.timers_of_restart(fed, me)
        } else if awaits {
            BTreeSet::from([timer(node.round, Step::Propose)])
        } else {
            BTreeSet::new()
        };
        Self {
            me,
            node: node.clone(),
            instance: node.instance(fed, me),
            timers,
            heard: HashSet::new(),
        }
    }

    fn tell(&mut self, fed: &Federation, told: Told) {
        let outputs = self
            .instance
            .process(&fed.voters, fed.rules(self.me), fed.input(told));
        self.node = self
            .node
            .after(fed, self.me, &self.instance, told, &outputs);
        self.timers
            .extend(outputs.into_iter().filter_map(|output| match output {
                Output::Schedule(timer) => Some(timer),
                _ => None,
            }));
    }
}

/// What honest nodes offer again (rule 9) of what the Byzantine member told them: its votes of
/// round 0, of their current round and of the one before, and its prevotes in the polkas behind
/// their locks and valid choices.
fn offered(fed: &Federation, nodes: &[Arc<Node>; HONEST]) -> Vec<Told> {
    let places = nodes
        .iter()
        .flat_map(|node| node.valid.into_iter().chain(node.locked));
    let casts = places.map(|(round, pick)| Cast {
        round,
        phase: Phase::Prevote,
        pick,
    });
    let needed =
        casts.filter(|cast| nodes.iter().filter(|node| node.said.has(*cast)).count() < HONEST);
    let is_offered =
        |node: &Node, round| round == 0 || round == node.round || round + 1 == node.round;
    let heard = nodes.iter().flat_map(|node| {
        node.lies
            .votes()
            .filter(|cast| is_offered(node, cast.round))
    });
    needed
        .chain(heard)
        .map(|cast| Told::Vote(fed.byzantine, cast))
        .collect()
}
