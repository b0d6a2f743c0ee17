//! What telemetry of a command without a node works with, by the flags.

use anyhow::Result;
use ssid_node::config::{self, Config};
use ssid_node::registry::paths::RegistryPaths;
use ssid_node::telemetry::config::TelemetryConfig;
use ssid_node::telemetry::look::Places;
use ssid_node::telemetry::message::Source;
use ssid_node::telemetry::secret::Secrets;
use ssid_node::telemetry::service::TelemetryService;

use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::setup;

/// Where things are, by the flags.
pub(crate) fn places(context: &Context) -> Result<Places, CliError> {
    let paths = RegistryPaths::choose(context.repo.as_deref(), context.home.root());
    let config = TelemetryConfig::load_or_default(&paths.telemetry_config).or_usage()?;
    for finding in &config.findings {
        context.out.remark(&finding.to_string());
    }
    Ok(Places { config, paths })
}

/// Who tells people where no node runs.
pub(crate) fn service(context: &Context) -> Result<TelemetryService> {
    let places = places(context)?;
    let wanted = federation(context, &places)?.settings.notifications;
    let secrets = secrets(&places);
    let source = source(context, &places);
    Ok(TelemetryService::without_node(places, wanted, &secrets)
        .or_code(Code::Failed)?
        .of(source))
}

/// Which node of which federation the data directory is of; `None` where it is of none, as in a
/// repository alone.
pub(super) fn source(context: &Context, places: &Places) -> Option<Source> {
    let manifest = setup::read_genesis(&context.home.genesis()).ok()?;
    let node = setup::read_card(&context.home.card()).ok()?.member.node_id;
    let anonymize = federation(context, places)
        .ok()?
        .settings
        .compliance
        .anonymize_node_data;
    Some(Source::new(&manifest, node, anonymize))
}

pub(super) fn secrets(places: &Places) -> Secrets {
    Secrets::find(
        |name| std::env::var(name).ok(),
        &places.paths.telemetry_config,
    )
}

/// The node's own configuration, for what it says of notifications.
fn federation(context: &Context, places: &Places) -> Result<Config, CliError> {
    Config::effective(&places.paths, &context.home, config::environment()).or_usage()
}
