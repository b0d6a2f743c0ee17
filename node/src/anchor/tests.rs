//! Anchoring against servers in this process that work, refuse, lie or say nothing.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use super::kubo::Source;
use super::provider::Providers;
use super::run::{self, Item, Known, Session};
use super::select::Trigger;
use super::testing::{Mood, Server};
use super::verify::{Checked, Target, Verdict, Verifier};
use crate::config::{Anchoring, IpfsProvider};

mod providers;
mod sessions;
mod tasks;
mod verifying;

const TOKEN: &str = "s3cret-token";

/// An environment with every token.
fn with_tokens(name: &str) -> Option<String> {
    match name {
        "SSID_IPFS_TOKEN_HOST" | "SSID_PINNING_TOKEN_HOST" => Some("127.0.0.1".to_owned()),
        _ => name.ends_with("_TOKEN").then(|| TOKEN.to_owned()),
    }
}

fn file(home: &Path, name: &str, content: &[u8]) -> Item {
    let path: PathBuf = home.join(name);
    std::fs::write(&path, content).unwrap();
    let trigger = Trigger {
        event: "blueprint_tagged".to_owned(),
        ..Trigger::default()
    };
    Item {
        name: name.to_owned(),
        source: Source::File(path.into()),
        trigger,
        pin: true,
    }
}

fn document(name: &str, content: &str) -> Item {
    let source = Source::Bytes(content.as_bytes().to_vec());
    Item {
        name: name.to_owned(),
        source,
        trigger: Trigger::default(),
        pin: true,
    }
}

async fn session(items: Vec<Item>, settings: &Anchoring) -> Session {
    session_after(items, &Known::default(), settings).await
}

async fn session_after(items: Vec<Item>, known: &Known, settings: &Anchoring) -> Session {
    let providers = Providers::configured(settings, &with_tokens).unwrap();
    run::session(
        items,
        known,
        &providers,
        super::manifest_gateway(settings),
        &|_| (),
    )
    .await
}
