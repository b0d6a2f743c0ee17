//! Equivocation: what is noticed, kept, passed on and shown; and two certificates of one subject,
//! which end it all.

use ssid_protocol::batch::{Kind, Statements, VerifiedBatch};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::evidence::{Evidence, EvidenceKind, Signed};
use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::{Epoch, ManifestHash, MerkleHash, Round, SetHash};
use ssid_protocol::manifest::TieBreak;
use ssid_protocol::vote::{EpochClose, Phase, Proposal, Vote};
use ssid_storage::EvidenceRow;

use super::*;
use crate::Validity;
use crate::messages::CheckedAnswer;

mod contradictions;
mod forks;
mod telling;

fn net() -> Net {
    let mut net = Net::new(4);
    net.is_byzantine = true;
    net.settle();
    net
}

impl Net {
    fn evidence(&self, node: usize) -> Vec<EvidenceRow> {
        self.store(node)
            .evidence()
            .map(|row| row.unwrap().1)
            .collect()
    }

    /// That each of `nodes` holds one piece of this kind about `member`, and nothing else.
    fn assert_accused(
        &self,
        nodes: impl IntoIterator<Item = usize>,
        member: usize,
        kind: EvidenceKind,
    ) {
        for node in nodes {
            let rows = self.evidence(node);
            let found: Vec<_> = rows
                .iter()
                .map(|row| (row.evidence.member(), row.evidence.kind()))
                .collect();
            assert_eq!(found, [(Some(self.ids[member]), kind)], "node {node}");
            assert_eq!(self.score(node, member), 0, "node {node}");
            let told = self.events.iter().filter(|(at, event)| match event {
                NodeEvent::Evidence { member: told, .. } => {
                    *at == node && *told == Some(self.ids[member])
                }
                _ => false,
            });
            assert_eq!(told.count(), 1, "node {node}");
        }
    }
}

fn prevote(event: &Event, ballot: Option<&Event>) -> Vote {
    let (subject, ballot) = (subject_of(event), ballot.map(Event::choice));
    Vote {
        epoch: Epoch(0),
        subject,
        round: Round(0),
        phase: Phase::Prevote,
        ballot,
        observed: false,
    }
}
