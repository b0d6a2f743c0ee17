//! Deterministic simulation: the real engine and the real storage under a simulated network, clock
//! and disk, all of it drawn from one seed (SPEC §1; SPEC §7, *What a
//! node keeps to, whatever happens*).
//!
//! ```text
//! scenario    seed → federation, liars, network, disks, plan
//! world       the loop: what happens next, in order of simulated time
//! turns       a node's ticks and what comes of them, as `engine::task` does it
//! blocks      what comes of verdicts
//! faults      partitions, deaths, restarts, clocks; and the end of all of them
//! people      operators
//! byzantine   members that lie by script; twins are two real engines under one key
//! changes     of members: who proposes which, and what must hold of epochs
//! checks      after every step;  ending, rows: in the end
//! ```
//!
//! A seed is run by [`run`]; [`run_many`] runs a range of them on all cores. Nothing depends on the
//! machine's clock, on threads or on the order of a hash map: the same seed does the same, to the
//! byte.

mod believing;
mod blocks;
mod byzantine;
mod changes;
mod checks;
mod clock;
mod coverage;
mod ending;
mod faults;
mod federation;
mod lying_about_changes;
mod many;
mod mutation;
mod network;
mod node;
mod people;
mod rng;
mod rows;
mod scenario;
mod trace;
mod tracing;
mod turns;
mod world;

pub use coverage::Coverage;
pub use many::run_many;
pub use mutation::Mutation;
pub use scenario::{Databases, Options};

use federation::Federation;
use scenario::Scenario;
use trace::Trace;
use world::World;

/// How much of what happens in a seed is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// Nothing: fast.
    Off,
    /// The last lines, and a digest of all.
    Last,
    /// Every line.
    All,
}

/// What became of a seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What it covered.
    pub coverage: Coverage,
    /// What did not hold, if anything.
    pub violation: Option<String>,
    /// The scenario, the lines of the trace and its digest, if it was on.
    pub story: String,
}

/// Runs one seed.
pub fn run(seed: u64, options: &Options, tracing: Tracing) -> Outcome {
    let scenario = Scenario::of(seed, options);
    let trace = Trace::new(tracing != Tracing::Off, tracing == Tracing::All);
    let fed = match Federation::of(&scenario.manifest) {
        Ok(fed) => fed,
        Err(error) => {
            return Outcome {
                seed,
                coverage: Coverage::default(),
                violation: Some(error),
                story: String::new(),
            };
        }
    };
    let mut world = match World::new(&scenario, &fed, options.mutation, trace) {
        Ok(world) => world,
        Err(error) => {
            return Outcome {
                seed,
                coverage: Coverage::default(),
                violation: Some(error),
                story: String::new(),
            };
        }
    };
    let violation = world.run().err();
    world.coverage.count("seeds");
    world
        .coverage
        .count(&format!("endorsement {:?}", scenario.settings.endorsement));
    if !scenario.observing.is_empty() {
        world.coverage.count("endorsement Observed at some members");
    }
    let mut story = String::new();
    if tracing != Tracing::Off {
        let lines = world.trace.lines().collect::<Vec<_>>().join("\n");
        story = format!("{scenario}\n{lines}\n{}\n", world.trace.summary());
    }
    Outcome {
        seed,
        coverage: std::mem::take(&mut world.coverage),
        violation,
        story,
    }
}

/// Runs a seed that failed again, and says everything there is to say about it.
pub fn explain(seed: u64, options: &Options) -> String {
    let Outcome {
        violation, story, ..
    } = run(seed, options, Tracing::Last);
    let violation = violation
        .unwrap_or_else(|| "nothing, this time: the simulation is not deterministic".to_owned());
    format!(
        "{story}seed {seed} FAILED: {violation}\nrun it again: cargo run -p ssid-tests --bin simulate -- --seed {seed}\n"
    )
}
