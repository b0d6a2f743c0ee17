//! Going over to keys that take the places of others (SPEC §4, *Keys*): a start, with one step
//! before it. Whoever runs while its key is replaced stops and starts like that, in one process.
//!
//! The steps, each on disk before the next; a start takes up where one before it was interrupted:
//!
//! 1. The epoch that replaces the key is entered, under the former key: the engine's one write.
//! 2. What the former key announced and is undecided stands among the events that are kept to be
//!    offered.
//! 3. The next key's journal stands in the former one's place: the former key signs nothing more.
//! 4. The database belongs to the next key, and why the former one abstained, if it did, is gone.
//! 5. The card is the next key's, and its key file stands in the former one's place.

use std::path::Path;

use libp2p::identity::Keypair;
use ssid_protocol::batch::Statements;
use ssid_protocol::card::MemberCard;
use ssid_protocol::epoch::{EpochContext, Epochs};
use ssid_protocol::event::{Event, FEDERATION_EPOCH};
use ssid_protocol::id::{Epoch, NodeId, SubjectId};
use ssid_protocol::identity::VotingKey;
use ssid_storage::{
    Changes, Cursor, Journal, JournalRecord, Owner, PathContext as _, StorageError, Store,
    SubjectState, Writer,
};

use super::error::NodeError;
use super::history::{self, History};
use super::open;
use crate::config::write_atomic;
use crate::home::Home;
use crate::keyfile;

/// A node's keys, and those that wait to follow them.
pub(super) struct Keys {
    /// The one that signs.
    pub(super) voting: VotingKey,
    /// The one that the network knows the node by.
    pub(super) network: Keypair,
    next_voting: Option<VotingKey>,
    next_network: Option<Keypair>,
}

impl Keys {
    /// Reads the key files.
    pub(super) fn read(home: &Home, passphrase: Option<&str>) -> Result<Self, NodeError> {
        let voting = |path: &Path| -> Result<_, NodeError> {
            Ok(VotingKey::from_seed(&*keyfile::read(path, passphrase)?))
        };
        let network = |path: &Path| network_key(path, passphrase);
        let (next_voting, next_network) = (home.next_voting_key(), home.next_network_key());
        Ok(Self {
            voting: voting(&home.voting_key())?,
            network: network(&home.network_key())?,
            next_voting: next_voting
                .exists()
                .then(|| voting(&next_voting))
                .transpose()?,
            next_network: next_network
                .exists()
                .then(|| network(&next_network))
                .transpose()?,
        })
    }
}

fn network_key(path: &Path, passphrase: Option<&str>) -> Result<Keypair, NodeError> {
    let mut seed = keyfile::read(path, passphrase)?;
    // cannot fail: every 32 bytes are an Ed25519 seed; a failure would be libp2p's own
    Keypair::ed25519_from_bytes(&mut seed[..]).map_err(|e| {
        NodeError::Network(ssid_network::NetworkError::Setup(format!(
            "network key: {e}"
        )))
    })
}

/// A node's keys as they are to be used now, and the database, which is theirs.
pub(super) struct InUse {
    pub(super) voting: VotingKey,
    pub(super) network: Keypair,
    pub(super) store: Store,
    pub(super) writer: Writer,
    /// The epochs that are on disk.
    pub(super) known: Epochs,
}

/// Opens the database, and goes over to the keys that wait if the epoch on disk replaces today's.
pub(super) fn open(home: &Home, keys: Keys, genesis: &EpochContext) -> Result<InUse, NodeError> {
    let Keys {
        mut voting,
        mut network,
        next_voting,
        next_network,
    } = keys;
    let federation = *genesis.federation();
    let own = |key: &VotingKey| Owner {
        federation,
        node: key.node_id(),
    };
    let mut is_replaced = false;
    // where the journal is the next key's a start before this one was interrupted
    let journal = Journal::owner(&home.votes_journal())?;
    let (mut store, mut writer) = match &next_voting {
        Some(next) if journal == Some(next.node_id()) => {
            is_replaced = true;
            adopt(home, own(&voting), own(next))?
        }
        _ => open::database(home, own(&voting))?,
    };
    open::take_chain(home, genesis.manifest(), &store, &mut writer)?;
    let known = open::known_epochs(genesis, &store)?;
    if let Some(next) = &next_voting
        && !is_replaced
        && let Some(epoch) = replaced_in(&known, &voting.node_id(), &next.node_id())
    {
        tracing::info!(former = %voting.node_id(), key = %next.node_id(), epoch = epoch.0, "going over to the next voting key");
        begin_journal(
            home,
            (voting.node_id(), next.node_id()),
            epoch,
            &store,
            &mut writer,
            &known,
        )?;
        drop((store, writer));
        (store, writer) = adopt(home, own(&voting), own(next))?;
        is_replaced = true;
    }
    if let Some(next) = next_voting.filter(|_| is_replaced) {
        voting = next;
        forget_abstaining(home)?;
    }
    let member = known.current().manifest().member(&voting.node_id());
    let peer = |key: &Keypair| key.public().to_peer_id().to_string();
    let next_network =
        next_network.filter(|next| member.is_some_and(|member| member.peer_id == peer(next)));
    if let Some(member) = member.filter(|_| is_replaced || next_network.is_some()) {
        let card = MemberCard::sign(member.clone(), &voting);
        write_atomic(home.card(), card.to_pretty().as_bytes()).context("write", home.card())?;
    }
    // last: from here on nothing tells of the former keys
    if is_replaced {
        keyfile::take_place(&home.next_voting_key(), &home.voting_key())?;
    }
    if let Some(next) = next_network {
        keyfile::take_place(&home.next_network_key(), &home.network_key())?;
        network = next;
    }
    Ok(InUse {
        voting,
        network,
        store,
        writer,
        known,
    })
}

/// The epoch, of those that were entered, with which `next` took the place of `former`.
fn replaced_in(known: &Epochs, former: &NodeId, next: &NodeId) -> Option<Epoch> {
    let last = known.current().number();
    let epochs = (1..=last.0).map(Epoch);
    let mut epochs = epochs.filter_map(|number| known.get(number));
    let found = epochs.find(|epoch| {
        let change = epoch.manifest().change.as_ref();
        let mut named = change.into_iter().flat_map(|change| &change.succeeds);
        named.any(|it| it.former == *former && it.member == *next)
    });
    found.map(|epoch| epoch.number())
}

/// The keys that a node's took the places of, the latest first.
pub(super) fn former_keys(known: &Epochs, node: NodeId) -> Vec<NodeId> {
    let numbers = (1..=known.current().number().0).rev().map(Epoch);
    let epochs = numbers.filter_map(|number| known.get(number));
    let changes = epochs.filter_map(|epoch| epoch.manifest().change.as_ref());
    let (mut key, mut former) = (node, Vec::new());
    for succession in changes.flat_map(|change| &change.succeeds) {
        if succession.member == key {
            key = succession.former;
            former.push(key);
        }
    }
    former
}

/// Puts the next key's journal in the former one's place. What its operator decided holds for the
/// next key, and what it announced is offered again by that.
fn begin_journal(
    home: &Home,
    (former, next): (NodeId, NodeId),
    epoch: Epoch,
    store: &Store,
    writer: &mut Writer,
    known: &Epochs,
) -> Result<(), NodeError> {
    let History {
        journal, records, ..
    } = history::open(home, former, store)?;
    let mut offers = Vec::new();
    let mut kept = Vec::new();
    for record in records {
        match record {
            JournalRecord::Own(batch) => {
                if let Statements::Events(events) = &batch.statements {
                    offers.extend(undecided(events, store, known)?);
                }
            }
            note @ JournalRecord::Note(_) => kept.push(note),
            _ => {}
        }
    }
    writer.write(Changes {
        kept_offers: offers,
        ..Changes::default()
    })?;
    journal.succeed(next, epoch, store.journal_sequence(), kept)?;
    Ok(())
}

/// Of announced events those that are to be announced again, by their subjects. A proposal is its
/// proposer's for one epoch only.
fn undecided(
    events: &[Event],
    store: &Store,
    known: &Epochs,
) -> Result<Vec<(SubjectId, Option<Event>)>, StorageError> {
    let mut found = Vec::new();
    for event in events
        .iter()
        .filter(|event| event.event != FEDERATION_EPOCH)
    {
        let subject = known.current().subject_of(event);
        let state = store.subject(&subject)?;
        if !matches!(state, Some(SubjectState::Certified { .. })) {
            found.push((subject, Some(event.clone())));
        }
    }
    Ok(found)
}

/// Opens the database of the former key as that of the next one, which it belongs to from then on.
fn adopt(home: &Home, former: Owner, next: Owner) -> Result<(Store, Writer), NodeError> {
    match open::database(home, next) {
        Err(NodeError::Storage(StorageError::OtherNode { found, .. })) if found == former.node => {}
        opened => return opened,
    }
    let (store, mut writer) = open::database(home, former)?;
    let log_id = store.log_head().log_id;
    // how far the log was appended to the registry file is said under the node's own key
    let cursor = |peer| Cursor { peer, log_id };
    let appended = store.cursor(&cursor(former.node))?;
    writer.write(Changes {
        owner: Some(next.node),
        cursors: vec![(cursor(next.node), appended)],
        ..Changes::default()
    })?;
    drop((store, writer));
    open::database(home, next)
}

/// What the former key did or lost is no reason for the next one to abstain: it never signed.
fn forget_abstaining(home: &Home) -> Result<(), NodeError> {
    let marker = home.votes_abstain();
    match std::fs::remove_file(&marker) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).context("remove", &marker)?,
        _ => Ok(()),
    }
}

/// Whether the epoch that the node has entered replaces a key that it runs with by one that waits.
pub(super) fn is_due(home: &Home, known: &Epochs, node: &NodeId, peer: &str) -> bool {
    let next_voting = keyfile::public(&home.next_voting_key()).ok();
    if next_voting.is_some_and(|next| replaced_in(known, node, &next).is_some()) {
        return true;
    }
    let member = known.current().manifest().member(node);
    let Some(member) = member.filter(|member| member.peer_id != peer) else {
        return false;
    };
    let next_network = keyfile::public(&home.next_network_key()).ok();
    let next_network = next_network.and_then(|key| crate::identity::peer_id_of(&key).ok());
    next_network.is_some_and(|next| next.to_string() == member.peer_id)
}

#[cfg(test)]
mod tests;
