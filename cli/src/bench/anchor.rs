//! `ssid bench anchor`: how fast content is named, and how long an IPFS node takes for many small
//! files and a large one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use ssid_node::anchor::cid::{self, CidVersion, Import};
use ssid_node::anchor::provider::Providers;
use ssid_node::anchor::run::{self, Item, Known};
use ssid_node::anchor::select::{Candidate, Trigger};
use ssid_node::config::Anchoring;

use super::machine::Machine;
use super::median::median;
use super::process::PeakMemory;
use crate::context::Context;
use crate::error::CliError;
use crate::output::Output;

const MIB: usize = 1 << 20;
/// Times a CID is computed; the middle one counts.
const ROUNDS: usize = 5;

/// Measure anchoring: CIDs computed here, and uploads if an IPFS node is named
///
/// Examples:
///   ssid bench anchor
///   ssid bench anchor --api http://127.0.0.1:5001 --files 100 --mib 100 --json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct AnchorArgs {
    /// The RPC of an IPFS node on this machine; without it nothing is uploaded
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// How many small files
    #[arg(long, value_name = "N", default_value_t = 100)]
    files: usize,
    /// MiB of the large file
    #[arg(long, value_name = "N", default_value_t = 100)]
    mib: usize,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    mib: usize,
    /// Millions of bytes named a second, on one core.
    cid_v0_mb_per_second: f64,
    cid_v1_mb_per_second: f64,
    /// By how much memory grew at most meanwhile.
    cid_memory_mib: f64,
    uploads: Option<Uploads>,
    machine: Machine,
}

#[derive(Debug, Serialize)]
struct Uploads {
    files: usize,
    files_seconds: f64,
    large_seconds: f64,
    /// By how much this process' memory grew at most during the large one.
    large_memory_mib: f64,
}

pub(super) async fn run(args: &AnchorArgs, context: &Context) -> Result<()> {
    if !(1..=run::SESSION_FILES).contains(&args.files) || !(1..=4096).contains(&args.mib) {
        return Err(CliError::usage(
            "--files is 1 to 100, what one session takes, and --mib 1 to 4096",
        )
        .into());
    }
    let dir = tempfile::Builder::new()
        .prefix("ssid-bench-")
        .tempdir()
        .context("no temporary directory")?;
    let report = measure(args, dir.path()).await?;
    context
        .out
        .show(&report, |report| words(report, context.out))?;
    Ok(())
}

async fn measure(args: &AnchorArgs, dir: &Path) -> Result<Report> {
    let machine = Machine::here();
    let large = large_file(dir, args.mib)?;
    let memory = PeakMemory::begin()?;
    let cid_v0_mb_per_second = named_per_second(&large, CidVersion::V0)?;
    let cid_v1_mb_per_second = named_per_second(&large, CidVersion::V1)?;
    let cid_memory_mib = memory.grown_mib()?;
    let uploads = match &args.api {
        Some(api) => Some(uploads(api, args.files, dir, large).await?),
        None => None,
    };
    Ok(Report {
        mib: args.mib,
        cid_v0_mb_per_second,
        cid_v1_mb_per_second,
        cid_memory_mib,
        uploads,
        machine,
    })
}

/// No two chunks of it are equal, so that no server finds any of it again.
fn large_file(dir: &Path, mib: usize) -> Result<PathBuf> {
    let path = dir.join("large");
    let mut file = fs::File::create(&path)?;
    let mut block = vec![0_u8; MIB];
    for number in 0..mib {
        rand::fill(&mut block[..]);
        file.write_all(&block)
            .with_context(|| format!("no room for {mib} MiB, at {number}"))?;
    }
    Ok(path)
}

fn named_per_second(path: &Path, version: CidVersion) -> Result<f64> {
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let content = cid::of_file(path, &[Import::of(version)])?;
        rates.push(content.bytes as f64 / 1e6 / start.elapsed().as_secs_f64());
    }
    Ok(median(rates).round())
}

async fn uploads(api: &str, files: usize, dir: &Path, large: PathBuf) -> Result<Uploads> {
    let settings = Anchoring {
        local_api: api.to_owned(),
        ..Anchoring::default()
    };
    let providers = Providers::configured(&settings, &|_| None)?;
    let mut items = Vec::new();
    for number in 0..files {
        let name = format!("small-{number}.json");
        // new content each time: what an IPFS node has already costs it nothing
        let mut content = [0_u8; 16];
        rand::fill(&mut content);
        fs::write(
            dir.join(&name),
            format!(
                "{{\"number\": {number}, \"content\": \"{}\"}}\n",
                hex::encode(content)
            ),
        )?;
        items.push(item(name.clone(), dir.join(name)));
    }
    let files_seconds = anchored(items, &providers).await?;
    // after the small ones: the peak is to be that of one large file
    let memory = PeakMemory::begin()?;
    let large_seconds = anchored(vec![item("large".to_owned(), large)], &providers).await?;
    Ok(Uploads {
        files,
        files_seconds,
        large_seconds,
        large_memory_mib: memory.grown_mib()?,
    })
}

fn item(name: String, path: PathBuf) -> Item {
    Item::from(Candidate {
        relative: name,
        place: path.into(),
        trigger: Trigger::default(),
    })
}

/// Seconds from hashing to the last answer.
async fn anchored(items: Vec<Item>, providers: &Providers) -> Result<f64> {
    let count = items.len();
    let start = Instant::now();
    let session = run::session(items, &Known::default(), providers, None, &|_| ()).await;
    let took = start.elapsed().as_secs_f64();
    if let Some(failure) = session.failed.first() {
        anyhow::bail!("{}: {}", failure.file, failure.reason);
    }
    anyhow::ensure!(
        session.anchored.len() == count,
        "{} of {count} were anchored",
        session.anchored.len()
    );
    Ok(took)
}

fn words(report: &Report, out: Output) -> String {
    let mut fields = vec![
        (
            "named",
            format!(
                "{} MB/s as CIDv0, {} MB/s as CIDv1 ({} MiB); memory grew by {:.1} MiB",
                report.cid_v0_mb_per_second,
                report.cid_v1_mb_per_second,
                report.mib,
                report.cid_memory_mib
            ),
        ),
        ("uploaded", "nothing: no --api was named".to_owned()),
        ("machine", report.machine.to_string()),
    ];
    if let Some(uploads) = &report.uploads {
        fields[1].1 = format!(
            "{} small files in {:.2} s; {} MiB in {:.2} s, memory grew by {:.1} MiB",
            uploads.files,
            uploads.files_seconds,
            report.mib,
            uploads.large_seconds,
            uploads.large_memory_mib
        );
    }
    out.fields(&fields)
}
