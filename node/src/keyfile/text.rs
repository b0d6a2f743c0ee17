//! What stands in a key file, and how the seed is sealed in it.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use ssid_protocol::id::{NodeId, Sha256Hash};
use ssid_protocol::identity::VotingKey;
use zeroize::Zeroizing;

use super::{KeyFileError, randomize};

const FORMAT: &str = "ssid-key/1";
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const SEALED_BYTES: usize = 32 + 16;
const CHECK_BYTES: usize = 8;

/// What deriving the key from the passphrase costs: chosen when a file is written, bounded when one
/// is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// Memory in KiB.
    memory: u32,
    /// Passes over it.
    passes: u32,
    /// Lanes that Argon2 computes in.
    lanes: u32,
}

impl Cost {
    pub(super) const USUAL: Self = Self {
        memory: 64 * 1024,
        passes: 3,
        lanes: 1,
    };
    pub(super) const LEAST: Self = Self {
        memory: 8 * 1024,
        passes: 1,
        lanes: 1,
    };
    const MOST: Self = Self {
        memory: 256 * 1024,
        passes: 10,
        lanes: 4,
    };
}

/// A key file's contents.
pub(super) struct KeyText<'a> {
    pub(super) public: NodeId,
    pub(super) secret: Secret<'a>,
}

pub(super) enum Secret<'a> {
    Plain(Zeroizing<[u8; 32]>),
    Sealed(Sealed<'a>),
}

/// An encrypted seed.
pub(super) struct Sealed<'a> {
    cost: Cost,
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
    bytes: [u8; SEALED_BYTES],
    /// The lines that are authenticated with it.
    header: &'a str,
}

impl Sealed<'_> {
    /// The seed; `None` if the passphrase is wrong.
    pub(super) fn open(
        &self,
        passphrase: &str,
    ) -> Result<Option<Zeroizing<[u8; 32]>>, KeyFileError> {
        let cipher = cipher(passphrase, &self.salt, self.cost)?;
        let payload = Payload {
            msg: &self.bytes,
            aad: self.header.as_bytes(),
        };
        let opened = cipher
            .decrypt(&Nonce::from(self.nonce), payload)
            .ok()
            .map(Zeroizing::new);
        Ok(opened
            .and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok())
            .map(Zeroizing::new))
    }
}

fn cipher(passphrase: &str, salt: &[u8], cost: Cost) -> Result<ChaCha20Poly1305, KeyFileError> {
    let refused = |e: argon2::Error| KeyFileError::Crypto(e.to_string());
    let params = Params::new(cost.memory, cost.passes, cost.lanes, Some(32)).map_err(refused)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = Zeroizing::new([0; 32]);
    argon2
        .hash_password_into(passphrase.as_bytes(), salt, &mut *key)
        .map_err(refused)?;
    Ok(ChaCha20Poly1305::new(<&Key>::from(&*key)))
}

/// The file of a seed that is not encrypted.
pub(super) fn plain_text(seed: &[u8; 32]) -> Zeroizing<String> {
    let mut text = header(seed);
    line(&mut text, "seed", seed);
    with_check(text)
}

/// The file of a seed that is encrypted.
pub(super) fn sealed_text(
    seed: &[u8; 32],
    passphrase: &str,
    cost: Cost,
) -> Result<Zeroizing<String>, KeyFileError> {
    let mut salt = [0; SALT_BYTES];
    let mut nonce = [0; NONCE_BYTES];
    randomize(&mut salt)?;
    randomize(&mut nonce)?;
    let mut text = header(seed);
    let kdf = format!(
        "kdf argon2id m={} t={} p={}\n",
        cost.memory, cost.passes, cost.lanes
    );
    text.push_str(&kdf);
    line(&mut text, "salt", &salt);
    line(&mut text, "nonce", &nonce);
    let payload = Payload {
        msg: seed,
        aad: text.as_bytes(),
    };
    let sealed = cipher(passphrase, &salt, cost)?.encrypt(&Nonce::from(nonce), payload);
    let sealed = sealed.map_err(|_| KeyFileError::Crypto("encryption failed".to_owned()))?;
    line(&mut text, "sealed", &sealed);
    Ok(with_check(text))
}

fn header(seed: &[u8; 32]) -> Zeroizing<String> {
    // large enough never to be moved, which would leave a copy behind
    let mut text = Zeroizing::new(String::with_capacity(1024));
    text.push_str(FORMAT);
    text.push('\n');
    line(
        &mut text,
        "public",
        VotingKey::from_seed(seed).node_id().as_bytes(),
    );
    text
}

fn line(text: &mut String, name: &str, bytes: &[u8]) {
    let digits = Zeroizing::new(hex::encode(bytes));
    for part in [name, " ", &digits, "\n"] {
        text.push_str(part);
    }
}

fn with_check(mut text: Zeroizing<String>) -> Zeroizing<String> {
    let check = check_of(&text);
    line(&mut text, "check", &check);
    text
}

fn check_of(text: &str) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&Sha256Hash::of(&[text.as_bytes()]).0[..CHECK_BYTES]);
    check
}

impl<'a> KeyText<'a> {
    /// Reads a key file, or says what is wrong with it.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        if text.lines().next() != Some(FORMAT) {
            return Err(format!("its first line is not {FORMAT}"));
        }
        let body = text
            .find("\ncheck ")
            .map(|at| &text[..=at])
            .ok_or("its end is missing")?;
        let check: [u8; CHECK_BYTES] = field(&mut text[body.len()..].lines(), "check")?;
        if check != check_of(body) || text.len() != body.len() + "check \n".len() + 2 * CHECK_BYTES
        {
            return Err("its check does not match its text".to_owned());
        }
        let mut lines = body.lines().skip(1).peekable();
        let public = NodeId(field(&mut lines, "public")?);
        let secret = if lines.peek().is_some_and(|l| l.starts_with("seed ")) {
            Secret::Plain(Zeroizing::new(field(&mut lines, "seed")?))
        } else {
            let cost = Cost::parse(lines.next().unwrap_or_default())?;
            let salt = field(&mut lines, "salt")?;
            let nonce = field(&mut lines, "nonce")?;
            let header = body.find("sealed ").map_or(body, |at| &body[..at]);
            Secret::Sealed(Sealed {
                cost,
                salt,
                nonce,
                bytes: field(&mut lines, "sealed")?,
                header,
            })
        };
        match lines.next() {
            None => Ok(Self { public, secret }),
            Some(_) => Err("it has more lines than it should".to_owned()),
        }
    }
}

fn field<'a, const N: usize>(
    lines: &mut impl Iterator<Item = &'a str>,
    name: &str,
) -> Result<[u8; N], String> {
    let value = lines
        .next()
        .and_then(|l| l.strip_prefix(name))
        .and_then(|l| l.strip_prefix(' '));
    let mut bytes = [0; N];
    match value.map(|digits| hex::decode_to_slice(digits, &mut bytes)) {
        Some(Ok(())) => Ok(bytes),
        _ => Err(format!(
            "it has no line `{name}` with {} hex digits where one is expected",
            2 * N
        )),
    }
}

impl Cost {
    /// Reads `kdf argon2id m=… t=… p=…`. A file cannot ask for more than a laptop has, nor for next
    /// to nothing.
    fn parse(line: &str) -> Result<Self, String> {
        let numbers = || {
            let mut parts = line.strip_prefix("kdf argon2id ")?.split(' ');
            let mut number = |name: &str| {
                parts
                    .next()?
                    .strip_prefix(name)?
                    .strip_prefix('=')?
                    .parse::<u32>()
                    .ok()
            };
            let cost = Self {
                memory: number("m")?,
                passes: number("t")?,
                lanes: number("p")?,
            };
            parts.next().is_none().then_some(cost)
        };
        let cost = numbers()
            .ok_or("it has neither a line `seed` nor a line `kdf argon2id m=… t=… p=…`")?;
        let least = Self::LEAST;
        let most = Self::MOST;
        let fits = (least.memory..=most.memory).contains(&cost.memory)
            && (least.passes..=most.passes).contains(&cost.passes)
            && (least.lanes..=most.lanes).contains(&cost.lanes);
        if fits {
            Ok(cost)
        } else {
            Err(format!("its `{line}` is outside {least:?} to {most:?}"))
        }
    }
}
