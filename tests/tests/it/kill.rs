//! SIGKILL a hundred times under load, at random instants, in starts too. After each death the disk
//! itself is asked for what must stay true (ARCHITECTURE): nothing acknowledged is lost, no second
//! vote, a log that only grew, certificates that verify, a registry file that was only appended to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use ssid_protocol::batch::{SignedBatch, Statements};
use ssid_protocol::certificate::Verifier;
use ssid_protocol::evidence::Statement;
use ssid_protocol::id::{Choice, LogId, MerkleHash, NodeId, Round, SubjectId};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::vote::{Ballot, Phase};
use ssid_storage::{Journal, JournalRecord, Owner, Store};
use ssid_tests::{Cluster, Events, LONG, Node, SOON, eventually};

use crate::load::{StopOnDrop, offer_until, wait_equal, wait_holds};

const KILLS: u32 = 100;
/// The registry log's file.
const FILE: &str = "registry_events.log";

/// Every vote of one member that was found anywhere.
#[derive(Default)]
struct Votes(BTreeMap<(SubjectId, Round, Phase), Ballot>);

impl Votes {
    fn take(&mut self, subject: SubjectId, round: Round, phase: Phase, ballot: Ballot) {
        let first = *self.0.entry((subject, round, phase)).or_insert(ballot);
        assert_eq!(
            first, ballot,
            "two votes for {subject} in round {round}, {phase:?}"
        );
    }

    /// Those that `member` signed, of the batches in a journal.
    fn take_from(&mut self, batches: &[SignedBatch], member: NodeId) {
        for batch in batches.iter().filter(|batch| batch.signer == member) {
            if let Statements::Votes(votes) = &batch.statements {
                votes
                    .iter()
                    .for_each(|v| self.take(v.subject, v.round, v.phase, v.ballot));
            }
        }
    }
}

/// What a node's disk held when it was last dead.
struct Disk<'a> {
    manifest: &'a Manifest,
    home: PathBuf,
    owner: Owner,
    verifier: Verifier<'a>,
    size: u64,
    root: Option<MerkleHash>,
    sequence: u64,
    file: Vec<u8>,
    certified: BTreeMap<SubjectId, Choice>,
    /// Event hashes that it announced.
    announced: BTreeSet<String>,
    votes: Votes,
}

impl<'a> Disk<'a> {
    fn of(node: &Node, manifest: &'a Manifest) -> Self {
        let owner = Owner {
            federation: manifest.federation_id(),
            node: node.org.node_id().parse().unwrap(),
        };
        Self {
            manifest,
            home: node.org.data.clone(),
            owner,
            verifier: Verifier::new(owner.federation, manifest, &manifest.event_policies).unwrap(),
            size: 0,
            root: None,
            sequence: 0,
            file: Vec::new(),
            certified: BTreeMap::new(),
            announced: BTreeSet::new(),
            votes: Votes::default(),
        }
    }

    /// Looks at it while the node is dead. It is opened as a start would: every row is checked.
    fn check(&mut self, acknowledged: &BTreeSet<String>) {
        self.check_log();
        let batches = self.journal();
        self.votes.take_from(&batches, self.owner.node);
        for batch in batches
            .iter()
            .filter(|batch| batch.signer == self.owner.node)
        {
            if let Statements::Events(events) = &batch.statements {
                self.announced
                    .extend(events.iter().map(|event| event.event_hash().to_string()));
            }
        }
        let certified: BTreeSet<String> = self
            .certified
            .values()
            .map(|choice| choice.event_hash.to_string())
            .collect();
        let lost = acknowledged
            .iter()
            .find(|hash| !self.announced.contains(*hash) && !certified.contains(*hash));
        assert_eq!(lost, None, "acknowledged, and not on the disk");
        self.check_file(&certified);
    }

    fn check_log(&mut self) {
        let (store, _writer) = Store::open(&self.home, self.owner, LogId([0; 32])).unwrap();
        let head = store.log_head();
        assert!(
            head.size >= self.size,
            "the log shrank from {} to {}",
            self.size,
            head.size
        );
        if let Some(root) = self.root {
            assert_eq!(
                store.log_root(self.size).unwrap(),
                Some(root),
                "the log's first {} entries",
                self.size
            );
        }
        for sequence in self.size..head.size {
            let certificate = store.certificate(sequence).unwrap().unwrap();
            certificate.verify(&mut self.verifier).unwrap();
            let subject = certificate.subject_id();
            let other = self.certified.insert(subject, certificate.choice);
            assert_eq!(other, None, "certified twice: {subject}");
            for proof in certificate
                .precommits
                .iter()
                .filter(|proof| proof.signer == self.owner.node)
            {
                assert!(proof.index < proof.count);
                self.votes.take(
                    subject,
                    certificate.round,
                    Phase::Precommit,
                    Some(certificate.choice),
                );
            }
        }
        (self.size, self.root) = (head.size, Some(head.root));
    }

    /// The batches in its journal, the node's own and others'. Read from a copy: opening cuts a
    /// torn end off.
    fn journal(&mut self) -> Vec<SignedBatch> {
        let copies = tempfile::tempdir().unwrap();
        let copy = copies.path().join("votes.journal");
        fs::copy(self.home.join("votes.journal"), &copy).unwrap();
        let (journal, records, _) = Journal::open(&copy, self.owner.node, 0).unwrap();
        let (had, has) = (self.sequence, journal.sequence());
        assert!(has >= had, "the journal shrank from {had} to {has} records");
        self.sequence = has;
        let batch = |record| match record {
            JournalRecord::Own(batch) | JournalRecord::Support(batch) => Some(batch),
            JournalRecord::SupportAlone(signed) => match signed.statement {
                Statement::Vote(vote) => Some(SignedBatch {
                    signer: signed.proof.signer,
                    signature: signed.proof.signature,
                    statements: Statements::Votes(vec![vote]),
                }),
                _ => None,
            },
            _ => None,
        };
        records.into_iter().filter_map(batch).collect()
    }

    /// The file was only appended to, and what was appended is certified, once.
    fn check_file(&mut self, certified: &BTreeSet<String>) {
        let file = fs::read(self.home.join(FILE)).unwrap_or_default();
        let whole = file
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        assert!(
            file.starts_with(&self.file),
            "the registry file was rewritten"
        );
        let lines = hashes(&file[..whole]);
        let set: BTreeSet<_> = lines.iter().cloned().collect();
        assert_eq!(
            set.len(),
            lines.len(),
            "a line of the registry file is there twice"
        );
        assert!(
            set.is_subset(certified),
            "a line of the registry file is not certified"
        );
        self.file = file[..whole].to_vec();
    }
}

/// The event hashes of a registry file's lines.
fn hashes(file: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(file);
    let hash = |line: &str| {
        Some(
            serde_json::from_str::<serde_json::Value>(line).ok()?["event_hash"]
                .as_str()?
                .to_owned(),
        )
    };
    text.lines().filter_map(hash).collect()
}

#[test]
fn a_node_killed_a_hundred_times_keeps_every_promise() {
    let seed = std::env::var("SSID_KILL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| {
            u64::from(std::process::id()) // differs from run to run
        });
    println!("kill -9: seed {seed} (SSID_KILL_SEED={seed} draws the same instants)");
    let mut random = StdRng::seed_from_u64(seed);
    let started = Instant::now();
    let mut cluster = Cluster::start(4);
    let manifest = Manifest::parse(&fs::read(cluster.genesis()).unwrap()).unwrap();
    let mut disk = Disk::of(cluster.node(0), &manifest);
    let (own, other) = (Events::series("own"), Events::series("other"));
    let (victim, bystander) = (cluster.node(0).address(), cluster.node(1).address());
    let stop = AtomicBool::new(false);
    let (acknowledged, by_others) = (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
    let mut in_starts = 0;
    thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        scope.spawn(|| offer_until(&victim, &own, &stop, &acknowledged));
        scope.spawn(|| offer_until(&bystander, &other, &stop, &by_others));
        for _ in 0..KILLS {
            if random.random_ratio(1, 4) {
                in_starts += 1;
                thread::sleep(Duration::from_millis(random.random_range(0..400)));
            } else {
                let had = acknowledged.lock().unwrap().len();
                eventually("the victim takes events", SOON, || {
                    let has = acknowledged.lock().unwrap().len();
                    if has >= had + 3 { Ok(()) } else { Err(has) }
                });
                thread::sleep(Duration::from_millis(random.random_range(0..100)));
            }
            cluster.node_mut(0).kill();
            disk.check(&acknowledged.lock().unwrap());
            cluster.node_mut(0).start();
        }
        cluster.node_mut(0).wait_answering();
    });
    let mut all = acknowledged.into_inner().unwrap();
    println!(
        "kill -9: {KILLS} times, {in_starts} of them without waiting for a start; {} acknowledged",
        all.len()
    );
    all.extend(by_others.into_inner().unwrap());
    wait_holds(&cluster, &all);
    wait_equal(&cluster);
    assert!(cluster.assert_agreed() >= all.len());
    for node in cluster.nodes() {
        eventually(
            &format!("{}'s file has everything", node.org.name),
            LONG,
            || {
                let lines = hashes(&fs::read(node.file(FILE)).unwrap_or_default()).len() as u64;
                if lines == node.certified_count() {
                    Ok(())
                } else {
                    Err(lines)
                }
            },
        );
        assert!(node.status()["voting"]["abstaining"].is_null());
    }
    compare_disks(&mut cluster, &mut disk, &all);
    println!(
        "kill -9: {} votes, no second one; {:.1} s",
        disk.votes.0.len(),
        started.elapsed().as_secs_f32()
    );
}

/// All ended: one certified set, one set of lines, and no vote of the victim at anybody that it did
/// not keep itself.
fn compare_disks(cluster: &mut Cluster, victim: &mut Disk, acknowledged: &BTreeSet<String>) {
    for index in 0..cluster.nodes().len() {
        cluster.node_mut(index).terminate();
    }
    victim.check(acknowledged);
    let lines: BTreeSet<_> = hashes(&victim.file).into_iter().collect();
    for node in &cluster.nodes()[1..] {
        let mut disk = Disk::of(node, victim.manifest);
        disk.check(&BTreeSet::new());
        assert_eq!(disk.certified, victim.certified, "{}", node.org.name);
        assert_eq!(
            hashes(&disk.file).into_iter().collect::<BTreeSet<_>>(),
            lines,
            "{}",
            node.org.name
        );
        victim.votes.take_from(&disk.journal(), victim.owner.node);
    }
}
