//! A node's two keys: the one that votes, and the one the network knows it by. They share a data
//! directory and a passphrase, nothing else: the voting key never enters the network code.

use libp2p::identity::{Keypair, PublicKey, ed25519};
pub use libp2p::{Multiaddr, PeerId};
use ssid_protocol::id::NodeId;
use ssid_protocol::identity::VotingKey;

use crate::home::Home;
use crate::keyfile::{self, KeyFileError};

/// Both keys of a node.
#[derive(Clone)]
pub struct NodeKeys {
    /// Signs batches and the member card.
    pub voting: VotingKey,
    /// The libp2p identity.
    pub network: Keypair,
}

impl NodeKeys {
    /// Makes both keys and writes them to the data directory, encrypted if there is a passphrase.
    ///
    /// # Errors
    /// If one of the files exists, which is never overwritten, or cannot be written.
    pub fn create(home: &Home, passphrase: Option<&str>) -> Result<Self, KeyFileError> {
        for path in [home.voting_key(), home.network_key()] {
            if path.exists() {
                return Err(KeyFileError::Exists(path));
            }
        }
        let voting = keyfile::generate_seed()?;
        let network = keyfile::generate_seed()?;
        keyfile::write(&home.network_key(), &network, passphrase)?;
        keyfile::write(&home.voting_key(), &voting, passphrase)?;
        Self::from_seeds(&voting, *network)
    }

    /// Reads both keys from the data directory.
    ///
    /// # Errors
    /// If a file is missing, readable by others, damaged, or encrypted with another passphrase.
    pub fn load(home: &Home, passphrase: Option<&str>) -> Result<Self, KeyFileError> {
        let voting = keyfile::read(&home.voting_key(), passphrase)?;
        let network = keyfile::read(&home.network_key(), passphrase)?;
        Self::from_seeds(&voting, *network)
    }

    fn from_seeds(voting: &[u8; 32], network: [u8; 32]) -> Result<Self, KeyFileError> {
        let network = Keypair::ed25519_from_bytes(network)
            .map_err(|e| KeyFileError::Crypto(e.to_string()))?;
        Ok(Self {
            voting: VotingKey::from_seed(voting),
            network,
        })
    }

    /// The node's name in manifests.
    pub fn node_id(&self) -> NodeId {
        self.voting.node_id()
    }

    /// The name under which it connects.
    pub fn peer_id(&self) -> PeerId {
        self.network.public().to_peer_id()
    }
}

/// The name under which the network knows the holder of an Ed25519 public key.
///
/// # Errors
/// If the bytes are no public key.
pub fn peer_id_of(public: &NodeId) -> Result<PeerId, KeyFileError> {
    let key = ed25519::PublicKey::try_from_bytes(&public.0)
        .map_err(|e| KeyFileError::Crypto(e.to_string()))?;
    Ok(PublicKey::from(key).to_peer_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_read_back() {
        let above = tempfile::tempdir().unwrap();
        let home = Home::new(above.path().join("node"));
        home.create().unwrap();
        let made = NodeKeys::create(&home, None).unwrap();
        let read = NodeKeys::load(&home, None).unwrap();
        assert_eq!(
            (read.node_id(), read.peer_id()),
            (made.node_id(), made.peer_id())
        );
        let open = keyfile::public(&home.network_key()).unwrap();
        assert_eq!(peer_id_of(&open).unwrap(), made.peer_id());
        assert_eq!(keyfile::public(&home.voting_key()).unwrap(), made.node_id());
        assert!(matches!(
            NodeKeys::create(&home, None),
            Err(KeyFileError::Exists(_))
        ));
    }
}
