//! Organisations and federations, made by the commands that people type.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;

use crate::ssid_in;

/// Ports are taken from below those that systems give to outgoing connections, so that nobody takes
/// the port of a node while it is down.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// An organisation that has made its node: a data directory with keys, a configuration and a card.
#[derive(Clone, Debug)]
pub struct Organisation {
    /// What its node is called.
    pub name: String,
    /// Its data directory.
    pub data: PathBuf,
    /// Where its node listens, on loopback.
    pub port: u16,
}

impl Organisation {
    /// `ssid init` into `dir/name`, on a free port; no mDNS, so that tests do not meet each other.
    ///
    /// # Panics
    /// If that fails.
    pub fn init(dir: &Path, name: &str) -> Self {
        Self::init_at(dir, name, free_port(), None, &[])
    }

    /// The same, told to others at the port `reached`, if that is another than its own, and with
    /// more arguments.
    ///
    /// # Panics
    /// If that fails.
    pub fn init_at(dir: &Path, name: &str, port: u16, reached: Option<u16>, more: &[&str]) -> Self {
        let data = dir.join(name);
        let address = format!("/ip4/127.0.0.1/tcp/{}", reached.unwrap_or(port));
        let listen = format!("/ip4/127.0.0.1/tcp/{port}");
        let organization = format!("Organisation {name}");
        let path = data.to_str().unwrap();
        let args = [
            "init",
            "--data",
            path,
            "--name",
            name,
            "--organization",
            &organization,
        ];
        let _ = ssid_in(
            dir,
            &[
                &args[..],
                &["--address", &address, "--listen", &listen],
                more,
            ]
            .concat(),
        )
        .well();
        let own = Self {
            name: name.to_owned(),
            data,
            port,
        };
        own.configure(|config| config["network"]["mdns"] = false.into());
        own
    }

    /// Changes its configuration file.
    ///
    /// # Panics
    /// If the file is not as `init` wrote it.
    pub fn configure(&self, change: impl FnOnce(&mut Value)) {
        let path = self.data.join("federation_config.json");
        let mut config = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut config);
        fs::write(&path, serde_json::to_string_pretty(&config).unwrap()).unwrap();
    }

    /// Its voting key, as others see it.
    ///
    /// # Panics
    /// If its card is not as `init` wrote it.
    pub fn node_id(&self) -> String {
        let card: Value =
            serde_json::from_str(&fs::read_to_string(self.data.join("card.json")).unwrap())
                .unwrap();
        card["node_id"].as_str().unwrap().to_owned()
    }

    /// `ssid federation join`.
    ///
    /// # Panics
    /// If it is refused.
    pub fn join(&self, genesis: &Path) {
        let (data, genesis) = (self.data.to_str().unwrap(), genesis.to_str().unwrap());
        let _ = ssid_in(&self.data, &["federation", "join", genesis, "--data", data]).well();
    }
}

/// `ssid federation create` of these members, the first of them its coordinator; the genesis file.
///
/// # Panics
/// If that fails.
pub fn create_federation(
    dir: &Path,
    name: &str,
    members: &[Organisation],
    more: &[&str],
) -> PathBuf {
    let genesis = dir.join(format!("{name}.genesis.json"));
    let mut args = vec![
        "federation",
        "create",
        "--name",
        name,
        "--coordinator",
        &members[0].name,
    ];
    let cards: Vec<PathBuf> = members
        .iter()
        .map(|member| member.data.join("card.json"))
        .collect();
    for card in &cards {
        args.extend(["--card", card.to_str().unwrap()]);
    }
    args.extend(["-o", genesis.to_str().unwrap()]);
    args.extend(more);
    let _ = ssid_in(dir, &args).well();
    genesis
}

/// A port that nobody uses now and that this process has not handed out.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = PORTS.end - PORTS.start;
    // another process that tests begins elsewhere
    let first = (std::process::id() % 1000) as u16 * 21;
    for _ in 0..span {
        let port = PORTS.start + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % span;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free between {} and {}", PORTS.start, PORTS.end);
}
