//! Checked addresses of Git repositories (SPEC §10 *Git fallback*): nothing that Git would take for
//! an option or a helper program gets as far as Git, and nothing secret in an address gets into a
//! message.

use std::fmt;

use crate::config::GitProtocol;
use crate::text::is_unseen;

/// Bytes of the longest address.
const REMOTE_BYTES: usize = 2048;

/// The address of a Git repository, checked. Its `Display` hides what may be secret;
/// [`secret`](Self::secret) does not.
#[derive(Clone, PartialEq, Eq)]
pub struct GitRemote {
    text: String,
    protocol: GitProtocol,
}

/// Who asks a server over HTTP.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    /// The server: scheme, host and port.
    pub(super) context: String,
    pub(super) user: String,
    pub(super) password: Option<String>,
}

/// Why an address is refused. The address in it is shown without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Git remote '{shown}': {reason}")]
pub struct RemoteError {
    shown: String,
    reason: String,
}

impl GitRemote {
    /// Every protocol that a configuration can allow.
    pub const PROTOCOLS: &'static [GitProtocol] = &[
        GitProtocol::Https,
        GitProtocol::Ssh,
        GitProtocol::File,
        GitProtocol::Http,
        GitProtocol::Git,
    ];

    /// Checks an address: `https://`, `ssh://`, `user@host:path`, `http://`, `git://`, `file://` or
    /// an absolute path, as far as `allowed`.
    ///
    /// # Errors
    /// If it is of no such form, of a protocol that is not allowed, or could be taken for an option
    /// or a helper.
    pub fn parse(text: &str, allowed: &[GitProtocol]) -> Result<Self, RemoteError> {
        let refuse = |reason: String| RemoteError {
            shown: shown(text),
            reason,
        };
        let protocol = protocol_of(text).map_err(|reason| refuse(reason.to_owned()))?;
        if !allowed.contains(&protocol) {
            let names: Vec<_> = allowed.iter().map(|p| p.as_str()).collect();
            return Err(refuse(format!(
                "{} is not allowed; security.allowed_git_protocols is [{}]",
                protocol.as_str(),
                names.join(", ")
            )));
        }
        Ok(Self {
            text: text.to_owned(),
            protocol,
        })
    }

    /// The address as it was given, secrets included: for where it is kept, never for a command's
    /// arguments.
    pub fn secret(&self) -> &str {
        &self.text
    }

    /// The address as Git is given it: without a password, and without a user except of SSH.
    pub(super) fn for_git(&self) -> String {
        let Some(Parts {
            scheme,
            userinfo: Some(userinfo),
            rest,
        }) = Parts::of(&self.text)
        else {
            return self.text.clone();
        };
        let user = userinfo
            .split(':')
            .next()
            .filter(|_| self.protocol == GitProtocol::Ssh);
        user.map_or_else(
            || format!("{scheme}://{rest}"),
            |user| format!("{scheme}://{user}@{rest}"),
        )
    }

    /// Who asks, if an HTTP address says so.
    pub(super) fn login(&self) -> Option<Login> {
        let Parts {
            scheme,
            userinfo,
            rest,
        } = Parts::of(&self.text)?;
        if !matches!(self.protocol, GitProtocol::Http | GitProtocol::Https) {
            return None;
        }
        let (user, password) = match userinfo?.split_once(':') {
            Some((user, password)) => (user, Some(decoded(password))),
            None => (userinfo?, None),
        };
        let context = format!("{scheme}://{}", split_authority(rest).0);
        Some(Login {
            context,
            user: decoded(user),
            password,
        })
    }

    /// How it is reached.
    pub fn protocol(&self) -> GitProtocol {
        self.protocol
    }

    /// The address without password, token or query: what may stand in a member card.
    pub fn public(&self) -> String {
        let Some((scheme, rest)) = self.text.split_once("://") else {
            return self.text.clone();
        };
        let (authority, path) = split_authority(rest);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let (user, host) = authority
            .rsplit_once('@')
            .map_or((None, authority), |(user, host)| (Some(user), host));
        // of an SSH address the user is a part; of others it is half of a password
        let user = user
            .filter(|_| self.protocol == GitProtocol::Ssh)
            .and_then(|user| user.split(':').next());
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        format!("{scheme}://{user}{host}{path}")
    }

    /// Any text that is meant as an address, without what would be secret in it.
    pub fn shown(text: &str) -> String {
        shown(text)
    }

    /// `message` without what is secret in this address.
    pub fn redact(&self, message: &str) -> String {
        let mut message = message.replace(&self.text, &shown(&self.text));
        let authority = self
            .text
            .split_once("://")
            .map(|(_, rest)| split_authority(rest).0);
        if let Some((user, _)) = authority.and_then(|authority| authority.rsplit_once('@')) {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            // the user of an SSH address is no secret; of others it may be a token
            let name =
                Some(name).filter(|_| self.protocol != GitProtocol::Ssh && password.is_empty());
            for secret in [password, name.unwrap_or_default()]
                .into_iter()
                .filter(|s| !s.is_empty())
            {
                message = message.replace(secret, "…").replace(&decoded(secret), "…");
            }
        }
        message
    }
}

impl fmt::Display for GitRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.text))
    }
}

impl fmt::Debug for GitRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitRemote({self})")
    }
}

/// A URL, taken apart.
struct Parts<'a> {
    scheme: &'a str,
    userinfo: Option<&'a str>,
    /// Host, port, path and query.
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (scheme, after) = text.split_once("://")?;
        let (authority, _) = split_authority(after);
        let userinfo = authority.rsplit_once('@').map(|(userinfo, _)| userinfo);
        let rest = userinfo.map_or(after, |userinfo| &after[userinfo.len() + 1..]);
        Some(Self {
            scheme,
            userinfo,
            rest,
        })
    }
}

/// A part of an address, its percent signs resolved.
fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

fn split_authority(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// An address as messages show it: no password, no user of an HTTP address, no query, no control
/// characters, bounded.
fn shown(text: &str) -> String {
    let clean: String = text
        .chars()
        .take(200)
        .map(|c| if is_unseen(c) { '?' } else { c })
        .collect();
    let Some((scheme, rest)) = clean.split_once("://") else {
        return clean;
    };
    let (authority, path) = split_authority(rest);
    let host = match authority.rsplit_once('@') {
        Some((user, host)) if scheme == "ssh" && !user.contains(':') => format!("{user}@{host}"),
        Some((_, host)) => format!("…@{host}"),
        None => authority.to_owned(),
    };
    let path = path
        .split_once(['?', '#'])
        .map_or_else(|| path.to_owned(), |(path, _)| format!("{path}?…"));
    format!("{scheme}://{host}{path}")
}

fn protocol_of(text: &str) -> Result<GitProtocol, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > REMOTE_BYTES {
        return Err("it has more than 2048 bytes");
    }
    if text.chars().any(is_unseen) {
        return Err("it has characters that nobody sees");
    }
    if text.starts_with('-') {
        return Err("it begins with '-', like an option");
    }
    if is_helper(text) {
        return Err("it names a helper program (transport::address), which is never allowed");
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return url(scheme, rest);
    }
    // as Git has it: a colon before the first slash means SSH
    match (text.find(':'), text.find('/')) {
        (Some(colon), slash)
            if slash.is_none_or(|slash| colon < slash) || text.starts_with('[') =>
        {
            scp(text).map(|()| GitProtocol::Ssh)
        }
        _ if text.starts_with('/') => Ok(GitProtocol::File),
        _ => Err("it is no address: write https://…, ssh://…, user@host:path, or an absolute path"),
    }
}

/// Git's own rule for `<transport>::<address>`.
fn is_helper(text: &str) -> bool {
    let name = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
    name.is_some_and(|end| text[end..].starts_with("::"))
}

fn url(scheme: &str, rest: &str) -> Result<GitProtocol, &'static str> {
    let protocol = match scheme {
        "https" => GitProtocol::Https,
        "http" => GitProtocol::Http,
        "ssh" => GitProtocol::Ssh,
        "git" => GitProtocol::Git,
        "file" => GitProtocol::File,
        _ => return Err("its protocol is unknown; known are https, ssh, http, git and file"),
    };
    let (authority, path) = split_authority(rest);
    if protocol == GitProtocol::File {
        let is_local = authority.is_empty() && path.starts_with('/');
        return if is_local {
            Ok(protocol)
        } else {
            Err("a file address is file:///absolute/path")
        };
    }
    // a token in it would be among the arguments of Git, where everybody on this machine sees it
    if path.contains(['?', '#']) {
        return Err(
            "what follows ? or # in it may be a token, and is no part of a repository's address: \
             leave it out, and let a credential helper keep the token, or write it before the host \
             (https://TOKEN@host/path)",
        );
    }
    let (user, host) = authority
        .rsplit_once('@')
        .map_or((None, authority), |(user, host)| (Some(user), host));
    check_host(host)?;
    check_port(host)?;
    check_user(user)?;
    if path.len() < 2 || path.starts_with("/-") {
        return Err("it names no repository on that host");
    }
    Ok(protocol)
}

fn scp(text: &str) -> Result<(), &'static str> {
    let (user, rest) = match text
        .find('@')
        .filter(|at| text.find(':').is_some_and(|colon| *at < colon))
    {
        Some(at) => (Some(&text[..at]), &text[at + 1..]),
        None => (None, text),
    };
    check_user(user)?;
    let end = if rest.starts_with('[') {
        rest.find(']').map(|i| i + 1)
    } else {
        rest.find(':')
    };
    let (host, path) = rest.split_at(end.ok_or("its host does not end")?);
    check_host(host)?;
    match path.strip_prefix(':') {
        Some(path) if !path.is_empty() && !path.starts_with('-') => Ok(()),
        _ => Err("it names no repository on that host"),
    }
}

/// A name or address, perhaps with a port. No percent signs: Git decodes them, and what they hide
/// is not seen here.
fn check_host(host: &str) -> Result<(), &'static str> {
    let fits =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    match host.as_bytes() {
        [] => Err("it has no host"),
        [b'-' | b':', ..] => Err("its host is none"),
        bytes if bytes.iter().all(|b| fits(*b)) => Ok(()),
        _ => Err("its host has characters that no host has"),
    }
}

/// What follows the name, or the address in brackets, is nothing or a port.
fn check_port(host: &str) -> Result<(), &'static str> {
    let after = match host.strip_prefix('[') {
        Some(address) => address.split_once(']').ok_or("its host does not end")?.1,
        None => host.find(':').map_or("", |colon| &host[colon..]),
    };
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    match after.strip_prefix(':') {
        None if after.is_empty() => Ok(()),
        Some(port) if is_port(port) => Ok(()),
        _ => Err("its port is none"),
    }
}

fn check_user(user: Option<&str>) -> Result<(), &'static str> {
    match user {
        Some(user) if user.is_empty() || user.starts_with(['-', '%']) => Err("its user is none"),
        // Git tells a credential helper of it line by line
        Some(user) if decoded(user).chars().any(char::is_control) => {
            Err("its user or password has control characters")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn all(text: &str) -> Result<GitRemote, RemoteError> {
        GitRemote::parse(text, GitRemote::PROTOCOLS)
    }

    #[test]
    fn addresses_that_people_use_are_taken() {
        for (text, protocol) in [
            ("https://git.example/registry.git", GitProtocol::Https),
            ("https://token:x@git.example:8443/a/b", GitProtocol::Https),
            ("ssh://git@git.example:2222/~/registry", GitProtocol::Ssh),
            ("ssh://git@[::1]:22/srv/a.git", GitProtocol::Ssh),
            ("git@git.example:org/registry.git", GitProtocol::Ssh),
            ("host:registry.git", GitProtocol::Ssh),
            ("git@[::1]:a", GitProtocol::Ssh),
            ("http://127.0.0.1:9080/fed.git", GitProtocol::Http),
            ("git://127.0.0.1:9418/fed.git", GitProtocol::Git),
            ("file:///srv/git/a.git", GitProtocol::File),
            ("/srv/with space/a.git", GitProtocol::File),
        ] {
            assert_eq!(all(text).unwrap().protocol(), protocol, "{text}");
        }
    }

    #[test]
    fn what_could_run_something_is_refused() {
        for text in [
            "",
            "ext::sh -c touch% /tmp/x",
            "fd::17",
            "EXT::x",
            "a+b.c-d::x",
            "::x",
            "--upload-pack=touch /tmp/x",
            "-oProxyCommand=x",
            "ssh://-oProxyCommand=touch/x",
            "ssh://%2DoProxyCommand=touch/x",
            "ssh://-oProxyCommand=x@host/x",
            "ssh://%2Do@host/x",
            "-user@host:path",
            "host:-path",
            "ssh://host/-path",
            "user@-host:path",
            "https:///path",
            "https://host",
            "https://ho st/x",
            "https://host:99999/x",
            "https://host:0/x",
            "https://host:/x",
            "ssh://git@[::1/x",
            "ssh://git@[::1]22/x",
            "https://host:1:2/x",
            "https://host/\u{202e}x",
            "https://host/\u{2028}x",
            "https://host/x\nprotocol.ext.allow=always",
            "ftp://host/x",
            "git+ssh://host/x",
            "file://host/x",
            "file://relative",
            "relative/path",
            "~/x",
            "https://ada:s3cret%0ahost=evil.example@host/x",
            "https://ada%00:s3cret@host/x",
            &format!("https://host/{}", "x".repeat(3000)),
        ] {
            assert!(all(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_what_the_configuration_allows_is_taken() {
        let usual = [GitProtocol::Https, GitProtocol::Ssh];
        assert!(GitRemote::parse("git@host:a", &usual).is_ok());
        for text in ["file:///a", "/a/b", "http://host/a", "git://host/a"] {
            let refused = GitRemote::parse(text, &usual).unwrap_err().to_string();
            assert!(
                refused.contains("is not allowed; security.allowed_git_protocols is [https, ssh]"),
                "{refused}"
            );
        }
        assert!(GitRemote::parse("git@host:a", &[GitProtocol::Https]).is_err());
    }

    #[test]
    fn git_is_given_an_address_without_its_secrets_and_told_who_asks() {
        for (text, address, login) in [
            ("https://git.example/a", "https://git.example/a", None),
            (
                "https://ada:s3%40@git.example:8443/a",
                "https://git.example:8443/a",
                Some("ada s3@"),
            ),
            (
                "http://t0ken@git.example/a",
                "http://git.example/a",
                Some("t0ken -"),
            ),
            (
                "https://t0ken:@git.example/a",
                "https://git.example/a",
                Some("t0ken "),
            ),
            (
                "ssh://git:s3cret@git.example/a",
                "ssh://git@git.example/a",
                None,
            ),
            (
                "git://ada:s3cret@git.example/a",
                "git://git.example/a",
                None,
            ),
            ("git@git.example:a", "git@git.example:a", None),
            ("/srv/a@b/c.git", "/srv/a@b/c.git", None),
            ("file:///srv/a@b/c.git", "file:///srv/a@b/c.git", None),
        ] {
            let remote = all(text).unwrap();
            assert_eq!(remote.for_git(), address);
            let told = remote.login().map(|login| {
                assert!(address.starts_with(&login.context) && !login.context.ends_with("/a"));
                format!(
                    "{} {}",
                    login.user,
                    login.password.as_deref().unwrap_or("-")
                )
            });
            assert_eq!(told.as_deref(), login, "{text}");
        }
    }

    #[test]
    fn a_token_in_a_query_is_refused_unshown_with_what_to_do() {
        for text in [
            "https://host/r.git?token=s3cret",
            "https://host/r.git?access_token=s3cret&x=y",
            "https://host/r.git#s3cret",
            "https://host?s3cret",
            "https://ada:s3cret@host/r?private_token=s3cret",
            "http://host/r?s3cret",
            "ssh://git@host/r?token=s3cret",
            "git://host/r?token=s3cret",
        ] {
            let refused = all(text).unwrap_err();
            let said = format!("{refused} {refused:?}");
            assert!(!said.contains("s3cret"), "{said}");
            for what in ["host", "leave it out", "credential helper"] {
                assert!(said.contains(what), "{said}");
            }
        }
        // of a directory's name it is a part
        assert!(all("file:///srv/what?/r.git").is_ok() && all("/srv/a#b").is_ok());
    }

    #[test]
    fn nothing_secret_is_shown() {
        for text in [
            "https://ada:s3cret@git.example/a",
            "https://s3cret@git.example/a",
            "ssh://ada:s3cret@git.example/a",
        ] {
            let remote = all(text).unwrap();
            let said = remote.redact(&format!("fatal: unable to access '{text}': wrong s3cret"));
            for shown in [
                remote.to_string(),
                format!("{remote:?}"),
                remote.public(),
                said,
            ] {
                assert!(
                    !shown.contains("s3cret") && shown.contains("git.example/a"),
                    "{shown}"
                );
            }
        }
        let remote = all("https://ada:s3%40cret@git.example/a").unwrap();
        assert_eq!(remote.redact("no s3@cret, no s3%40cret"), "no …, no …");
        let refused = GitRemote::parse("http://ada:s3cret@host/x", &[]).unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("s3cret"));
        assert_eq!(
            all("ssh://git@host/a").unwrap().public(),
            "ssh://git@host/a"
        );
        assert_eq!(all("git@host:a").unwrap().to_string(), "git@host:a");
    }
}
