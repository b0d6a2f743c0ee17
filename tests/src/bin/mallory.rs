//! A member that plots against all others of a local cluster together, for trying out whether its
//! federation goes on:
//!
//! ```text
//! ssid cluster up --nodes 4 --dir /tmp/c          (in another terminal)
//! ssid cluster kill 3 --dir /tmp/c
//! cargo run -p ssid-tests --bin mallory -- --cluster /tmp/c --member 3 --do frame --count 40 --rate 5000 --seconds 120
//! ```

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use ssid_tests::adversary::{Adversary, Scheme};

/// Carries out a plan with the keys of a cluster's member, whose own node must not run.
#[derive(Debug, Parser)]
struct Args {
    /// The cluster's directory, which holds node-0, node-1, ...
    #[arg(long)]
    cluster: PathBuf,
    /// The member whose keys are used.
    #[arg(long, default_value_t = 3)]
    member: usize,
    /// What it does.
    #[arg(long = "do", value_enum)]
    scheme: Scheme,
    /// Messages to each victim in one burst.
    #[arg(long, default_value_t = 40)]
    count: u64,
    /// Milliseconds between the begins of two bursts.
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// For how long.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mallory = Adversary::of(&args.cluster.join(format!("node-{}", args.member)))?;
    args.scheme.prepare(&mallory);
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let mut portion = 0;
    while Instant::now() < end {
        let next = Instant::now() + Duration::from_millis(args.rate);
        for _ in 0..args.count {
            args.scheme.commit(&mallory, portion);
            portion += 1;
        }
        std::thread::sleep(next.min(end).saturating_duration_since(Instant::now()));
    }
    println!("{portion} portions");
    for (victim, link) in mallory.victims().iter().zip(mallory.links()) {
        println!("{}: {link:?}", victim.node);
    }
    Ok(())
}
