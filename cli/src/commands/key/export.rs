//! `ssid key export-public`: the public key in a form that other programs read.

use anyhow::Result;
use clap::Args;
use data_encoding::BASE64;
use serde_json::json;
use ssid_node::keyfile;
use ssid_protocol::id::NodeId;

use crate::context::Context;
use crate::error::OrCode as _;

/// What stands before the 32 bytes of an Ed25519 key in a `SubjectPublicKeyInfo` (RFC 8410).
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Print the public voting key as PEM, as openssl and other programs read it
///
/// With --json also as hex, as it stands in manifests.
///
/// Example:
///   ssid key export-public > berlin.pem
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ExportArgs {
    /// The key that waits to follow it, instead
    #[arg(long)]
    next: bool,
}

pub(super) fn run(args: &ExportArgs, context: &Context) -> Result<()> {
    let home = &context.home;
    home.check().or_usage()?;
    let path = if args.next {
        home.next_voting_key()
    } else {
        home.voting_key()
    };
    let public = keyfile::public(&path).or_usage()?;
    let pem = pem(&public);
    let answer = json!({ "node_id": public, "pem": pem });
    context.out.show(&answer, |_| pem.trim_end().to_owned())?;
    Ok(())
}

fn pem(public: &NodeId) -> String {
    let der = [&SPKI[..], &public.0].concat();
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        BASE64.encode(&der)
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// The example of RFC 8410, section 10.1.
    #[test]
    fn the_example_of_the_rfc_has_its_pem() {
        let text = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
        assert!(
            pem(&text.parse().unwrap())
                .contains("MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=")
        );
    }
}
