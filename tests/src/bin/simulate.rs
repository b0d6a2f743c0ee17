//! Runs simulations: `cargo run -p ssid-tests --bin simulate -- --help`.

use std::process::ExitCode;
use std::time::Instant;

use ssid_tests::sim::{self, Options, Outcome, Tracing};

const HELP: &str = "Simulates federations: real engines and storage under a simulated network, clock and disk.

  simulate --seed N [--trace]        one seed, told in full; twice the same seed is twice the same output
  simulate --seeds K [--from N]      K seeds on all cores, and what they covered
  simulate --seeds K --nodes 4..7    federations of that size only

  --json     machine-readable
  --trace    every line of what happened, not only the last ones

Exit code 0: everything held. 1: something did not; the seed and what happened are printed. 2: usage.
";

#[derive(Default)]
struct Arguments {
    seed: Option<u64>,
    seeds: Option<u64>,
    from: u64,
    nodes: Option<(usize, usize)>,
    json: bool,
    trace: bool,
}

fn parse(mut args: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut parsed = Arguments::default();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seed" => parsed.seed = Some(args.next()?.parse().ok()?),
            "--seeds" => parsed.seeds = Some(args.next()?.parse().ok()?),
            "--from" => parsed.from = args.next()?.parse().ok()?,
            "--nodes" => {
                let range = args.next()?;
                let (least, most) = range.split_once("..")?;
                let nodes: (usize, usize) = (least.parse().ok()?, most.parse().ok()?);
                parsed.nodes =
                    Some(nodes).filter(|(least, most)| 4 <= *least && least <= most && *most <= 13);
                parsed.nodes?;
            }
            "--json" => parsed.json = true,
            "--trace" => parsed.trace = true,
            _ => return None,
        }
    }
    (parsed.seed.is_some() != parsed.seeds.is_some()).then_some(parsed)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let Some(arguments) = parse(args.into_iter()) else {
        eprint!("{HELP}");
        return ExitCode::from(2);
    };
    let mut options = Options::default();
    if let Some((least, most)) = arguments.nodes {
        (options.least_nodes, options.most_nodes) = (least, most);
    }
    match (arguments.seed, arguments.seeds) {
        (Some(seed), _) => one(seed, &options, &arguments),
        (_, Some(count)) => many(count, &options, &arguments),
        _ => ExitCode::from(2),
    }
}

fn one(seed: u64, options: &Options, arguments: &Arguments) -> ExitCode {
    let Outcome {
        coverage,
        violation,
        story,
        ..
    } = sim::run(
        seed,
        options,
        if arguments.trace {
            Tracing::All
        } else {
            Tracing::Last
        },
    );
    if arguments.json {
        let outcome = serde_json::json!({
            "seed": seed, "held": violation.is_none(), "violation": violation, "coverage": coverage.to_json(),
        });
        println!("{outcome:#}");
    } else {
        let outcome = violation.as_ref().map_or_else(
            || "everything held".to_owned(),
            |what| format!("FAILED: {what}"),
        );
        println!("{story}{coverage}seed {seed}: {outcome}");
    }
    ExitCode::from(u8::from(violation.is_some()))
}

fn many(count: u64, options: &Options, arguments: &Arguments) -> ExitCode {
    let started = Instant::now();
    let (coverage, failed) = sim::run_many(
        arguments.from..arguments.from.saturating_add(count),
        options,
    );
    let seconds = started.elapsed().as_secs_f64();
    let ran = coverage.of("seeds");
    if arguments.json {
        let outcome = serde_json::json!({
            "held": failed.is_none(), "failed_seed": failed, "coverage": coverage.to_json(),
            "seconds": seconds, "seeds_per_second": ran as f64 / seconds,
        });
        println!("{outcome:#}");
    } else {
        print!("{coverage}");
        println!(
            "{ran} seeds in {seconds:.1} s: {:.1} a second",
            ran as f64 / seconds
        );
    }
    if let Some(seed) = failed {
        eprint!("{}", sim::explain(seed, options));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
