//! Sections for other systems, and those that came with the live network.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::choices::{Endorsement, IpfsProvider};

section!(
    /// The section `advanced`: other systems that are told or used.
    Advanced {
        /// Not supported: null.
        custom_consensus_algorithm: Option<String> = None,
        /// URL that is told of every certified event.
        webhook_on_consensus: Option<String> = None,
        /// Not supported: null.
        external_validator_api: Option<String> = None,
        /// Anchoring on a blockchain: carried, without effect.
        blockchain_anchoring: BlockchainAnchoring = BlockchainAnchoring::default(),
        /// Consensus records on IPFS.
        ipfs_federation: IpfsFederation = IpfsFederation::default(),
    }
);

section!(
    /// `advanced.blockchain_anchoring`. Carried, without effect: no blockchain is spoken to.
    BlockchainAnchoring {
        /// Whether the log's root is to be anchored.
        enabled: bool = false,
        /// On which network.
        network: String = "polygon".to_owned(),
        /// In which contract.
        contract_address: String = String::new(),
    }
);

section!(
    /// The section `advanced.ipfs_federation`: certificates and records on IPFS.
    IpfsFederation {
        /// Whether consensus records are stored on IPFS.
        enabled: bool = false,
        /// Whether they are pinned there.
        pin_consensus_records: bool = false,
    }
);

section!(
    /// The section `network`: the live network and when Git is used.
    Network {
        /// Multiaddrs to listen on; port 0 is any free one.
        listen: Vec<String> = vec!["/ip4/0.0.0.0/tcp/0".to_owned(), "/ip4/0.0.0.0/udp/0/quic-v1".to_owned()],
        /// Multiaddrs of nodes to ask first, each ending in `/p2p/` and a peer id.
        bootstrap: Vec<String> = Vec::new(),
        /// Whether nodes on the local network are looked for.
        mdns: bool = true,
        /// Seconds without a quorum connected after which Git is used as well.
        fallback_after_seconds: u64 = 300,
        /// Seconds between two syncs over Git meanwhile.
        fallback_interval_seconds: u64 = 30,
        /// Whether observers may connect.
        observers: bool = false,
    }
);

section!(
    /// The section `api`: the API on TCP.
    Api {
        /// Address and port for the API on TCP; null or empty: only its Unix socket. Needs a token.
        listen: Option<String> = None,
        /// The environment variable with the token.
        token_env: String = "SSID_API_TOKEN".to_owned(),
    }
);

section!(
    /// The section `endorsement`: which events of others are voted for.
    EndorsementSettings {
        /// The policy for event types that have none of their own.
        default: Endorsement = Endorsement::Trusted,
        /// Policies by event type.
        by_event: BTreeMap<String, Endorsement> = BTreeMap::new(),
        /// Seconds to wait before endorsing, by event type; 0 for others.
        settle_seconds: BTreeMap<String, u64> = BTreeMap::new(),
        /// Hours after which an event that waits for a person is refused.
        review_timeout_hours: u64 = 72,
    }
);

section!(
    /// The section `voting`: timeouts of rounds, in milliseconds.
    Voting {
        /// Milliseconds to wait for prevotes of round 0.
        observe_timeout_ms: u64 = 60_000,
        /// Milliseconds to wait for a proposal.
        propose_timeout_ms: u64 = 2_000,
        /// Milliseconds to wait after a quorum of prevotes for different choices.
        prevote_timeout_ms: u64 = 1_000,
        /// Milliseconds to wait after a quorum of precommits for different choices.
        precommit_timeout_ms: u64 = 1_000,
        /// Milliseconds by which each of the last three grows a round.
        timeout_increment_ms: u64 = 500,
    }
);

section!(
    /// The section `membership`: changes of members.
    Membership {
        /// Whether this node is to approve by itself the suspension of members whom its own ledger
        /// holds below 25. Carried, without effect: members cannot be suspended yet.
        auto_approve: bool = false,
    }
);

section!(
    /// The section `anchoring`: copies of files on IPFS.
    Anchoring {
        /// Whether a running node anchors the registry's files after certified events.
        after_certified: bool = false,
        /// Where content is put, tried in this order.
        providers: Vec<IpfsProvider> = vec![IpfsProvider::Local],
        /// The RPC of the IPFS node on this machine.
        local_api: String = "http://127.0.0.1:5001".to_owned(),
        /// The RPC of an IPFS node elsewhere, empty if there is none.
        remote_api: String = String::new(),
        /// The environment variable with its token, or with `_FILE` after its name the path of a
        /// file that has it.
        remote_token_env: String = "SSID_IPFS_TOKEN".to_owned(),
        /// The address of a Pinning Service API, empty if there is none.
        pinning_api: String = String::new(),
        /// The environment variable with its token, as `remote_token_env`.
        pinning_token_env: String = "SSID_PINNING_TOKEN".to_owned(),
        /// Gateways that content is fetched back from, after the local node; the first is named in
        /// the manifest.
        gateways: Vec<String> = ["https://ipfs.io/ipfs/", "https://dweb.link/ipfs/"].map(str::to_owned).to_vec(),
        /// The form of content identifiers: 0 (`Qm…`) or 1 (`bafy…`).
        cid_version: u64 = 0,
        /// Files uploaded at once.
        parallel_uploads: u64 = 4,
        /// Seconds after which a request has failed, and one more for each MiB it carries.
        timeout_seconds: u64 = 60,
    }
);

impl EndorsementSettings {
    /// The policy for events of this type.
    pub fn policy(&self, event_type: &str) -> Endorsement {
        self.by_event
            .get(event_type)
            .copied()
            .unwrap_or(self.default)
    }
}
