//! Members of whom only a Git repository is known. They have no key: what their registry logs say
//! is shown as observations, and never counts to a quorum, a certificate or trust (SPEC §10).

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ssid_storage::{PathContext as _, PathError, regular};

use crate::place::Place;

/// Bytes of the file that are read.
const FILE_BYTES: u64 = 1 << 20;
/// Members it may hold.
const MEMBERS: usize = 1000;
const FORMAT: &str = "ssid-known-members/1";

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownMember {
    /// What this node's operators call it: its name here.
    pub node_name: String,
    /// Whose it is.
    pub organization: String,
    /// Its repository, as it was checked when it was added; it is checked again before it is used.
    pub git_remote: String,
}

/// All of them, as they stand in `known_members.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownMembers {
    format: String,
    members: Vec<KnownMember>,
}

/// Why the file cannot be used, or a member not be added.
#[derive(Debug, thiserror::Error)]
pub enum KnownMembersError {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] PathError),
    /// It is not what `nodes observe` writes.
    #[error("{} is no list of known members: {reason}", path.display())]
    Malformed {
        /// The file that cannot be used.
        path: PathBuf,
        /// What is wrong with it, in words.
        reason: String,
    },
    /// Another member has this name.
    #[error("{0:?} is known with another repository or organization; choose another --node-name")]
    Taken(String),
    /// There are too many.
    #[error("known_members = {MEMBERS} are known already")]
    Full,
}

impl KnownMembers {
    /// Reads the file at `path`; nobody is known if there is none.
    ///
    /// # Errors
    /// If it cannot be read, or is something else.
    pub fn load(path: &Path) -> Result<Self, KnownMembersError> {
        let malformed = |reason: String| KnownMembersError::Malformed {
            path: path.to_owned(),
            reason,
        };
        let bytes = match regular::read(path, FILE_BYTES) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(Self {
                    format: FORMAT.to_owned(),
                    members: Vec::new(),
                });
            }
            read => read.context("read", path)?,
        };
        let known: Self = serde_json::from_slice(&bytes).map_err(|e| malformed(e.to_string()))?;
        if known.format != FORMAT || known.members.len() > MEMBERS {
            return Err(malformed(format!(
                "its format is not {FORMAT}, or it has more than {MEMBERS} members"
            )));
        }
        Ok(known)
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn save(&self, path: &Path) -> Result<(), KnownMembersError> {
        let text = serde_json::to_string_pretty(self).context("write", path)?;
        // addresses may hold passwords
        Place::from(path)
            .replace_secret((text + "\n").as_bytes())
            .context("write", path)?;
        Ok(())
    }

    /// Adds a member; `false` if it was there.
    ///
    /// # Errors
    /// If another has its name, or there are too many.
    pub fn add(&mut self, member: KnownMember) -> Result<bool, KnownMembersError> {
        match self
            .members
            .iter()
            .find(|known| known.node_name.to_lowercase() == member.node_name.to_lowercase())
        {
            Some(known) if *known == member => Ok(false),
            Some(known) => Err(KnownMembersError::Taken(known.node_name.clone())),
            None if self.members.len() >= MEMBERS => Err(KnownMembersError::Full),
            None => {
                self.members.push(member);
                Ok(true)
            }
        }
    }

    /// Takes out those of which `is_it` holds; whether there was one.
    pub fn remove(&mut self, is_it: impl Fn(&KnownMember) -> bool) -> bool {
        let before = self.members.len();
        self.members.retain(|member| !is_it(member));
        self.members.len() < before
    }

    /// In the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &KnownMember> {
        self.members.iter()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn member(name: &str, remote: &str) -> KnownMember {
        KnownMember {
            node_name: name.into(),
            organization: "O".into(),
            git_remote: remote.into(),
        }
    }

    #[test]
    fn members_are_added_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_members.json");
        let mut known = KnownMembers::load(&path).unwrap();
        assert!(known.add(member("Oslo", "git@host:a")).unwrap());
        assert!(!known.add(member("Oslo", "git@host:a")).unwrap());
        assert!(matches!(
            known.add(member("Oslo", "git@host:b")),
            Err(KnownMembersError::Taken(_))
        ));
        known.save(&path).unwrap();
        let again = KnownMembers::load(&path).unwrap();
        assert_eq!((again.iter().count(), &again), (1, &known));
        for bad in [
            "",
            "{}",
            "{\"format\":\"ssid-known-members/2\",\"members\":[]}",
        ] {
            std::fs::write(&path, bad).unwrap();
            assert!(
                matches!(
                    KnownMembers::load(&path),
                    Err(KnownMembersError::Malformed { .. })
                ),
                "{bad}"
            );
        }
    }
}
