//! Key files: a 32-byte seed as text, readable by its owner only, encrypted if a passphrase is
//! given.
//!
//! ```text
//! ssid-key/1                          ssid-key/1
//! public 64 hex digits                public 64 hex digits
//! seed   64 hex digits                kdf    argon2id m=65536 t=3 p=1     (m in KiB)
//! check  16 hex digits                salt   32 hex digits
//!                                     nonce  24 hex digits
//!                                     sealed 96 hex digits   ChaCha20-Poly1305 over the seed
//!                                     check  16 hex digits
//! ```
//!
//! `public` is the Ed25519 public key of the seed. `check` is the beginning of the SHA-256 of
//! everything before its line: it tells a damaged file from a wrong passphrase. The lines before
//! `sealed` are authenticated with it.

mod text;

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rand::TryRng as _;
use ssid_protocol::id::NodeId;
use ssid_protocol::identity::VotingKey;
use ssid_storage::{PathContext as _, PathError, regular};
use zeroize::Zeroizing;

use text::{Cost, KeyText, Secret, plain_text, sealed_text};

/// Bytes of the largest key file that is read.
const FILE_BYTES: u64 = 4096;

/// Why a key file cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It does not exist.
    #[error("there is no key file {}\n  make one with: ssid init, or restore it from a backup", .0.display())]
    Missing(PathBuf),
    /// It exists and is not overwritten.
    #[error("the key file {} exists and is not overwritten\n  move it away if it is of no use", .0.display())]
    Exists(PathBuf),
    /// Others could read it.
    #[error("others can read the key file {} (mode {mode:04o})\n  run: chmod 600 {}", path.display(), path.display())]
    Permissions {
        /// The key file that it is about.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not what was written.
    #[error("the key file {} is damaged: {what}\n  restore it from a backup", path.display())]
    Corrupt {
        /// The key file that it is about.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// It is encrypted and no passphrase was given.
    #[error("the key file {} needs its passphrase\n  set SSID_KEY_PASSPHRASE, or run on a terminal", .0.display())]
    PassphraseNeeded(PathBuf),
    /// The passphrase given is not the one it was encrypted with.
    #[error("wrong passphrase for the key file {}", .0.display())]
    WrongPassphrase(PathBuf),
    /// The key could not be derived or encrypted, or there was no randomness.
    #[error("cannot protect the key: {0}")]
    Crypto(String),
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] PathError),
}

/// A new secret seed from the operating system's randomness.
///
/// # Errors
/// If the operating system gives none.
pub fn generate_seed() -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let mut seed = Zeroizing::new([0; 32]);
    randomize(&mut *seed)?;
    Ok(seed)
}

/// Writes `seed` to a new file at `path`, encrypted if there is a passphrase, and waits until it is
/// on disk.
///
/// # Errors
/// If the file exists, which is never overwritten, or cannot be written.
pub fn write(path: &Path, seed: &[u8; 32], passphrase: Option<&str>) -> Result<(), KeyFileError> {
    let text = match passphrase {
        None => plain_text(seed),
        Some(passphrase) => sealed_text(seed, passphrase, Cost::USUAL)?,
    };
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = match opened {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            return Err(KeyFileError::Exists(path.to_owned()));
        }
        opened => opened.context("create the key file", path)?,
    };
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_directory_of(path));
    if written.is_err() {
        // nobody has seen the key yet; what stands there would be taken for a damaged one
        let _ = fs::remove_file(path);
    }
    Ok(written.context("write the key file", path)?)
}

/// Puts the key file `next` in the place of the one at `path`, which is erased: overwritten, as far
/// as the disk does that, once it has no name any more. Nothing is done if `next` is there no more:
/// an earlier try did it.
///
/// # Errors
/// If the operating system refuses; one of the two is at `path` then.
pub fn take_place(next: &Path, path: &Path) -> Result<(), KeyFileError> {
    if !next.exists() {
        return Ok(());
    }
    let replacing = "replace the key file";
    let former = match regular::open(OpenOptions::new().write(true), path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        opened => Some(opened.context(replacing, path)?),
    };
    fs::rename(next, path)
        .and_then(|()| sync_directory_of(path))
        .context(replacing, path)?;
    // after the new one is there for good: a crash before leaves the former one whole
    former.map_or(Ok(()), |former| overwrite(former, path))
}

/// Erases the key file at `path`: overwritten, as far as the disk does that, and removed.
///
/// # Errors
/// If the operating system refuses.
pub fn erase(path: &Path) -> Result<(), KeyFileError> {
    let erasing = "erase the key file";
    let file = regular::open(OpenOptions::new().write(true), path).context(erasing, path)?;
    overwrite(file, path)?;
    Ok(fs::remove_file(path)
        .and_then(|()| sync_directory_of(path))
        .context(erasing, path)?)
}

fn overwrite(mut file: fs::File, path: &Path) -> Result<(), KeyFileError> {
    let written = file.write_all(&[0; FILE_BYTES as usize]);
    let written = written.and_then(|()| file.sync_all());
    Ok(written.context("overwrite the former key file", path)?)
}

/// Reads the seed in the file at `path`. The passphrase is not looked at if the file is not
/// encrypted.
///
/// # Errors
/// If the file is missing, readable by others, damaged, or encrypted with another passphrase.
pub fn read(path: &Path, passphrase: Option<&str>) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let text = load(path)?;
    let corrupt = |what: String| KeyFileError::Corrupt {
        path: path.to_owned(),
        what,
    };
    let key = KeyText::parse(&text).map_err(corrupt)?;
    let seed = match key.secret {
        Secret::Plain(seed) => seed,
        Secret::Sealed(sealed) => {
            let passphrase =
                passphrase.ok_or_else(|| KeyFileError::PassphraseNeeded(path.to_owned()))?;
            sealed
                .open(passphrase)?
                .ok_or_else(|| KeyFileError::WrongPassphrase(path.to_owned()))?
        }
    };
    if VotingKey::from_seed(&seed).node_id() != key.public {
        return Err(corrupt(
            "its seed does not belong to its public key".to_owned(),
        ));
    }
    Ok(seed)
}

/// The public key of the file at `path`, which stands in it openly: no passphrase is needed.
///
/// # Errors
/// If the file is missing, readable by others or damaged.
pub fn public(path: &Path) -> Result<NodeId, KeyFileError> {
    let text = load(path)?;
    match KeyText::parse(&text) {
        Ok(key) => Ok(key.public),
        Err(what) => Err(KeyFileError::Corrupt {
            path: path.to_owned(),
            what,
        }),
    }
}

/// Whether the file at `path` is encrypted.
///
/// # Errors
/// If the file is missing, readable by others or damaged.
pub fn needs_passphrase(path: &Path) -> Result<bool, KeyFileError> {
    let text = load(path)?;
    match KeyText::parse(&text) {
        Ok(key) => Ok(matches!(key.secret, Secret::Sealed(_))),
        Err(what) => Err(KeyFileError::Corrupt {
            path: path.to_owned(),
            what,
        }),
    }
}

fn randomize(bytes: &mut [u8]) -> Result<(), KeyFileError> {
    let filled = rand::rngs::SysRng.try_fill_bytes(bytes);
    filled.map_err(|e| KeyFileError::Crypto(format!("the system gives no randomness: {e}")))
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::File::open(parent)?.sync_all()
}

fn load(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let corrupt = |what: &str| KeyFileError::Corrupt {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    let reading = "read the key file";
    let file = match regular::open(OpenOptions::new().read(true), path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(KeyFileError::Missing(path.to_owned()));
        }
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
            return Err(corrupt("it is not a regular file"));
        }
        opened => opened.context(reading, path)?,
    };
    let mode = file.metadata().context(reading, path)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Permissions {
            path: path.to_owned(),
            mode,
        });
    }
    // large enough never to be moved, which would leave a copy behind
    let mut text = Zeroizing::new(String::with_capacity(2 * FILE_BYTES as usize));
    match file.take(FILE_BYTES + 1).read_to_string(&mut text) {
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(corrupt("it is no text")),
        Ok(read) if read as u64 > FILE_BYTES => Err(corrupt("it is too large")),
        read => {
            read.context(reading, path)?;
            Ok(text)
        }
    }
}

#[cfg(test)]
mod tests;
