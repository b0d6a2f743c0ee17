//! What a batch says: statements of one kind.

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::heartbeat::Heartbeat;
use crate::id::{Epoch, MerkleHash};
use crate::merkle;
use crate::ready::Ready;
use crate::vote::{EpochClose, Proposal, Vote};
use crate::wire;

/// What a batch's statements are; the byte is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Announcements of the signer's own events.
    Events,
    /// Prevotes and precommits, of any subjects.
    Votes,
    /// What the signer says about itself; a batch has one.
    Heartbeat,
    /// Proposals of automatic rounds.
    Proposals,
    /// What voters hold when they leave an epoch.
    Closes,
    /// That a voter of a proposed manifest runs.
    Ready,
}

impl Kind {
    /// Every kind. Of those to come, 7 will be score reports and 8 seal shares.
    pub const ALL: [Self; 6] = [
        Self::Events,
        Self::Votes,
        Self::Heartbeat,
        Self::Proposals,
        Self::Closes,
        Self::Ready,
    ];

    /// The byte that is signed, 1 to 6.
    pub fn byte(self) -> u8 {
        match self {
            Self::Events => 1,
            Self::Votes => 2,
            Self::Heartbeat => 3,
            Self::Proposals => 4,
            Self::Closes => 5,
            Self::Ready => 6,
        }
    }
}

/// The statements of one batch, all of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statements {
    /// Kind 1; the signed leaf of each is its choice, the body travels alongside.
    Events(Vec<Event>),
    /// Kind 2; a leaf is the vote's own layout (SPEC §5).
    Votes(Vec<Vote>),
    /// Kind 3, always one.
    Heartbeat(Box<Heartbeat>),
    /// Kind 4; a leaf is the proposal's own layout.
    Proposals(Vec<Proposal>),
    /// Kind 5; a leaf is the close's own layout.
    Closes(Vec<EpochClose>),
    /// Kind 6, always one.
    Ready(Ready),
}

impl Statements {
    /// Returns the kind, which is signed with the batch.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Events(_) => Kind::Events,
            Self::Votes(_) => Kind::Votes,
            Self::Heartbeat(_) => Kind::Heartbeat,
            Self::Proposals(_) => Kind::Proposals,
            Self::Closes(_) => Kind::Closes,
            Self::Ready(_) => Kind::Ready,
        }
    }

    /// The latest epoch that a vote, proposal or close of it is of; `None` of what names none.
    pub fn latest_epoch(&self) -> Option<Epoch> {
        match self {
            Self::Votes(votes) => votes.iter().map(|vote| vote.epoch).max(),
            Self::Proposals(proposals) => proposals.iter().map(|proposal| proposal.epoch).max(),
            Self::Closes(closes) => closes.iter().map(|close| close.epoch).max(),
            Self::Events(_) | Self::Heartbeat(_) | Self::Ready(_) => None,
        }
    }

    /// Returns how many statements there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Events(all) => all.len(),
            Self::Votes(all) => all.len(),
            Self::Heartbeat(_) | Self::Ready(_) => 1,
            Self::Proposals(all) => all.len(),
            Self::Closes(all) => all.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The root that is signed: with the signer, the batch's name.
    pub fn root(&self) -> MerkleHash {
        merkle::root(&self.leaf_hashes())
    }

    pub(super) fn leaf_hashes(&self) -> Vec<MerkleHash> {
        match self {
            Self::Events(all) => all
                .iter()
                .map(|e| merkle::leaf_hash(&e.choice().to_bytes()))
                .collect(),
            Self::Votes(all) => all
                .iter()
                .map(|v| merkle::leaf_hash(&v.leaf_bytes()))
                .collect(),
            Self::Heartbeat(one) => vec![merkle::leaf_hash(&one.leaf_bytes())],
            Self::Proposals(all) => all
                .iter()
                .map(|p| merkle::leaf_hash(&p.leaf_bytes()))
                .collect(),
            Self::Closes(all) => all
                .iter()
                .map(|c| merkle::leaf_hash(&c.leaf_bytes()))
                .collect(),
            Self::Ready(one) => vec![merkle::leaf_hash(&one.leaf_bytes())],
        }
    }

    /// Bytes they take in memory, about.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Events(all) => all
                .iter()
                .map(|event| size_of::<Event>() + event.size())
                .sum(),
            Self::Votes(all) => size_of_val(all.as_slice()),
            Self::Heartbeat(_) => size_of::<Heartbeat>(),
            Self::Proposals(all) => size_of_val(all.as_slice()),
            Self::Closes(all) => size_of_val(all.as_slice()),
            Self::Ready(one) => size_of_val(one),
        }
    }
}

/// Whether `data` begins like a batch as it travels, but of a kind that this version does not know.
/// A later one may read it: nobody who passes it on does wrong.
pub fn is_of_unknown_kind(data: &[u8]) -> bool {
    const KINDS: u8 = Kind::ALL.len() as u8;
    // signer and signature come first
    wire::variant(data, 32 + 64).is_some_and(|kind| kind >= KINDS)
}
