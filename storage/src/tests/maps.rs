use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::evidence::{Evidence, EvidenceKind, EvidenceSlot, Signed};
use ssid_protocol::id::{Epoch, LogId, NodeId, Sha256Hash, SubjectId, UnixMillis};
use ssid_protocol::testing;

use super::remember::{conflict, open, open_subject};
use crate::fixtures::{FEDERATION, node, subject};
use crate::{
    AnchorRow, Changes, ConflictRow, Cursor, EpochRow, EvidenceRow, PeerRow, RewrittenRow, Store,
};

/// Rows of the tables that are plain maps, as small numbers.
#[derive(Clone, Debug)]
enum Step {
    Peer(u8, u64),
    Cursor(u8, u8, u64),
    Conflict(u8, u32),
    ConflictEnded(u8),
    Evidence(u8, usize, u64, u64),
    Rewritten(u8, u64),
    Anchor(u8, u64),
    Epoch(u64, String),
    Opened(u64),
    Dropped(u64),
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = prop_oneof![
        (0..4_u8, any::<u64>()).prop_map(|(a, b)| Step::Peer(a, b)),
        (0..3_u8, 0..3_u8, any::<u64>()).prop_map(|(a, b, c)| Step::Cursor(a, b, c)),
        (0..4_u8, any::<u32>()).prop_map(|(a, b)| Step::Conflict(a, b)),
        (0..4_u8).prop_map(Step::ConflictEnded),
        (0..3_u8, 0..EvidenceKind::ALL.len(), 0..3_u64, any::<u64>())
            .prop_map(|(member, kind, epoch, at)| Step::Evidence(member, kind, epoch, at)),
        (0..4_u8, any::<u64>()).prop_map(|(a, b)| Step::Anchor(a, b)),
        (0..3_u8, any::<u64>()).prop_map(|(a, b)| Step::Rewritten(a, b)),
        (any::<u64>(), ".{0,20}").prop_map(|(a, b)| Step::Epoch(a, b)),
        (0..6_u64).prop_map(Step::Opened),
        (0..6_u64).prop_map(Step::Dropped),
    ];
    prop::collection::vec(prop::collection::vec(step, 0..6), 0..6)
}

/// Two heartbeats of one node; that they contradict each other is not storage's business.
fn evidence(number: u64) -> Evidence {
    let heartbeat = |number| {
        let statements = Statements::Heartbeat(Box::new(testing::heartbeat(number)));
        Signed::of(
            &VerifiedBatch::sign(&testing::key(1), &FEDERATION, statements).unwrap(),
            0,
        )
        .unwrap()
    };
    Evidence::of_statements(FEDERATION, heartbeat(number % 4), heartbeat(number % 4 + 1))
}

#[derive(Debug, Default, PartialEq)]
struct Model {
    peers: BTreeMap<NodeId, PeerRow>,
    cursors: BTreeMap<Cursor, u64>,
    conflicts: BTreeMap<SubjectId, ConflictRow>,
    evidence: BTreeMap<EvidenceSlot, EvidenceRow>,
    rewritten: BTreeMap<NodeId, Vec<RewrittenRow>>,
    anchors: BTreeMap<Sha256Hash, AnchorRow>,
    epochs: BTreeMap<Epoch, EpochRow>,
    open: BTreeSet<SubjectId>,
}

impl Model {
    /// One write's changes; in `Changes`, removals come before puts.
    fn apply(&mut self, steps: Vec<Step>) -> Changes {
        let mut changes = Changes::default();
        for step in steps {
            match step {
                Step::Peer(n, seen) => changes.peers.push((
                    node(n),
                    PeerRow {
                        addresses: vec![format!("/{seen}")],
                        last_seen: UnixMillis(seen),
                        ..PeerRow::default()
                    },
                )),
                Step::Cursor(n, log, at) => {
                    changes.cursors.push((
                        Cursor {
                            peer: node(n),
                            log_id: LogId([log; 32]),
                        },
                        at,
                    ));
                }
                Step::Conflict(n, round) => changes
                    .conflicts
                    .push((SubjectId([n; 32]), conflict(round))),
                Step::ConflictEnded(n) => changes.conflicts_ended.push(SubjectId([n; 32])),
                Step::Evidence(member, kind, epoch, at) => {
                    let slot = EvidenceSlot {
                        member: node(member),
                        kind: EvidenceKind::ALL[kind],
                        epoch: Epoch(epoch),
                    };
                    let from = at.is_multiple_of(2).then(|| node(9));
                    changes.evidence.push((
                        slot,
                        EvidenceRow {
                            evidence: evidence(at),
                            at: UnixMillis(at),
                            from,
                        },
                    ));
                }
                Step::Rewritten(n, at) => {
                    let text = || at.to_string();
                    let row = RewrittenRow {
                        seen_at: UnixMillis(at),
                        remote: text(),
                        was: text(),
                        now: text(),
                    };
                    changes.rewritten.push((node(n), vec![row]));
                }
                Step::Anchor(n, at) => changes.anchors.push((
                    Sha256Hash([n; 32]),
                    AnchorRow {
                        name: "n".into(),
                        cid: "c".into(),
                        at: UnixMillis(at),
                        services: vec![],
                    },
                )),
                Step::Epoch(n, manifest) => changes.epochs.push((
                    Epoch(n),
                    EpochRow {
                        manifest,
                        certificate: None,
                    },
                )),
                Step::Opened(n) => changes.open_subjects.push(open_subject(n, None)),
                Step::Dropped(n) => changes.dropped_subjects.push(subject(n).id(&FEDERATION)),
            }
        }
        self.peers.extend(changes.peers.iter().cloned());
        for (cursor, at) in &changes.cursors {
            // of another incarnation of the peer's log nothing is kept
            self.cursors
                .iter_mut()
                .filter(|(other, _)| other.peer == cursor.peer)
                .for_each(|(_, at)| *at = 0);
            self.cursors.insert(*cursor, *at);
        }
        self.conflicts
            .retain(|id, _| !changes.conflicts_ended.contains(id));
        self.conflicts.extend(changes.conflicts.iter().copied());
        self.evidence.extend(changes.evidence.iter().cloned());
        self.rewritten.extend(changes.rewritten.iter().cloned());
        self.anchors.extend(changes.anchors.iter().cloned());
        self.epochs.extend(changes.epochs.iter().cloned());
        self.open
            .retain(|id| !changes.dropped_subjects.contains(id));
        self.open.extend(
            changes
                .open_subjects
                .iter()
                .map(|open| open.subject.id(&FEDERATION)),
        );
        changes
    }

    fn read(store: &Store, cursors: impl Iterator<Item = Cursor>) -> Self {
        Self {
            peers: store.peers().unwrap().into_iter().collect(),
            cursors: cursors
                .map(|cursor| (cursor, store.cursor(&cursor).unwrap()))
                .collect(),
            conflicts: store.conflicts().unwrap().into_iter().collect(),
            evidence: store.evidence().map(Result::unwrap).collect(),
            rewritten: store.rewritten().unwrap().into_iter().collect(),
            anchors: store.anchors().map(Result::unwrap).collect(),
            epochs: store.epochs(Epoch(0)).map(Result::unwrap).collect(),
            open: store.open_subjects().map(|row| row.unwrap().0).collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn plain_tables_behave_like_maps_also_after_a_restart(writes in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let mut model = Model::default();
        let (store, mut writer) = open(&dir);
        for steps in writes {
            writer.write(model.apply(steps)).unwrap();
            prop_assert_eq!(&Model::read(&store, model.cursors.keys().copied()), &model);
        }
        drop((store, writer));
        let (store, _writer) = open(&dir);
        prop_assert_eq!(&Model::read(&store, model.cursors.keys().copied()), &model);
    }
}
