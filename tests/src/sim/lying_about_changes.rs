//! What liars answer when they are asked about changes of members: closes of others or none, parts
//! of sets that are none, proofs that prove nothing.

use ssid_protocol::batch::Statements;
use ssid_protocol::evidence::Signed;
use ssid_protocol::id::{Epoch, ManifestHash, SetHash};
use ssid_protocol::set_tree::{EntrySet, LockEntry, SentPart};
use ssid_protocol::sync::{
    ChangeAnswer, ChangeRequest, EpochStanding, HeldClose, LockProof, SentManifest,
};
use ssid_protocol::testing;
use ssid_protocol::vote::EpochClose;

use super::byzantine::{Liars, Lie};
use super::federation::Federation;

impl Liars {
    /// The latest epoch that is decided, and its manifest: liars act in it.
    pub(super) fn note_latest(&mut self, epoch: Epoch, manifest: ManifestHash) {
        self.latest = (epoch, manifest);
    }

    /// A close of the epoch before the latest, with sets that nobody has.
    pub(super) fn close(&mut self, fed: &Federation, from: usize) -> Vec<Lie> {
        let (latest, next) = self.latest;
        let count = self.below(4) as u64;
        let root = SetHash([self.below(4) as u8; 32]);
        let close = EpochClose {
            epoch: Epoch(latest.0.saturating_sub(1)),
            next,
            certified_count: count,
            certified_root: root,
            locks_count: self.below(2) as u64,
            locks_root: EntrySet::<{ LockEntry::LEN }>::default().root(),
        };
        Self::one(fed, from, "closes", Statements::Closes(vec![close]))
    }

    pub(super) fn lie_about_change(
        &mut self,
        from: usize,
        request: &ChangeRequest,
    ) -> ChangeAnswer {
        let told: Vec<Signed> = (0..self.below(4))
            .filter_map(|_| self.said_before(from))
            .collect();
        match request {
            ChangeRequest::Standing => ChangeAnswer::Standing(EpochStanding {
                epoch: Epoch(self.below(3) as u64),
                manifest: testing::manifest(4).hash(),
                has_closed: self.below(2) == 0,
            }),
            ChangeRequest::Epochs { .. } => ChangeAnswer::Epochs(Vec::new()),
            ChangeRequest::Manifests { .. } => {
                let manifest = testing::successor(&testing::manifest(4));
                let texts = ["{}".to_owned(), manifest.to_json().to_jcs()].into_iter();
                let sent = texts.map(|manifest| SentManifest {
                    manifest,
                    handovers: vec!["{}".to_owned()],
                });
                ChangeAnswer::Manifests(sent.take(self.below(3)).collect())
            }
            ChangeRequest::Closes { .. } => {
                let is_counted = self.below(2) == 0;
                let held = told.into_iter().map(|close| HeldClose {
                    close,
                    is_counted,
                    is_confirmed: !is_counted,
                });
                ChangeAnswer::Closes(held.collect())
            }
            ChangeRequest::Sets { prefixes, .. } => {
                let part = match self.below(3) {
                    0 => SentPart::Leaf(vec![7; 96 * self.below(40)]),
                    1 => SentPart::Inner(vec![SetHash([self.below(256) as u8; 32]); 16]),
                    _ => SentPart::Inner(Vec::new()),
                };
                let parts = prefixes.iter().map(|prefix| (*prefix, part.clone()));
                ChangeAnswer::Sets(parts.collect())
            }
            // what nobody signed, and nobody asks for in a simulation
            ChangeRequest::Ready { .. } => ChangeAnswer::Ready(Vec::new()),
            ChangeRequest::Polkas { .. } => {
                let event = Box::new(testing::event("release", "forged"));
                let prevotes = told;
                ChangeAnswer::Polkas(vec![LockProof::Prevotes { event, prevotes }])
            }
        }
    }
}
