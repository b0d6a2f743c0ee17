//! A start after a crash between any two steps of going over to the next key ends where one without
//! a crash does.

#![allow(clippy::unwrap_used, reason = "tests")]

use ssid_protocol::batch::VerifiedBatch;
use ssid_protocol::id::LogId;
use ssid_protocol::manifest::{Manifest, Succession};
use ssid_protocol::testing;
use ssid_storage::{EpochRow, NoteKind, OperatorNote};
use tempfile::TempDir;

use super::*;
use crate::identity::{NodeKeys, peer_id_of};

/// A node whose next keys wait.
struct Waiting {
    dir: TempDir,
    genesis: EpochContext,
    next: Manifest,
    /// What it announced, undecided.
    event: Event,
}

impl Waiting {
    /// In the epoch that replaces its keys, if it has `entered` that.
    fn new(entered: bool) -> Self {
        let dir = TempDir::new().unwrap();
        let home = Home::new(dir.path());
        let keys = NodeKeys::create(&home, None).unwrap();
        for path in [home.next_voting_key(), home.next_network_key()] {
            keyfile::write(&path, &keyfile::generate_seed().unwrap(), None).unwrap();
        }
        let mut first = testing::manifest(4);
        first.members[3].node_id = keys.node_id();
        first.members[3].peer_id = keys.peer_id().to_string();
        let mut next = testing::successor(&first);
        let member = keyfile::public(&home.next_voting_key()).unwrap();
        let network = keyfile::public(&home.next_network_key()).unwrap();
        next.members[3].node_id = member;
        next.members[3].peer_id = peer_id_of(&network).unwrap().to_string();
        next.change.as_mut().unwrap().succeeds = vec![Succession {
            member,
            former: keys.node_id(),
        }];
        let genesis = EpochContext::genesis(first).unwrap();
        let event = testing::event("release", "undecided");
        let statements = Statements::Events(vec![event.clone()]);
        let announced = VerifiedBatch::sign(&keys.voting, genesis.federation(), statements);
        let owner = Owner {
            federation: *genesis.federation(),
            node: keys.node_id(),
        };
        let mut journal = Journal::create(&home.votes_journal(), keys.node_id()).unwrap();
        let own = JournalRecord::Own(announced.unwrap().batch().clone());
        journal.append(&[own, note()]).unwrap();
        journal.commit().unwrap();
        let (store, mut writer) = Store::open(home.root(), owner, LogId([1; 32])).unwrap();
        let row = EpochRow {
            manifest: next.to_jcs(),
            certificate: None,
        };
        writer
            .write(Changes {
                epochs: vec![(next.epoch, row)],
                entered: entered.then_some(next.epoch),
                cursors: vec![(
                    Cursor {
                        peer: keys.node_id(),
                        log_id: LogId([1; 32]),
                    },
                    7,
                )],
                journal_sequence: Some(journal.sequence()),
                ..Changes::default()
            })
            .unwrap();
        drop((store, writer, journal));
        Self {
            dir,
            genesis,
            next,
            event,
        }
    }

    fn home(&self) -> Home {
        Home::new(self.dir.path())
    }

    fn owner(&self, manifest: &Manifest) -> Owner {
        Owner {
            federation: *self.genesis.federation(),
            node: manifest.members[3].node_id,
        }
    }

    fn former(&self) -> Owner {
        self.owner(self.genesis.manifest())
    }

    fn following(&self) -> Owner {
        self.owner(&self.next)
    }

    fn start(&self) -> InUse {
        let keys = Keys::read(&self.home(), None).unwrap();
        open(&self.home(), keys, &self.genesis).unwrap()
    }

    /// Step 2 and 3, and nothing after them.
    fn begin(&self) {
        let (home, former, next) = (self.home(), self.former().node, self.following().node);
        let (store, mut writer) = open::database(&home, self.former()).unwrap();
        let known = open::known_epochs(&self.genesis, &store).unwrap();
        begin_journal(&home, (former, next), Epoch(1), &store, &mut writer, &known).unwrap();
    }

    /// That the node has gone over, wholly.
    fn assert_is_over(&self, in_use: &InUse, what: &str) {
        let home = self.home();
        let member = &self.next.members[3];
        assert_eq!(in_use.voting.node_id(), member.node_id, "{what}");
        let peer = in_use.network.public().to_peer_id().to_string();
        assert_eq!(peer, member.peer_id, "{what}");
        for (path, next) in [
            (home.voting_key(), home.next_voting_key()),
            (home.network_key(), home.next_network_key()),
        ] {
            assert!(path.exists() && !next.exists(), "{what}");
        }
        let public = keyfile::public(&home.voting_key()).unwrap();
        assert_eq!(public, member.node_id, "{what}");
        let card = MemberCard::parse(&std::fs::read(home.card()).unwrap()).unwrap();
        card.verify().unwrap();
        assert_eq!(&card.member, member, "{what}");
        assert_eq!(in_use.store.owner(), self.following(), "{what}");
        let appended = in_use.store.cursor(&Cursor {
            peer: member.node_id,
            log_id: LogId([1; 32]),
        });
        assert_eq!(appended.unwrap(), 7, "{what}");
        let offers: Vec<_> = in_use.store.kept_offers().map(Result::unwrap).collect();
        assert_eq!(offers.len(), 1, "{what}");
        assert_eq!(offers[0].1, self.event, "{what}");
        let history = history::open(&home, member.node_id, &in_use.store).unwrap();
        assert_eq!(history.abstaining, None, "{what}");
        let succeeds = JournalRecord::Succeeds {
            former: self.former().node,
            epoch: Epoch(1),
        };
        assert_eq!(history.records[1..], [succeeds, note()], "{what}");
        let known = &in_use.known;
        assert_eq!(former_keys(known, member.node_id), [self.former().node]);
        assert!(!is_due(&home, known, &member.node_id, &peer), "{what}");
    }
}

fn note() -> JournalRecord {
    JournalRecord::Note(OperatorNote {
        subject: SubjectId([5; 32]),
        kind: NoteKind::Refuse,
        choice: None,
    })
}

#[test]
fn keys_that_wait_are_used_once_the_epoch_that_names_them_is_entered() {
    let waiting = Waiting::new(false);
    let in_use = waiting.start();
    let former = &waiting.genesis.manifest().members[3];
    assert_eq!(in_use.voting.node_id(), former.node_id);
    assert!(waiting.home().next_voting_key().exists());
    assert!(!is_due(
        &waiting.home(),
        &in_use.known,
        &former.node_id,
        &former.peer_id
    ));
    let mut entered = in_use.known.clone();
    entered.enter(Epoch(1));
    assert!(is_due(
        &waiting.home(),
        &entered,
        &former.node_id,
        &former.peer_id
    ));
    drop(in_use);
    let waiting = Waiting::new(true);
    let in_use = waiting.start();
    waiting.assert_is_over(&in_use, "at once");
}

#[test]
fn a_crash_after_any_step_is_taken_up_by_the_next_start() {
    type Steps = fn(&Waiting);
    let cases: [(&str, Steps); 5] = [
        ("the new journal is begun", Waiting::begin),
        ("the database is the next key's", |waiting| {
            waiting.begin();
            drop(adopt(&waiting.home(), waiting.former(), waiting.following()).unwrap());
        }),
        ("the former key abstained", |waiting| {
            std::fs::write(waiting.home().votes_abstain(), "an old copy").unwrap();
            waiting.begin();
        }),
        ("the voting key is in its place", |waiting| {
            waiting.begin();
            drop(adopt(&waiting.home(), waiting.former(), waiting.following()).unwrap());
            let (next, place) = (
                waiting.home().next_voting_key(),
                waiting.home().voting_key(),
            );
            let card = MemberCard::sign(
                waiting.next.members[3].clone(),
                &VotingKey::from_seed(&keyfile::read(&next, None).unwrap()),
            );
            std::fs::write(waiting.home().card(), card.to_pretty()).unwrap();
            keyfile::take_place(&next, &place).unwrap();
        }),
        ("the network key is in its place", |waiting| {
            let (next, place) = (
                waiting.home().next_network_key(),
                waiting.home().network_key(),
            );
            keyfile::take_place(&next, &place).unwrap();
        }),
    ];
    for (what, steps) in cases {
        let waiting = Waiting::new(true);
        steps(&waiting);
        let in_use = waiting.start();
        waiting.assert_is_over(&in_use, what);
        drop(in_use);
        // and a start after that finds nothing to do
        waiting.assert_is_over(&waiting.start(), what);
    }
}

#[test]
fn a_former_journal_that_is_lost_silences_the_former_key_only() {
    let waiting = Waiting::new(true);
    std::fs::remove_file(waiting.home().votes_journal()).unwrap();
    let in_use = waiting.start();
    let history = history::open(&waiting.home(), in_use.voting.node_id(), &in_use.store);
    assert_eq!(history.unwrap().abstaining, None);
    let public = keyfile::public(&waiting.home().voting_key()).unwrap();
    assert_eq!(public, waiting.following().node);
}
