//! Whether the branch that a node is to publish on is its own: asked before anything is pushed, so
//! that a name that means another branch, by mistake or by somebody's design, never costs that
//! branch its files.

use std::path::Path;

use gix_hash::ObjectId;
use ssid_protocol::git_lines::{BranchHead, HEAD_FILE, LINES_DIR};
use ssid_protocol::id::{FederationId, NodeId};

use super::command::{Git, Job};
use super::failure::GitError;
use super::objects::Objects;
use super::remote::GitRemote;

/// Other files on a branch that are named.
const FILES_NAMED: usize = 3;

/// What a remote has under the name of a branch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct There {
    /// Whether the branch exists.
    pub(super) exists: bool,
    /// Whether it is the one that the remote's HEAD names.
    pub(super) is_default: bool,
    /// A branch that cannot stand beside one of this name.
    in_the_way: Option<String>,
}

impl There {
    /// Asks a remote for a branch.
    ///
    /// # Errors
    /// If it cannot be asked, or another branch is in the way of this one.
    pub(super) async fn ask(
        git: &Git,
        repository: &Path,
        remote: &GitRemote,
        branch: &str,
    ) -> Result<Self, GitError> {
        let mut names = vec![
            "HEAD".to_owned(),
            full(branch),
            format!("{}/*", full(branch)),
        ];
        names.extend(above(branch).map(|above| full(&above)));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let options = ["ls-remote", "--quiet", "--symref"];
        let said = git
            .run(Job::remote(repository, &options, remote, &names))
            .await?;
        let there = Self::of(&String::from_utf8_lossy(&said), branch);
        match there.in_the_way {
            Some(taken) => Err(GitError::NameTaken {
                wanted: branch.to_owned(),
                taken,
            }),
            None => Ok(there),
        }
    }

    /// Reads what `git ls-remote --symref` wrote.
    fn of(said: &str, branch: &str) -> Self {
        let mut there = Self::default();
        let own = full(branch);
        let below = format!("{}/", full(branch));
        let above: Vec<String> = above(branch).map(|above| full(&above)).collect();
        for (what, name) in said.lines().filter_map(|line| line.split_once('\t')) {
            there.exists |= name == own;
            there.is_default |= name == "HEAD" && what.strip_prefix("ref: ") == Some(&own);
            if name.starts_with(&below) || above.iter().any(|above| above == name) {
                let name = name.strip_prefix("refs/heads/").unwrap_or(name);
                there.in_the_way =
                    Some(name.chars().filter(|c| !c.is_control()).take(200).collect());
            }
        }
        there
    }
}

fn full(branch: &str) -> String {
    format!("refs/heads/{branch}")
}

/// The names that a branch's name goes on from: `a` and `a/b` of `a/b/c`.
fn above(branch: &str) -> impl Iterator<Item = String> {
    branch
        .match_indices('/')
        .map(|(at, _)| branch[..at].to_owned())
}

/// Whether a branch is one that this node has published, under any of its keys: it says so itself,
/// and has nothing else on it.
///
/// # Errors
/// If it cannot be read; else, as the inner error, by what it is seen to be another's.
pub(super) fn check(
    objects: &Objects,
    tip: ObjectId,
    nodes: &[NodeId],
    federation: FederationId,
) -> Result<Result<(), String>, GitError> {
    let (root, _) = objects.commit(tip)?;
    let mut head = None;
    let mut others = Vec::new();
    for entry in objects.entries(root)? {
        match (entry.name.as_str(), entry.is_dir) {
            (HEAD_FILE, false) => head = Some(entry.id),
            (LINES_DIR, true) => {}
            _ => others.push(entry.name),
        }
    }
    // somebody works on this branch: pushing would overwrite it
    if !others.is_empty() {
        let named: Vec<_> = others
            .iter()
            .take(FILES_NAMED)
            .map(String::as_str)
            .collect();
        let more = if others.len() > FILES_NAMED {
            ", …"
        } else {
            ""
        };
        return Ok(Err(format!(
            "it has other files: {}{more}",
            named.join(", ")
        )));
    }
    let Some(id) = head else {
        return Ok(Err(format!("it has no {HEAD_FILE}")));
    };
    // whose it is, it says itself
    let head = objects
        .file(id)?
        .and_then(|bytes| BranchHead::parse(&bytes).ok());
    Ok(match head {
        None => Err(format!("its {HEAD_FILE} cannot be read")),
        Some(head) if !nodes.contains(&head.node_id) => {
            Err(format!("it is node {}'s", head.node_id))
        }
        Some(head) if head.federation_id != federation => Err(format!(
            "it is of another federation, {}",
            head.federation_id
        )),
        Some(_) => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeMap;
    use std::time::Duration;

    use gix_object::Kind;
    use ssid_protocol::id::{LogId, Sha256Hash};
    use tokio_util::sync::CancellationToken;

    use super::super::branch::tree;
    use super::super::repository::Repository;
    use super::*;

    #[tokio::test]
    async fn a_branch_is_own_only_with_this_nodes_head_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let git = Git::find(&[], Duration::from_secs(5), CancellationToken::new());
        let git = git.await.unwrap();
        let repository = Repository::open(&git, dir.path().join("a.git"));
        let objects = repository.await.unwrap().objects().unwrap();
        let head = |node, federation| {
            let head = BranchHead {
                federation_id: FederationId([federation; 32]),
                node_id: NodeId([node; 32]),
                log_id: LogId([3; 32]),
                log_size: 0,
                start: Sha256Hash([4; 32]),
                heard: BTreeMap::new(),
            };
            head.to_pretty()
        };
        let check = |files: &[(&str, &str)]| {
            let blob = |text: &str| objects.write(Kind::Blob, text.as_bytes()).unwrap();
            let files: Vec<_> = files
                .iter()
                .map(|(name, text)| ("100644", *name, blob(text)))
                .collect();
            let root = objects.write(Kind::Tree, &tree(&files)).unwrap();
            let who = "t <t@localhost> 0 +0000";
            let text = format!("tree {root}\nauthor {who}\ncommitter {who}\n\nx\n");
            let tip = objects.write(Kind::Commit, text.as_bytes()).unwrap();
            let nodes = [NodeId([1; 32]), NodeId([3; 32])];
            check(&objects, tip, &nodes, FederationId([2; 32])).unwrap()
        };
        assert_eq!(check(&[(HEAD_FILE, &head(1, 2))]), Ok(()));
        // begun under a key that this node's took the place of
        assert_eq!(check(&[(HEAD_FILE, &head(3, 2))]), Ok(()));
        for (files, reason) in [
            (
                vec![(HEAD_FILE, head(1, 2)), ("z", String::new())],
                "other files: z",
            ),
            (vec![], "it has no"),
            (vec![(HEAD_FILE, "{}".to_owned())], "cannot be read"),
            (vec![(HEAD_FILE, head(7, 2))], "it is node 0707"),
            (vec![(HEAD_FILE, head(1, 7))], "another federation, 0707"),
        ] {
            let files: Vec<_> = files
                .iter()
                .map(|(name, text)| (*name, text.as_str()))
                .collect();
            let why = check(&files).unwrap_err();
            assert!(why.contains(reason), "{reason}: {why}");
        }
    }

    #[test]
    fn what_a_remote_has_under_a_name_is_seen() {
        let there = |said: &str, branch| There::of(said, branch);
        assert_eq!(there("", "a"), There::default());
        let said = "ref: refs/heads/main\tHEAD\n11\tHEAD\n22\trefs/heads/a\n33\trefs/remotes/o/refs/heads/b\n";
        assert_eq!(
            there(said, "a"),
            There {
                exists: true,
                ..There::default()
            }
        );
        assert_eq!(there(said, "b"), There::default());
        let main = "ref: refs/heads/main\tHEAD\n11\tHEAD\n11\trefs/heads/main\n";
        assert_eq!(
            there(main, "main"),
            There {
                exists: true,
                is_default: true,
                in_the_way: None
            }
        );
        for (said, branch, taken) in [
            ("1\trefs/heads/a/old\n", "a", "a/old"),
            ("1\trefs/heads/a\n", "a/b/c", "a"),
        ] {
            assert_eq!(there(said, branch).in_the_way.as_deref(), Some(taken));
        }
        assert_eq!(there("1\trefs/heads/abc\n", "a").in_the_way, None);
    }
}
