//! A node's data directory: which file in it is what, how it is made, and where it is when nobody
//! says.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ssid_storage::{PathContext as _, PathError};

/// Bytes of the longest path that a Unix socket can have (108 with the final NUL).
pub const SOCKET_PATH_BYTES: usize = 107;

/// What was tried when a data directory cannot be made.
const CREATING: &str = "make the data directory";
/// What was tried when one cannot be looked at.
const USING: &str = "use the data directory";

/// A node's data directory. Only names: nothing is touched before [`create`](Home::create).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Nothing says where it should be.
    #[error(
        "no data directory is known: SSID_DATA, XDG_DATA_HOME and HOME are not set\n  name one with --data DIR"
    )]
    Unknown,
    /// It does not exist.
    #[error("there is no data directory {}\n  make one with: ssid init --data {}", .0.display(), .0.display())]
    Missing(PathBuf),
    /// A link stands there whose target is not.
    #[error("{} is a link that leads nowhere\n  make the directory that it names, or remove the link", .0.display())]
    Dangling(PathBuf),
    /// Something else stands there.
    #[error("{} is not a directory\n  choose another with --data DIR", .0.display())]
    NotADirectory(PathBuf),
    /// Others could exchange the keys in it.
    #[error("others can write to {} (mode {mode:04o})\n  run: chmod 700 {}", path.display(), path.display())]
    Writable {
        /// The directory that it is about.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It, or something in it, belongs to somebody else, who may change what this node does.
    #[error(
        "{} belongs to another user (uid {owner})\n  choose a data directory of your own with --data DIR, for example {}",
        path.display(), "~/.local/share/ssid"
    )]
    NotOurs {
        /// The path that belongs to another user.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others could put another directory in its place.
    #[error(
        "others can exchange {}: they can write to {} (mode {mode:04o})\n  \
         choose a directory below one that only you can write to, with --data DIR",
        path.display(), above.display()
    )]
    Exchangeable {
        /// The directory that is to be used.
        path: PathBuf,
        /// The directory above it.
        above: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The path of the API socket does not fit into a socket address.
    #[error(
        "the socket path {} has {} bytes; at most {SOCKET_PATH_BYTES} are possible\n  \
         choose a shorter directory with --data DIR",
        .0.display(), .0.as_os_str().len()
    )]
    SocketPath(PathBuf),
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] PathError),
}

impl Home {
    /// The data directory `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where the data directory is unless `--data` says: `$SSID_DATA`, `$XDG_DATA_HOME/ssid` or
    /// `$HOME/.local/share/ssid`. `variable` looks up an environment variable; empty ones count as
    /// unset.
    ///
    /// # Errors
    /// If none of the three is set.
    pub fn find(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, HomeError> {
        let set = |name: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        if let Some(data) = set("SSID_DATA") {
            return Ok(Self::new(data));
        }
        // relative paths are to be ignored, says the XDG specification
        if let Some(data) = set("XDG_DATA_HOME").filter(|path| path.is_absolute()) {
            return Ok(Self::new(data.join("ssid")));
        }
        let home = set("HOME").ok_or(HomeError::Unknown)?;
        Ok(Self::new(home.join(".local/share/ssid")))
    }

    /// Makes the directory, readable by its owner only, unless it exists; then checks it as
    /// [`check`](Self::check).
    ///
    /// # Errors
    /// If it cannot be made, or if what exists cannot be used.
    pub fn create(&self) -> Result<(), HomeError> {
        let is_link = fs::symlink_metadata(&self.root).is_ok_and(|meta| meta.is_symlink());
        if is_link && !self.root.exists() {
            return Err(HomeError::Dangling(self.root.clone()));
        }
        if !self.root.exists() {
            if let Some(parent) = self.root.parent() {
                fs::create_dir_all(parent).context(CREATING, &self.root)?;
            }
            match fs::DirBuilder::new().mode(0o700).create(&self.root) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                created => created.context(CREATING, &self.root)?,
            }
        }
        self.check()
    }

    /// Whether the directory is there, is nobody else's to write to, and short enough for its
    /// socket.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn check(&self) -> Result<(), HomeError> {
        let meta = match fs::metadata(&self.root) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let is_link = fs::symlink_metadata(&self.root).is_ok();
                let error = if is_link {
                    HomeError::Dangling
                } else {
                    HomeError::Missing
                };
                return Err(error(self.root.clone()));
            }
            Ok(meta) if !meta.is_dir() => return Err(HomeError::NotADirectory(self.root.clone())),
            meta => meta.context(USING, &self.root)?,
        };
        check_private(&self.root, &meta)?;
        let files = [
            self.voting_key(),
            self.network_key(),
            self.next_voting_key(),
            self.next_network_key(),
            self.genesis(),
            self.invite(),
            self.votes_journal(),
            self.config(),
        ];
        for path in files {
            if let Ok(meta) = fs::metadata(&path) {
                check_owner(&path, &meta)?;
            }
        }
        self.api_socket().map(|_| ())
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The key that votes.
    pub fn voting_key(&self) -> PathBuf {
        self.root.join("voting.key")
    }

    /// The key that the network knows the node by: the Ed25519 identity of libp2p.
    pub fn network_key(&self) -> PathBuf {
        self.root.join("network.key")
    }

    /// The key that is to vote in its place, from when that is proposed until it does.
    pub fn next_voting_key(&self) -> PathBuf {
        self.root.join("voting.next.key")
    }

    /// The key that the network is to know the node by, likewise.
    pub fn next_network_key(&self) -> PathBuf {
        self.root.join("network.next.key")
    }

    /// The configuration of a node without a repository.
    pub fn config(&self) -> PathBuf {
        self.root.join("federation_config.json")
    }

    /// The chain of epochs that the node joined with, if it became a member in a later one.
    pub fn epochs(&self) -> PathBuf {
        self.root.join("epochs.jsonl")
    }

    /// The manifest of epoch 0 of the federation that the node is in.
    pub fn genesis(&self) -> PathBuf {
        self.root.join("genesis.json")
    }

    /// The invite that the node joined with, if it was no member then.
    pub fn invite(&self) -> PathBuf {
        self.root.join("invite.json")
    }

    /// The node's signed member card.
    pub fn card(&self) -> PathBuf {
        self.root.join("card.json")
    }

    /// The directory of the database.
    pub fn database(&self) -> PathBuf {
        self.root.join("db")
    }

    /// Every vote the node has signed; its loss could make the node vote twice.
    pub fn votes_journal(&self) -> PathBuf {
        self.root.join("votes.journal")
    }

    /// There if, and why, the node signs nothing: its vote history is incomplete.
    pub fn votes_abstain(&self) -> PathBuf {
        self.root.join("votes.abstain")
    }

    /// Size, root and sequence of the certified log, to compare the database with.
    pub fn log_head(&self) -> PathBuf {
        self.root.join("log.head")
    }

    /// Bare Git repositories: the own branch, and mirrors of the other members'.
    pub fn git(&self) -> PathBuf {
        self.root.join("git")
    }

    /// Mirrors of the repositories of members without a key.
    pub fn plain_mirrors(&self) -> PathBuf {
        self.git().join("plain")
    }

    /// Members of whom only a Git repository is known: they have no key, and are observed only.
    pub fn known_members(&self) -> PathBuf {
        self.root.join("known_members.json")
    }

    /// The process that runs on this directory.
    pub fn pid(&self) -> PathBuf {
        self.root.join("node.pid")
    }

    /// The socket of the local API.
    ///
    /// # Errors
    /// If its path is longer than [`SOCKET_PATH_BYTES`].
    pub fn api_socket(&self) -> Result<PathBuf, HomeError> {
        let path = self.root.join("api.sock");
        if path.as_os_str().as_bytes().len() > SOCKET_PATH_BYTES {
            return Err(HomeError::SocketPath(path));
        }
        Ok(path)
    }
}

/// Whether a directory that is used as one's own is: nobody else can write to it, or put another in
/// its place.
///
/// # Errors
/// Whose it is, or who can.
pub fn check_directory(path: &Path) -> Result<(), HomeError> {
    let meta = fs::metadata(path).context(USING, path)?;
    check_private(path, &meta)
}

fn check_private(path: &Path, meta: &fs::Metadata) -> Result<(), HomeError> {
    check_owner(path, meta)?;
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(HomeError::Writable {
            path: path.to_owned(),
            mode,
        });
    }
    // the way as it is written, whose links may be others', and the way that it means
    let written = std::path::absolute(path).context(USING, path)?;
    let meant = path.canonicalize().context(USING, path)?;
    for way in [written, meant] {
        way.ancestors()
            .zip(way.ancestors().skip(1))
            .try_for_each(|(child, above)| check_above(path, child, above))?;
    }
    Ok(())
}

/// Whether somebody else could put something in the place of `child`, which is in `above`.
fn check_above(path: &Path, child: &Path, above: &Path) -> Result<(), HomeError> {
    let meta = fs::metadata(above).context(USING, path)?;
    check_owner(above, &meta)?;
    let entry = fs::symlink_metadata(child).context(USING, path)?;
    if entry.is_symlink() {
        check_owner(child, &entry)?;
    }
    let mode = meta.permissions().mode() & 0o7777;
    // a group of one's own has no other members, as a rule
    let by_group = mode & 0o020 != 0 && meta.gid() != rustix::process::getegid().as_raw();
    let by_all = mode & 0o002 != 0;
    let is_sticky = mode & 0o1000 != 0;
    if !(by_group || by_all) || is_sticky && check_owner(child, &entry).is_ok() {
        return Ok(());
    }
    Err(HomeError::Exchangeable {
        path: path.to_owned(),
        above: above.to_owned(),
        mode,
    })
}

fn check_owner(path: &Path, meta: &fs::Metadata) -> Result<(), HomeError> {
    let owner = meta.uid();
    if owner == 0 || owner == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(HomeError::NotOurs {
        path: path.to_owned(),
        owner,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn found(variables: &[(&str, &str)]) -> Result<PathBuf, HomeError> {
        Home::find(|name| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| v.into())
        })
        .map(|h| h.root)
    }

    #[test]
    fn the_directory_is_found_in_order() {
        let home = ("HOME", "/home/ada");
        assert_eq!(
            found(&[home, ("SSID_DATA", "here"), ("XDG_DATA_HOME", "/xdg")]).unwrap(),
            Path::new("here")
        );
        assert_eq!(
            found(&[home, ("SSID_DATA", ""), ("XDG_DATA_HOME", "/xdg")]).unwrap(),
            Path::new("/xdg/ssid")
        );
        let default = Path::new("/home/ada/.local/share/ssid");
        assert_eq!(
            found(&[home, ("XDG_DATA_HOME", "relative")]).unwrap(),
            default
        );
        assert_eq!(found(&[home]).unwrap(), default);
        assert!(
            found(&[("HOME", "")])
                .unwrap_err()
                .to_string()
                .contains("--data")
        );
    }

    #[test]
    fn it_is_made_for_its_owner_only() {
        let above = tempfile::tempdir().unwrap();
        let home = Home::new(above.path().join("a/ssid"));
        assert!(
            home.check()
                .unwrap_err()
                .to_string()
                .contains("ssid init --data")
        );
        home.create().unwrap();
        home.create().unwrap();
        let mode = |m| fs::set_permissions(home.root(), fs::Permissions::from_mode(m)).unwrap();
        assert_eq!(
            fs::metadata(home.root()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        mode(0o755);
        home.check().unwrap();
        mode(0o775);
        let refused = home.check().unwrap_err().to_string();
        assert!(
            refused.contains("mode 0775") && refused.contains("chmod 700"),
            "{refused}"
        );
        fs::write(above.path().join("file"), "").unwrap();
        assert!(matches!(
            Home::new(above.path().join("file")).create(),
            Err(HomeError::NotADirectory(_))
        ));
        assert!(Home::new(above.path().join("file/below")).create().is_err());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named_as_one() {
        let above = tempfile::tempdir().unwrap();
        let home = Home::new(above.path().join("link"));
        std::os::unix::fs::symlink(above.path().join("nowhere"), home.root()).unwrap();
        for refused in [home.create().unwrap_err(), home.check().unwrap_err()] {
            assert!(
                refused.to_string().contains("a link that leads nowhere"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_directory_that_others_can_exchange_is_refused() {
        let above = tempfile::tempdir().unwrap();
        let shared = above.path().join("shared");
        let home = Home::new(shared.join("ssid"));
        home.create().unwrap();
        let mode = |m| fs::set_permissions(&shared, fs::Permissions::from_mode(m)).unwrap();
        mode(0o1777);
        home.check().unwrap();
        mode(0o777);
        let refused = home.check().unwrap_err().to_string();
        assert!(
            refused.contains("can exchange") && refused.contains("mode 0777"),
            "{refused}"
        );
        mode(0o755);
        home.check().unwrap();
    }

    #[test]
    fn what_belongs_to_another_user_is_refused() {
        const NOBODY: u32 = 65_534;
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root can give a directory to another user");
            return;
        }
        let above = tempfile::tempdir().unwrap();
        let home = Home::new(above.path().join("between/ssid"));
        home.create().unwrap();
        let give = |path: &Path, to| std::os::unix::fs::lchown(path, Some(to), None).unwrap();
        let refused = |path: &Path| {
            give(path, NOBODY);
            let refused = home.check().unwrap_err().to_string();
            assert!(
                refused.contains(&path.display().to_string()) && refused.contains("uid 65534"),
                "{refused}"
            );
            give(path, 0);
            home.check().unwrap();
        };
        refused(home.root());
        refused(&above.path().join("between"));
        for path in [
            home.voting_key(),
            home.genesis(),
            home.votes_journal(),
            home.config(),
        ] {
            fs::write(&path, "").unwrap();
            refused(&path);
        }
        // a link of theirs, to a directory of ours
        let link = above.path().join("link");
        std::os::unix::fs::symlink(home.root(), &link).unwrap();
        give(&link, NOBODY);
        assert!(matches!(
            Home::new(&link).check(),
            Err(HomeError::NotOurs { .. })
        ));
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_refused_in_time() {
        let fits = Home::new(format!(
            "/{}",
            "x".repeat(SOCKET_PATH_BYTES - "/".len() - "/api.sock".len())
        ));
        assert_eq!(
            fits.api_socket().unwrap().as_os_str().len(),
            SOCKET_PATH_BYTES
        );
        let long = Home::new(format!("{}y", fits.root.display()));
        let refused = long.api_socket().unwrap_err().to_string();
        assert!(
            refused.contains("has 108 bytes; at most 107") && refused.contains("shorter"),
            "{refused}"
        );
    }
}
