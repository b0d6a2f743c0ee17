//! Gossip in and out: rate, check, hand over, verdict; and paced publishing (SPEC §10, §12).
//!
//! In: rates first, on the owner's task; then decoding and the signature on other threads, bounded
//! in number and in what waits for them; then the consumer, as far as it keeps up. gossipsub passes
//! a message on only when it hears [`Accept`](MessageAcceptance::Accept), and forgets an undecided
//! one after five heartbeats by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::gossipsub::{MessageAcceptance, MessageId, PublishError};
use ssid_protocol::epoch::Epochs;
use ssid_protocol::id::{NodeId, Sha256Hash};
use ssid_protocol::limits::MESSAGE_BYTES;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::behaviour::Gossip;
use crate::check::{self, Content, Refusal};
use crate::config::NetworkLimits;
use crate::handle::{NetworkEvent, Outgoing, Ticket, Verdict};
use crate::members::Directory;
use crate::metrics::{Metrics, Outcome};
use crate::rate::{Buckets, Pace};
use crate::recent::Recent;
use crate::topics::{Topic, Topics};
use crate::tuning as t;

/// A message on its way through the checks.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) source: PeerId,
    pub(crate) message: MessageId,
    pub(crate) topic: Topic,
    size: usize,
}

/// An arrival with what the checks found.
pub(crate) type Checked = (Arrival, Result<Content, Refusal>);

/// What the owner does with a message at once, if not check it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Not passed on, nobody blamed.
    Ignore(Outcome),
    /// Not passed on, because this node's version or manifest does not do for it; nobody blamed.
    Unusable(&'static str),
    /// Not passed on; past this rate, which counts a little against the deliverer, who says to have
    /// signed it.
    TooFast(&'static str),
    /// Not passed on, the deliverer blamed.
    Reject(&'static str),
}

/// The way in and the way out.
pub(crate) struct Gossiping {
    epochs: watch::Receiver<Arc<Epochs>>,
    topics: Topics,
    peer_messages: Buckets<PeerId>,
    peer_bytes: Buckets<PeerId>,
    signer_messages: Buckets<NodeId>,
    signer_statements: Buckets<NodeId>,
    accepted: Recent<Sha256Hash>,
    accepted_ids: Recent<MessageId>,
    checks: JoinSet<Checked>,
    checking_bytes: usize,
    threads: Arc<Semaphore>,
    undecided: Arc<Semaphore>,
    pace: Pace,
    publish_per_second: f64,
    metrics: Metrics,
}

impl Gossiping {
    pub(crate) fn new(
        epochs: watch::Receiver<Arc<Epochs>>,
        topics: Topics,
        limits: &NetworkLimits,
        metrics: Metrics,
    ) -> Self {
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(1, 4));
        Self {
            epochs,
            topics,
            // bursts of seconds: after a pause of the network all arrives at once
            peer_messages: Buckets::new(limits.peer_messages_per_second, 2.0),
            peer_bytes: Buckets::new(limits.peer_bytes_per_second, 2.0),
            signer_messages: Buckets::new(limits.signer_messages_per_second, 4.0),
            signer_statements: Buckets::new(limits.signer_statements_per_second, 4.0),
            accepted: Recent::new(t::REMEMBERED_BATCHES),
            accepted_ids: Recent::new(t::REMEMBERED_BATCHES),
            checks: JoinSet::new(),
            checking_bytes: 0,
            threads: Arc::new(Semaphore::new(threads)),
            undecided: Arc::new(Semaphore::new(limits.undecided_bytes)),
            pace: Pace::new(t::PUBLISH_BURST, Instant::now()),
            publish_per_second: limits.publish_per_second.max(1.0),
            metrics,
        }
    }

    /// Takes a message in: either its checks begin, or there is a decision at once.
    pub(crate) fn arrive(
        &mut self,
        source: PeerId,
        message: MessageId,
        topic: Topic,
        data: Vec<u8>,
        directory: &Directory,
    ) -> Result<(), Decision> {
        let now = Instant::now();
        // gossipsub lets the envelope's bytes pass, too
        if data.len() > MESSAGE_BYTES {
            return Err(Decision::Reject(Refusal::MessageBytes.name()));
        }
        // whose name it bears: if its deliverer's, nobody else is to blame for it
        let own = directory
            .node_of(&source)
            .filter(|node| data.starts_with(&node.0));
        let (is_in_time, rate) = match own {
            Some(node) => (self.signer_messages.take(node, 1.0, now), "signer_messages"),
            None => (self.peer_messages.take(source, 1.0, now), "peer_messages"),
        };
        if !is_in_time {
            return Err(self.past_rate(rate, own.is_some()));
        }
        if !self.peer_bytes.take(source, data.len() as f64, now) {
            return Err(self.past_rate("peer_bytes", own.is_some()));
        }
        // no member yet: nothing that it says counts, though what it sends does
        if directory.is_guest(&source) {
            return Err(Decision::Ignore(Outcome::Ignored));
        }
        // a duplicate costs its bytes of the rate all the same: else repeating would be free
        if self.accepted_ids.contains(&message) {
            return Err(Decision::Ignore(Outcome::Duplicate));
        }
        let size = data.len();
        // nobody's fault: who is too busy drops what is newest and asks for it later
        if self.checks.len() >= t::VERIFYING || self.checking_bytes + size > t::VERIFYING_BYTES {
            return Err(Decision::Ignore(Outcome::DroppedVerifierBusy));
        }
        // given back when the check is done, whatever it found
        self.checking_bytes += size;
        let arrival = Arrival {
            source,
            message,
            topic,
            size,
        };
        let (threads, directory) = (Arc::clone(&self.threads), directory.clone());
        // the epoch of now: a check under way is not overtaken by the next one
        let epoch = Arc::clone(self.epochs.borrow().current());
        // off the owner's task, which must never wait for a signature
        self.checks.spawn(async move {
            let _turn = threads.acquire_owned().await;
            let check = move || check::check(topic, &data, &directory, &epoch);
            let checked = tokio::task::spawn_blocking(check);
            // a check that panicked is one that the bytes caused
            (arrival, checked.await.unwrap_or(Err(Refusal::Garbage)))
        });
        Ok(())
    }

    /// A message past a rate. Who passes on what others signed does not know what else those had
    /// room for.
    fn past_rate(&self, rate: &'static str, is_own: bool) -> Decision {
        if is_own {
            return Decision::TooFast(rate);
        }
        self.metrics.count_rate_limited(rate);
        Decision::Ignore(Outcome::RateLimited)
    }

    /// The next message whose checks are done; pends while there is none.
    pub(crate) async fn checked(&mut self) -> Option<Checked> {
        // a task that panicked or was aborted is none: the checks have no failing path but their
        // result
        let checked = self.checks.join_next().await?.ok()?;
        self.checking_bytes = self.checking_bytes.saturating_sub(checked.0.size);
        Some(checked)
    }

    /// Hands a checked message to the consumer.
    pub(crate) fn deliver(
        &mut self,
        arrival: &Arrival,
        content: Content,
        from: NodeId,
        consumer: &mpsc::Sender<NetworkEvent>,
    ) -> Result<(), Decision> {
        // signed twice, the same statements come as two messages
        let name = content.name();
        if self.accepted.contains(&name) {
            return Err(Decision::Ignore(Outcome::Duplicate));
        }
        // after the signature: else anybody could use up another signer's rate
        let is_direct = matches!(&content, Content::Batch(batch) if batch.signer() == from);
        if let Content::Batch(batch) = &content {
            let now = Instant::now();
            // of its own deliverer it was counted when it arrived
            if !is_direct && !self.signer_messages.take(batch.signer(), 1.0, now) {
                return Err(self.past_rate("signer_messages", false));
            }
            if !self
                .signer_statements
                .take(batch.signer(), batch.statements().len() as f64, now)
            {
                return Err(self.past_rate("signer_statements", is_direct));
            }
        }
        let busy = Decision::Ignore(Outcome::DroppedConsumerBusy);
        // at least so much: a budget in bytes alone would let small batches be without number
        let cost = u32::try_from(arrival.size.max(t::UNDECIDED_LEAST)).unwrap_or(u32::MAX);
        let Ok(budget) = Arc::clone(&self.undecided).try_acquire_many_owned(cost) else {
            return Err(busy);
        };
        // the place first, then the message: nothing is given away that the consumer cannot take
        let Ok(place) = consumer.try_reserve() else {
            return Err(busy);
        };
        let Arrival { source, topic, .. } = *arrival;
        let message = arrival.message.clone();
        let ticket = Ticket {
            message,
            // the budget travels with the ticket: it is free again when the consumer has decided
            name,
            source,
            is_direct,
            topic,
            _budget: budget,
        };
        place.send(match content {
            Content::Batch(batch) => NetworkEvent::Batch {
                from,
                batch: Arc::new(batch),
                ticket,
                topic,
            },
            Content::Evidence(evidence) => NetworkEvent::Evidence {
                from,
                evidence,
                ticket,
            },
        });
        self.metrics.count_message(topic, Outcome::Delivered);
        Ok(())
    }

    /// Tells gossipsub the consumer's verdict; the weight of the deliverer's offence, if it is one.
    pub(crate) fn decide(
        &mut self,
        gossip: &mut Gossip,
        ticket: Ticket,
        verdict: Verdict,
    ) -> Option<f64> {
        let (acceptance, outcome) = match verdict {
            Verdict::Accept => (MessageAcceptance::Accept, Outcome::Accepted),
            Verdict::Ignore => (MessageAcceptance::Ignore, Outcome::Ignored),
            Verdict::Excess => (MessageAcceptance::Ignore, Outcome::Excess),
            Verdict::Reject => (MessageAcceptance::Reject, Outcome::Rejected),
        };
        let in_time =
            // gossipsub has forgotten it after five heartbeats: then it is passed on by none
            gossip.report_message_validation_result(&ticket.message, &ticket.source, acceptance);
        if !in_time {
            self.metrics
                .count_message(ticket.topic, Outcome::VerdictLate);
        }
        match verdict {
            Verdict::Reject => self.metrics.count_reject(ticket.topic, "consumer"),
            _ => self.metrics.count_message(ticket.topic, outcome),
        }
        // only what was accepted: what was dropped for want of room must be able to come again
        if verdict == Verdict::Accept {
            self.accepted.insert(ticket.name);
            self.accepted_ids.insert(ticket.message);
        }
        match verdict {
            Verdict::Reject => Some(t::OFFENCE_INVALID),
            // who passes on what another signed may have had room for it
            Verdict::Excess if ticket.is_direct => Some(t::OFFENCE_EXCESS),
            _ => None,
        }
    }

    /// When the next message may be published.
    pub(crate) fn publish_at(&self) -> Instant {
        self.pace.ready_at()
    }

    /// Publishes one message to `peers` connected ones and counts what became of it. A refused one
    /// is not tried again: gossipsub would call it a duplicate.
    pub(crate) fn publish(&mut self, gossip: &mut Gossip, outgoing: Outgoing, peers: usize) {
        let bytes = outgoing.data.len() as f64 * peers as f64;
        let cost = (bytes / t::PUBLISH_BYTES_PER_SECOND).max(1.0 / self.publish_per_second);
        self.pace
            .spend(Duration::from_secs_f64(cost), Instant::now());
        let Some(hash) = self.topics.hash(outgoing.topic) else {
            return;
        };
        let failure = match gossip.publish(hash, outgoing.data) {
            Ok(_) => {
                return self
                    .metrics
                    .count_message(outgoing.topic, Outcome::Published);
            }
            Err(PublishError::AllQueuesFull(_)) => "all_queues_full",
            Err(PublishError::NoPeersSubscribedToTopic) => "no_peers_subscribed",
            Err(PublishError::Duplicate) => "duplicate",
            Err(_) => "other",
        };
        self.metrics.count_publish_failure(failure, 1);
    }

    /// Forgets the rates of those who are no longer members.
    pub(crate) fn retain(&mut self, directory: &Directory) {
        self.peer_messages
            .retain(|peer| directory.node_of(peer).is_some());
        self.peer_bytes
            .retain(|peer| directory.node_of(peer).is_some());
        self.signer_messages
            .retain(|node| directory.member(node).is_some());
        self.signer_statements
            .retain(|node| directory.member(node).is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour;
    use crate::testing::{FEDERATION, epochs, heartbeat, member, votes};
    use ssid_protocol::batch::{Statements, VerifiedBatch};
    use ssid_protocol::testing::key;

    struct Fixture {
        gossiping: Gossiping,
        gossip: Gossip,
        directory: Directory,
    }

    fn fixture(limits: &NetworkLimits) -> Fixture {
        let topics = Topics::of(&FEDERATION);
        let gossip = behaviour::gossip(&topics).unwrap();
        let directory = Directory::new([member(0), member(1)], key(1).node_id());
        let gossiping = Gossiping::new(epochs(), topics, limits, Metrics::default());
        Fixture {
            gossiping,
            gossip,
            directory,
        }
    }

    impl Fixture {
        fn arrive(&mut self, id: u8, data: Vec<u8>) -> Result<(), Decision> {
            let source = member(0).peer;
            self.gossiping.arrive(
                source,
                MessageId::new(&[id]),
                Topic::Votes,
                data,
                &self.directory,
            )
        }

        fn deliver(
            &mut self,
            id: u8,
            statements: Statements,
            to: &mpsc::Sender<NetworkEvent>,
        ) -> Option<Decision> {
            let batch = VerifiedBatch::sign(&key(0), &FEDERATION, statements).unwrap();
            let message = MessageId::new(&[id]);
            let arrival = Arrival {
                source: member(0).peer,
                message,
                topic: Topic::Votes,
                size: 100,
            };
            self.gossiping
                .deliver(&arrival, Content::Batch(batch), key(0).node_id(), to)
                .err()
        }
    }

    #[tokio::test]
    async fn what_was_accepted_is_neither_verified_nor_delivered_again() {
        let mut fixture = fixture(&NetworkLimits::default());
        let (consumer, mut events) = mpsc::channel(8);
        assert_eq!(fixture.deliver(1, votes(2), &consumer), None);
        let Ok(NetworkEvent::Batch { ticket, .. }) = events.try_recv() else {
            panic!("a batch")
        };
        assert_eq!(
            fixture.deliver(2, votes(2), &consumer),
            None,
            "no verdict yet"
        );
        assert_eq!(
            fixture
                .gossiping
                .decide(&mut fixture.gossip, ticket, Verdict::Accept),
            None
        );
        let duplicate = Decision::Ignore(Outcome::Duplicate);
        assert_eq!(
            fixture.arrive(1, vec![0; 10]),
            Err(duplicate),
            "the same bytes"
        );
        assert_eq!(
            fixture.deliver(3, votes(2), &consumer),
            Some(duplicate),
            "the same statements"
        );
        assert_eq!(fixture.deliver(4, votes(3), &consumer), None);
    }

    #[tokio::test]
    async fn each_limit_is_named() {
        let limits = NetworkLimits {
            peer_bytes_per_second: 500.0,
            signer_statements_per_second: 1.0,
            undecided_bytes: 2 * t::UNDECIDED_LEAST,
            ..NetworkLimits::default()
        };
        let mut fixture = fixture(&limits);
        assert_eq!(
            fixture.arrive(1, vec![0; MESSAGE_BYTES + 1]),
            Err(Decision::Reject("message_bytes"))
        );
        assert_eq!(fixture.arrive(2, vec![0; 900]), Ok(()));
        assert_eq!(
            fixture.arrive(3, vec![0; 900]),
            Err(Decision::Ignore(Outcome::RateLimited)),
            "passed on for somebody"
        );

        let (consumer, _events) = mpsc::channel(8);
        assert_eq!(fixture.deliver(4, votes(2), &consumer), None);
        assert_eq!(
            fixture.deliver(5, votes(3), &consumer),
            Some(Decision::TooFast("signer_statements"))
        );
        assert_eq!(fixture.deliver(6, heartbeat(1), &consumer), None);
        let busy = Some(Decision::Ignore(Outcome::DroppedConsumerBusy));
        assert_eq!(
            fixture.deliver(7, heartbeat(2), &consumer),
            busy,
            "two undecided use up the budget"
        );
    }

    #[tokio::test]
    async fn a_signer_has_a_rate_and_who_passes_it_on_is_not_blamed() {
        let limits = NetworkLimits {
            signer_messages_per_second: 0.5,
            peer_messages_per_second: 2.0,
            ..NetworkLimits::default()
        };
        let mut fixture = fixture(&limits);
        let own = |i: u8| [&key(0).node_id().0[..], &[i]].concat();
        assert_eq!(
            [1, 2].map(|i| fixture.arrive(i, own(i))),
            [Ok(()); 2],
            "its own rate's burst"
        );
        assert_eq!(
            fixture.arrive(3, own(3)),
            Err(Decision::TooFast("signer_messages"))
        );
        // what it passes on for others has room of its own
        let ignored = Decision::Ignore(Outcome::RateLimited);
        assert_eq!(
            [4, 5, 6, 7].map(|i| fixture.arrive(i, vec![i; 40])),
            [Ok(()); 4]
        );
        assert_eq!(fixture.arrive(8, vec![8; 40]), Err(ignored));

        // another's messages, whoever delivers them, are counted to their signer
        let (consumer, _events) = mpsc::channel(8);
        let mut passed_on = |id: u8, count: usize| {
            let batch = VerifiedBatch::sign(&key(1), &FEDERATION, votes(count)).unwrap();
            let message = MessageId::new(&[id]);
            let arrival = Arrival {
                source: member(0).peer,
                message,
                topic: Topic::Votes,
                size: 100,
            };
            fixture
                .gossiping
                .deliver(&arrival, Content::Batch(batch), key(0).node_id(), &consumer)
                .err()
        };
        assert_eq!(
            [passed_on(9, 1), passed_on(10, 2), passed_on(11, 3)],
            [None, None, Some(ignored)]
        );
    }
}
