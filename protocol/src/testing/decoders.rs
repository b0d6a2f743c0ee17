//! Every decoder of foreign bytes. What must hold of each whatever the bytes are is in `promises`: no
//! panic, one value has one encoding, limits hold for what was decoded, and what reads as a document
//! reads back from every form it is written in. The fuzz targets of `protocol/fuzz` and the property
//! tests of `tests/decoders.rs` ask the same functions.

use serde::de::DeserializeOwned;

use crate::batch::{BatchProof, SignedBatch};
use crate::card::MemberCard;
use crate::certificate::Certificate;
use crate::chain::ChainLine;
use crate::evidence::Evidence;
use crate::git_lines::{BranchHead, Line};
use crate::handover::Handover;
use crate::invite::Invite;
use crate::json::Json;
use crate::limits;
use crate::manifest::Manifest;
use crate::sync::{Answer, Request};
use crate::wire;

mod promises;
mod seeds;

/// A decoder of foreign bytes.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// Its name: of the fuzz target, too.
    pub name: &'static str,
    /// Decodes and drops; whether the bytes were accepted. What this costs in memory is bounded by
    /// the bytes' length.
    pub decode: fn(&[u8]) -> bool,
    /// Panics if a property does not hold; whether the bytes were accepted.
    pub check: fn(&[u8]) -> bool,
    /// Named bytes to begin with; all of them are accepted.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
}

/// All of them but the registry log's parser, which is the node's.
pub const ALL: [Decoder; 16] = [
    Decoder {
        name: "signed_batch",
        decode: decodes::<SignedBatch>,
        check: promises::signed_batch,
        seeds: seeds::batch,
    },
    Decoder {
        name: "batch_proof",
        decode: decodes::<BatchProof>,
        check: promises::batch_proof,
        seeds: seeds::proof,
    },
    Decoder {
        name: "sync_request",
        decode: decodes::<Request>,
        check: promises::sync_request,
        seeds: seeds::request,
    },
    Decoder {
        name: "sync_answer",
        decode: decodes::<Answer>,
        check: promises::sync_answer,
        seeds: seeds::answer,
    },
    Decoder {
        name: "evidence",
        decode: decodes::<Evidence>,
        check: promises::evidence,
        seeds: seeds::evidence,
    },
    Decoder {
        name: "evidence_json",
        decode: |bytes| Evidence::parse(bytes).is_ok(),
        check: promises::evidence_json,
        seeds: seeds::evidence_json,
    },
    Decoder {
        name: "certificate_json",
        decode: |bytes| Certificate::parse(bytes).is_ok(),
        check: promises::certificate_json,
        seeds: seeds::certificate,
    },
    Decoder {
        name: "manifest_json",
        decode: |bytes| Manifest::parse(bytes).is_ok(),
        check: promises::manifest_json,
        seeds: seeds::manifest,
    },
    Decoder {
        name: "card_json",
        decode: |bytes| MemberCard::parse(bytes).is_ok(),
        check: promises::card_json,
        seeds: seeds::card,
    },
    Decoder {
        name: "handover_json",
        decode: |bytes| Handover::parse(bytes).is_ok(),
        check: promises::handover_json,
        seeds: seeds::handover,
    },
    Decoder {
        name: "invite_json",
        decode: |bytes| Invite::parse(bytes).is_ok(),
        check: promises::invite_json,
        seeds: seeds::invite,
    },
    Decoder {
        name: "chain_line",
        decode: |bytes| ChainLine::parse(bytes).is_ok(),
        check: promises::chain_line,
        seeds: seeds::chain,
    },
    Decoder {
        name: "heartbeat_json",
        decode: |bytes| promises::read_heartbeat(bytes).is_some(),
        check: promises::heartbeat_json,
        seeds: seeds::heartbeat,
    },
    Decoder {
        name: "git_line",
        decode: |bytes| Line::parse(bytes).is_ok(),
        check: promises::git_line,
        seeds: seeds::line,
    },
    Decoder {
        name: "git_head",
        decode: |bytes| BranchHead::parse(bytes).is_ok(),
        check: promises::git_head,
        seeds: seeds::head,
    },
    Decoder {
        name: "strict_json",
        decode: |bytes| Json::parse(bytes, limits::MESSAGE_BYTES).is_ok(),
        check: promises::strict_json,
        seeds: seeds::json,
    },
];

fn decodes<T: DeserializeOwned>(bytes: &[u8]) -> bool {
    wire::decode::<T>(bytes).is_ok()
}
