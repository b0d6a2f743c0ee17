//! What the engines of a [`Net`] hold and show.

use std::collections::BTreeSet;

use ssid_protocol::certificate::{Certificate, Verifier};
use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, Round, SubjectId};
use ssid_protocol::record::ConsensusRecord;
use ssid_protocol::vote::Phase;
use ssid_storage::{DivergenceRow, Store};

use super::Net;
use crate::open::Open;
use crate::{Engine, EngineStatus, InstanceView, NodeEvent, VoteView};

impl Net {
    /// The engine of a node that runs.
    pub(in crate::tests) fn engine(&self, node: usize) -> &Engine {
        self.engines[node].as_ref().unwrap()
    }

    pub(in crate::tests) fn engine_mut(&mut self, node: usize) -> &mut Engine {
        self.engines[node].as_mut().unwrap()
    }

    pub(in crate::tests) fn store(&self, node: usize) -> &Store {
        &self.engine(node).store
    }

    pub(in crate::tests) fn status(&self, node: usize) -> EngineStatus {
        self.engine(node).status()
    }

    pub(in crate::tests) fn record(&self, node: usize, sequence: u64) -> ConsensusRecord {
        self.store(node).record(sequence).unwrap().unwrap()
    }

    pub(in crate::tests) fn certificate(&self, node: usize, sequence: u64) -> Certificate {
        self.store(node).certificate(sequence).unwrap().unwrap()
    }

    /// The decisions that a node's own registry contradicts.
    pub(in crate::tests) fn divergences(&self, node: usize) -> Vec<DivergenceRow> {
        let rows = self.store(node).divergences();
        rows.map(|row| row.unwrap().1).collect()
    }

    /// How far one node trusts another.
    pub(in crate::tests) fn score(&self, by: usize, of: usize) -> i32 {
        self.engine(by).trust.score(&self.ids[of])
    }

    pub(in crate::tests) fn subject(&self, event: &Event) -> SubjectId {
        let policies = &self.manifest.event_policies;
        let subject = policies.subject_of(event);
        subject.id(&self.manifest.federation_id())
    }

    /// What is open at a node of a subject.
    pub(in crate::tests) fn open(&self, node: usize, subject: &SubjectId) -> &Open {
        &self.engine(node).open[subject]
    }

    /// The one that is open, or the first.
    pub(in crate::tests) fn first_open(&self, node: usize) -> (SubjectId, &Open) {
        let first = self.engine(node).open.iter().next();
        first.map(|(subject, open)| (*subject, open)).unwrap()
    }

    /// What a node shows of the open subject of an event.
    pub(in crate::tests) fn view(&self, node: usize, event: &Event) -> InstanceView {
        let subject = self.subject(event);
        let mut views = self.engine(node).instances(Some(subject), None, 1);
        views.pop().unwrap()
    }

    /// The own prevote of a node in a round: none, nil, or for an event.
    #[expect(clippy::option_option, reason = "none, nil, or for an event")]
    pub(in crate::tests) fn prevote(
        &self,
        node: usize,
        event: &Event,
        round: u32,
    ) -> Option<Option<Event>> {
        let view = self.view(node, event);
        let is_own = |v: &&VoteView| {
            v.node == self.ids[node] && v.round == Round(round) && v.phase == Phase::Prevote
        };
        let choice = view.votes.iter().find(is_own)?.choice;
        let event = |choice| {
            view.candidates
                .iter()
                .find(|c| Some(c.choice) == choice)
                .and_then(|c| c.event.clone())
        };
        Some(event(choice))
    }

    pub(in crate::tests) fn certified(&self, node: usize) -> BTreeSet<Choice> {
        let store = self.store(node);
        (0..store.certified_count())
            .map(|at| store.log_entry(at).unwrap().unwrap().choice)
            .collect()
    }

    pub(in crate::tests) fn assert_all_certified(&self, events: &[Event]) {
        let accused = self
            .events
            .iter()
            .any(|(_, event)| matches!(event, NodeEvent::Evidence { .. }));
        assert!(
            self.is_byzantine || !accused,
            "honest nodes are never accused: {:?}",
            self.events
        );
        let expected: BTreeSet<_> = events.iter().map(Event::choice).collect();
        for node in self.connected.iter().copied() {
            assert_eq!(self.certified(node), expected, "node {node}");
            let store = self.store(node);
            let policies = &self.manifest.event_policies;
            let mut verifier =
                Verifier::new(self.manifest.federation_id(), &self.manifest, policies).unwrap();
            for certificate in store.certificates(0, usize::MAX, usize::MAX).unwrap() {
                certificate.verify(&mut verifier).unwrap();
            }
        }
    }
}
