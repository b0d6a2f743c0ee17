//! The forms of texts that keys may be set to: addresses, mailboxes, branches, names of variables.

pub(super) fn is_url(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
    })
}

/// Whether a webhook may be there: what is posted, and often the address itself, is a secret.
pub(super) fn is_web_address(text: &str) -> bool {
    let Ok(url) = text.parse::<reqwest::Url>() else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let is_here = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    match url.scheme() {
        "https" => !host.is_empty(),
        "http" => is_here,
        _ => false,
    }
}

pub(super) fn is_mailbox(text: &str) -> bool {
    text.len() <= 254 && text.parse::<lettre::Address>().is_ok()
}

fn is_lock(part: &str) -> bool {
    std::path::Path::new(part)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("lock"))
}

/// Narrower than Git's own rule, and never mistaken for an option or a refspec.
pub(super) fn is_branch(text: &str) -> bool {
    let part = |part: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let odd = part.starts_with(['.', '-'])
            || part.ends_with('.')
            || is_lock(part)
            || part.contains("..");
        !part.is_empty() && part.bytes().all(fits) && !odd
    };
    text.len() <= 128 && text.split('/').all(part)
}

/// `SSID_…_TOKEN`: no other variable is ever read for a token, and so none of somebody else's
/// secrets.
pub(crate) fn is_variable(text: &str) -> bool {
    let between = text
        .strip_prefix("SSID_")
        .and_then(|rest| rest.strip_suffix("_TOKEN"));
    let fits = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    text.len() <= 128 && between.is_some_and(|name| !name.is_empty() && name.bytes().all(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_are_read_for_tokens() {
        assert!(is_variable("SSID_MY_2_TOKEN") && is_variable("SSID_API_TOKEN"));
        for bad in [
            "SSID_KEY_PASSPHRASE",
            "PATH",
            "AWS_SECRET_ACCESS_KEY",
            "SSID__TOKEN ",
            "SSID_TOKEN",
            "SSID_my_TOKEN",
        ] {
            assert!(!is_variable(bad), "{bad}");
        }
    }

    #[test]
    fn a_branch_is_no_option_and_no_refspec() {
        for good in ["ssid-federation", "team/ssid_1.0", "a"] {
            assert!(is_branch(good), "{good}");
        }
        for bad in [
            "", "-x", "a/", "/a", "a..b", "a:b", "+a", "a b", "a/-b", ".a", "a.lock", "a.LOCK",
            "a.", "a\n", "@{1}", "é",
        ] {
            assert!(!is_branch(bad), "{bad:?}");
        }
    }
}
