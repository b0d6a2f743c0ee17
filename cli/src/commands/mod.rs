//! The commands: one file each, with its arguments and one function. A doc comment is the help text.

mod anchor;
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
mod events;
mod evidence;
mod federation;
mod import;
mod import_legacy;
mod init;
mod log;
mod man;
mod nodes;
mod plain_sync;
mod quorum;
mod release;
mod report;
mod run;
mod status;
mod sync;
mod telemetry;
mod trust;

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;
use crate::demo;
use crate::logging;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::InitArgs),
    Card(card::CardArgs),
    #[command(subcommand)]
    Federation(federation::FederationCommand),
    Run(run::RunArgs),
    Status(status::StatusArgs),
    Quorum(quorum::QuorumArgs),
    Sync(sync::SyncArgs),
    #[command(subcommand)]
    Nodes(nodes::NodesCommand),
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
pub(crate) fn dispatch(command: Command, context: &Context) -> Result<()> {
    let is_node = matches!(command, Command::Run(_));
    logging::start(&context.global, if is_node { "info" } else { "warn" });
    match command {
        Command::Init(args) => init::run(&args, context),
        Command::Card(args) => card::run(&args, context),
        Command::Federation(command) => federation::run(command, context),
        Command::Certificate(command) => certificate::run(command, context),
        Command::Config(command) => config::run(&command, context),
        Command::ImportLegacy(args) => import_legacy::run(&args, context),
        Command::Ci(command) => ci::run(&command, context),
        Command::Release(command) => runtime(false)?.block_on(release::run(command, context)),
        Command::Completions(args) => completions::run(&args, context),
        Command::Man(args) => man::run(&args, context),
        Command::Run(args) => runtime(true)?.block_on(run::run(args, context)),
        Command::Status(args) => runtime(false)?.block_on(status::run(&args, context)),
        Command::Quorum(args) => runtime(false)?.block_on(quorum::run(&args, context)),
        Command::Sync(args) => runtime(false)?.block_on(sync::run(&args, context)),
        Command::Nodes(command) => runtime(false)?.block_on(nodes::run(command, context)),
        Command::Events(command) => runtime(false)?.block_on(events::run(command, context)),
        Command::Consensus(command) => runtime(false)?.block_on(consensus::run(command, context)),
        Command::Conflicts(command) => runtime(false)?.block_on(conflicts::run(command, context)),
        Command::Trust(command) => runtime(false)?.block_on(trust::run(command, context)),
        Command::Compat(command) => runtime(false)?.block_on(compat::run(command, context)),
        Command::Evidence(command) => runtime(false)?.block_on(evidence::run(command, context)),
        Command::Anchor(command) => runtime(false)?.block_on(anchor::run(command, context)),
        Command::Telemetry(command) => runtime(false)?.block_on(telemetry::run(command, context)),
        Command::Report(args) => runtime(false)?.block_on(report::run(args, context)),
        Command::Log(command) => runtime(false)?.block_on(log::run(command, context)),
        Command::Bench(args) => runtime(true)?.block_on(crate::bench::run(&args, context)),
        Command::Demo(args) => runtime(false)?.block_on(demo::run(args, context)),
        Command::Cluster(command) => runtime(false)?.block_on(cluster::run(command, context)),
    }
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
