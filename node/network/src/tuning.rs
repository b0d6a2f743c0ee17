//! Fixed tuning values of the network, with their units. What a deployment may want to change is in
//! [`NetworkLimits`](crate::NetworkLimits) instead.

use std::time::Duration;

use ssid_protocol::backoff::Backoff;

// ---- connections

/// Connections kept to one peer: one, and a second where both dialed at once.
pub(crate) const CONNECTIONS_PER_PEER: u32 = 2;
/// Incoming connections in their handshake, of whomever.
pub(crate) const PENDING_INCOMING: usize = 256;
/// Of these, from addresses that no member is known by.
pub(crate) const PENDING_OF_STRANGERS: usize = 192;
/// Of these, from one IPv4 address or one IPv6 network of 64 bits. A handshake takes some round
/// trips: one source has to open hundreds a second before its own honest ones give way.
pub(crate) const PENDING_OF_SOURCE: usize = 64;
/// An incoming handshake may take so long: some four round trips, also by satellite.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(3);
/// Addresses that members are known by.
pub(crate) const KNOWN_SOURCES: usize = 16_384;
/// Own dials under way.
pub(crate) const PENDING_OUTGOING: u32 = 128;
/// Streams of one connection, of both sides: twice those of sync, and the few of gossip, ping and
/// identify.
pub(crate) const STREAMS: usize = 2 * SYNC_STREAMS + 32;
/// A connection between members is kept however quiet it is; ping finds out the dead ones.
pub(crate) const IDLE_CONNECTION: Duration = Duration::from_hours(365 * 24);
/// Between two pings on a connection.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(5);
/// A ping without an answer for this long closes the connection.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A peer that has not said in this time which topics it reads takes no part and is disconnected.
pub(crate) const GREETING: Duration = Duration::from_secs(10);
/// Between two looks at scores, blocks and silent peers.
pub(crate) const HOUSEKEEPING: Duration = Duration::from_secs(1);

// ---- dialing

/// Between two attempts to reach a peer or an address; up to half of it is left out at random.
pub(crate) const REDIAL: Backoff =
    Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
/// Addresses per peer that multicast found, beside those; the oldest give way. Anybody on the local
/// network may make them up.
pub(crate) const FOUND_PER_PEER: usize = 4;
/// How long such an address is tried.
pub(crate) const FOUND_FOR: Duration = Duration::from_mins(5);
/// Addresses kept per peer; the ones that worked last stay.
pub(crate) const ADDRESSES_PER_PEER: usize = 16;

// ---- gossip

/// Gossipsub's own housekeeping: mesh, gossip, scores.
pub(crate) const GOSSIP_HEARTBEAT: Duration = Duration::from_secs(1);
/// What a frame has beside the message: topic name and lengths.
pub(crate) const GOSSIP_ENVELOPE_BYTES: usize = 4096;
/// Messages in one peer's send queue; publishing is paced far below it.
pub(crate) const GOSSIP_SEND_QUEUE: usize = 8192;
/// How long a message may wait in it for a slow peer.
pub(crate) const GOSSIP_SEND_WAIT: Duration = Duration::from_secs(5);
/// Bytes of one message times its receivers, published per second, sustained. With the times above
/// and below it bounds what stalled peers can pile up here: about 150 MiB.
pub(crate) const PUBLISH_BYTES_PER_SECOND: f64 = 24.0 * 1024.0 * 1024.0;
/// A pause in publishing is made up for by a burst of at most what this long would have carried.
pub(crate) const PUBLISH_BURST: Duration = Duration::from_secs(1);
/// Messages being decoded and verified, or waiting for it.
pub(crate) const VERIFYING: usize = 4096;
/// Bytes of these.
pub(crate) const VERIFYING_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of a heartbeat message.
pub(crate) const HEARTBEAT_BYTES: usize = 16 * 1024;
/// The least that an undecided batch costs of its budget, in bytes: what bounds their number.
pub(crate) const UNDECIDED_LEAST: usize = 4096;
/// Accepted batches remembered, so that none is verified or delivered twice.
pub(crate) const REMEMBERED_BATCHES: usize = 8192;
/// Notices of connections and addresses that wait for a busy consumer; past it the oldest are
/// dropped.
pub(crate) const NOTICES: usize = 4096;

// ---- scores and offences

/// Gossipsub score below which a peer is disconnected and blocked; ten invalid messages within a
/// minute reach it.
pub(crate) const DISCONNECT_SCORE: f64 = -80.0;
/// Offence weight of one invalid message or malformed frame.
pub(crate) const OFFENCE_INVALID: f64 = 10.0;
/// Offence weight of a batch of votes that its own signer delivers and that has nothing but what is
/// past a limit: a node far behind finds that in what honest members send too, though not a hundred
/// times a minute.
pub(crate) const OFFENCE_EXCESS: f64 = 1.0;
/// Offence weight of an answer that does not hold: whoever gives one has checked all that is in it,
/// so that a single one is no accident.
pub(crate) const OFFENCE_FALSE_ANSWER: f64 = 100.0;
/// Offence weight of one sync request past the rate.
pub(crate) const OFFENCE_REQUEST: f64 = 1.0;
/// Offence weight of one gossip message past the rate.
pub(crate) const OFFENCE_RATE: f64 = 0.1;
/// Offence weight of a request that never ended, or of an answer that was never read, on a stream
/// that stayed open. Small, because a link that breaks without a word looks like it until ping
/// notices: an honest member then has a handful of requests under way, and all [`SYNC_STREAMS`] of
/// one connection at once are below the default limit of 95. A link that breaks with an error is
/// never held against anybody. Who goes on, fills its streams every [`SYNC_PATIENCE`], which the
/// second time is past the limit.
pub(crate) const OFFENCE_SLOW: f64 = 2.0;
/// Half-life of offences.
pub(crate) const OFFENCE_HALF_LIFE: Duration = Duration::from_mins(1);
/// The first block; doubled each time.
pub(crate) const BLOCK_FIRST: Duration = Duration::from_secs(30);
/// The longest block: a repaired node comes back by itself.
pub(crate) const BLOCK_LAST: Duration = Duration::from_mins(10);
/// Without an offence for this long, the next block is a first one again.
pub(crate) const BLOCK_FORGET: Duration = Duration::from_hours(1);
/// Strangers whose refusal was logged; past it the oldest are forgotten and logged again.
pub(crate) const STRANGERS: usize = 1024;

// ---- sync

/// For a request to be answered, and for an answer to be written.
pub(crate) const SYNC_TIMEOUT: Duration = Duration::from_secs(10);
/// For a request to arrive, once its stream is open, and for each piece of an answer to be taken.
/// Less than [`SYNC_TIMEOUT`], at which libp2p drops a stream and tells nobody: who needs longer
/// does not get its answer within its own time either.
pub(crate) const SYNC_PATIENCE: Duration = Duration::from_secs(8);
/// Sync streams of one connection, both ways together.
pub(crate) const SYNC_STREAMS: usize = 32;
/// Requests of one peer that are being answered; with an answer's 1 MiB it bounds what a peer that
/// reads nothing makes this node hold. An honest one has a question or two under way at a time.
pub(crate) const SYNC_SERVED: usize = 8;
/// Requests of others waiting for this node's answer.
pub(crate) const SYNC_UNANSWERED: usize = 256;
/// Own requests under way.
pub(crate) const SYNC_ASKED: usize = 256;

/// Bytes of a request: `NAMES` names and what is around them. A longer one names more than it may.
pub(crate) const REQUEST_BYTES: usize = 48 * ssid_protocol::sync::NAMES + 1024;

// ---- shutdown

/// For what was still to be published to leave.
pub(crate) const DRAIN: Duration = Duration::from_millis(600);
/// For the connections to close.
pub(crate) const CLOSE: Duration = Duration::from_millis(400);
