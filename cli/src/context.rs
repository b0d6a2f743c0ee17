//! What a command runs with.

use std::path::PathBuf;

use anyhow::Result;
use ssid_node::home::Home;

use crate::args::Global;
use crate::client::Client;
use crate::error::OrCode as _;
use crate::output::Output;

/// The global flags, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Where the node's data is.
    pub(crate) home: Home,
    /// The governance repository, if the node serves one.
    pub(crate) repo: Option<PathBuf>,
    /// Where answers go.
    pub(crate) out: Output,
    /// The flags of every command, as they were given.
    pub(crate) global: Global,
}

impl Context {
    /// Resolves the global flags.
    pub(crate) fn new(global: &Global) -> Result<Self> {
        let home = match &global.data {
            Some(data) => Home::new(data),
            None => Home::find(|name| std::env::var_os(name)).or_usage()?,
        };
        let out = Output::new(global.json, global.quiet, global.color);
        Ok(Self {
            home,
            repo: global.repo.clone(),
            out,
            global: global.clone(),
        })
    }

    /// A client of this data directory's node.
    pub(crate) fn client(&self) -> Result<Client> {
        Client::new(&self.home)
    }
}
