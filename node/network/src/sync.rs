//! Asking and being asked, `/ssid/sync/1` (SPEC §10): bounded in number both ways, and in rate for
//! each asking peer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use libp2p::PeerId;
use libp2p::request_response::{
    self, InboundFailure, InboundRequestId, Message, OutboundFailure, OutboundRequestId,
    ResponseChannel,
};
use ssid_protocol::id::NodeId;
use ssid_protocol::sync::{self, Answer, Request};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::codec::{Incoming, SyncCodec, is_unread};
use crate::config::NetworkLimits;
use crate::handle::{NetworkEvent, Reply, ReplyHandle, RequestError};
use crate::members::Directory;
use crate::metrics::{Direction, Metrics};
use crate::rate::Buckets;
use crate::tuning as t;

/// A guest's request counts as so many: it has a tenth of a member's rate.
const GUEST_COST: f64 = 10.0;

/// Who asks.
#[derive(Clone, Copy, Debug)]
struct Asker {
    peer: PeerId,
    node: NodeId,
    is_guest: bool,
}

/// The libp2p side.
pub(crate) type Protocol = request_response::Behaviour<SyncCodec>;
/// What the behaviour of requests and answers reports.
pub(crate) type Event = request_response::Event<Incoming, Answer>;
type Waiting = oneshot::Sender<Result<Answer, RequestError>>;

/// Requests under way, and the bounds on those of others.
pub(crate) struct Syncing {
    asked: HashMap<OutboundRequestId, Waiting>,
    /// Requests of others whose streams are not over: each may hold an answer that nobody reads.
    serving: HashMap<InboundRequestId, PeerId>,
    rates: Buckets<PeerId>,
    unanswered: Arc<Semaphore>,
    replies: mpsc::Sender<Reply>,
    metrics: Metrics,
}

impl Syncing {
    /// With the receiver of the answers that the consumer gives.
    pub(crate) fn new(limits: &NetworkLimits, metrics: Metrics) -> (Self, mpsc::Receiver<Reply>) {
        let (replies, answers) = mpsc::channel(t::SYNC_UNANSWERED);
        let rates = Buckets::new(limits.peer_requests_per_second, 4.0);
        let unanswered = Arc::new(Semaphore::new(t::SYNC_UNANSWERED));
        (
            Self {
                asked: HashMap::new(),
                serving: HashMap::new(),
                rates,
                unanswered,
                replies,
                metrics,
            },
            answers,
        )
    }

    /// Asks a member; the answer or the reason for none goes to `reply`.
    pub(crate) fn ask(
        &mut self,
        protocol: &mut Protocol,
        peer: PeerId,
        request: Request,
        reply: Waiting,
    ) {
        if self.asked.len() >= t::SYNC_ASKED {
            let _ = reply.send(Err(RequestError::Busy));
            return;
        }
        self.asked.insert(
            protocol.send_request(&peer, Incoming::Request(request)),
            reply,
        );
    }

    /// Sends what the consumer answered.
    pub(crate) fn answer(&self, protocol: &mut Protocol, reply: Reply) {
        let outcome = if matches!(reply.answer, Answer::Refused(_)) {
            "refused"
        } else {
            "answered"
        };
        match protocol.send_response(reply.channel, reply.answer) {
            Ok(()) => self.metrics.count_sync(Direction::In, outcome),
            Err(_) => self.metrics.count_sync(Direction::In, "failed"),
        }
    }

    /// Follows an event; the peer and the weight of its offence, if it is one.
    pub(crate) fn on_event(
        &mut self,
        protocol: &mut Protocol,
        event: Event,
        directory: &Directory,
        consumer: &mpsc::Sender<NetworkEvent>,
    ) -> Option<(PeerId, f64)> {
        match event {
            Event::Message {
                message:
                    Message::Response {
                        request_id,
                        response,
                    },
                ..
            } => {
                // a refusal is an answer: whether it is reasonable, the asker decides
                let outcome = if matches!(response, Answer::Refused(_)) {
                    "refused"
                } else {
                    "answered"
                };
                self.metrics.count_sync(Direction::Out, outcome);
                self.finish(request_id, Ok(response));
                None
            }
            Event::Message {
                peer,
                message:
                    Message::Request {
                        request_id,
                        request,
                        channel,
                    },
                ..
            } => {
                // no member any more: the connection is about to end
                let from = directory.node_of(&peer)?;
                let asker = Asker {
                    peer,
                    node: from,
                    is_guest: directory.is_guest(&peer),
                };
                // before it is looked at: a refusal, too, may be left unread and hold its stream
                self.serving.insert(request_id, peer);
                self.asked_by(protocol, asker, request, channel, consumer)
                    .map(|weight| (peer, weight))
            }
            Event::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                let (outcome, error) = failure(error);
                self.metrics.count_sync(Direction::Out, outcome);
                // a timeout or a broken link is nobody's proven fault; a frame that does not decode
                // is
                let malformed = matches!(error, RequestError::Malformed(_));
                self.finish(request_id, Err(error));
                malformed.then_some((peer, t::OFFENCE_INVALID))
            }
            Event::InboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                self.serving.remove(&request_id);
                self.metrics.count_sync(Direction::In, "failed");
                // the others are a broken link, or an answer that this node itself did not give in
                // time
                matches!(error, InboundFailure::Io(error) if is_unread(&error))
                    .then_some((peer, t::OFFENCE_SLOW))
            }
            Event::ResponseSent { request_id, .. } => {
                self.serving.remove(&request_id);
                None
            }
        }
    }

    fn finish(&mut self, id: OutboundRequestId, result: Result<Answer, RequestError>) {
        if let Some(waiting) = self.asked.remove(&id) {
            // whoever asked may have given up
            let _ = waiting.send(result);
        }
    }

    /// Hands a request to the consumer, or refuses it; the weight of the offence, if it is one.
    fn asked_by(
        &mut self,
        protocol: &mut Protocol,
        asker: Asker,
        request: Incoming,
        channel: ResponseChannel<Answer>,
        consumer: &mpsc::Sender<NetworkEvent>,
    ) -> Option<f64> {
        let Asker {
            peer,
            node: from,
            is_guest,
        } = asker;
        let request = match request {
            // what a frame promised was bounded when it was read; here it is one of few that may be
            // dear
            Incoming::Request(request) => request,
            Incoming::Malformed => {
                self.metrics.count_sync(Direction::In, "malformed");
                return Some(t::OFFENCE_INVALID);
            }
            // the channel is dropped, which libp2p reports as a failure: it is counted there
            Incoming::Unfinished => return Some(t::OFFENCE_SLOW),
        };
        // cheapest first: the rate, then what is under way, then what it asks
        let cost = if is_guest { GUEST_COST } else { 1.0 };
        let refused = if !self.rates.take(peer, cost, Instant::now()) {
            self.metrics.count_rate_limited("peer_requests");
            Some((
                "too many requests: peer_requests_per_second".to_owned(),
                Some(t::OFFENCE_REQUEST),
            ))
        } else if self
            .serving
            .values()
            .filter(|served| **served == peer)
            .count()
            > t::SYNC_SERVED
        {
            self.metrics.count_rate_limited("peer_answers");
            Some((
                format!(
                    "busy: {} answers are on their way to you; read them, then ask again",
                    t::SYNC_SERVED
                ),
                None,
            ))
        } else if is_guest && !is_for_guests(&request) {
            Some(("this node is a guest: it may ask for what is certified, and for epochs and manifests".to_owned(), None))
        } else if names(&request) > sync::NAMES {
            // a frame has room for some more of the shortest names
            Some((
                format!("a request names at most {} subjects or events", sync::NAMES),
                Some(t::OFFENCE_INVALID),
            ))
        } else {
            None
        };
        if let Some((reason, weight)) = refused {
            self.refuse(protocol, channel, reason);
            return weight;
        }
        // both places before anything is said: half of them would leave a request without an answer
        let permit = Arc::clone(&self.unanswered).try_acquire_owned();
        let place = consumer.try_reserve();
        if let (Ok(permit), Ok(place)) = (permit, place) {
            self.metrics.count_sync(Direction::In, "asked");
            let reply = ReplyHandle {
                channel,
                replies: self.replies.clone(),
                permit,
            };
            place.send(NetworkEvent::Asked {
                from,
                request,
                reply,
            });
        } else {
            // own load is nobody's offence
            self.refuse(protocol, channel, "busy; ask again later".to_owned());
        }
        None
    }

    fn refuse(&self, protocol: &mut Protocol, channel: ResponseChannel<Answer>, reason: String) {
        self.metrics.count_sync(Direction::In, "refused");
        // fails only if nobody waits any more
        let _ = protocol.send_response(channel, Answer::Refused(reason));
    }

    /// Forgets the rates of those who are no longer members.
    pub(crate) fn retain(&mut self, directory: &Directory) {
        self.rates.retain(|peer| directory.node_of(peer).is_some());
    }
}

/// Whether a guest may ask it: how the epoch stands, what is certified, and how it came to be.
fn is_for_guests(request: &Request) -> bool {
    match request {
        Request::Status
        | Request::Log { .. }
        | Request::Events { .. }
        | Request::Evidence { .. }
        | Request::Change(_) => true,
        Request::Open { .. } | Request::Own => false,
    }
}

fn names(request: &Request) -> usize {
    match request {
        Request::Open { subjects, .. } => subjects.len(),
        Request::Events { digests } => digests.len(),
        Request::Evidence { known } => known.len(),
        Request::Change(request) => request.names(),
        _ => 0,
    }
}

/// The metric's label and what the asking side is told.
fn failure(error: OutboundFailure) -> (&'static str, RequestError) {
    match error {
        OutboundFailure::Timeout => ("timeout", RequestError::Timeout),
        OutboundFailure::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            ("malformed", RequestError::Malformed(error.to_string()))
        }
        OutboundFailure::Io(error) => ("failed", RequestError::Broken(error.to_string())),
        other => ("failed", RequestError::Broken(other.to_string())),
    }
}
