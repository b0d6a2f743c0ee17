//! The HTTP client that everything outside is asked with.

use reqwest::{Client, ClientBuilder, Url};

/// A client for requests to `url`. What is on this machine is asked directly, whatever the
/// environment says of proxies: what must not leave the machine in the clear would go to the proxy
/// like that.
pub(crate) fn to(url: &Url) -> ClientBuilder {
    let builder = Client::builder();
    if is_loopback(url) {
        builder.no_proxy()
    } else {
        builder
    }
}

/// Whether `url` is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_name =
        host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost");
    is_name
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn this_machine_is_known_by_every_name() {
        for here in [
            "http://127.0.0.1/x",
            "http://127.9.9.9:1",
            "http://[::1]/",
            "http://LOCALHOST/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert!(is_loopback(&here.parse().unwrap()), "{here}");
        }
        for there in [
            "http://example.org",
            "http://127.0.0.1.example.org",
            "http://[2001:db8::1]",
        ] {
            assert!(!is_loopback(&there.parse().unwrap()), "{there}");
        }
    }
}
