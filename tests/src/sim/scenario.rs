//! What a seed stands for: a federation, its liars, its network and disks, and a plan of what
//! happens when.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use ssid_engine::settings::{Endorsement, EngineSettings, Timeouts};
use ssid_protocol::event::Event;
use ssid_protocol::manifest::{Manifest, TieBreak, Weighting};
use ssid_protocol::testing;
use ssid_storage::simulation::{Death, Point};

use super::changes::Edit;
use super::mutation::Mutation;
use super::rng::Rng;

/// What is Byzantine about a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Liar {
    /// It is connected and says nothing.
    Silent,
    /// Two honest engines under one key, each talking to a part of the others.
    Twins,
    /// It signs and answers whatever does harm.
    Scripted,
}

/// How a node's life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At an instant, whatever it is doing.
    Killed,
    /// In the middle of a write.
    Writing(Death),
    /// After so many of one tick's messages.
    Sending(u32),
}

/// One thing of the plan. Members are numbered as in the manifest.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// Somebody offers an event at a member.
    Emit(usize, Event),
    /// Somebody offers many at once.
    Burst(usize, Vec<Event>),
    /// A member finds these in its registry file.
    Observe(usize, Vec<Event>),
    /// The network falls apart: each member's part.
    Split(Vec<u8>),
    /// It is whole again.
    Whole,
    /// A member's node dies, and is started again after so many milliseconds.
    Crash(usize, End, u64),
    /// A member's clock is off by so many milliseconds from now on.
    Skew(usize, i64),
    /// Somebody proposes to change the members.
    Change(Edit),
}

/// How messages travel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// Between these, in milliseconds.
    pub(super) delay: (u64, u64),
    /// So many of 1000 are lost.
    pub(super) loss: u32,
    /// So many of 1000 arrive twice.
    pub(super) duplication: u32,
    /// Nodes pass on what was new to them.
    pub(super) forwards: bool,
}

/// Everything that follows from a seed before it is run.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) seed: u64,
    pub(super) manifest: Manifest,
    pub(super) liars: BTreeMap<usize, Liar>,
    pub(super) settings: EngineSettings,
    /// Members that vote only for what their own registry has, whatever the others do.
    pub(super) observing: BTreeSet<usize>,
    pub(super) link: Link,
    /// The most milliseconds that a member's disk takes for a write.
    pub(super) disk_ms: Vec<u64>,
    /// Whether databases are sled's files.
    pub(super) in_files: bool,
    /// Whether members that do wrong are shut out.
    pub(super) blocks: bool,
    /// Whether people resolve conflicts, at random first, and alike at the end.
    pub(super) operators: bool,
    pub(super) plan: Vec<(u64, Happening)>,
    /// When the network is whole, the clocks right and all nodes up, for good.
    pub(super) healed_at: u64,
}

/// Where a seed's databases are: sled's start and syncs take longer than all the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Databases {
    /// All in memory.
    InMemory,
    /// All in sled's files.
    InFiles,
    /// In files for one seed in 64.
    Mixed,
}

/// Of so many seeds one is run over sled's files.
const FILES_EVERY: u64 = 64;

/// What may be chosen about seeds.
#[derive(Clone, Debug)]
pub struct Options {
    /// At least so many nodes.
    pub least_nodes: usize,
    /// At most so many.
    pub most_nodes: usize,
    /// Where databases are.
    pub databases: Databases,
    /// A fault of the harness or of the federation that the checks must find.
    pub mutation: Mutation,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            least_nodes: 4,
            most_nodes: 13,
            databases: Databases::Mixed,
            mutation: Mutation::None,
        }
    }
}

impl Scenario {
    pub(super) fn of(seed: u64, options: &Options) -> Self {
        let rng = &mut Rng::stream(seed, 0);
        // small federations are cheap and find most
        let nodes = rng
            .between(4, 13)
            .min(rng.between(4, 13))
            .min(rng.between(4, 13)) as usize;
        let nodes = nodes.clamp(options.least_nodes, options.most_nodes);
        let manifest = manifest(rng, nodes);
        let liars = liars(rng, &manifest, options.mutation);
        let healed_at = rng.between(20_000, 90_000);
        let calm = rng.chance(150);
        let slowest = if rng.chance(200) { 4_000 } else { 400 };
        let link = Link {
            delay: (rng.between(1, 20), rng.between(20, slowest)),
            loss: if calm || rng.chance(300) {
                0
            } else {
                rng.between(1, 300) as u32
            },
            duplication: if rng.chance(500) {
                0
            } else {
                rng.between(1, 200) as u32
            },
            forwards: rng.chance(400),
        };
        let mut scenario = Self {
            seed,
            settings: settings(rng),
            observing: observing(seed, nodes),
            liars,
            link,
            disk_ms: (0..nodes)
                .map(|_| {
                    if rng.chance(200) {
                        rng.between(10, 3_000)
                    } else {
                        5
                    }
                })
                .collect(),
            in_files: match options.databases {
                Databases::InMemory => false,
                Databases::InFiles => true,
                Databases::Mixed => seed % FILES_EVERY == 1,
            },
            operators: rng.chance(750),
            blocks: rng.chance(500),
            plan: Vec::new(),
            healed_at,
            manifest,
        };
        scenario.plan_events(rng);
        // each of its events costs every node a subject's whole life, so not in seeds whose
        // databases are files; by the seed, so that a seed is the same over either
        if nodes <= 5 && seed % FILES_EVERY != 1 && rng.chance(20) {
            scenario.plan_burst(rng);
        }
        if !calm {
            scenario.plan_faults(rng);
        }
        scenario.plan_changes();
        scenario.plan.sort_by_key(|(at, _)| *at);
        scenario
    }

    pub(super) fn members(&self) -> usize {
        self.manifest.members.len()
    }

    pub(super) fn is_honest(&self, member: usize) -> bool {
        !self.liars.contains_key(&member)
    }

    /// How a member's node is configured.
    pub(super) fn settings_of(&self, member: usize) -> EngineSettings {
        let mut settings = self.settings.clone();
        if self.observing.contains(&member) {
            settings.endorsement = Endorsement::Observed;
        }
        settings
    }

    fn plan_events(&mut self, rng: &mut Rng) {
        for number in 0..rng.between(1, 5) {
            let at = rng.between(0, self.healed_at * 2 / 3);
            let variants = variants(rng, number);
            let everywhere = rng.chance(500);
            let announcer = rng.below(self.members());
            for member in 0..self.members() {
                if !everywhere && member != announcer && rng.chance(700) {
                    continue;
                }
                let event = variants[rng.below(variants.len())].clone();
                let later = at
                    + if rng.chance(500) {
                        rng.between(0, 200)
                    } else {
                        rng.between(0, self.healed_at / 3)
                    };
                let happening = if rng.chance(500) {
                    Happening::Emit(member, event)
                } else {
                    Happening::Observe(member, vec![event])
                };
                self.plan.push((later, happening));
            }
        }
    }

    /// A clock that is off by days for a while, and put right.
    fn plan_jump(&mut self, rng: &mut Rng, member: usize) {
        let days = rng.between(1, 100) * 24 * 3_600_000;
        let skew = if rng.chance(600) {
            days.cast_signed()
        } else {
            -days.cast_signed()
        };
        let at = rng.between(0, self.healed_at * 2 / 3);
        self.plan.push((at, Happening::Skew(member, skew)));
        if rng.chance(700) {
            self.plan
                .push((at + rng.between(100, 30_000), Happening::Skew(member, 0)));
        }
    }

    /// One member has more to say at once than is announced before some of it is decided.
    fn plan_burst(&mut self, rng: &mut Rng) {
        let event = |n| testing::event("blueprint_tagged", &format!("burst-{n}"));
        let burst = Happening::Burst(rng.below(self.members()), (0..BURST).map(event).collect());
        self.plan.push((rng.between(0, self.healed_at / 2), burst));
    }

    fn plan_faults(&mut self, rng: &mut Rng) {
        let healed_at = self.healed_at;
        for _ in 0..rng.between(0, 3) {
            let at = rng.between(0, healed_at);
            let parts = rng.between(2, 3);
            let groups = (0..self.members())
                .map(|_| rng.between(1, parts) as u8)
                .collect();
            self.plan.push((at, Happening::Split(groups)));
            self.plan
                .push((at + rng.between(500, 30_000), Happening::Whole));
        }
        for _ in 0..rng.between(0, 4) {
            let member = rng.below(self.members());
            let end = match rng.below(6) {
                0 => End::Killed,
                1 => End::Sending(rng.between(0, 6) as u32),
                _ => End::Writing(death(rng)),
            };
            self.plan.push((
                rng.between(0, healed_at),
                Happening::Crash(member, end, rng.between(10, 20_000)),
            ));
        }
        for member in 0..self.members() {
            if rng.chance(60) {
                self.plan_jump(rng, member);
            } else if rng.chance(150) {
                let skew = rng.between(0, 240_000).cast_signed() - 120_000;
                self.plan
                    .push((rng.between(0, healed_at / 2), Happening::Skew(member, skew)));
            }
        }
    }
}

/// Own events of one member at once: more than are announced before others are decided.
const BURST: u64 = 1_100;

/// A death in a write, somewhere.
pub(super) fn death(rng: &mut Rng) -> Death {
    let point = Point::ALL[rng.below(Point::ALL.len())];
    let survives = [0, 1000, rng.between(1, 999) as u16][rng.below(3)];
    let pages = rng.chance(500).then(|| rng.between(0, u64::MAX));
    let after = rng.between(0, 4) as u32;
    // a life has thousands of writes, and a compaction or two: the death must be in the next
    let is_rare = matches!(
        point,
        Point::CompactionWrite | Point::CompactionReplace | Point::CompactionSync
    );
    Death {
        point,
        after: if is_rare { 0 } else { after },
        survives,
        pages,
    }
}

fn manifest(rng: &mut Rng, nodes: usize) -> Manifest {
    let mut manifest = testing::manifest(nodes);
    manifest.auto_resolve_conflicts = rng.chance(600);
    let strategies = [
        TieBreak::TimestampPriority,
        TieBreak::CoordinatorPriority,
        TieBreak::TrustWeighted,
        TieBreak::ManualReview,
    ];
    manifest.tie_breaking_strategy = strategies[rng.below(4)];
    manifest.threshold_bp = [6600, 6600, 5000][rng.below(3)];
    if rng.chance(300) {
        manifest.vote_weighting = Weighting::Trust;
        // a voter that alone exceeded F would be no valid manifest
        for member in &mut manifest.members {
            member.weight = rng.between(45, 59);
        }
    }
    manifest
}

/// Liars of at most weight F, such that the others are a quorum. The mutated federation has one
/// more than it bears.
fn liars(rng: &mut Rng, manifest: &Manifest, mutation: Mutation) -> BTreeMap<usize, Liar> {
    let mut liars = BTreeMap::new();
    let Ok(voters) = manifest.voters() else {
        return liars;
    };
    let wanted = if rng.chance(200) && mutation != Mutation::TooManyLiars {
        0
    } else {
        manifest.members.len()
    };
    let mut weight = 0;
    for member in rng.some_of(manifest.members.len(), wanted) {
        let Some(index) = voters.index_of(&manifest.members[member].node_id) else {
            continue;
        };
        let sum = weight + voters.weight(index);
        let left = manifest.members.len() - liars.len() - 1;
        if sum > voters.max_faulty() || !voters.is_quorum(voters.total() - sum, left) {
            if mutation == Mutation::TooManyLiars {
                liars.insert(member, Liar::Twins);
            }
            break;
        }
        weight = sum;
        let kind = match rng.below(10) {
            0 => Liar::Silent,
            1..=3 => Liar::Twins,
            _ => Liar::Scripted,
        };
        liars.insert(member, kind);
    }
    if mutation == Mutation::TooManyLiars {
        liars.values_mut().for_each(|liar| *liar = Liar::Twins);
    }
    liars
}

fn settings(rng: &mut Rng) -> EngineSettings {
    let seconds = Duration::from_secs;
    let endorsement = match rng.below(9) {
        0 => Endorsement::Operator,
        1 => Endorsement::Commit,
        2 => Endorsement::Observed,
        _ => Endorsement::Trusted,
    };
    EngineSettings {
        endorsement,
        review_timeout: seconds(rng.between(20, 200)),
        settle_by_event: if rng.chance(200) {
            BTreeMap::from([("blueprint_tagged".to_owned(), seconds(rng.between(1, 10)))])
        } else {
            BTreeMap::new()
        },
        timeouts: Timeouts {
            observe: seconds(rng.between(2, 60)),
            ..Timeouts::default()
        },
        // compactions within a simulated life
        journal_slack_bytes: if rng.chance(400) {
            rng.between(0, 1_000)
        } else {
            8 << 20
        },
        ..EngineSettings::default()
    }
}

/// In every tenth federation some members' policy is `observed` while others' is not. Drawn apart:
/// the rest of a seed stays what it was.
fn observing(seed: u64, nodes: usize) -> BTreeSet<usize> {
    let rng = &mut Rng::stream(seed, 4);
    if !rng.chance(100) {
        return BTreeSet::new();
    }
    let some = rng.between(1, nodes as u64 - 1) as usize;
    rng.some_of(nodes, some).into_iter().collect()
}

/// One event, or several that differ: in what decides, or only in how it was recorded.
fn variants(rng: &mut Rng, number: u64) -> Vec<Event> {
    let kind = if rng.chance(800) {
        "blueprint_tagged"
    } else {
        "compliance_audit"
    };
    let first = testing::event(kind, &format!("v{number}"));
    let mut all = vec![first.clone()];
    for variant in 1..=rng.between(0, 2) {
        let mut event = first.clone();
        match rng.below(4) {
            0 => event.emitted_by = format!("other-{variant}"),
            1 if kind != "compliance_audit" => {
                event.timestamp = format!("2025-10-11T20:0{variant}:00Z");
            }
            _ => event.commit_hash = format!("fffff{variant}{number}"),
        }
        all.push(event);
    }
    all
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Manifest {
            vote_weighting,
            tie_breaking_strategy,
            auto_resolve_conflicts,
            threshold_bp,
            ..
        } = &self.manifest;
        writeln!(
            f,
            "seed {}: {} nodes, {vote_weighting:?} weights, threshold {threshold_bp} bp",
            self.seed,
            self.members()
        )?;
        if *vote_weighting == Weighting::Trust {
            writeln!(
                f,
                "  weights {:?}",
                self.manifest
                    .members
                    .iter()
                    .map(|m| m.weight)
                    .collect::<Vec<_>>()
            )?;
        }
        writeln!(
            f,
            "  automatic rounds {auto_resolve_conflicts} by {}",
            tie_breaking_strategy.as_str()
        )?;
        writeln!(f, "  Byzantine {:?}", self.liars)?;
        let EngineSettings {
            endorsement,
            review_timeout,
            settle_by_event,
            timeouts,
            journal_slack_bytes,
            ..
        } = &self.settings;
        writeln!(
            f,
            "  endorsement {endorsement:?}, review {review_timeout:?}, settle {settle_by_event:?}, observe {:?}, \
             journal slack {journal_slack_bytes}",
            timeouts.observe
        )?;
        if !self.observing.is_empty() {
            writeln!(f, "  endorsement Observed at {:?}", self.observing)?;
        }
        writeln!(f, "  {:?}", self.link)?;
        writeln!(
            f,
            "  disks up to {:?} ms, in files {}, operators {}",
            self.disk_ms, self.in_files, self.operators
        )?;
        for (at, happening) in &self.plan {
            writeln!(f, "  {at:>7} ms {happening}")?;
        }
        write!(f, "  {:>7} ms everything heals", self.healed_at)
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |event: &Event| {
            let Event {
                event,
                version,
                commit_hash,
                timestamp,
                emitted_by,
                ..
            } = event;
            format!("{event} {version} {commit_hash} {timestamp} {emitted_by}")
        };
        match self {
            Self::Emit(member, event) => write!(f, "emit at {member}: {}", name(event)),
            Self::Observe(member, events) => {
                write!(
                    f,
                    "registry of {member}: {}",
                    events.iter().map(name).collect::<Vec<_>>().join(", ")
                )
            }
            Self::Burst(member, events) => write!(f, "emit at {member}: {} events", events.len()),
            Self::Split(groups) => write!(f, "partition {groups:?}"),
            Self::Whole => write!(f, "network whole"),
            Self::Crash(member, end, down) => {
                write!(f, "crash of {member}: {end:?}, up again after {down} ms")
            }
            Self::Change(edit) => write!(f, "a change of members is proposed: {edit:?}"),
            Self::Skew(member, skew) => write!(f, "clock of {member} off by {skew} ms"),
        }
    }
}
