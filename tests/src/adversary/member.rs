//! Who the adversary is: a member with its own keys, who signs whatever it likes.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use ssid_node::home::Home;
use ssid_node::identity::NodeKeys;
use ssid_protocol::batch::{SignedBatch, Statements, VerifiedBatch};
use ssid_protocol::event::Event;
use ssid_protocol::id::{Epoch, FederationId, NodeId, Round, SubjectId};
use ssid_protocol::identity::VotingKey;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::vote::{Ballot, Phase, Vote};
use ssid_protocol::wire;

/// A member's keys, without its node.
#[derive(Clone, Debug)]
pub struct Member {
    /// Signs for it.
    pub key: VotingKey,
    pub(super) network: Keypair,
    /// The federation.
    pub manifest: Manifest,
    /// Its name.
    pub federation: FederationId,
}

/// Another member, to be harassed.
#[derive(Clone, Debug)]
pub struct Victim {
    /// Its node.
    pub node: NodeId,
    pub(super) peer: PeerId,
    pub(super) address: Multiaddr,
}

impl Member {
    /// Of a data directory that has joined; its own node must not run.
    ///
    /// # Errors
    /// If keys or genesis file cannot be read, or the key is encrypted.
    pub fn load(data: &Path) -> Result<Self> {
        let keys = NodeKeys::load(&Home::new(data), None).context("the member's keys")?;
        let genesis = data.join("genesis.json");
        let text =
            fs::read(&genesis).with_context(|| format!("cannot read {}", genesis.display()))?;
        let manifest = Manifest::parse(&text)?;
        let federation = manifest.federation_id();
        ensure!(
            manifest.member(&keys.node_id()).is_some(),
            "{} holds no member's keys",
            data.display()
        );
        Ok(Self {
            key: keys.voting,
            network: keys.network,
            manifest,
            federation,
        })
    }

    /// Its node id.
    pub fn node_id(&self) -> NodeId {
        self.key.node_id()
    }

    /// All other members, in the manifest's order.
    ///
    /// # Errors
    /// If one has no address.
    pub fn victims(&self) -> Result<Vec<Victim>> {
        let others = self
            .manifest
            .members
            .iter()
            .filter(|member| member.node_id != self.node_id());
        let victim = |member: &ssid_protocol::member::Member| {
            let address = member
                .addresses
                .first()
                .context("a member without an address")?;
            Ok(Victim {
                node: member.node_id,
                peer: member.peer_id.parse()?,
                address: address.parse()?,
            })
        };
        others.map(victim).collect()
    }

    /// Signs statements.
    ///
    /// # Panics
    /// If there are none or too many.
    pub fn sign(&self, statements: Statements) -> SignedBatch {
        VerifiedBatch::sign(&self.key, &self.federation, statements)
            .unwrap()
            .batch()
            .clone()
    }

    /// The same, as it travels.
    ///
    /// # Panics
    /// If there are none or too many.
    pub fn signed(&self, statements: Statements) -> Vec<u8> {
        wire::encode(&self.sign(statements))
    }

    /// What an event is about.
    pub fn subject(&self, event: &Event) -> SubjectId {
        self.manifest
            .event_policies
            .subject_of(event)
            .id(&self.federation)
    }

    /// A vote in epoch 0.
    pub fn vote(&self, subject: SubjectId, round: u32, phase: Phase, ballot: Ballot) -> Vote {
        Vote {
            epoch: Epoch(0),
            subject,
            round: Round(round),
            phase,
            ballot,
            observed: false,
        }
    }
}
