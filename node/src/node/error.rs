//! Why a node does not start, or ended: the errors of its parts, and its own.

use std::path::PathBuf;
use std::time::Duration;

use ssid_network::NetworkError;
use ssid_storage::PathError;

use crate::api::ApiError;
use crate::config::ConfigError;
use crate::home::HomeError;
use crate::invited::InvitedError;
use crate::keyfile::KeyFileError;
use crate::registry::file::FileError;

/// How long an orderly end may take.
pub(super) const SHUTDOWN_AT_MOST: Duration = Duration::from_secs(5);

/// Why a node does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data directory is not usable.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration says that the node takes no part.
    #[error(
        "federation.enabled is false: this node takes no part in its federation\n  set it to true in '{}', or start with SSID_FEDERATION_ENABLED=true",
        .0.display()
    )]
    Disabled(PathBuf),
    /// A key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// There is no genesis file: the node belongs to no federation.
    #[error(
        "'{0}' is missing: this node belongs to no federation yet; join one with: ssid federation join genesis.json"
    )]
    NoGenesis(PathBuf),
    /// The genesis file is not usable.
    #[error(
        "'{path}' is no valid genesis manifest: {reason}; get it again from a coordinator and join with: ssid federation join"
    )]
    Genesis {
        /// The file that cannot be used.
        path: PathBuf,
        /// What is wrong with it, in words.
        reason: String,
    },
    /// An address in the configuration or the manifest is none.
    #[error("{place}: '{value}' is no multiaddress, for example /ip4/192.0.2.7/tcp/4170")]
    Address {
        /// Where it stands.
        place: String,
        /// What stands there.
        value: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] PathError),
    /// The invite that the node joined with cannot be used.
    #[error(transparent)]
    Invite(#[from] InvitedError),
    /// Storage cannot be opened, or failed while the node ran.
    #[error(transparent)]
    Storage(#[from] ssid_storage::StorageError),
    /// The network cannot be started.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The API cannot be served.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The registry file cannot be opened.
    #[error(transparent)]
    Registry(#[from] FileError),
    /// `api.listen` is no address.
    #[error("api.listen: '{0}' is no address, for example 127.0.0.1:4171")]
    ApiAddress(String),
    /// Storage failed while the node ran; it has stopped voting.
    #[error("this node ran read-only until it was stopped: {0}")]
    ReadOnly(String),
    /// Something did not end in time.
    #[error("the node's tasks did not end within {} seconds", SHUTDOWN_AT_MOST.as_secs())]
    Shutdown,
}

impl NodeError {
    /// Whether the way it was called or configured is at fault, rather than what happened.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Home(_)
                | Self::Config(_)
                | Self::Disabled(_)
                | Self::Key(_)
                | Self::NoGenesis(_)
                | Self::Genesis { .. }
                | Self::Invite(_)
                | Self::Address { .. }
                | Self::ApiAddress(_)
                | Self::Network(NetworkError::NotAMember(_) | NetworkError::WrongPeer { .. })
        )
    }
}
