//! The commands: one file each, with its arguments and one function. A doc comment is the help
//! text.

mod anchor;
mod by_commit;
mod card;
mod certificate;
mod ci;
mod cluster;
mod compat;
mod completions;
mod config;
mod conflicts;
mod consensus;
mod emit;
mod epochs;
mod events;
mod evidence;
mod export;
mod federation;
mod import;
mod import_legacy;
mod init;
mod key;
mod log;
mod log_verify;
mod man;
mod membership;
mod near_type;
mod nodes;
mod offline;
mod plain_sync;
mod quorum;
mod release;
mod report;
mod restore;
mod run;
mod status;
mod sync;
mod telemetry;
mod todo;
mod trust;
mod untimely;
mod written;

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;
use crate::demo;
use crate::logging;
use crate::process::{self, block_on};
use crate::progress;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::InitArgs),
    Card(card::CardArgs),
    #[command(subcommand)]
    Key(key::KeyCommand),
    Restore(restore::RestoreArgs),
    #[command(subcommand)]
    Federation(federation::FederationCommand),
    Run(run::RunArgs),
    Status(status::StatusArgs),
    Quorum(quorum::QuorumArgs),
    Todo(todo::TodoArgs),
    Sync(sync::SyncArgs),
    #[command(subcommand)]
    Nodes(nodes::NodesCommand),
    #[command(subcommand)]
    Membership(membership::MembershipCommand),
    #[command(subcommand)]
    Epochs(epochs::EpochsCommand),
    #[command(subcommand)]
    Events(events::EventsCommand),
    #[command(subcommand)]
    Consensus(consensus::ConsensusCommand),
    #[command(subcommand)]
    Conflicts(conflicts::ConflictsCommand),
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    #[command(subcommand)]
    Evidence(evidence::EvidenceCommand),
    #[command(subcommand)]
    Certificate(certificate::CertificateCommand),
    #[command(subcommand)]
    Log(log::LogCommand),
    #[command(subcommand)]
    Anchor(anchor::AnchorCommand),
    #[command(subcommand)]
    Telemetry(telemetry::TelemetryCommand),
    Report(report::ReportArgs),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    #[command(name = "import-legacy")]
    ImportLegacy(import_legacy::ImportLegacyArgs),
    #[command(subcommand)]
    Compat(compat::CompatCommand),
    #[command(subcommand)]
    Ci(ci::CiCommand),
    #[command(subcommand)]
    Release(release::ReleaseCommand),
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    Bench(crate::bench::BenchArgs),
    Demo(demo::DemoArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Runs a command.
///
/// `interface` describes the whole command line, for those that write it down.
pub(crate) fn dispatch(
    command: Command,
    context: &Context,
    interface: fn() -> clap::Command,
) -> Result<()> {
    let is_node = matches!(command, Command::Run(_));
    let usual = if is_node { "info" } else { "warn" };
    logging::start(&context.global, usual, is_node);
    if !matches!(command, Command::Bench(_)) {
        // a benchmark measures its own memory, which needs what this forbids
        process::keep_private();
    }
    if !matches!(command, Command::Run(_)) {
        progress::show_command(context.out);
    }
    run(command, context, interface)
}

fn run(command: Command, context: &Context, interface: fn() -> clap::Command) -> Result<()> {
    match command {
        Command::Init(args) => init::run(&args, context),
        Command::Card(args) => card::run(&args, context),
        Command::Restore(args) => restore::run(&args, context),
        Command::Key(command) => asking(key::run(command, context)),
        Command::Federation(command) => asking(federation::run(command, context)),
        Command::Certificate(command) => certificate::run(command, context),
        Command::Config(command) => config::run(&command, context),
        Command::ImportLegacy(args) => import_legacy::run(&args, context),
        Command::Ci(command) => ci::run(&command, context),
        Command::Release(command) => runtime(false)?.block_on(release::run(command, context)),
        Command::Completions(args) => completions::run(&args, context, interface()),
        Command::Man(args) => man::run(&args, context, interface()),
        Command::Run(args) => working(run::run(args, context)),
        Command::Status(args) => asking(status::run(&args, context)),
        Command::Quorum(args) => asking(quorum::run(&args, context)),
        Command::Todo(args) => asking(todo::run(&args, context)),
        Command::Sync(args) => asking(sync::run(&args, context)),
        Command::Nodes(command) => asking(nodes::run(command, context)),
        Command::Membership(command) => asking(membership::run(command, context)),
        Command::Epochs(command) => asking(epochs::run(command, context)),
        Command::Events(command) => asking(events::run(command, context)),
        Command::Consensus(command) => asking(consensus::run(command, context)),
        Command::Conflicts(command) => asking(conflicts::run(command, context)),
        Command::Trust(command) => asking(trust::run(command, context)),
        Command::Compat(command) => asking(compat::run(command, context)),
        Command::Evidence(command) => asking(evidence::run(command, context)),
        Command::Anchor(command) => asking(anchor::run(command, context)),
        Command::Telemetry(command) => asking(telemetry::run(command, context)),
        Command::Report(args) => asking(report::run(args, context)),
        Command::Log(command) => asking(log::run(command, context)),
        Command::Bench(args) => working(crate::bench::run(&args, context)),
        Command::Demo(args) => asking(demo::run(args, context)),
        Command::Cluster(command) => asking(cluster::run(command, context)),
    }
}

/// Runs what asks others and waits for their answers.
fn asking(answer: impl Future<Output = Result<()>>) -> Result<()> {
    block_on(runtime(false)?, answer)
}

/// Runs what works itself.
fn working(work: impl Future<Output = Result<()>>) -> Result<()> {
    block_on(runtime(true)?, work)
}

/// One thread for commands that ask a node, several for the node itself.
fn runtime(is_node: bool) -> Result<tokio::runtime::Runtime> {
    let mut builder = if is_node {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    Ok(builder.enable_all().build()?)
}
