//! Who asks: on the Unix socket the operating system says which user it is.

use std::fs;

use axum::Extension;
use axum::extract::ConnectInfo;
use tokio::net::UnixStream;

use super::error::Failure;
use super::fields::one_line;

/// Characters of a name.
const NAME_CHARS: usize = 100;

/// What the operating system says of the other end of a connection on the socket; `None` if it does
/// not say.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketPeer(Option<u32>);

impl SocketPeer {
    /// Who is at the other end of `stream`.
    pub(super) fn of(stream: &UnixStream) -> Self {
        Self(stream.peer_cred().ok().map(|credentials| credentials.uid()))
    }
}

/// The part of a request that says who asks; there is none over TCP, where the token is all that is
/// known.
pub(super) type Caller = Option<Extension<ConnectInfo<SocketPeer>>>;

/// The caller in words: the operating system's user, or the holder of the token.
pub(super) fn name_of(caller: Caller) -> String {
    match caller.map(|Extension(ConnectInfo(peer))| peer.0) {
        Some(Some(uid)) => user_name(uid, &fs::read_to_string("/etc/passwd").unwrap_or_default()),
        Some(None) => "unknown user".to_owned(),
        None => "API token".to_owned(),
    }
}

/// Who decides, as it is kept: the name that was given, and the caller.
pub(super) fn decider_name(given: Option<&str>, caller: Caller) -> Result<String, Failure> {
    let caller = name_of(caller);
    Ok(match given {
        Some(name) => format!("{} ({caller})", one_line("by", name, NAME_CHARS)?),
        None => caller,
    })
}

/// The name of a user in the system's list, or the number.
fn user_name(uid: u32, passwd: &str) -> String {
    let number = uid.to_string();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number && !name.is_empty()).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_named_or_numbered() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n:x:7:\nbroken";
        assert_eq!(user_name(1000, passwd), "ada");
        assert_eq!(user_name(0, passwd), "root");
        assert_eq!(user_name(7, passwd), "uid 7");
        assert_eq!(user_name(100, passwd), "uid 100");
    }
}
