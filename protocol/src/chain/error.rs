//! Why a chain of epochs, or what is verified by one, is refused.

use crate::certificate::CertificateError;
use crate::id::{Epoch, ManifestHash};
use crate::json::JsonError;
use crate::manifest::ManifestError;

/// Why a chain is refused: at which epoch, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The line of an epoch in a chain file is none.
    #[error("line of epoch {epoch}: {source}")]
    Line {
        /// The epoch whose line it should be.
        epoch: Epoch,
        /// What is wrong with it.
        source: LineError,
    },
    /// The epoch's manifest is not valid.
    #[error("epoch {epoch}: {source}")]
    Manifest {
        /// Where the manifest stands in the chain.
        epoch: Epoch,
        /// What it breaks.
        source: ManifestError,
    },
    /// The certificate that should bring the epoch in does not verify.
    #[error("epoch {epoch}: {source}")]
    Certificate {
        /// Where the manifest stands in the chain.
        epoch: Epoch,
        /// What is wrong with its certificate.
        source: CertificateError,
    },
    /// The certificate is good, but of another event than the one that follows from the manifest.
    #[error(
        "epoch {epoch}: certificate field `event.{field}` must be {expected}, which follows from the manifest; \
         it is {found}"
    )]
    AnotherEvent {
        /// Where the manifest stands in the chain.
        epoch: Epoch,
        /// `event`, `commit_hash` (the manifest's hash) or `timestamp` (its `created_at`).
        field: &'static str,
        /// What follows from the manifest, quoted.
        expected: String,
        /// What was certified, quoted and cut to 80 characters.
        found: String,
    },
    /// Two chains of one federation that both verify.
    #[error(
        "epoch {epoch}: two manifests are certified; more than a third of the voters' weight of the epoch before lied, \
         or their keys were stolen"
    )]
    Contradiction {
        /// The first epoch in which they differ.
        epoch: Epoch,
    },
    /// The chain does not contain a manifest that it must contain.
    #[error(
        "no manifest of the chain has the pinned hash {pin}; the chain ends with epoch {latest}"
    )]
    Pin {
        /// The hash that was asked for.
        pin: ManifestHash,
        /// The chain's latest epoch.
        latest: Epoch,
    },
    /// The chain does not reach an epoch.
    #[error("the manifest of epoch {epoch} is not proven: the chain ends with epoch {latest}")]
    NoManifest {
        /// The epoch asked for.
        epoch: Epoch,
        /// The chain's latest epoch.
        latest: Epoch,
    },
    /// A certificate that was to be verified by the chain does not verify.
    #[error(transparent)]
    Refused(#[from] CertificateError),
}

/// Why a line of a chain file is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It has not the shape of one.
    #[error("{0}")]
    Shape(#[from] JsonError),
    /// Its manifest has not the shape of one.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its certificate has not the shape of one.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A certificate where the chain goes on.
    #[error("a certificate without its manifest, which only ends a certificate with its chain")]
    NoLink,
    /// The chain goes on where the certificate should stand.
    #[error("no line of exactly `certificate` at the end, which a certificate with its chain has")]
    NoCertificate,
}
