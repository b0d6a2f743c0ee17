//! Git as a transport of votes (SPEC §10 *Git fallback*): what this node says on its branch of open
//! instances, and taking in what others' branches say.
//!
//! An open instance is offered until it is certified; then its certificate stands on the branch
//! instead. So nothing has to be remembered about what is still to be published: the engine's
//! state, which is on disk, says it.

use std::collections::{BTreeSet, HashSet};
use std::ops::Bound;
use std::time::Duration;

use ssid_protocol::batch::VerifiedBatch;
use ssid_protocol::evidence::Statement;
use ssid_protocol::id::{NodeId, SubjectId};
use ssid_protocol::record::Transport;
use ssid_protocol::sync::ProvenEvent;
use ssid_protocol::voting::Timer;

use super::engine::{Engine, Tick};
use super::messages::Carried;
use super::open::Open;
use super::proof::Proof;
use super::shown::OfferPage;

/// Instances in one page.
const PAGE: usize = 512;
/// Timeouts are at least so many fetch intervals while a voter that is needed is reached only
/// through Git (SPEC §7).
const FETCHES: u32 = 3;

impl Engine {
    /// A page of what stands on this node's branch of open instances after `after`. Nothing once
    /// storage has failed: memory is ahead of the disk then.
    pub fn offer(&self, relayed: &BTreeSet<NodeId>, after: Option<SubjectId>) -> OfferPage {
        let mut page = OfferPage::default();
        if self.standing.read_only().is_some() {
            return page;
        }
        let mut seen = HashSet::new();
        let (mut announced, mut said) = (Vec::new(), Vec::new());
        let speaks = |node: NodeId| node == self.me || relayed.contains(&node);
        let range = (
            after.map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Unbounded,
        );
        let mut last = None;
        for (place, (subject, open)) in self.open.range(range).enumerate() {
            if place == PAGE {
                page.next = last;
                break;
            }
            last = Some(*subject);
            let own = open
                .announced
                .values()
                .filter_map(Proof::batch)
                .filter(|batch| speaks(batch.signer()));
            announced.extend(own.filter(|batch| seen.insert(batch.id())).cloned());
            let held = open.held.iter().map(|vote| {
                (
                    &vote.proof,
                    vote.statement(self.epochs.current().number(), *subject),
                )
            });
            let proposals = open
                .proposals
                .iter()
                .map(|p| (&p.proof, Statement::Proposal(p.proposal)));
            said.extend(
                held.chain(proposals)
                    .filter(|(proof, _)| speaks(proof.signer())),
            );
            page.events.extend(self.events_stood_for(open, &speaks));
        }
        if page.next.is_none() {
            // of subjects of which no event is known: who signed that may have forgotten it
            for (subject, unheard) in self.vote_buffer.after(None) {
                let votes = unheard
                    .votes
                    .iter()
                    .filter(|vote| speaks(vote.proof.signer()));
                said.extend(votes.map(|vote| {
                    (
                        &vote.proof,
                        vote.statement(self.epochs.current().number(), *subject),
                    )
                }));
            }
        }
        page.batches = announced;
        for (proof, statement) in said {
            // a batch stands on the branch once, however many subjects it speaks of
            match proof.batch() {
                Some(batch) if seen.insert(batch.id()) => {
                    page.batches.push(batch.clone());
                }
                Some(_) => {}
                None => page.statements.extend(proof.of(statement)),
            }
        }
        page
    }

    /// Events this node voted for, unless a batch that is offered announces them.
    fn events_stood_for(&self, open: &Open, speaks: &dyn Fn(NodeId) -> bool) -> Vec<ProvenEvent> {
        let voted = |choice| {
            open.held
                .iter()
                .any(|v| Some(v.voter) == self.rules.me && v.ballot == Some(choice))
        };
        let is_offered = |announced: &Proof| {
            announced
                .batch()
                .is_some_and(|batch| speaks(batch.signer()))
        };
        let proven = open.proven_events().filter(|proven| {
            let choice = proven.event.choice();
            voted(choice) && !open.announced.get(&choice).is_some_and(is_offered)
        });
        proven.collect()
    }

    /// What branches brought: the same as from the live network, by another transport.
    pub(super) fn take_from_git(&mut self, tick: &mut Tick, carried: Carried) {
        tick.transport = Transport::Git;
        self.take_carried(tick, carried, VerifiedBatch::signer);
        tick.transport = Transport::Live;
    }

    /// Takes what others say of open instances; `from` names who delivered a batch.
    pub(super) fn take_carried(
        &mut self,
        tick: &mut Tick,
        carried: Carried,
        from: impl Fn(&VerifiedBatch) -> NodeId,
    ) {
        self.take_certificates(tick, carried.certificates);
        self.take_events(tick, carried.events);
        for batch in &carried.batches {
            self.take_batch(tick, batch, from(batch));
        }
        for signed in carried.statements {
            self.take_alone(tick, signed);
        }
    }

    /// How long a timer runs: longer while a voter that the quorum needs is reached only through
    /// Git.
    pub(super) fn timeout_of(&self, timer: Timer) -> Duration {
        let usual = self.settings.timeouts.of(timer);
        match self.settings.git_fetch_every {
            Some(every) if !self.has_quorum() => usual.max(every.saturating_mul(FETCHES)),
            _ => usual,
        }
    }
}
