//! The invite that a node joined with, `invite.json` of its data directory: by it a node that is no
//! member yet knows the federation, the manifest that the chain has to contain, and whom to ask
//! (SPEC §4).

use std::io;
use std::path::{Path, PathBuf};

use ssid_protocol::id::{Epoch, FederationId};
use ssid_protocol::invite::{Invite, InviteError};
use ssid_protocol::limits;
use ssid_protocol::manifest::Manifest;
use ssid_storage::{PathContext as _, PathError, regular};

use crate::home::Home;
use crate::place::Place;

/// Why an invite is not taken, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InvitedError {
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] PathError),
    /// The file is no invite.
    #[error("{} is no invite: {error}\n  take one again with: ssid federation join NAME.invite.json", path.display())]
    Malformed {
        /// The file that cannot be used.
        path: PathBuf,
        /// What is wrong with it.
        error: InviteError,
    },
    /// The genesis file beside it is none.
    #[error("{} is no valid genesis file: {reason}", path.display())]
    Genesis {
        /// The file that cannot be used.
        path: PathBuf,
        /// What is wrong with it, in words.
        reason: String,
    },
    /// The data directory is of another federation. For good: votes of two under one key would be
    /// proof against it.
    #[error(
        "{} belongs to federation {present} already, the invite is to {invited}\n  \
         use a data directory of its own for each federation", path.display()
    )]
    OtherFederation {
        /// The data directory.
        path: PathBuf,
        /// The federation that it belongs to.
        present: FederationId,
        /// The federation of the invite.
        invited: FederationId,
    },
    /// A later one was taken before: its pin says more.
    #[error(
        "an invite of epoch {present} was taken already, this one is of epoch {invited}\n  \
         ask a member for a new one: ssid membership invite"
    )]
    Earlier {
        /// The epoch of the one that was taken.
        present: Epoch,
        /// The epoch of the one that is offered.
        invited: Epoch,
    },
}

/// The invite that the node joined with, if it did.
///
/// # Errors
/// If the file is there and cannot be read, or breaks a rule of an invite.
pub fn read(home: &Home) -> Result<Option<Invite>, InvitedError> {
    let path = home.invite();
    let bytes = match regular::read(&path, limits::DOCUMENT_BYTES as u64) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.context("read", &path)?,
    };
    let malformed = |error| InvitedError::Malformed { path, error };
    Invite::parse(&bytes).map(Some).map_err(malformed)
}

/// Takes an invite into the data directory, whole or not at all. One of the same federation and of
/// no earlier epoch takes the place of one that was taken before.
///
/// # Errors
/// If the directory is another federation's, a later invite was taken, or the system refuses.
pub fn store(home: &Home, invite: &Invite) -> Result<(), InvitedError> {
    let taken = read(home)?;
    let genesis = genesis_of(&home.genesis())?;
    let present = taken.as_ref().map(|taken| taken.federation_id);
    for present in [present, genesis].into_iter().flatten() {
        if present != invite.federation_id {
            return Err(InvitedError::OtherFederation {
                path: home.root().to_owned(),
                present,
                invited: invite.federation_id,
            });
        }
    }
    if let Some(taken) = taken.filter(|taken| taken.epoch > invite.epoch) {
        return Err(InvitedError::Earlier {
            present: taken.epoch,
            invited: invite.epoch,
        });
    }
    let path = home.invite();
    Place::from(&*path)
        .replace(invite.to_pretty().as_bytes())
        .context("write", &path)?;
    Ok(())
}

/// The federation of the genesis file, if there is one.
fn genesis_of(path: &Path) -> Result<Option<FederationId>, InvitedError> {
    let bytes = match regular::read(path, limits::DOCUMENT_BYTES as u64) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.context("read", path)?,
    };
    let malformed = |error: ssid_protocol::manifest::ManifestError| InvitedError::Genesis {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let manifest = Manifest::parse(&bytes).map_err(malformed)?;
    Ok(Some(manifest.federation_id()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use ssid_protocol::testing;

    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        (dir, home)
    }

    fn other() -> Invite {
        let genesis = testing::manifest(5);
        Invite {
            federation_id: genesis.federation_id(),
            manifest_hash: genesis.hash(),
            genesis,
            ..testing::invite()
        }
    }

    #[test]
    fn an_invite_is_kept_and_a_later_one_takes_its_place() {
        let (_dir, home) = home();
        assert!(read(&home).unwrap().is_none());
        let first = testing::invite();
        store(&home, &first).unwrap();
        store(&home, &first).unwrap();
        assert_eq!(read(&home).unwrap().as_ref(), Some(&first));
        let later = Invite {
            epoch: Epoch(2),
            ..first.clone()
        };
        store(&home, &later).unwrap();
        let refused = store(&home, &first).unwrap_err();
        assert!(matches!(refused, InvitedError::Earlier { .. }), "{refused}");
        assert_eq!(read(&home).unwrap(), Some(later));
    }

    #[test]
    fn a_directory_is_of_one_federation_for_good() {
        let (_dir, home) = home();
        store(&home, &testing::invite()).unwrap();
        let refused = store(&home, &other()).unwrap_err();
        assert!(matches!(refused, InvitedError::OtherFederation { .. }));
        fs::remove_file(home.invite()).unwrap();
        fs::write(home.genesis(), testing::manifest(4).to_pretty()).unwrap();
        let refused = store(&home, &other()).unwrap_err();
        assert!(matches!(refused, InvitedError::OtherFederation { .. }));
        store(&home, &testing::invite()).unwrap();
    }

    #[test]
    fn a_file_that_is_no_invite_is_named_and_not_overwritten() {
        let (_dir, home) = home();
        fs::write(home.invite(), "{}").unwrap();
        let message = store(&home, &testing::invite()).unwrap_err().to_string();
        assert!(message.contains("invite.json is no invite"), "{message}");
        assert_eq!(fs::read_to_string(home.invite()).unwrap(), "{}");
    }
}
