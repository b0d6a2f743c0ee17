//! `ssid log verify`: offline; needs no node and no data directory.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde_json::json;
use ssid_node::view::{ProofView, SIGNED_HEAD_FORMAT};
use ssid_protocol::batch::{SignedBatch, Statements};
use ssid_protocol::chain::Chain;
use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::{Choice, FederationId, NodeId, Signature};
use ssid_protocol::identity::VerifyKey;
use ssid_protocol::json::{Json, JsonError};
use ssid_protocol::{limits, merkle};

use super::offline::{OfflineFederation, refused};
use crate::output::{Output, Tone, clean};
use crate::setup::read_document;

/// What is needed to verify a proof.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The proof: what ssid log proof --json printed
    proof: PathBuf,
    /// The head that a member signed: what ssid log head --signed printed
    #[arg(long, value_name = "HEAD")]
    head: PathBuf,
    #[command(flatten)]
    federation: OfflineFederation,
}

/// Whether a proof leads from its entry to its head's root.
pub(super) fn proves_inclusion(proof: &ProofView) -> bool {
    let choice = Choice {
        event_hash: proof.event_hash,
        content_digest: proof.content_digest,
    };
    let leaf = merkle::leaf_hash(&choice.to_bytes());
    merkle::root_from_inclusion(leaf, proof.sequence, proof.head.size, &proof.path)
        == Some(proof.head.root)
}

/// A head as a member says to have signed it; nothing of it is believed yet.
pub(super) struct SaidHead {
    federation_id: FederationId,
    node_id: NodeId,
    pub(super) heartbeat: Heartbeat,
    signature: Signature,
}

/// Reads a signed head.
pub(super) fn read_head(path: &Path) -> Result<SaidHead> {
    let bytes = read_document(path, "make one with: ssid log head --signed > head.json")?;
    // strict: two readers of one document must not see two heads
    let json = Json::parse(&bytes, limits::DOCUMENT_BYTES).map_err(|e| refused(path, &e))?;
    let read = |json: Json| -> Result<(String, SaidHead), String> {
        let shape = |e: JsonError| e.to_string();
        let mut fields = json.into_fields("").map_err(shape)?;
        let format = fields.text("format").map_err(shape)?;
        let head = SaidHead {
            federation_id: fields.parsed("federation_id").map_err(shape)?,
            node_id: fields.parsed("node_id").map_err(shape)?,
            heartbeat: Heartbeat::parse_json(fields.value("heartbeat").map_err(shape)?)
                .map_err(|e| e.to_string())?,
            signature: fields.parsed("signature").map_err(shape)?,
        };
        // a key that is left over is one that nobody signed
        fields.finish().map_err(shape)?;
        Ok((format, head))
    };
    let (format, head) = read(json).map_err(|e| refused(path, &e))?;
    if format != SIGNED_HEAD_FORMAT {
        return Err(refused(
            path,
            &format!(
                "its format is {:?}, and not {SIGNED_HEAD_FORMAT}",
                clean(&format)
            ),
        )
        .into());
    }
    Ok(head)
}

impl SaidHead {
    /// Whether a member of this federation signed it; why not, in words.
    fn check(&self, chain: &Chain) -> Result<(), String> {
        if self.federation_id != chain.federation_id() {
            return Err(format!(
                "it is of another federation: {}",
                self.federation_id
            ));
        }
        if chain.latest_with(&self.node_id, |_| true).is_none() {
            return Err(format!(
                "{} is no member of {}",
                self.node_id,
                clean(&chain.genesis().name)
            ));
        }
        let key = VerifyKey::parse(self.node_id).map_err(|e| e.to_string())?;
        let statements = Statements::Heartbeat(Box::new(self.heartbeat.clone()));
        let batch = SignedBatch {
            signer: self.node_id,
            signature: self.signature,
            statements,
        };
        batch
            .verify(&key, &self.federation_id)
            .map(|_| ())
            .map_err(|e| e.to_string())
    }
}

pub(super) fn run(args: &VerifyArgs, out: Output) -> Result<()> {
    let chain = args.federation.pinned_chain()?;
    let head = read_head(&args.head)?;
    // the signature first: before it the head says nothing
    head.check(&chain).map_err(|e| refused(&args.head, &e))?;
    let bytes = read_document(
        &args.proof,
        "make one with: ssid log proof HASH --head HEAD --json > proof.json",
    )?;
    let proof: ProofView = serde_json::from_slice(&bytes).map_err(|e| refused(&args.proof, &e))?;
    let said = &head.heartbeat;
    // log, size and root: a path to another root proves nothing about this head
    let is_of_head = (proof.head.log_id, proof.head.size, proof.head.root)
        == (said.log_id, said.log_size, said.log_root);
    if !is_of_head {
        let why = format!(
            "it is of a log of {} entries with the root {}; the head that was signed has {} and {}",
            proof.head.size, proof.head.root, said.log_size, said.log_root
        );
        return Err(refused(&args.proof, &why)
            .hint("make one for this head: ssid log proof HASH --head HEAD")
            .into());
    }
    if !proves_inclusion(&proof) {
        return Err(refused(
            &args.proof,
            &"its path does not lead from the event to the root",
        )
        .into());
    }
    // by the latest epoch that has it: names are for people and prove nothing
    let name = chain
        .latest_with(&head.node_id, |_| true)
        .and_then(|manifest| manifest.member(&head.node_id))
        .map_or_else(String::new, |member| clean(&member.node_name));
    let answer = json!({
        "valid": true,
        "event_hash": proof.event_hash,
        "content_digest": proof.content_digest,
        "sequence": proof.sequence,
        "size": said.log_size,
        "root": said.log_root,
        "node_id": head.node_id,
        "node_name": name,
        "signed_at": said.sent_at.iso(),
    });
    out.show(&answer, |_| {
        let fields = out.fields(&[
            ("  event hash", proof.event_hash.to_string()),
            (
                "  entry",
                format!("{} of {}", proof.sequence, said.log_size),
            ),
            ("  root", said.log_root.to_string()),
            ("  signed by", format!("{name}, {}", said.sent_at.iso())),
        ]);
        format!(
            "{}: the event is in the log\n{fields}",
            out.paint(Tone::Good, "valid")
        )
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ssid_protocol::batch::VerifiedBatch;
    use ssid_protocol::testing;

    use super::*;

    #[test]
    fn a_head_holds_only_as_a_member_of_this_federation_signed_it() {
        let (manifest, federation, _, keys) = testing::federation(4);
        let chain = Chain::new(manifest).unwrap();
        let heartbeat = testing::heartbeat(1);
        let signed = |key| {
            let statements = Statements::Heartbeat(Box::new(heartbeat.clone()));
            let batch = VerifiedBatch::sign(key, &federation, statements).unwrap();
            SaidHead {
                federation_id: federation,
                node_id: batch.signer(),
                heartbeat: heartbeat.clone(),
                signature: batch.batch().signature,
            }
        };
        let head = signed(&keys[0]);
        assert_eq!(head.check(&chain), Ok(()));
        let mut longer = signed(&keys[0]);
        longer.heartbeat.log_size += 1;
        assert!(
            longer.check(&chain).is_err(),
            "another size than was signed"
        );
        let mut of_another = signed(&keys[0]);
        of_another.node_id = keys[1].node_id();
        assert!(of_another.check(&chain).is_err());
        let stranger = signed(&testing::key(99)).check(&chain).unwrap_err();
        assert!(stranger.contains("is no member"), "{stranger}");
        let elsewhere = Chain::new(testing::manifest(5)).unwrap();
        let why = head.check(&elsewhere).unwrap_err();
        assert!(why.contains("another federation"), "{why}");
    }
}
