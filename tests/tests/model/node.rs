//! One honest node between two things it says: what it keeps when everything it received is
//! forgotten, and the real instance rebuilt from that.

use std::collections::BTreeSet;

use ssid_protocol::id::Round;
use ssid_protocol::manifest::TieBreak;
use ssid_protocol::quorum::VoterIndex;
use ssid_protocol::vote::Phase;
use ssid_protocol::voting::{
    Input, Instance, Output, OwnHistory, Polka, Rules, Signing, Step, Timer,
};

use crate::terms::{CHOICES, Cast, EPOCH, Federation, Pick, SUBJECT, Said, Told, VOTERS, timer};

/// An honest node that has forgotten what it received.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Node {
    /// What it ever signed.
    pub(crate) said: Said,
    /// Mutations only: what of it the machine no longer knows.
    pub(crate) lost: Said,
    /// Mutations only: precommits that the machine counts but is not locked by.
    pub(crate) lockless: Said,
    pub(crate) round: u8,
    pub(crate) locked: Option<(u8, Pick)>,
    pub(crate) valid: Option<(u8, Pick)>,
    /// The polkas that explain `valid` and a released lock.
    pub(crate) polkas: Vec<(u8, Pick)>,
    /// The node is the proposer of this round, and the propose timeout has passed.
    pub(crate) propose_over: bool,
    /// Decided now; lost in a restart.
    pub(crate) decided: Option<Pick>,
    /// The first decision ever.
    pub(crate) first_decision: Option<Pick>,
    pub(crate) restarted: bool,
    /// What the Byzantine member told it, as far as it mattered; kept only where completion is
    /// asked.
    pub(crate) lies: Said,
    /// Restarted in this round.
    pub(crate) resumed: bool,
    /// Two ballots for one round and phase, or two decisions.
    pub(crate) signed_twice: bool,
    /// Signed in a round lower than one signed in before.
    pub(crate) signed_lower: bool,
}

impl Node {
    fn history(&self, fed: &Federation) -> OwnHistory {
        let known = self.said.without(self.lost).without(self.lockless);
        let votes = known
            .votes()
            .map(|c| (Round(c.round.into()), c.phase, fed.ballot(c.pick)))
            .collect();
        OwnHistory {
            votes,
            proposals: known.bids().map(|bid| fed.proposal(bid)).collect(),
            inherited: None,
        }
    }

    /// What the journal alone gives: the machine's own restart, its events known again.
    pub(crate) fn resumed(&self, fed: &Federation, me: u8) -> Instance {
        let who = VoterIndex(me.into());
        let mut instance =
            Instance::resume(EPOCH, SUBJECT, false, &self.history(fed), &fed.voters, who);
        for pick in CHOICES {
            instance.process(&fed.voters, silent(me), fed.candidate(pick, false));
        }
        instance
    }

    /// The instance in the state that this node describes. It is resumed from the journal and
    /// brought to the round and to the polkas by inputs while it may not sign, so that nothing is
    /// said meanwhile.
    ///
    /// # Panics
    /// If the instance is then in another round, or has another lock or valid choice.
    pub(crate) fn instance(&self, fed: &Federation, me: u8) -> Instance {
        let mut instance = self.resumed(fed, me);
        let mut quietly = |told: Input| instance.process(&fed.voters, silent(me), told);
        for cast in self.lockless.votes() {
            quietly(fed.input(Told::Vote(me, cast)));
        }
        for round in 0..self.round {
            quietly(Input::Timeout(timer(round, Step::Precommit)));
        }
        for &(round, pick) in &self.polkas {
            // whose prevotes made the polka is forgotten too: nothing is counted in them any more
            // but the polka
            for voter in (0..VOTERS).filter(|voter| *voter != me) {
                let cast = Cast {
                    round,
                    phase: Phase::Prevote,
                    pick,
                };
                quietly(fed.input(Told::Vote(voter, cast)));
            }
        }
        if self.propose_over {
            quietly(Input::Timeout(timer(self.round, Step::Propose)));
        }
        assert_eq!(u32::from(self.round), instance.round().0, "{self:?}");
        assert_eq!(
            (self.locked, self.valid),
            (place(fed, instance.locked()), place(fed, instance.valid())),
            "{self:?}"
        );
        instance
    }

    /// This node after it was told `told` and its instance answered `outputs`.
    pub(crate) fn after(
        &self,
        fed: &Federation,
        me: u8,
        instance: &Instance,
        told: Told,
        outputs: &[Output],
    ) -> Self {
        let mut next = self.clone();
        for output in outputs {
            match output {
                Output::Sign(vote) => {
                    let cast = Cast {
                        round: vote.round.0 as u8,
                        phase: vote.phase,
                        pick: fed.pick(vote.ballot),
                    };
                    next.sign(cast);
                }
                Output::Propose(proposal) => {
                    let bid = fed.bid(proposal);
                    next.signed_twice |= next
                        .said
                        .bids()
                        .any(|old| old.round == bid.round && old != bid);
                    next.signed_lower |= bid.round < next.said.highest();
                    next.said.add_bid(bid);
                }
                Output::Decided { choice, .. } => next.decide(fed.pick(Some(*choice))),
                _ => {}
            }
        }
        next.round = instance.round().0 as u8;
        next.locked = place(fed, instance.locked());
        next.valid = place(fed, instance.valid());
        next.propose_over = match told {
            Told::Timeout(Timer {
                round,
                step: Step::Propose,
            }) if round == instance.round() => {
                let proposer = fed
                    .automatic
                    .and_then(|s| instance.proposer(&fed.voters, s, round));
                proposer == Some(VoterIndex(me.into()))
            }
            _ => self.propose_over && next.round == self.round,
        };
        next.resumed &= next.round == self.round;
        next.keep_polkas();
        if next.decided.is_some() {
            // nothing more comes of a decided instance: only what it said, and its decision, matter
            next = Self {
                decided: next.decided,
                ..next.forgetting_all()
            };
        }
        next
    }

    fn forgetting_all(&self) -> Self {
        Self {
            said: self.said,
            lost: self.lost,
            lockless: self.lockless,
            lies: self.lies,
            first_decision: self.first_decision,
            restarted: self.restarted,
            signed_twice: self.signed_twice,
            signed_lower: self.signed_lower,
            ..Self::default()
        }
    }

    pub(crate) fn sign(&mut self, cast: Cast) {
        self.signed_twice |= self
            .said
            .votes_of(cast.round, cast.phase)
            .any(|old| old != cast);
        self.signed_lower |= cast.round < self.said.highest();
        self.said.add(cast);
        self.lost = self.lost.without([cast].into_iter().collect());
    }

    fn decide(&mut self, pick: Pick) {
        self.decided = Some(pick);
        self.first_decision.get_or_insert(pick);
        self.signed_twice |= self.first_decision != Some(pick);
    }

    /// Keeps the polkas without which a rebuilt instance would have another `valid` or lock: the
    /// valid one unless it is the lock's own, and one that released the latest lock of the journal.
    fn keep_polkas(&mut self) {
        let precommitted = self.said.without(self.lost).without(self.lockless).votes();
        let precommitted = precommitted
            .filter(|c| c.phase == Phase::Precommit && c.pick != Pick::Nil)
            .last();
        let precommitted = precommitted.map(|c| (c.round, c.pick));
        let mut needed: Vec<(u8, Pick)> = self
            .valid
            .into_iter()
            .filter(|v| Some(*v) != precommitted)
            .collect();
        if let (None, Some((round, pick))) = (self.locked, precommitted) {
            let releases = |(at, of): (u8, Pick)| at > round && of != pick;
            if !needed.iter().any(|v| releases(*v)) {
                needed.extend(self.polkas.iter().copied().find(|polka| releases(*polka)));
            }
        }
        needed.sort_unstable();
        self.polkas = needed;
    }

    /// The timers that the machine starts when, after a restart, its events come back.
    pub(crate) fn timers_of_restart(&self, fed: &Federation, me: u8) -> BTreeSet<Timer> {
        let who = VoterIndex(me.into());
        let mut instance =
            Instance::resume(EPOCH, SUBJECT, false, &self.history(fed), &fed.voters, who);
        let told = CHOICES.map(|pick| fed.candidate(pick, false));
        let outputs = told
            .into_iter()
            .flat_map(|input| instance.process(&fed.voters, fed.rules(me), input));
        outputs
            .filter_map(|o| {
                if let Output::Schedule(timer) = o {
                    Some(timer)
                } else {
                    None
                }
            })
            .collect()
    }

    /// The node after a crash: the journal is all it has. The choice of its operator is lost too.
    pub(crate) fn restart(&self, fed: &Federation, me: u8) -> Self {
        let forgotten = self.forgetting_all();
        let instance = forgotten.resumed(fed, me);
        Self {
            round: instance.round().0 as u8,
            locked: place(fed, instance.locked()),
            valid: place(fed, instance.valid()),
            restarted: true,
            resumed: true,
            lies: Said::default(),
            ..forgotten
        }
    }
}

/// The rules of a node that listens only. Automatic, so that a failed round is left without an
/// operator.
fn silent(me: u8) -> Rules {
    Rules {
        me: Some(VoterIndex(me.into())),
        signing: Signing::Never,
        automatic: Some(TieBreak::TimestampPriority),
    }
}

fn place(fed: &Federation, polka: Option<Polka>) -> Option<(u8, Pick)> {
    polka.map(|polka| (polka.at.round.0 as u8, fed.pick(Some(polka.choice))))
}
