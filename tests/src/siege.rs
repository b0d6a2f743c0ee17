//! Three honest nodes of four at work while the fourth member's keys misbehave: what they certify
//! meanwhile, what it costs them in memory, and whom they blame.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use ssid_engine::settings::CLOSING_SUBJECTS;

use crate::adversary::Adversary;
use crate::{Cluster, Events, Node, SOON, Shape, eventually};

/// Honest nodes: the fourth member is the adversary.
const HONEST: usize = 3;
/// Events of one round of honest work.
const WORK: usize = 40;
/// Rounds of work before anything happens.
const QUIET_ROUNDS: usize = 4;
/// A round under attack may take so long.
const ROUND_AT_MOST: Duration = Duration::from_secs(20);
/// How much of its normal memory a node may take.
const MEMORY_FACTOR: f64 = 1.5;

/// A federation of four under attack from inside.
#[derive(Debug)]
pub struct Siege {
    /// The adversary, connected to all three.
    pub mallory: Adversary,
    cluster: Cluster,
    work: Events,
    done: usize,
    /// Peak kilobytes of each honest node at work without the adversary.
    normal: Vec<u64>,
}

impl Siege {
    /// A cluster at work, its normal memory known, the adversary connected.
    ///
    /// # Panics
    /// If anything of that fails.
    pub fn begin(name: &str, shape: impl FnOnce(&mut Shape)) -> Self {
        let mut plain = Shape::of(HONEST + 1);
        shape(&mut plain);
        let mut cluster = Cluster::make(plain);
        (0..HONEST).for_each(|i| cluster.node_mut(i).start());
        cluster.wait_ready();
        let (work, mut done) = (Events::series(name), 0);
        // decided subjects stay in memory for a while: as many as there can be, or all honest work
        // would count as attack
        let _ = work_on(&cluster, &work, &mut done, CLOSING_SUBJECTS);
        cluster.wait_certified(done, SOON);
        honest(&cluster).for_each(forget_peak);
        for _ in 0..QUIET_ROUNDS {
            let _ = work_once(&cluster, &work, &mut done);
        }
        let normal = honest(&cluster).map(peak_memory).collect();
        let mallory = Adversary::of(&cluster.node(HONEST).org.data).unwrap();
        Self {
            mallory,
            cluster,
            work,
            done,
            normal,
        }
    }

    /// The honest nodes.
    pub fn honest(&self) -> impl Iterator<Item = &Node> {
        honest(&self.cluster)
    }

    /// One of them. Victim `i` of the adversary is node `i`.
    pub fn node(&self, index: usize) -> &Node {
        self.cluster.node(index)
    }

    /// Events that the honest nodes have certified for people so far.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Lets the adversary do something, again and again with rising numbers, while the honest nodes
    /// work: at least `rounds` rounds, and until `seen` is satisfied. Every round is certified in
    /// time, nobody takes more memory than allowed, and nobody but the adversary is blamed.
    ///
    /// # Panics
    /// If not.
    pub fn withstands(
        &mut self,
        what: &str,
        rounds: usize,
        pause: Duration,
        commit: impl Fn(&Adversary, u64) + Sync,
        seen: impl Fn(&Cluster) -> Result<(), String>,
    ) {
        honest(&self.cluster).for_each(forget_peak);
        let over = std::sync::atomic::AtomicBool::new(false);
        let (mallory, cluster, work, done) =
            (&self.mallory, &self.cluster, &self.work, &mut self.done);
        let (slowest, portions) = thread::scope(|scope| {
            let attack = scope.spawn(|| {
                let mut portion = 0;
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    commit(mallory, portion);
                    portion += 1;
                    thread::sleep(pause);
                }
                portion
            });
            let guard = Ended(&over);
            let mut slowest = Duration::ZERO;
            for _ in 0..rounds {
                slowest = slowest.max(work_once(cluster, work, done));
            }
            eventually(&format!("{what} is noticed"), SOON, || {
                slowest = slowest.max(work_once(cluster, work, done));
                seen(cluster)
            });
            drop(guard);
            (slowest, attack.join().unwrap())
        });
        let memory: Vec<u64> = self.honest().map(peak_memory).collect();
        println!(
            "{what}: {portions} portions; a round took {slowest:?} at most; memory {memory:?} kB, normal {:?} kB",
            self.normal
        );
        assert!(
            slowest < ROUND_AT_MOST,
            "{what}: a round of honest work took {slowest:?}"
        );
        for (now, normal) in memory.iter().zip(&self.normal) {
            let most = *normal as f64 * MEMORY_FACTOR;
            assert!(
                (*now as f64) < most,
                "{what}: {now} kB of memory, normally {normal} kB, at most {most} kB"
            );
        }
        self.assert_only_the_adversary_is_blamed(what);
    }

    /// Honest nodes are connected with each other, and none was ever disconnected for what it
    /// relayed.
    fn assert_only_the_adversary_is_blamed(&self, what: &str) {
        let adversary = self.mallory.member().node_id().to_string();
        for node in self.honest() {
            let log = node.log();
            for line in log
                .lines()
                .filter(|line| line.contains("disconnected and blocked"))
            {
                assert!(
                    line.contains(&adversary),
                    "{what}: {} blames an honest member: {line}",
                    node.org.name
                );
            }
            let status = node.status();
            let connected = status["voting"]["connected_voters"].to_string();
            for other in self.honest() {
                assert!(
                    connected.contains(&other.org.node_id()),
                    "{what}: {} is not with {connected}",
                    node.org.name
                );
            }
        }
    }

    /// That all honest nodes hold the same certificates, every one of them valid; how many.
    pub fn assert_agreed(&self) -> usize {
        self.cluster.assert_agreed()
    }

    /// That exactly the honest work is certified, everywhere.
    pub fn assert_only_the_work_is_certified(&self) {
        self.cluster.wait_certified(self.done, SOON);
        assert_eq!(self.assert_agreed(), self.done);
    }
}

/// Ends the attack also where the work panics.
struct Ended<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

fn honest(cluster: &Cluster) -> impl Iterator<Item = &Node> {
    cluster.nodes().iter().take(HONEST)
}

/// One round: some events through one of the honest nodes, waited for; how long it took.
fn work_once(cluster: &Cluster, work: &Events, done: &mut usize) -> Duration {
    work_on(cluster, work, done, WORK)
}

/// So many events; how long they took.
fn work_on(cluster: &Cluster, work: &Events, done: &mut usize, count: usize) -> Duration {
    let (from, file) = (*done, cluster.dir().join("work"));
    fs::write(&file, work.lines(from..from + count)).unwrap();
    *done += count;
    let started = Instant::now();
    let node = cluster.node(from / WORK % HONEST);
    let _ = node
        .ssid(&["events", "import", file.to_str().unwrap(), "--wait"])
        .well();
    started.elapsed()
}

fn proc_file(node: &Node, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{name}", node.pid().unwrap()))
}

/// Peak resident kilobytes since that was last forgotten, without the program's own file: that
/// would hide what is held.
fn peak_memory(node: &Node) -> u64 {
    let status = fs::read_to_string(proc_file(node, "status")).unwrap();
    let value = |line: &str| line.split_whitespace().next()?.parse::<u64>().ok();
    let of = |name: &str| {
        status
            .lines()
            .find_map(|line| value(line.strip_prefix(name)?))
            .unwrap()
    };
    of("VmHWM:") - of("RssFile:")
}

fn forget_peak(node: &Node) {
    fs::write(proc_file(node, "clear_refs"), "5").unwrap();
}
