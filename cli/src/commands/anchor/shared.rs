//! What the commands of `ssid anchor` have in common: where files are, and the running node.

use anyhow::Result;
use ssid_node::config::{self, Config};
use ssid_node::registry::paths::RegistryPaths;

use crate::client::Client;
use crate::context::Context;
use crate::error::OrCode as _;

/// Anchors asked of a node at once: the API's longest page.
pub(super) const PAGE: usize = 1000;

/// Where the registry's files are, and how this node anchors them.
pub(super) fn configured(context: &Context) -> Result<(RegistryPaths, Config)> {
    let paths = RegistryPaths::choose(context.repo.as_deref(), context.home.root());
    let config = Config::effective(&paths, &context.home, config::environment()).or_usage()?;
    Ok((paths, config))
}

/// The client of a node, if one runs.
pub(super) async fn running(context: &Context) -> Option<Client> {
    let client = context.client().ok()?;
    client.ready().await.map(|_| client)
}
