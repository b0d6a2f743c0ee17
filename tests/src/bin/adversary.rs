//! A member of a local cluster that misbehaves, for trying out what its federation makes of it:
//!
//! ```text
//! ssid cluster up 4 --dir ~/c && ssid cluster stop 3 --dir ~/c
//! cargo run -p ssid-tests --bin adversary -- --cluster ~/c --member 3 --do equivocate --seconds 20
//! ```

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use ssid_tests::adversary::{Adversary, Misdeed};

/// Speaks the protocol badly with the keys of a cluster's member, whose own node must not run.
#[derive(Debug, Parser)]
struct Args {
    /// The cluster's directory, which holds node-0, node-1, ...
    #[arg(long)]
    cluster: PathBuf,
    /// The member whose keys are used.
    #[arg(long, default_value_t = 3)]
    member: usize,
    /// What it does; may be given several times.
    #[arg(long = "do", value_enum, required = true)]
    misdeeds: Vec<Misdeed>,
    /// For how long.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mallory = Adversary::of(&args.cluster.join(format!("node-{}", args.member)))?;
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let mut portion = 0;
    while Instant::now() < end {
        for misdeed in &args.misdeeds {
            for victim in 0..mallory.victims().len() {
                misdeed.commit(&mallory, victim, portion);
            }
        }
        portion += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    for (victim, link) in mallory.victims().iter().zip(mallory.links()) {
        println!("{}: {link:?}", victim.node);
    }
    Ok(())
}
