//! `ssid config`: checks and shows the configuration.

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;
use ssid_node::api::TcpListen;
use ssid_node::config::{self, Config, ConfigError, Finding, Mode};
use ssid_node::git::GitRemote;
use ssid_node::registry::paths::RegistryPaths;
use ssid_node::telemetry::config::TelemetryConfig;
use ssid_protocol::manifest::Manifest;

use super::telemetry;
use crate::context::Context;
use crate::error::{CliError, OrCode as _};
use crate::output::{Tone, clean};
use crate::setup;

/// Check and show this node's configuration
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the configuration file and the SSID_… variables
    ///
    /// Names file, line, key, the value and what is allowed. Exit 2 if the node cannot run with it;
    /// what only deserves a look is shown and is exit 0.
    ///
    /// Example:
    ///   ssid config check --repo /srv/governance
    #[command(verbatim_doc_comment)]
    Check,
    /// Show every setting that holds: the file's over the defaults, the environment's over both
    ///
    /// Example:
    ///   ssid config show --repo /srv/governance
    #[command(verbatim_doc_comment)]
    Show,
}

pub(crate) fn run(command: &ConfigCommand, context: &Context) -> Result<()> {
    let paths = RegistryPaths::choose(context.repo.as_deref(), context.home.root());
    let path = &paths.federation_config;
    // defaults would be shown as if somebody had written them
    if !path.exists() {
        return Err(CliError::usage(ConfigError::Missing(path.to_path_buf())).into());
    }
    // as a node would start with them: the environment counts
    let config = Config::effective(&paths, &context.home, config::environment()).or_usage()?;
    match command {
        ConfigCommand::Show => {
            context.out.show(&config.to_show(), |settings| {
                serde_json::to_string_pretty(settings).unwrap_or_default()
            })?;
        }
        ConfigCommand::Check => {
            let mut findings = config.check();
            findings.extend(
                // both files, as whoever checks one wants to know of both
                TelemetryConfig::load_or_default(&paths.telemetry_config)
                    .or_usage()?
                    .findings,
            );
            let mut overruled = overruled(&config, context)?;
            overruled.extend(of_no_effect(&config, &paths, context));
            let answer = json!({
                "file": path.display().to_string(),
                "findings": findings.iter().map(as_json).collect::<Vec<_>>(),
                "overruled": overruled,
            });
            context.out.show(&answer, |_| {
                let told = findings
                    .iter()
                    .map(ToString::to_string)
                    .chain(overruled.iter().cloned());
                let told: Vec<_> = told
                    .map(|text| context.out.paint(Tone::Warn, &clean(&text)))
                    .collect();
                if told.is_empty() {
                    format!(
                        "{}: {}",
                        path.display(),
                        context.out.paint(Tone::Good, "valid")
                    )
                } else {
                    told.join("\n")
                }
            })?;
            // last, as a token that is missing is an error and the findings are not
            api_token(&config)?;
        }
    }
    Ok(())
}

fn as_json(finding: &Finding) -> serde_json::Value {
    json!({
        "file": finding.file, "line": finding.line, "key": finding.key,
        "value": finding.value, "allowed": finding.allowed,
    })
}

/// Settings that the federation's manifest overrules.
fn overruled(config: &Config, context: &Context) -> Result<Vec<String>, CliError> {
    let genesis = context.home.genesis();
    // before it joined, nothing overrules its settings
    if !genesis.exists() {
        return Ok(Vec::new());
    }
    let manifest: Manifest = setup::read_genesis(&genesis).or_usage()?;
    let settings = &config.settings.consensus_settings;
    let pairs = [
        (
            "threshold",
            settings.threshold_bp().to_string(),
            manifest.threshold_bp.to_string(),
        ),
        (
            "min_participating_nodes",
            settings.min_participating_nodes.to_string(),
            manifest.min_participating_nodes.to_string(),
        ),
        (
            "tie_breaking_strategy",
            settings.tie_breaking_strategy.as_str().to_owned(),
            manifest.tie_breaking_strategy.to_string(),
        ),
        (
            "auto_resolve_conflicts",
            settings.auto_resolve_conflicts.to_string(),
            manifest.auto_resolve_conflicts.to_string(),
        ),
    ];
    let differing = pairs.into_iter().filter(|(_, here, there)| here != there);
    let differing =
        differing.map(|(key, here, there)| (format!("consensus_settings.{key}"), here, there));
    let tell = |(key, here, there)| {
        format!("{key} is {here} here and {there} in the federation's manifest, which decides")
    };
    Ok(differing
        .chain(role(config, &manifest, context))
        .map(tell)
        .collect())
}

/// Settings that are well in themselves, and do not do what they seem to.
fn of_no_effect(config: &Config, paths: &RegistryPaths, context: &Context) -> Vec<String> {
    let local = &config.settings.local_node;
    let security = &config.settings.security;
    let mut told = Vec::new();
    // the card is signed with it, and others go by the card
    let signed = setup::read_card(&context.home.card()).map(|card| card.member.node_name);
    if let Ok(signed) = signed
        && !local.node_name.is_empty()
        && local.node_name != signed
    {
        told.push(format!(
            "local_node.node_name is {:?}, and {signed:?} in the signed card, which holds",
            local.node_name
        ));
    }
    if !local.git_remote.is_empty()
        && let Err(refused) = GitRemote::parse(&local.git_remote, &security.allowed_git_protocols)
    {
        told.push(format!("local_node.git_remote: {refused}"));
    }
    // a channel that cannot be used is silent: here it says why
    if paths.telemetry_config.exists()
        && let Ok(service) = telemetry::setting::service(context)
    {
        let unusable = service.senders().unusable.iter();
        told.extend(unusable.map(|(channel, why)| {
            format!(
                "telemetry channel {} cannot be used: {why}",
                channel.as_str()
            )
        }));
    }
    told
}

/// What the node would not start without.
fn api_token(config: &Config) -> Result<(), CliError> {
    let api = &config.settings.api;
    // what is no address is refused when the file is read
    match api.listen.as_ref().and_then(|listen| listen.parse().ok()) {
        Some(address) => TcpListen::from_env(address, &api.token_env)
            .map(|_| ())
            .or_usage(),
        None => Ok(()),
    }
}

/// `federation.mode`, here and there, where one says that this node votes and the other that it
/// does not.
fn role(
    config: &Config,
    manifest: &Manifest,
    context: &Context,
) -> Option<(String, String, String)> {
    let own = setup::read_card(&context.home.card()).ok()?.member.node_id;
    let there = manifest.member(&own)?;
    let here = config.settings.federation.mode;
    ((here != Mode::Observer) != there.is_voter()).then(|| {
        (
            "federation.mode".to_owned(),
            here.as_str().to_owned(),
            there.role.to_string(),
        )
    })
}
