//! Which addresses members can dial: what stands on a card goes into the genesis file, which is for
//! good.

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Characters of a host name, and of one part of it.
const HOST_CHARS: usize = 253;
const LABEL_CHARS: usize = 63;

/// Why nobody can dial an address, in words; `None` if members can, as far as the address tells.
///
/// ```
/// use ssid_network::undialable;
///
/// assert_eq!(undialable("/dns4/berlin.example/tcp/4170"), None);
/// assert_eq!(
///     undialable("/ip4/0.0.0.0/tcp/4170").as_deref(),
///     Some("0.0.0.0 is no destination; name the address at which others reach this node"),
/// );
/// ```
pub fn undialable(text: &str) -> Option<String> {
    let address: Multiaddr = match text.parse() {
        Ok(address) => address,
        Err(error) => return Some(format!("it is no multiaddress: {error}")),
    };
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    let Some((host, rest)) = parts.split_first() else {
        return Some("it is empty".to_owned());
    };
    host_fault(host).or_else(|| transport_fault(rest))
}

fn host_fault(host: &Protocol<'_>) -> Option<String> {
    let is_no_destination = "is no destination; name the address at which others reach this node";
    match host {
        Protocol::Ip4(ip) if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() => {
            Some(format!("{ip} {is_no_destination}"))
        }
        Protocol::Ip6(ip) if ip.is_unspecified() || ip.is_multicast() => {
            Some(format!("{ip} {is_no_destination}"))
        }
        Protocol::Ip4(_) | Protocol::Ip6(_) => None,
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) if is_host(name) => None,
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => Some(format!(
            "{name:?} is no host name: letters, digits and - between dots are"
        )),
        _ => Some("it has to begin with /ip4, /ip6, /dns, /dns4 or /dns6".to_owned()),
    }
}

fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        let fits = (1..=LABEL_CHARS).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-');
        fits && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= HOST_CHARS
        && name
            .strip_suffix('.')
            .unwrap_or(name)
            .split('.')
            .all(is_label)
}

fn transport_fault(parts: &[Protocol<'_>]) -> Option<String> {
    let rest = match parts {
        [Protocol::Tcp(0) | Protocol::Udp(0), ..] => {
            return Some("port 0 is none that others could dial".to_owned());
        }
        [Protocol::Tcp(_), rest @ ..] | [Protocol::Udp(_), Protocol::QuicV1, rest @ ..] => rest,
        [Protocol::Udp(_), ..] => {
            return Some("over UDP this program speaks /quic-v1, and nothing else".to_owned());
        }
        _ => {
            return Some(
                "after the host a port is missing: /tcp/PORT or /udp/PORT/quic-v1".to_owned(),
            );
        }
    };
    match rest {
        [] => None,
        [Protocol::P2p(_), ..] => {
            Some("leave /p2p out: whose address it is says the card".to_owned())
        }
        [other, ..] => Some(format!("this program does not speak{other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::undialable;

    #[test]
    fn what_members_can_dial_is_taken() {
        for address in [
            "/ip4/192.0.2.7/tcp/4170",
            "/ip4/127.0.0.1/tcp/4171",
            "/ip6/2001:db8::1/udp/4170/quic-v1",
            "/dns4/berlin.example/tcp/4170",
            "/dns/xn--mller-kva.example./udp/1/quic-v1",
            "/dns6/node-1/tcp/65535",
        ] {
            assert_eq!(undialable(address), None, "{address}");
        }
    }

    #[test]
    fn what_nobody_can_dial_is_refused_with_the_reason() {
        for (address, why) in [
            ("/ip4/0.0.0.0/tcp/4170", "no destination"),
            ("/ip4/255.255.255.255/tcp/4170", "no destination"),
            ("/ip4/224.0.0.1/udp/4170/quic-v1", "no destination"),
            ("/ip6/::/tcp/4170", "no destination"),
            ("/ip6/ff02::1/tcp/4170", "no destination"),
            ("/ip4/127.0.0.1/tcp/0", "port 0"),
            ("/ip4/192.0.2.7/udp/0/quic-v1", "port 0"),
            ("/ip4/192.0.2.7/tcp/4170/ws", "does not speak/ws"),
            ("/ip4/192.0.2.7/tcp/443/tls/ws", "does not speak/tls"),
            ("/ip4/192.0.2.7/udp/4170/quic", "/quic-v1"),
            ("/ip4/192.0.2.7/udp/4170", "/quic-v1"),
            ("/ip4/192.0.2.7", "a port is missing"),
            ("/dns4/berlin example/tcp/4170", "no host name"),
            ("/dns4/-berlin/tcp/4170", "no host name"),
            ("/dns4/a..b/tcp/4170", "no host name"),
            ("/tcp/4170", "begin with"),
            ("/unix/tmp", "begin with"),
            (
                "/ip4/192.0.2.7/tcp/4170/p2p/12D3KooWBJ9xNqD9w4RA2XfGmFG41aJ1JsEQwNcupCuzNTCyGE1D",
                "leave /p2p out",
            ),
            ("berlin.example:4170", "no multiaddress"),
            ("", "empty"),
        ] {
            let said = undialable(address);
            assert!(
                said.as_ref().is_some_and(|said| said.contains(why)),
                "{address}: {said:?}"
            );
        }
    }
}
