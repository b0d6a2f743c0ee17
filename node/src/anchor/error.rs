//! Why something was not anchored: what happened, to what, and the next step. No address with a
//! secret and no token is ever in a message: addresses in the configuration have none, and tokens
//! are not shown.

use std::path::PathBuf;

use cid::Cid;
use ssid_storage::PathError;

/// Why a place did not take content, or could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It is named in `anchoring.providers`, and a key it needs is empty.
    #[error(
        "anchoring.providers names `{provider}`, but {key} is empty\n  set it in federation_config.json, or leave `{provider}` out"
    )]
    NotConfigured {
        /// The provider's name in the configuration.
        provider: &'static str,
        /// The configuration key that lacks.
        key: &'static str,
    },
    /// No provider is named.
    #[error("anchoring.providers is empty\n  name where content is put, for example [\"local\"]")]
    NoProvider,
    /// It needs a token, and there is none.
    #[error(
        "no token for `{provider}`: {variable} is not set\n  set it, or set {variable}_FILE to a file of mode 0600 that has it"
    )]
    NoToken {
        /// The provider's name in the configuration.
        provider: &'static str,
        /// The variable that should have it.
        variable: String,
    },
    /// No variable for tokens.
    #[error(
        "{variable} is not read for a token\n  name a variable SSID_…_TOKEN in the data directory's configuration"
    )]
    TokenVariable {
        /// The environment variable that was looked for.
        variable: String,
    },
    /// Nobody who may has said that this server gets the token.
    #[error(
        "the token in {variable} is not sent to {host}, which the provider `{provider}` is: nothing on this machine names it \
         for that token\n  if it is right, set {variable}_HOST={host}, or the address in the data directory's configuration"
    )]
    TokenHost {
        /// The provider's name in the configuration.
        provider: &'static str,
        /// The variable with the token.
        variable: String,
        /// Host and port of the server.
        host: String,
    },
    /// The file with the token cannot be used.
    #[error("cannot use the token file {}: {reason}\n  it must be readable by its owner only: chmod 600", path.display())]
    TokenFile {
        /// The file that it is about.
        path: PathBuf,
        /// What is wrong, in words.
        reason: String,
    },
    /// A token would go over the network in the clear.
    #[error(
        "{place} is plain http: the token of `{provider}` would be sent in the clear\n  use https, or a tunnel that ends at 127.0.0.1"
    )]
    TokenInClear {
        /// The provider's name in the configuration.
        provider: &'static str,
        /// The address that was asked.
        place: String,
    },
    /// The HTTP client cannot be made.
    #[error(
        "cannot set up HTTPS: {0}\n  install the system's CA certificates (Debian: apt-get install ca-certificates)"
    )]
    Client(String),
    /// Nobody answers there.
    #[error(
        "`{provider}` at {place} cannot be reached: {reason}\n  {}",
        next_step(provider)
    )]
    Unreachable {
        /// The provider's name in the configuration.
        provider: &'static str,
        /// The address that was asked.
        place: String,
        /// What the system said.
        reason: String,
    },
    /// It did not answer in time.
    #[error(
        "`{provider}` at {place} did not answer within {seconds} s\n  raise anchoring.timeout_seconds, or look at that node's load"
    )]
    TimedOut {
        /// The provider's name in the configuration.
        provider: &'static str,
        /// The address that was asked.
        place: String,
        /// The time that it had, in seconds.
        seconds: u64,
    },
    /// The server answered and refused.
    #[error("`{provider}` at {place} refused with HTTP {status}: {reason}{}", refusal_step(provider, *status))]
    Refused {
        /// The provider's name in the configuration.
        provider: &'static str,
        /// The address that was asked.
        place: String,
        /// Its HTTP status.
        status: u16,
        /// What the server said, cut to a limit.
        reason: String,
    },
    /// What it answered is not what such a server answers.
    #[error(
        "`{provider}` at {place} gave an answer that cannot be used: {what}\n  {}",
        address_step(provider)
    )]
    Unusable {
        /// The provider's name in the configuration.
        provider: &'static str,
        /// The address that was asked.
        place: String,
        /// What was wrong.
        what: String,
    },
    /// It named other content than it was given.
    #[error(
        "`{provider}` answered {answered}, but the content is {expected}\n  that server changes what it is given, or ignores import options: do not use it"
    )]
    WrongCid {
        /// The provider's name in the configuration.
        provider: &'static str,
        /// What it is.
        expected: Box<Cid>,
        /// What the server said.
        answered: Box<Cid>,
    },
    /// A pinning service has taken the order but holds nothing yet.
    #[error(
        "`{provider}` at {place} has queued the pin but cannot have the content yet\n  it fetches from another node: name `local` or `remote` before it in anchoring.providers"
    )]
    OnlyQueued {
        /// The provider's name in the configuration.
        provider: &'static str,
        /// The address that was asked.
        place: String,
    },
    /// A pinning service could not fetch the content.
    #[error(
        "`{provider}` at {place} could not fetch the content and gave the pin up\n  is a node that has it reachable from outside?"
    )]
    GaveUp {
        /// The provider's name in the configuration.
        provider: &'static str,
        /// The address that was asked.
        place: String,
    },
    /// Web3.Storage is named, which takes nothing any more.
    #[error(
        "Web3.Storage switched its upload API off in January 2024; a WEB3_STORAGE_TOKEN no longer uploads anything, and its successor \
         (Storacha) takes only requests signed by its own client\n  use a Pinning Service API instead: anchoring.providers [\"local\", \"pinning\"], \
         anchoring.pinning_api (Pinata: https://api.pinata.cloud/psa), token in SSID_PINNING_TOKEN"
    )]
    Web3,
    /// It failed earlier in this session and is not asked again.
    #[error("`{0}` failed earlier in this session")]
    Down(&'static str),
}

impl ProviderError {
    /// Whether it is the place that fails rather than this one file: it need not be asked again
    /// now.
    pub fn is_outage(&self) -> bool {
        !matches!(
            self,
            Self::WrongCid { .. } | Self::OnlyQueued { .. } | Self::GaveUp { .. } | Self::Down(_)
        ) && !self.is_about_content()
    }

    fn is_about_content(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if !matches!(status, 401 | 403 | 404 | 405 | 429 | 502..=504))
    }
}

fn next_step(provider: &str) -> &'static str {
    if provider == "local" {
        "start the IPFS node (ipfs daemon), or set anchoring.local_api to where its RPC listens"
    } else {
        "check the address in federation_config.json, and the network between"
    }
}

fn address_step(provider: &str) -> &'static str {
    if provider == "pinning" {
        "is anchoring.pinning_api the address of a Pinning Service API, as the service documents it?"
    } else {
        "is it the address of an IPFS RPC (port 5001), not of a gateway (port 8080)?"
    }
}

fn refusal_step(provider: &str, status: u16) -> String {
    let step = match status {
        404 | 405 => address_step(provider),
        status => other_refusal_step(status),
    };
    if step.is_empty() {
        String::new()
    } else {
        format!("\n  {step}")
    }
}

fn other_refusal_step(status: u16) -> &'static str {
    match status {
        401 => "the token is wrong or has expired",
        403 => "the token lacks the right, or the node refuses this caller",
        429 => "it is asked too often: lower anchoring.parallel_uploads, or try later",
        _ => "",
    }
}

/// Why anchoring as a whole could not begin or be recorded.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// A provider is not usable.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A file or directory cannot be read or written.
    #[error(transparent)]
    Io(#[from] PathError),
    /// The manifest is no JSON object, or larger than is read.
    #[error("{} is not a usable anchor manifest: {reason}\n  repair it, or move it away: a new one is made", path.display())]
    Manifest {
        /// The file that it is about.
        path: PathBuf,
        /// What is wrong, in words.
        reason: String,
    },
    /// The registry log cannot be read.
    #[error(transparent)]
    Registry(#[from] crate::registry::file::FileError),
    /// Storage failed while anchors were recorded.
    #[error(transparent)]
    Storage(#[from] ssid_storage::StorageError),
    /// What was done could not be remembered: the engine has stopped, or writes no more.
    #[error("what was anchored is not remembered, and is looked at again: {0}")]
    Outbox(#[from] crate::engine::EngineError),
}
