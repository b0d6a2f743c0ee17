//! A verdict on what gossip brought is a function of the bytes: what one honest node passes on, no
//! other may reject, or one liar makes the honest blame each other.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::evidence::{Evidence, Signed};
use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::{Epoch, ManifestHash, MerkleHash, Round, SetHash, SubjectId};
use ssid_protocol::vote::{EpochClose, Phase, Proposal, Vote};

use super::*;
use crate::Validity;

/// What a member may say to gossip.
#[derive(Clone, Debug)]
enum Said {
    Batch(u8, Statements),
    HeadPair(u8, [u8; 2]),
}

/// Events that are good in some epoch, and some that are good in none.
fn pool() -> Vec<Event> {
    let good = |i: usize| testing::event("blueprint_tagged", &format!("v{i}"));
    let change = |version: &str| Event {
        commit_hash: "a".repeat(64),
        ..testing::epoch_event(version)
    };
    let mut all: Vec<_> = (0..4).map(good).collect();
    all.extend([change("1"), change("2"), change("01")]);
    all.push(testing::event("federation_score", "1"));
    all.push(Event {
        version: "a|b".into(),
        ..good(0)
    });
    all.push(Event {
        commit_hash: "fffffff".into(),
        ..good(1)
    });
    all
}

fn subjects(manifest: &Manifest) -> Vec<SubjectId> {
    let known = pool()
        .into_iter()
        .map(|event| manifest.event_policies.subject_of(&event));
    known
        .map(|subject| subject.id(&manifest.federation_id()))
        .chain([SubjectId([7; 32])])
        .collect()
}

fn statements(manifest: &Manifest) -> impl Strategy<Value = Statements> + use<> {
    let subjects = subjects(manifest);
    let (choices, count) = (pool(), subjects.len());
    let names = subjects.clone();
    let vote = (
        0..2_u64,
        0..count,
        0..2_u32,
        any::<bool>(),
        prop::option::of(0..choices.len()),
    );
    let votes = vec(vote, 1..5).prop_map(move |all| {
        let vote =
            |(epoch, subject, round, early, ballot): (u64, usize, u32, bool, Option<usize>)| Vote {
                epoch: Epoch(epoch),
                subject: names[subject],
                round: Round(round),
                phase: if early {
                    Phase::Prevote
                } else {
                    Phase::Precommit
                },
                ballot: ballot.map(|at| choices[at].choice()),
                observed: early && round == 0 && ballot.is_some(),
            };
        Statements::Votes(all.into_iter().map(vote).collect())
    });
    let proposals = (0..2_u64, 0..count, 0..3_u32).prop_map(move |(epoch, subject, round)| {
        let (epoch, subject, choice) = (Epoch(epoch), subjects[subject], pool()[0].choice());
        Statements::Proposals(vec![Proposal {
            epoch,
            subject,
            round: Round(round),
            choice,
            valid: None,
        }])
    });
    let events = subsequence(pool(), 1..=3).prop_map(Statements::Events);
    let heartbeats = (0..9_u64, any::<bool>()).prop_map(|(number, spoiled)| {
        let software = if spoiled {
            "x".repeat(300)
        } else {
            "ssid/1".into()
        };
        Statements::Heartbeat(Box::new(Heartbeat {
            software,
            ..testing::heartbeat(number)
        }))
    });
    let closes = (0..2_u64, 0..2_u8).prop_map(|(epoch, root)| {
        Statements::Closes(vec![EpochClose {
            epoch: Epoch(epoch),
            next: ManifestHash([1; 32]),
            certified_count: 0,
            certified_root: SetHash([root; 32]),
            locks_count: 0,
            locks_root: SetHash([0; 32]),
        }])
    });
    prop_oneof![3 => events, 2 => votes, 1 => proposals, 1 => heartbeats, 1 => closes]
}

/// Of members 1 to 3, and of a stranger.
fn said(manifest: &Manifest) -> impl Strategy<Value = Said> + use<> {
    let batch = (1..5_u8, statements(manifest))
        .prop_map(|(signer, statements)| Said::Batch(signer, statements));
    let pair = (1..5_u8, 1..3_u8, 1..3_u8)
        .prop_map(|(signer, one, other)| Said::HeadPair(signer, [one, other]));
    prop_oneof![8 => batch, 1 => pair]
}

fn head_pair(manifest: &Manifest, signer: u8, roots: [u8; 2]) -> Evidence {
    let federation = manifest.federation_id();
    let signed = |root: u8| {
        let heartbeat = Heartbeat {
            log_root: MerkleHash([root; 32]),
            ..testing::heartbeat(7)
        };
        let statements = Statements::Heartbeat(Box::new(heartbeat));
        Signed::of(
            &VerifiedBatch::sign(&testing::key(signer), &federation, statements).unwrap(),
            0,
        )
        .unwrap()
    };
    Evidence::of_statements(federation, signed(roots[0]), signed(roots[1]))
}

/// Member 0's engine in an epoch of this manifest, in a federation of another's genesis.
fn engine(genesis: &Manifest, manifest: Manifest) -> (TempDir, Engine) {
    let (home, key) = (TempDir::new().unwrap(), testing::key(0));
    let owner = Owner {
        federation: genesis.federation_id(),
        node: key.node_id(),
    };
    let (store, writer) = Store::open(home.path(), owner, LogId([1; 32])).unwrap();
    let journal = home.path().join("votes.journal");
    Journal::create(&journal, key.node_id()).unwrap();
    let (journal, records, _) = Journal::open(&journal, key.node_id(), 0).unwrap();
    let genesis = EpochContext::genesis(genesis.clone()).unwrap();
    let epoch = genesis.successor(manifest).unwrap();
    let parts = EngineParts {
        key,
        epochs: Arc::new(Epochs::new(epoch)),
        settings: EngineSettings::default(),
        store,
        writer,
        journal,
        abstaining: None,
    };
    let (engine, _) = Engine::recover(parts, records, START).unwrap();
    (home, engine)
}

fn validity(engine: &mut Engine, genesis: &Manifest, said: &Said) -> Validity {
    let from = testing::key(1).node_id();
    let input = match said {
        Said::Batch(signer, statements) => {
            let batch = VerifiedBatch::sign(
                &testing::key(*signer),
                &genesis.federation_id(),
                statements.clone(),
            );
            Inbound::Batch {
                batch: Arc::new(batch.unwrap()),
                from,
                ticket: Some(1),
            }
        }
        Said::HeadPair(signer, roots) => {
            let evidence = Box::new(head_pair(genesis, *signer, *roots));
            Inbound::Evidence {
                evidence,
                from,
                ticket: Some(1),
            }
        }
    };
    verdict(&engine.tick(START, vec![input]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn nobody_rejects_what_another_passes_on(
        earlier in vec(said(&testing::manifest(4)), 0..20),
        now in vec(said(&testing::manifest(4)), 1..20),
    ) {
        let genesis = testing::manifest(4);
        // the next epoch's manifest does not have the fourth member any more
        let mut next = Manifest { epoch: Epoch(1), ..genesis.clone() };
        next.members.pop();
        let mut engines: Vec<_> = [genesis.clone(), genesis.clone(), next.clone(), next]
            .into_iter()
            .map(|manifest| engine(&genesis, manifest))
            .collect();
        // one of each epoch has heard more than the other
        for said in &earlier {
            validity(&mut engines[1].1, &genesis, said);
            validity(&mut engines[3].1, &genesis, said);
        }
        for said in &now {
            let all: Vec<_> = engines.iter_mut().map(|(_, engine)| validity(engine, &genesis, said)).collect();
            let contradict = all.contains(&Validity::New) && all.contains(&Validity::Invalid);
            prop_assert!(!contradict, "{all:?} of {said:?}");
        }
    }
}

#[test]
fn an_announcement_is_rejected_for_one_bad_event_also_where_the_others_are_new() {
    let genesis = testing::manifest(4);
    let good = testing::event("blueprint_tagged", "v1");
    let bad = Event {
        version: "a|b".into(),
        ..good.clone()
    };
    let mixed = Said::Batch(3, Statements::Events(vec![bad, good.clone()]));
    let change = testing::epoch_event("9");
    let of_another_epoch = Said::Batch(2, Statements::Events(vec![change, good.clone()]));
    let (_home, mut engine) = engine(&genesis, genesis.clone());
    assert_eq!(validity(&mut engine, &genesis, &mixed), Validity::Invalid);
    assert_eq!(engine.open.len(), 0, "nothing of it was taken");
    assert_eq!(
        validity(&mut engine, &genesis, &of_another_epoch),
        Validity::New
    );
    assert_eq!(validity(&mut engine, &genesis, &mixed), Validity::Invalid);
    assert_eq!(
        validity(&mut engine, &genesis, &of_another_epoch),
        Validity::Nothing
    );
}
