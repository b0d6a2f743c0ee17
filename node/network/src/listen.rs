//! Listening, with an error that names the address. libp2p shares its TCP ports (`SO_REUSEPORT`),
//! so that a second node on the same port would take half of the first one's connections without a
//! word: each port is tried first.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, Swarm};

use crate::behaviour::Behaviour;
use crate::config::NetworkError;

/// Listens on all of `addresses`.
pub(crate) fn listen(
    swarm: &mut Swarm<Behaviour>,
    addresses: &[Multiaddr],
) -> Result<(), NetworkError> {
    addresses.iter().try_for_each(try_port)?;
    for address in addresses {
        swarm
            .listen_on(address.clone())
            .map_err(|error| NetworkError::Listen {
                address: address.clone(),
                reason: words_of(&error),
            })?;
    }
    Ok(())
}

/// What an error says, with what caused it: libp2p's own is empty where the system refused.
fn words_of(error: &dyn std::error::Error) -> String {
    let causes =
        std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    let words: Vec<_> = causes
        .map(|words| words.trim().to_owned())
        .filter(|words| !words.is_empty())
        .collect();
    if words.is_empty() {
        format!("{error:?}")
    } else {
        words.join(": ")
    }
}

/// Binds the port without sharing it, and lets it go.
fn try_port(address: &Multiaddr) -> Result<(), NetworkError> {
    let tried = match socket(address) {
        Some((socket, true)) => TcpListener::bind(socket).map(drop),
        Some((socket, false)) => UdpSocket::bind(socket).map(drop),
        None => return Ok(()),
    };
    tried.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => NetworkError::AddressInUse {
            address: address.clone(),
        },
        _ => NetworkError::Listen {
            address: address.clone(),
            reason: error.to_string(),
        },
    })
}

/// The socket address at the front of a multiaddr, and whether it is TCP.
fn socket(address: &Multiaddr) -> Option<(SocketAddr, bool)> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some((SocketAddr::new(ip, port), true)),
        Protocol::Udp(port) => Some((SocketAddr::new(ip, port), false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let taken = [
            format!("/ip4/127.0.0.1/tcp/{}", tcp.local_addr().unwrap().port()),
            format!(
                "/ip4/127.0.0.1/udp/{}/quic-v1",
                udp.local_addr().unwrap().port()
            ),
        ];
        for address in taken {
            let error = try_port(&address.parse().unwrap()).unwrap_err().to_string();
            assert!(
                error.contains(&address) && error.contains("in use"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_free_port_passes_and_a_foreign_address_is_named() {
        try_port(&"/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let error = try_port(&"/ip4/192.0.2.1/tcp/0".parse().unwrap()).unwrap_err();
        assert!(matches!(error, NetworkError::Listen { .. }), "{error}");
    }
}
