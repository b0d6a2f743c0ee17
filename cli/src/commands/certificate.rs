//! `ssid certificate`: offline; needs no node and no data directory.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use ssid_protocol::certificate::{Certificate, Verifier, verify_chain};
use ssid_protocol::id::Epoch;
use ssid_protocol::manifest::Manifest;

use crate::context::Context;
use crate::error::{CliError, Code};
use crate::output::{Tone, clean, short};
use crate::setup::read_document;

/// Certificates, offline
#[derive(Debug, Subcommand)]
pub(crate) enum CertificateCommand {
    Verify(VerifyArgs),
}

/// Verify a certificate with nothing but the genesis file; exit 5 with the reason if it does not hold
///
/// A certificate of a later epoch needs that epoch's chain: in --epochs DIR, for each epoch N from 1 on, the manifest
/// N.json and the certificate of its federation_epoch event N.certificate.json.
///
/// Example:
///   ssid certificate verify c.json --genesis genesis.json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct VerifyArgs {
    /// The certificate
    file: PathBuf,
    #[command(flatten)]
    federation: OfflineFederation,
}

/// What is known of a federation without a node.
#[derive(Debug, Args)]
pub(super) struct OfflineFederation {
    /// The genesis file of the federation
    #[arg(long, value_name = "G")]
    pub(super) genesis: PathBuf,
    /// Manifests and certificates of the epochs after the first
    #[arg(long, value_name = "DIR")]
    epochs: Option<PathBuf>,
}

impl OfflineFederation {
    /// The valid manifest that it began with.
    pub(super) fn genesis(&self) -> Result<Manifest> {
        parse_genesis(&self.genesis)
    }

    /// The proven manifest of an epoch.
    pub(super) fn manifest_of(&self, epoch: Epoch, genesis: &Manifest) -> Result<Manifest> {
        manifest_of(epoch, genesis, self.epochs.as_deref())
    }
}

pub(crate) fn run(command: CertificateCommand, context: &Context) -> Result<()> {
    let CertificateCommand::Verify(args) = command;
    let genesis = args.federation.genesis()?;
    let bytes = read_document(&args.file, "export one with: ssid consensus export HASH -o c.json")?;
    let certificate = Certificate::parse(&bytes).map_err(|e| refused(&args.file, &e))?;
    let manifest = args.federation.manifest_of(certificate.epoch, &genesis)?;
    let federation = genesis.federation_id();
    let mut verifier = Verifier::new(federation, &manifest, &genesis.event_policies)
        .map_err(|e| refused(&args.federation.genesis, &e))?;
    certificate.verify(&mut verifier).map_err(|e| refused(&args.file, &e))?;

    let signer = |signer| {
        let name = manifest.member(signer).map_or(String::new(), |m| clean(&m.node_name));
        format!("{} {name}", short(signer))
    };
    let signers: Vec<_> = certificate.precommits.iter().map(|p| signer(&p.signer)).collect();
    let answer = json!({
        "valid": true,
        "federation_id": federation,
        "epoch": certificate.epoch,
        "round": certificate.round,
        "event_hash": certificate.choice.event_hash,
        "content_digest": certificate.choice.content_digest,
        "subject_id": certificate.subject_id(),
        "signers": certificate.precommits.iter().map(|p| p.signer).collect::<Vec<_>>(),
    });
    context.out.show(&answer, |_| {
        format!(
            "{}: {} {}\n  event hash  {}\n  federation  {} ({federation})\n  decided     epoch {}, round {}\n  signed by   {}",
            context.out.paint(Tone::Good, "valid"),
            clean(&certificate.event.event),
            clean(&certificate.event.version),
            certificate.choice.event_hash,
            clean(&genesis.name),
            certificate.epoch,
            certificate.round,
            signers.join(", "),
        )
    })?;
    Ok(())
}

fn parse_genesis(path: &Path) -> Result<Manifest> {
    let bytes = read_document(path, "--genesis takes the file that the federation began with")?;
    let genesis = Manifest::parse(&bytes).map_err(|e| refused(path, &e))?;
    genesis.validate_genesis().map_err(|e| refused(path, &e))?;
    Ok(genesis)
}

pub(super) fn refused(path: &Path, reason: &dyn std::fmt::Display) -> CliError {
    CliError::new(Code::Verification, format!("{}: {reason}", path.display()))
}

fn manifest_of(epoch: Epoch, genesis: &Manifest, epochs: Option<&Path>) -> Result<Manifest> {
    if epoch == Epoch::ZERO {
        return Ok(genesis.clone());
    }
    let Some(dir) = epochs else {
        let message = format!("it is of epoch {epoch}: its manifest is not proven by the genesis file alone");
        let hint = "give the directory of the later manifests and their certificates with --epochs";
        return Err(CliError::new(Code::Verification, message).hint(hint).into());
    };
    let mut chain = Vec::new();
    let mut next = Epoch::ZERO;
    while next < epoch {
        next = next.next();
        let (manifest, certificate) = (dir.join(format!("{next}.json")), dir.join(format!("{next}.certificate.json")));
        let hint = format!("the chain needs every epoch from 1 to {epoch}");
        let read = |path: &Path| read_document(path, &hint).map_err(|e| CliError { code: Code::Verification, ..e });
        chain.push((
            Manifest::parse(&read(&manifest)?).map_err(|e| refused(&manifest, &e))?,
            Certificate::parse(&read(&certificate)?).map_err(|e| refused(&certificate, &e))?,
        ));
    }
    let mut proven = verify_chain(genesis, &chain).map_err(|e| refused(dir, &e))?;
    proven.pop().ok_or_else(|| refused(dir, &"the chain is empty").into())
}
