//! The live network between the members of one federation (SPEC §10, §12): who may connect, what is
//! passed on, how a peer is asked. It carries signed batches and knows nothing of voting.
//!
//! One task, started by [`start`], owns the libp2p swarm. Everybody else holds a cheap [`Network`]
//! to act on it and reads one bounded channel of [`NetworkEvent`]s. No input of a peer can stall
//! that task, make it panic or grow its memory without bound; each limit is in [`NetworkLimits`] or
//! among the constants of `tuning`.

mod address;
mod admission;
mod behaviour;
mod check;
mod codec;
mod config;
mod dialer;
mod events;
mod gossip;
mod handle;
mod links;
mod listen;
mod members;
mod metrics;
mod offenders;
mod owner;
mod rate;
mod recent;
mod scoring;
mod sync;
mod topics;
mod tuning;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use address::undialable;
pub use config::{MemberPeer, NetworkConfig, NetworkError, NetworkLimits};
pub use handle::{
    Network, NetworkEvent, PublishRefused, ReplyHandle, RequestError, Ticket, Verdict,
};
pub use metrics::Metrics;
pub use topics::Topic;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use admission::Admission;
use dialer::Dialer;
use gossip::Gossiping;
use links::Links;
use members::Directory;
use offenders::Offenders;
use owner::{Inbox, Owner};
use recent::Recent;
use sync::Syncing;
use topics::Topics;

/// Starts listening, dialing and the task that owns the swarm; call it inside a tokio runtime.
///
/// The task is spawned on `tracker` and ends within two seconds of `shutdown` being cancelled: it
/// hands what is still to be published to its peers, closes the connections, and then the event
/// channel.
///
/// # Errors
/// If this node is no member, an address cannot be listened on, or the transports cannot be set up.
///
/// ```
/// # use std::sync::Arc;
/// # use libp2p::identity::Keypair;
/// # use ssid_network::{MemberPeer, NetworkConfig, NetworkLimits};
/// # use ssid_protocol::epoch::{EpochContext, Epochs};
/// # use ssid_protocol::identity::VerifyKey;
/// # let (manifest, _, _, keys) = ssid_protocol::testing::federation(2);
/// # let identities = [1, 2].map(|seed| Keypair::ed25519_from_bytes([seed; 32]).unwrap());
/// # let members: Vec<_> = keys.iter().zip(&identities).map(|(key, identity)| MemberPeer {
/// #     node: key.node_id(),
/// #     key: VerifyKey::parse(key.node_id()).unwrap(),
/// #     peer: identity.public().to_peer_id(),
/// #     addresses: Vec::new(),
/// #     is_voter: true,
/// #     is_guest: false,
/// # }).collect();
/// # let epochs = Epochs::new(EpochContext::genesis(manifest).unwrap());
/// # let config = NetworkConfig {
/// #     identity: identities[0].clone(),
/// #     listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
/// #     bootstrap: Vec::new(),
/// #     mdns: false,
/// #     members,
/// #     epochs: tokio::sync::watch::channel(Arc::new(epochs)).1,
/// #     local_node: keys[0].node_id(),
/// #     remembered: Vec::new(),
/// #     limits: NetworkLimits::default(),
/// # };
/// # use ssid_network::{PublishRefused, RequestError, Topic};
/// # use tokio_util::{sync::CancellationToken, task::TaskTracker};
/// # let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
/// # let runtime = tokio::runtime::Runtime::new()?;
/// # runtime.block_on(async {
/// let (network, mut events) = ssid_network::start(config, &tracker, stop.clone())?;
/// let mut listening = network.listening();
/// let addresses = listening.wait_for(|all| !all.is_empty()).await?.clone();
/// assert!(addresses.iter().all(|address| address.to_string().starts_with("/ip4/127.0.0.1/tcp/")));
///
/// stop.cancel();
/// assert!(events.recv().await.is_none(), "the channel ends with the task");
/// # stop.cancel();
/// # tracker.close();
/// # tracker.wait().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn start(
    config: NetworkConfig,
    tracker: &TaskTracker,
    shutdown: CancellationToken,
) -> Result<(Network, mpsc::Receiver<NetworkEvent>), NetworkError> {
    // a node that the manifest does not name would be refused by everyone, and not be told why
    check_own_membership(&config)?;
    let (metrics, limits) = (Metrics::default(), config.limits);
    let topics = Topics::of(config.epochs.borrow().current().federation());
    let admission = Admission::default();
    let mut swarm = behaviour::swarm(
        config.identity,
        &topics,
        config.mdns,
        &admission,
        metrics.clone(),
    )?;
    listen::listen(&mut swarm, &config.listen)?;

    // all bounded: who is slow behind them is told so, and nothing grows
    let (consumer, events) = mpsc::channel(limits.event_queue.max(1));
    let (outgoing, outgoing_inbox) = mpsc::channel(limits.publish_queue.max(1));
    // as many as the budget of undecided bytes allows tickets: so that a verdict always finds room
    let (verdicts, verdicts_inbox) =
        mpsc::channel(limits.undecided_bytes / tuning::UNDECIDED_LEAST + 1);
    let (commands, commands_inbox) = mpsc::channel(tuning::SYNC_ASKED);
    let (members, members_inbox) = watch::channel(config.members);
    let (connected_sender, connected) = watch::channel(Arc::default());
    let (round_trips_sender, round_trips) = watch::channel(Arc::default());
    let (listening_sender, listening) = watch::channel(Arc::default());
    let (syncing, replies_inbox) = Syncing::new(&limits, metrics.clone());
    let mut owner = Owner {
        swarm,
        // filled by `on_members` below, the one place that lets anybody in
        topics: topics.clone(),
        directory: Directory::new([], config.local_node),
        dialer: Dialer::default(),
        admission,
        links: Links::default(),
        present: HashMap::new(),
        gossiping: Gossiping::new(config.epochs, topics, &limits, metrics.clone()),
        syncing,
        offenders: Offenders::new(limits.offence_limit),
        strangers: Recent::new(tuning::STRANGERS),
        notices: VecDeque::new(),
        consumer,
        connected: connected_sender,
        round_trips: round_trips_sender,
        listening: listening_sender,
        metrics: metrics.clone(),
        inbox: Inbox {
            outgoing: outgoing_inbox,
            verdicts: verdicts_inbox,
            replies: replies_inbox,
            commands: commands_inbox,
            members: members_inbox,
        },
    };
    // before the first dial, which asks whom to dial
    owner.on_members();
    let now = Instant::now();
    // addresses that worked in the last run, also as sources that are admitted first
    for (peer, addresses) in config.remembered {
        owner.admission.know(&addresses);
        owner.dialer.add(&peer, addresses, now);
    }
    for address in config.bootstrap {
        owner.dialer.add_bootstrap(address, now);
    }
    // last: from here on nothing but the task touches the swarm
    tracker.spawn(owner.run(shutdown));
    let outgoing_bytes = Arc::new(Semaphore::new(limits.publish_queue_bytes));
    let members = Arc::new(members);
    Ok((
        Network {
            outgoing,
            outgoing_bytes,
            verdicts,
            commands,
            members,
            connected,
            round_trips,
            listening,
            metrics,
        },
        events,
    ))
}

fn check_own_membership(config: &NetworkConfig) -> Result<(), NetworkError> {
    let own = config.identity.public().to_peer_id();
    match config
        .members
        .iter()
        .find(|member| member.node == config.local_node)
    {
        None => Err(NetworkError::NotAMember(config.local_node)),
        Some(member) if member.peer != own => Err(NetworkError::WrongPeer {
            own: Box::new(own),
            manifest: Box::new(member.peer),
        }),
        Some(_) => Ok(()),
    }
}
