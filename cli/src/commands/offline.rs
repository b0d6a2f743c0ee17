//! A federation as files say it is: verified without a node and without a network.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use ssid_protocol::certificate::Certificate;
use ssid_protocol::chain::{Chain, ChainError, ChainLine, LineError};
use ssid_protocol::id::{Epoch, ManifestHash};
use ssid_protocol::manifest::Manifest;

use crate::error::{CliError, Code};
use crate::named_file;
use crate::setup::read_document;

/// Bytes of a chain file, or of a certificate with its chain, that are taken: some hundred changes
/// of a federation of 1,000.
pub(super) const CHAIN_BYTES: u64 = 256 << 20;

/// What is known of a federation without a node.
#[derive(Debug, Args)]
pub(super) struct OfflineFederation {
    /// The genesis file of the federation
    #[arg(long, value_name = "G")]
    pub(super) genesis: PathBuf,
    /// The chain file: a line of manifest and certificate for each epoch after the first
    #[arg(long, value_name = "FILE")]
    epochs: Option<PathBuf>,
    /// Hash of a manifest that must be in the chain: it proves all before it
    #[arg(long, value_name = "HASH")]
    pin: Option<ManifestHash>,
}

impl OfflineFederation {
    /// The proven manifests of the genesis file and the chain file. The pin is still to be checked,
    /// since a certificate may bring further ones.
    pub(super) fn chain(&self) -> Result<Chain> {
        let mut chain =
            Chain::new(parse_genesis(&self.genesis)?).map_err(|e| refused(&self.genesis, &e))?;
        if let Some(path) = &self.epochs {
            let bytes = read_chain_file(path)?;
            chain.read(&bytes).map_err(|e| refused(path, &e))?;
        }
        Ok(chain)
    }

    /// As [`Self::chain`], which must contain the pin.
    pub(super) fn pinned_chain(&self) -> Result<Chain> {
        let chain = self.chain()?;
        self.check_pin(&chain)?;
        Ok(chain)
    }

    /// Whether the chain contains the manifest that it must contain.
    pub(super) fn check_pin(&self, chain: &Chain) -> Result<()> {
        let Some(pin) = &self.pin else {
            return Ok(());
        };
        let hint = "give the chain up to that manifest with --epochs; if it is whole, it is not the chain that you trust";
        chain.check_pin(pin).map_err(|e| {
            let path = self.epochs.as_deref().unwrap_or(&self.genesis);
            refused(path, &e).hint(hint).into()
        })
    }
}

/// The certificate in `bytes`: alone, or after the links of its chain, which are proven and added
/// to `chain`.
pub(super) fn read_certificate(bytes: &[u8], chain: &mut Chain) -> Result<Certificate, ChainError> {
    let first = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    match ChainLine::parse(first) {
        // the first line is none: a document of its own, which may have many
        Err(LineError::Shape(_)) => Ok(Certificate::parse(bytes)?),
        _ => chain.read_certificate(bytes),
    }
}

/// A certificate with its chain: the lines of the chain file up to its epoch, then its own.
pub(super) fn with_chain(certificate: &str, epochs: Option<&Path>) -> Result<String> {
    let read = |text: &str| Certificate::parse(text.as_bytes());
    let certificate = read(certificate)
        .map_err(|e| CliError::new(Code::Failed, format!("what the node answered: {e}")))?;
    let epoch = certificate.epoch;
    let mut text = String::new();
    if epoch > Epoch::ZERO {
        let Some(path) = epochs else {
            let error = CliError::usage(format!("the certificate is of epoch {epoch}"));
            return Err(error.hint("give the chain file with --epochs").into());
        };
        text = links_up_to(epoch, path)?;
    }
    text.push_str(&ChainLine::Certificate(Box::new(certificate)).to_text());
    Ok(text)
}

/// The lines of the epochs from 1 to `epoch` in the chain file at `path`.
fn links_up_to(epoch: Epoch, path: &Path) -> Result<String> {
    let bytes = read_chain_file(path)?;
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut text = String::new();
    let mut next = Epoch::ZERO;
    while next < epoch {
        next = next.next();
        let line = ChainLine::parse(lines.next().unwrap_or_default())
            .map_err(|e| refused(path, &format!("line of epoch {next}: {e}")))?;
        let is_next = matches!(&line, ChainLine::Link(link) if link.manifest.epoch == next);
        if !is_next {
            let why = format!("line {next} is not that of epoch {next}");
            return Err(refused(path, &why).into());
        }
        text.push_str(&line.to_text());
    }
    Ok(text)
}

/// The chain of a genesis and a chain file, and the bytes of that.
pub(super) fn chain(genesis: &Path, epochs: &Path) -> Result<(Chain, Vec<u8>)> {
    let manifest = parse_genesis(genesis)?;
    let mut chain = Chain::new(manifest).map_err(|e| refused(genesis, &e))?;
    let bytes = read_chain_file(epochs)?;
    chain.read(&bytes).map_err(|e| refused(epochs, &e))?;
    Ok((chain, bytes))
}

fn read_chain_file(path: &Path) -> Result<Vec<u8>, CliError> {
    named_file::read(path, CHAIN_BYTES).map_err(|e| {
        let hint = "--epochs takes a file of lines, one for each epoch from 1 on";
        CliError::usage(format!("cannot read {}: {e}", path.display())).hint(hint)
    })
}

fn parse_genesis(path: &Path) -> Result<Manifest> {
    let bytes = read_document(
        path,
        "--genesis takes the file that the federation began with",
    )?;
    Ok(Manifest::parse(&bytes).map_err(|e| refused(path, &e))?)
}

/// A document that does not hold, and why.
pub(super) fn refused(path: &Path, reason: &dyn std::fmt::Display) -> CliError {
    CliError::new(Code::Verification, format!("{}: {reason}", path.display()))
}

/// What to do about a certificate or evidence of an epoch whose manifest is not proven.
pub(super) fn with_hint(error: CliError, reason: &ChainError) -> CliError {
    match reason {
        ChainError::NoManifest { .. } => error.hint("give the chain file with --epochs"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use ssid_protocol::id::Epoch;
    use ssid_protocol::testing::epochs;

    use super::*;

    #[test]
    fn a_certificate_with_its_chain_verifies_with_the_genesis_manifest_alone() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("epochs.jsonl");
        let (genesis, lines, _) = epochs::documents(5);
        std::fs::write(&file, lines).unwrap();
        let (.., certificate) = epochs::documents(3);
        assert_eq!(certificate.epoch, Epoch(3));
        let alone = certificate.to_pretty();
        let text = with_chain(&alone, Some(&file)).unwrap();
        assert_eq!(text.lines().count(), 4);
        let mut chain = Chain::new(genesis).unwrap();
        assert_eq!(
            read_certificate(text.as_bytes(), &mut chain),
            Ok(certificate.clone())
        );
        assert_eq!(chain.verify(&certificate), Ok(()));
        // a document of many lines, and one line
        assert!(read_certificate(alone.as_bytes(), &mut chain).is_ok());
        let line = certificate.to_json().to_jcs();
        assert!(read_certificate(line.as_bytes(), &mut chain).is_ok());
        let refusal = with_chain(&alone, None).unwrap_err();
        assert!(refusal.to_string().contains("of epoch 3"), "{refusal}");
        std::fs::write(&file, epochs::documents(2).1).unwrap();
        assert!(with_chain(&alone, Some(&file)).is_err(), "too short");
    }

    #[test]
    fn the_chain_must_contain_the_pin() {
        let home = tempfile::tempdir().unwrap();
        let (genesis, lines, _) = epochs::documents(2);
        let write = |name: &str, text: String| {
            let path = home.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut federation = OfflineFederation {
            genesis: write("genesis.json", genesis.to_pretty()),
            epochs: Some(write("epochs.jsonl", lines)),
            pin: None,
        };
        assert!(federation.pinned_chain().is_ok());
        federation.pin = Some(epochs::links(2)[1].manifest.hash());
        assert_eq!(federation.pinned_chain().unwrap().latest().epoch, Epoch(2));
        federation.pin = Some(ManifestHash([7; 32]));
        let refusal = federation.pinned_chain().unwrap_err();
        assert!(refusal.to_string().contains("0707"), "{refusal}");
        federation.pin = Some(epochs::links(2)[1].manifest.hash());
        federation.epochs = None;
        assert!(federation.pinned_chain().is_err(), "not up to the pin");
    }
}
