use std::collections::BTreeSet;

use ssid_protocol::batch::{BatchProof, Statements, VerifiedBatch};
use ssid_protocol::heartbeat::CertifiedDigest;
use ssid_protocol::id::{NodeId, Round, UnixMillis};
use ssid_protocol::merkle::{self, inclusion_path};
use ssid_protocol::testing;
use ssid_protocol::trust::{TrustChange, TrustReason};

use crate::fixtures::{
    FEDERATION, LOG, certify, check_certificate, event, node, owner, record, subject,
};
use crate::{
    BatchRef, Changes, ConflictRow, OpenSubject, OutboxKey, OutboxRow, PeerRow, ProofRef,
    StorageError, Store, SubjectState, Writer,
};

pub(super) fn open(dir: &tempfile::TempDir) -> (Store, Writer) {
    Store::open(dir.path(), owner(), LOG).unwrap()
}

pub(super) fn open_subject(number: u64, proof: Option<ProofRef>) -> OpenSubject {
    let candidates = vec![(event(number).choice(), proof)];
    OpenSubject {
        subject: subject(number),
        first_seen: UnixMillis(number),
        candidates,
        prompt: Vec::new(),
    }
}

fn trust(member: NodeId, at: u64) -> TrustChange {
    TrustChange {
        member,
        reason: TrustReason::Agreement,
        points: 2,
        at: UnixMillis(at),
        origin: None,
        reference: "r".into(),
        note: None,
    }
}

#[test]
fn certificates_come_back_whole_and_their_proofs_hold() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut writer) = open(&dir);
    assert_eq!(store.log_head().root, merkle::root(&[]));
    let first = writer.write(certify(0..150)).unwrap();
    assert_eq!(
        (first.first_sequence, first.head.size, first.head.log_id),
        (0, 150, LOG)
    );
    assert_eq!(writer.write(certify(150..163)).unwrap().first_sequence, 150);
    let before = (
        store.log_head(),
        store.certified_digest(),
        store.journal_sequence(),
    );
    drop((store, writer));
    let (store, writer) = open(&dir);
    assert_eq!(
        (
            store.log_head(),
            store.certified_digest(),
            store.journal_sequence()
        ),
        before
    );
    let mut digest = CertifiedDigest::default();
    (0..163).for_each(|n| digest.add(&subject(n).id(&FEDERATION), &event(n).choice()));
    assert_eq!(store.certified_digest(), digest);
    for sequence in [0, 1, 63, 64, 149, 150, 162] {
        check_certificate(&store, sequence, sequence);
        let id = subject(sequence).id(&FEDERATION);
        assert_eq!(
            store.subject(&id).unwrap(),
            Some(SubjectState::Certified { sequence })
        );
        assert_eq!(store.record(sequence).unwrap(), Some(record(sequence)));
    }
    assert_eq!(store.certificate(163).unwrap(), None);
    let leaf = |n| merkle::leaf_hash(&event(n).choice().to_bytes());
    for (sequence, size) in [(0, 1), (5, 150), (64, 65), (162, 163), (0, 163)] {
        let path = store.inclusion(sequence, size).unwrap().unwrap();
        let root = merkle::root_from_inclusion(leaf(sequence), sequence, size, &path);
        assert_eq!(root, store.log_root(size).unwrap());
    }
    let path = store.consistency(150, 163).unwrap().unwrap();
    assert!(merkle::verify_consistency(
        150,
        &first.head.root,
        163,
        &store.log_head().root,
        &path
    ));
    assert_eq!(
        (
            store.inclusion(163, 163).unwrap(),
            store.inclusion(0, 164).unwrap()
        ),
        (None, None)
    );
    assert_eq!(
        (
            store.consistency(3, 2).unwrap(),
            store.consistency(3, 164).unwrap()
        ),
        (None, None)
    );
    assert_eq!(store.verify_log().unwrap(), 163);
    drop(writer);
}

#[test]
fn pages_keep_to_their_limits() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut writer) = open(&dir);
    writer.write(certify(0..40)).unwrap();
    let size = |n| ssid_protocol::wire::encode(&store.certificate(n).unwrap().unwrap()).len();
    let versions = |page: Vec<ssid_protocol::certificate::Certificate>| {
        page.into_iter()
            .map(|c| c.subject.version)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        versions(store.certificates(38, 10, usize::MAX).unwrap()),
        ["v38", "v39"]
    );
    assert_eq!(
        versions(store.certificates(3, 2, usize::MAX).unwrap()),
        ["v3", "v4"]
    );
    assert_eq!(
        versions(store.certificates(3, 9, size(3) + size(4)).unwrap()),
        ["v3", "v4"]
    );
    assert_eq!(versions(store.certificates(3, 9, 0).unwrap()), ["v3"]);
    assert!(store.certificates(40, 9, 99_999).unwrap().is_empty());
    let latest = |limit, before| -> Vec<_> {
        store
            .records_latest(limit, before)
            .unwrap()
            .into_iter()
            .map(|(sequence, _)| sequence)
            .collect()
    };
    assert_eq!(latest(3, None), [39, 38, 37]);
    assert_eq!(latest(3, Some(2)), [1, 0]);
    let hash = event(7).event_hash().to_string();
    for digits in [1, 7, 12, 63, 64] {
        let prefix = &hash[..digits];
        let mut expected: Vec<_> = (0..40).map(|n| event(n).choice()).collect();
        expected.retain(|choice| choice.event_hash.to_string().starts_with(prefix));
        expected.sort();
        assert_eq!(
            store
                .choices_by_hash_prefix(&prefix.to_uppercase(), 100)
                .unwrap(),
            expected
        );
    }
    assert_eq!(store.choices_by_hash_prefix("", 5).unwrap().len(), 5);
    for none in ["g", "0é", &"0".repeat(65)] {
        assert!(store.choices_by_hash_prefix(none, 5).unwrap().is_empty());
    }
}

#[test]
fn a_contradiction_is_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut writer) = open(&dir);
    writer.write(certify(0..3)).unwrap();
    let head = store.log_head();
    let mut refuse = |changes: Changes| {
        let with_peer = Changes {
            peers: vec![(node(3), PeerRow::default())],
            ..changes
        };
        let error = writer.write(with_peer).unwrap_err();
        assert!(!error.is_fatal(), "{error}");
        error
    };
    assert!(matches!(
        refuse(certify(2..4)),
        StorageError::AlreadyCertified { sequence: 2, .. }
    ));
    let twice = [certify(7..8).certified, certify(7..8).certified].concat();
    let error = refuse(Changes {
        certified: twice,
        ..certify(7..8)
    });
    assert!(matches!(
        error,
        StorageError::AlreadyCertified { sequence: 3, .. }
    ));
    let opened_again = Changes {
        open_subjects: vec![open_subject(1, None)],
        ..Changes::default()
    };
    assert!(matches!(
        refuse(opened_again),
        StorageError::AlreadyCertified { sequence: 1, .. }
    ));
    assert!(matches!(
        refuse(Changes {
            events: vec![],
            ..certify(4..5)
        }),
        StorageError::EventMissing(_)
    ));
    assert!(matches!(
        refuse(Changes {
            batches: vec![],
            ..certify(4..5)
        }),
        StorageError::BatchMissing { .. }
    ));
    let proof = ProofRef::Batch(BatchRef {
        signer: node(0),
        root: head.root,
        index: 0,
    });
    let unknown = Changes {
        open_subjects: vec![open_subject(9, Some(proof))],
        ..Changes::default()
    };
    assert!(matches!(refuse(unknown), StorageError::BatchMissing { .. }));
    let no_entry = Changes {
        records: vec![(3, record(3))],
        ..Changes::default()
    };
    assert!(matches!(refuse(no_entry), StorageError::NoLogEntry(3)));
    assert_eq!((store.log_head(), store.peers().unwrap().len()), (head, 0));
    writer.write(certify(4..6)).unwrap();
    assert_eq!(store.verify_log().unwrap(), 5);
}

#[test]
fn lone_proofs_and_announcements_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut writer) = open(&dir);
    // as after a sync: proofs without their batches
    let mut synced = certify(0..5);
    let batches = std::mem::take(&mut synced.batches);
    for one in &mut synced.certified {
        for proof in &mut one.entry.precommits {
            let ProofRef::Batch(at) = *proof else {
                panic!("a reference")
            };
            let batch = batches
                .iter()
                .find(|batch| batch.key.signer == at.signer)
                .unwrap();
            let (count, path) = (
                batch.leaves.len() as u32,
                inclusion_path(&batch.leaves, at.index as usize).unwrap(),
            );
            let BatchRef { signer, index, .. } = at;
            *proof = ProofRef::Alone(BatchProof {
                signer,
                index,
                count,
                path,
                signature: batch.signature,
            });
        }
    }
    writer.write(synced).unwrap();
    check_certificate(&store, 4, 4);
    let statements = Statements::Events((10..300).map(event).collect());
    let batch = VerifiedBatch::sign(&testing::key(1), &FEDERATION, statements).unwrap();
    let proof = ProofRef::Batch(BatchRef {
        signer: batch.signer(),
        root: batch.root(),
        index: 200,
    });
    let open = open_subject(210, Some(proof.clone()));
    let changes = Changes {
        batches: vec![(&batch).into()],
        open_subjects: vec![open.clone()],
        ..Changes::default()
    };
    writer.write(changes).unwrap();
    assert_eq!(
        store.announcement(&proof).unwrap(),
        batch.proof(200).unwrap()
    );
    let id = subject(210).id(&FEDERATION);
    assert_eq!(
        store.subject(&id).unwrap(),
        Some(SubjectState::Open(open.clone()))
    );
    assert_eq!(
        store
            .open_subjects()
            .map(Result::unwrap)
            .collect::<Vec<_>>(),
        [(id, open)]
    );
    let row = (&batch).into();
    assert_eq!(
        store
            .batch(&crate::StoredBatchRow::from(&batch).key)
            .unwrap(),
        Some(row)
    );
    writer
        .write(Changes {
            conflicts: vec![(id, conflict(1))],
            ..Changes::default()
        })
        .unwrap();
    writer.write(certify(210..211)).unwrap();
    assert_eq!(store.open_subjects().count(), 0);
    assert!(
        store.conflicts().unwrap().is_empty(),
        "what is certified is not in conflict"
    );
}

pub(super) fn conflict(round: u32) -> ConflictRow {
    ConflictRow {
        since: UnixMillis(9),
        round: Round(round),
    }
}

#[test]
fn outbox_and_trust_keep_their_order_and_never_reuse_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut writer) = open(&dir);
    let row = |kind, payload: &str| OutboxRow {
        kind,
        payload: payload.into(),
    };
    let outbox = vec![row(2, "a"), row(1, "b"), row(2, "c")];
    let keys = writer
        .write(Changes {
            outbox,
            ..Changes::default()
        })
        .unwrap()
        .outbox;
    assert_eq!(
        keys[2],
        OutboxKey {
            kind: 2,
            counter: 2
        }
    );
    assert_eq!(
        store.outbox(2, 9).unwrap(),
        [(keys[0], row(2, "a")), (keys[2], row(2, "c"))]
    );
    assert_eq!(store.outbox(2, 1).unwrap().len(), 1);
    let trust_rows = vec![trust(node(1), 1), trust(node(0), 2), trust(node(1), 3)];
    writer
        .write(Changes {
            outbox_done: keys,
            trust: trust_rows,
            ..Changes::default()
        })
        .unwrap();
    assert_eq!(store.outbox_len(), 0);
    drop((store, writer));
    let (store, mut writer) = open(&dir);
    let keys = writer
        .write(Changes {
            outbox: vec![row(2, "d")],
            ..Changes::default()
        })
        .unwrap()
        .outbox;
    assert_eq!(
        keys,
        [OutboxKey {
            kind: 2,
            counter: 3
        }]
    );
    writer
        .write(Changes {
            trust: vec![trust(node(1), 4)],
            ..Changes::default()
        })
        .unwrap();
    let at: Vec<_> = store
        .trust_of(&node(1))
        .unwrap()
        .into_iter()
        .map(|change| change.at.0)
        .collect();
    assert_eq!(at, [1, 3, 4]);
    let mut places: Vec<_> = store.trust().map(|row| row.unwrap().0).collect();
    places.sort_unstable();
    assert_eq!(places, [0, 1, 2, 3]);
}

#[test]
fn writing_the_same_again_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut writer) = open(&dir);
    let same = || Changes {
        events: vec![event(1)],
        journal_sequence: Some(4),
        ..Changes::default()
    };
    writer.write(same()).unwrap();
    let (bytes, head) = (
        store.disk_bytes().unwrap(),
        std::fs::read(dir.path().join("log.head")).unwrap(),
    );
    for _ in 0..100 {
        writer.write(same()).unwrap();
    }
    assert_eq!(
        (
            store.disk_bytes().unwrap(),
            std::fs::read(dir.path().join("log.head")).unwrap()
        ),
        (bytes, head)
    );
}

#[test]
fn a_conflict_does_not_outlive_its_certificate_nor_its_subject() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut writer) = open(&dir);
    let row = ConflictRow {
        since: UnixMillis(7),
        round: Round(0),
    };
    let id = |number| subject(number).id(&FEDERATION);
    let conflicts = |numbers: &[u64]| {
        numbers
            .iter()
            .map(|number| (id(*number), row))
            .collect::<Vec<_>>()
    };
    let open = |store: &Store| {
        store
            .conflicts()
            .unwrap()
            .into_iter()
            .map(|(id, _)| id)
            .collect::<BTreeSet<_>>()
    };
    // both in one write
    writer
        .write(Changes {
            conflicts: conflicts(&[0, 1, 2]),
            ..certify(0..1)
        })
        .unwrap();
    assert_eq!(open(&store), BTreeSet::from([id(1), id(2)]));
    // the certificate later, and the conflict once more after it
    writer.write(certify(1..2)).unwrap();
    writer
        .write(Changes {
            conflicts: conflicts(&[1]),
            ..Changes::default()
        })
        .unwrap();
    assert_eq!(open(&store), BTreeSet::from([id(2)]));
    writer
        .write(Changes {
            dropped_subjects: vec![id(2)],
            ..Changes::default()
        })
        .unwrap();
    assert_eq!(open(&store), BTreeSet::new());
}
