//! The simulation as a test: 2,000 seeds in which everything holds, the same seed twice, and faults
//! that must be found. Which 2,000 says [`FROM`]: CI draws them by the commit, so that each sees
//! new ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Instant;

use ssid_tests::sim::{self, Databases, Mutation, Options, Tracing};

const SEEDS: u64 = 2_000;
/// Names the first of the seeds; 0 if it is not set.
const FROM: &str = "SSID_SIMULATION_FROM";

fn first_seed() -> u64 {
    match std::env::var(FROM) {
        Ok(from) => from
            .parse()
            .unwrap_or_else(|_| panic!("{FROM}={from} is no number")),
        Err(_) => 0,
    }
}

#[test]
fn two_thousand_seeds_hold() {
    let (options, started) = (Options::default(), Instant::now());
    let from = first_seed();
    println!(
        "seeds from {from}: cargo run -p ssid-tests --bin simulate -- --seeds {SEEDS} --from {from}"
    );
    let (coverage, failed) = sim::run_many(from..from + SEEDS, &options);
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{coverage}{SEEDS} seeds in {seconds:.1} s: {:.1} a second",
        SEEDS as f64 / seconds
    );
    assert!(
        failed.is_none(),
        "{}",
        failed
            .map(|seed| sim::explain(seed, &options))
            .unwrap_or_default()
    );
    // what is never reached proves nothing
    for what in [
        "certified in round  0",
        "certified in round  1",
        "certified in round  3",
        "certified in round 11",
        "resolution consensus_achieved",
        "resolution manual_review",
        "resolution tie_break:timestamp_priority",
        "resolution tie_break:coordinator_priority",
        "resolution tie_break:trust_weighted",
        "conflicts",
        "partitions",
        "clocks set wrong",
        "clocks off by days",
        "clocks put right",
        "lies: half bad",
        "messages rejected",
        "members shut out",
        "bursts of own events",
        "endorsement Observed",
        "endorsement Observed at some members",
        "rows of conflicts in the end",
        "messages lost",
        "messages duplicated",
        "answers refused",
        "equivocations of liars that reached honest nodes",
        "died while sending",
        "died in a write: JournalWrite",
        "died in a write: JournalSync",
        "died in a write: RowsWrite",
        "died in a write: RowsSync",
        "died in a write: HeadWrite",
        "died in a write: HeadSync",
        "died in a write: HeadCreate",
        "died in a write: HeadReplace",
        "died in a write: HeadReplaceSync",
        "died in a write: CompactionWrite",
        "died in a write: CompactionReplace",
        "died in a write: CompactionSync",
    ] {
        assert!(coverage.of(what) > 0, "no seed covers: {what}");
    }
}

/// Seeds of every kind, with everything that happened in them: partitions, deaths, liars, sled's
/// files.
#[test]
fn the_same_seed_does_the_same() {
    let options = Options::default();
    for seed in 0..10 {
        let [one, two] = [(); 2].map(|()| sim::run(seed, &options, Tracing::All));
        assert!(one.story.len() > 1_000, "seed {seed} tells nothing");
        assert!(one.story == two.story, "seed {seed} differs from itself");
        assert_eq!(
            (one.coverage, one.violation),
            (two.coverage, two.violation),
            "seed {seed}"
        );
    }
}

/// Databases in memory are a saving, not another behaviour: over sled's files a seed does the same.
#[test]
fn a_seed_does_the_same_over_sled_and_in_memory() {
    for seed in 0..6 {
        let of = |databases| {
            sim::run(
                seed,
                &Options {
                    databases,
                    ..Options::default()
                },
                Tracing::All,
            )
        };
        let (memory, files) = (of(Databases::InMemory), of(Databases::InFiles));
        assert!(
            files.story.contains("in files true"),
            "seed {seed} ran in memory"
        );
        assert!(
            files.story.replace("in files true", "in files false") == memory.story,
            "seed {seed} differs"
        );
        assert_eq!(memory.coverage, files.coverage, "seed {seed}");
    }
}

/// That one of the seeds before `within` fails in these words. A fault may show in other ways
/// before: a node whose history is gone may hear of it from others, and be missed by them for good.
fn is_found(mutation: Mutation, within: u64, words: &[&str]) {
    let most_nodes = if mutation == Mutation::TooManyLiars {
        4
    } else {
        13
    };
    let options = Options {
        mutation,
        most_nodes,
        databases: Databases::InMemory,
        ..Options::default()
    };
    let mut from = 0;
    loop {
        let (_, failed) = sim::run_many(from..within, &options);
        let seed = failed
            .unwrap_or_else(|| panic!("{mutation:?} is not found as {words:?} in {within} seeds"));
        let story = sim::explain(seed, &options);
        let (_, failure) = story.split_once("FAILED: ").unwrap();
        println!(
            "{mutation:?} in seed {seed}: {}",
            failure.lines().next().unwrap()
        );
        if words.iter().any(|words| failure.contains(words)) {
            return;
        }
        from = seed + 1;
    }
}

#[test]
fn a_restart_that_forgets_its_locks_is_found() {
    is_found(Mutation::DropsLocks, 600, &["two votes of member"]);
}

#[test]
fn sending_before_flushing_is_found() {
    is_found(
        Mutation::SendsBeforeFlush,
        20,
        &["sends what is not on its disk"],
    );
}

#[test]
fn losing_what_was_sent_is_found() {
    is_found(
        Mutation::LosesWhatWasSent,
        1500,
        &[
            "two votes of member",
            "does not extend itself",
            "never seen",
            "abstains",
        ],
    );
}

#[test]
fn a_disk_that_is_an_old_one_is_found() {
    is_found(
        Mutation::RestoresOldDisk,
        300,
        &["does not extend itself", "abstains"],
    );
}

#[test]
fn more_liars_than_a_third_break_safety() {
    is_found(
        Mutation::TooManyLiars,
        1500,
        &["SAFETY", "two certificates"],
    );
}
