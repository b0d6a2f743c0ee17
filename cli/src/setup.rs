//! Making nodes and federations on disk: what `init`, `federation` and `cluster` share.

use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ssid_node::config::{self, Config, Mode, write_atomic};
use ssid_node::git::GitRemote;
use ssid_node::home::Home;
use ssid_node::identity::NodeKeys;
use ssid_node::keyfile;
use ssid_node::registry::paths::RegistryPaths;
use ssid_node::text::is_unseen;
use ssid_protocol::card::MemberCard;
use ssid_protocol::chain::Chain;
use ssid_protocol::id::Epoch;
use ssid_protocol::limits;
use ssid_protocol::manifest::{Manifest, Rules, TieBreak, Weighting};
use ssid_protocol::member::{Member, PublicKeys, Role, Status};
use ssid_protocol::subject::{EventPolicies, Policy};
use ssid_protocol::trust::INITIAL_SCORE;
use ssid_storage::Journal;

use crate::error::{CliError, Code, OrCode as _};
use crate::output::clean;
use crate::progress;
use crate::{named_file, names};

/// The environment variable with the passphrase of the key files.
const PASSPHRASE_ENV: &str = "SSID_KEY_PASSPHRASE";
/// Where a node listens whose address says nothing of a port.
const PORT: u16 = 4170;
/// Characters of a name.
const NAME_CHARS: usize = 100;

/// A node to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewNode {
    /// What its operators call it.
    pub(crate) name: String,
    /// Whose it is.
    pub(crate) organization: String,
    /// Its Git repository; empty if none.
    pub(crate) git_remote: String,
    /// Multiaddresses at which others reach it.
    pub(crate) addresses: Vec<String>,
    /// Multiaddresses to listen on; chosen if there are none.
    pub(crate) listen: Vec<String>,
    /// Whether it does not vote.
    pub(crate) observer: bool,
    /// Whether it looks for members on the local network.
    pub(crate) mdns: bool,
}

/// Makes a node: its directory, keys, empty vote history, configuration and signed member card.
pub(crate) fn init_node(
    home: &Home,
    repo: Option<&Path>,
    node: &NewNode,
    passphrase: Option<&str>,
) -> Result<MemberCard> {
    // all that can be refused is refused before a key is made
    check_name("--name", &node.name)?;
    check_name("--organization", &node.organization)?;
    let addresses = multiaddrs("--address", &node.addresses)?;
    addresses
        .iter()
        .try_for_each(|address| reachable("--address", address))?;
    // where the card says that it is reached, it has to listen
    let listen = if node.listen.is_empty() {
        default_listen(&addresses)
    } else {
        multiaddrs("--listen", &node.listen)?
    };
    let remote = Some(&node.git_remote).filter(|text| !text.is_empty());
    let remote = remote
        .map(|text| git_remote(home, repo, text))
        .transpose()?;
    if repo.is_some()
        && remote
            .as_ref()
            .is_some_and(|remote| remote.public() != node.git_remote)
    {
        let error = CliError::usage(
            "--git-remote has a user or password in it, and others read a repository's files",
        );
        return Err(error
            .hint("leave it out and set SSID_LOCAL_NODE_GIT_REMOTE, or use Git's credential helper")
            .into());
    }
    home.create().or_usage()?;
    // keys are never replaced: the old ones may have signed
    check_unused(home)?;
    // taken away again if something below fails: half a node cannot be finished by hand
    let mut made = Made::default();
    let keys = NodeKeys::create(home, passphrase).or_usage()?;
    made.files.extend([home.voting_key(), home.network_key()]);
    // together with the key: a key without its vote history may never vote
    drop(Journal::create(&home.votes_journal(), keys.node_id()).or_code(Code::Failed)?);
    made.files.push(home.votes_journal());
    configure(home, repo, node, listen)?;
    let member = Member {
        node_id: keys.node_id(),
        peer_id: keys.peer_id().to_string(),
        node_name: node.name.clone(),
        organization: node.organization.clone(),
        role: if node.observer {
            Role::Observer
        } else {
            Role::Participant
        },
        status: Status::Active,
        // where every member starts: scores are each node's own view, weights everybody's
        weight: u64::from(INITIAL_SCORE.unsigned_abs()),
        addresses,
        // the card is public: what is secret in the address stays in the configuration
        git_remote: remote.map(|remote| remote.public()).unwrap_or_default(),
        api_endpoint: String::new(),
        keys: PublicKeys::default(),
    };
    let card = MemberCard::sign(member, &keys.voting);
    write(&home.card(), &card.to_pretty())?;
    // from here on nothing is taken away
    made.files.clear();
    Ok(card)
}

/// Files made by an attempt that may fail yet; removed with this value, unless the list was
/// emptied.
#[derive(Default)]
struct Made {
    files: Vec<PathBuf>,
}

impl Drop for Made {
    fn drop(&mut self) {
        for file in &self.files {
            // best effort: the error that led here is told
            let _ = fs::remove_file(file);
        }
    }
}

/// Looked at before anything is written: a new key beside an old vote history or database would be
/// of no use.
fn check_unused(home: &Home) -> Result<(), CliError> {
    let all = [
        home.voting_key(),
        home.network_key(),
        home.votes_journal(),
        home.card(),
        home.genesis(),
        home.database(),
    ];
    let Some(there) = all.iter().find(|path| path.symlink_metadata().is_ok()) else {
        return Ok(());
    };
    let message = format!(
        "{} is there already: this directory is a node's",
        there.display()
    );
    Err(CliError::usage(message).hint(
        "make the new node in another directory, with --data DIR\n\
         a node that has voted keeps its key and its vote history together: neither is of use without the other",
    ))
}

/// Whether others could dial an address with what this program speaks: it goes into the signed card
/// and the genesis file.
fn reachable(flag: &str, address: &str) -> Result<(), CliError> {
    let refused = |why: &str| {
        let hint = "for example /ip4/192.0.2.7/tcp/4170 or /dns4/berlin.example/udp/4170/quic-v1";
        Err(CliError::usage(format!("{flag} {address}: {why}")).hint(hint))
    };
    match ssid_network::undialable(address) {
        Some(why) => refused(&why),
        None => Ok(()),
    }
}

/// Writes the node's part of the configuration; whatever else the file says stays.
fn configure(home: &Home, repo: Option<&Path>, node: &NewNode, listen: Vec<String>) -> Result<()> {
    let path = RegistryPaths::choose(repo, home.root()).federation_config;
    let folder = path.directory();
    folder.make().map_err(|e| {
        CliError::new(
            Code::Failed,
            format!("cannot make {}: {e}", folder.display()),
        )
    })?;
    // changed, not written anew: the scripts' keys and people's remarks are in it
    let mut config = Config::load_or_default(&path).or_usage()?;
    if repo.is_some() {
        // where it listens is this machine's own: a repository's file does not say it
        let mut own = Config::load_or_default(home.config()).or_usage()?;
        own.settings.network.listen.clone_from(&listen);
        own.save_atomic(home.config()).or_usage()?;
    } else {
        config.settings.network.listen = listen;
    }
    let settings = &mut config.settings;
    settings.federation.enabled = true;
    settings.federation.mode = if node.observer {
        Mode::Observer
    } else {
        Mode::Participant
    };
    settings.local_node.node_name.clone_from(&node.name);
    settings
        .local_node
        .organization
        .clone_from(&node.organization);
    settings.local_node.git_remote.clone_from(&node.git_remote);
    settings.network.mdns = node.mdns;
    // without a repository the registry log is this node's own file: nobody else has to agree to
    // lines in it
    settings.conflict_resolution.auto_apply_consensus |= repo.is_none();
    Ok(config.save_atomic(&path).or_usage()?)
}

/// An address that the node's configuration allows.
pub(crate) fn git_remote(
    home: &Home,
    repo: Option<&Path>,
    text: &str,
) -> Result<GitRemote, CliError> {
    let config = Config::effective(
        &RegistryPaths::choose(repo, home.root()),
        home,
        config::environment(),
    )
    .or_usage()?;
    GitRemote::parse(text, &config.settings.security.allowed_git_protocols).or_usage()
}

/// Names go into signed documents and onto terminals.
pub(crate) fn check_name(flag: &str, name: &str) -> Result<(), CliError> {
    let fits = (1..=NAME_CHARS).contains(&name.chars().count()) && !name.chars().any(is_unseen);
    if fits && name.trim() == name {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    let rule =
        format!("1 to {NAME_CHARS} characters without control characters or blanks at the ends");
    Err(CliError::usage(format!("{flag} {shown:?}: {rule}")))
}

pub(crate) fn multiaddrs(flag: &str, texts: &[String]) -> Result<Vec<String>, CliError> {
    let parse = |text: &String| match text.parse::<ssid_node::identity::Multiaddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(e) => Err(
            CliError::usage(format!("{flag} {text:?} is no multiaddress: {e}")).hint(
                "for example /ip4/192.0.2.7/tcp/4170 or /dns4/berlin.example/udp/4170/quic-v1",
            ),
        ),
    };
    texts.iter().map(parse).collect()
}

/// Every interface, at the ports of the addresses others are told; TCP and QUIC at the usual port
/// if they say none.
fn default_listen(addresses: &[String]) -> Vec<String> {
    let at_any = |address: &String| {
        let parts: Vec<_> = address.split('/').collect();
        let place = parts
            .iter()
            .position(|part| matches!(*part, "tcp" | "udp"))?;
        let any = if parts.get(1) == Some(&"ip6") {
            "/ip6/::"
        } else {
            "/ip4/0.0.0.0"
        };
        let port = parts.get(place + 1)?;
        let quic = if parts[place] == "udp" {
            "/quic-v1"
        } else {
            ""
        };
        Some(format!("{any}/{}/{port}{quic}", parts[place]))
    };
    let listen: Vec<_> = addresses.iter().filter_map(at_any).collect();
    if !listen.is_empty() {
        return listen;
    }
    vec![
        format!("/ip4/0.0.0.0/tcp/{PORT}"),
        format!("/ip4/0.0.0.0/udp/{PORT}/quic-v1"),
    ]
}

/// A federation to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewFederation {
    /// The federation's name, as given.
    pub(crate) name: String,
    /// Its members' cards.
    pub(crate) cards: Vec<MemberCard>,
    /// Its coordinators, by name or the beginning of the id.
    pub(crate) coordinators: Vec<String>,
    /// Share of all votes that decides.
    pub(crate) threshold_bp: u32,
    /// Fewest members that have to take part in a decision.
    pub(crate) min_participating_nodes: u32,
    /// How conflicts are settled where that is automatic.
    pub(crate) tie_breaking: TieBreak,
    /// Whether it is.
    pub(crate) auto_resolve_conflicts: bool,
    /// Event types of which each timestamp is an occurrence of its own.
    pub(crate) recurring: Vec<String>,
}

/// Puts a genesis manifest together and checks it.
pub(crate) fn create_federation(new: &NewFederation) -> Result<Manifest> {
    check_name("--name", &new.name)?;
    let mut members = Vec::new();
    for card in &new.cards {
        // signed by the key that it names: nobody can hand in a card for somebody else
        card.verify().or_code(Code::Verification)?;
        // the genesis file is for good
        let name = format!("the card of {}:", card.member.node_name);
        card.member
            .addresses
            .iter()
            .try_for_each(|address| reachable(&name, address))?;
        if !card.member.git_remote.is_empty() {
            // which protocols it uses is every node's own decision; what no node may use is
            // nobody's
            GitRemote::parse(&card.member.git_remote, GitRemote::PROTOCOLS).or_usage()?;
        }
        members.push(card.member.clone());
    }
    // across cards: names and peer ids must be told apart
    check_members(&members)?;
    // the card says only participant: who coordinates is the federation's decision
    for name in &new.coordinators {
        let place = names::find_member(&members, name)?;
        members[place].role = Role::Coordinator;
    }
    let policies = new
        .recurring
        .iter()
        .map(|event| (event.clone(), Policy::Recurring))
        .collect();
    // whole seconds, as it is shown: it is hashed as text
    let now = jiff::Timestamp::now().round(jiff::Unit::Second)?;
    let manifest = Manifest {
        name: new.name.clone(),
        epoch: Epoch::ZERO,
        created_at: now.to_string(),
        threshold_bp: new.threshold_bp,
        min_participating_nodes: new.min_participating_nodes,
        vote_weighting: Weighting::Equal,
        tie_breaking_strategy: new.tie_breaking,
        auto_resolve_conflicts: new.auto_resolve_conflicts,
        event_policies: EventPolicies(policies),
        rules: Rules::default(),
        members,
        change: None,
    };
    manifest.validate_genesis().or_usage()?;
    Ok(manifest)
}

/// Refuses what is no federation, and members whose names people could not tell apart: the genesis
/// file is for good.
fn check_members(members: &[Member]) -> Result<(), CliError> {
    if members.len() < 2 {
        let message = "a federation has at least two members, and this is the card of one";
        return Err(CliError::usage(message).hint("give every member's card with --card"));
    }
    let folded = |member: &Member| member.node_name.to_lowercase();
    for (place, member) in members.iter().enumerate() {
        let earlier = &members[..place];
        if earlier.iter().any(|other| other.node_id == member.node_id) {
            let message = format!("the card of {} is given twice", clean(&member.node_name));
            return Err(CliError::usage(message).hint("give every member's card once"));
        }
        let same = |other: &&Member| folded(other) == folded(member);
        if let Some(other) = earlier.iter().find(same) {
            let message = format!(
                "two members are called {:?} and {:?}",
                clean(&other.node_name),
                clean(&member.node_name)
            );
            return Err(CliError::usage(message)
                .hint("one of them makes its node again, with another --name"));
        }
    }
    Ok(())
}

/// Takes the genesis file at `path` into the node's directory, if its node is a member and in no
/// other federation.
pub(crate) fn join(home: &Home, path: &Path) -> Result<Manifest> {
    let manifest = read_genesis(path)?;
    join_as_member(home, path, &manifest)?;
    Ok(manifest)
}

/// The same for a node that became a member in a later epoch, with the chain up to that; the
/// manifest of its latest epoch.
pub(crate) fn join_later(
    home: &Home,
    path: &Path,
    chain: &Chain,
    epochs: &[u8],
) -> Result<Manifest> {
    let latest = chain.latest();
    join_as_member(home, path, latest)?;
    let to = home.epochs();
    write_atomic(&to, epochs).map_err(|e| {
        let message = format!("cannot write {}: {e}", to.display());
        CliError::new(Code::Failed, message)
    })?;
    Ok(latest.clone())
}

/// Takes the genesis file, if the node is a member by `manifest`, which is that or of a later epoch.
fn join_as_member(home: &Home, path: &Path, manifest: &Manifest) -> Result<()> {
    let genesis = read_genesis(path)?;
    home.check().or_usage()?;
    let card = read_card(&home.card())?;
    // by the key and not by the name: a card that was made again is another node
    let own = &card.member;
    let data = home.root().display();
    let Some(member) = manifest.member(&own.node_id) else {
        let message = format!(
            "this node ({}) is not a member of federation {}",
            own.node_id, manifest.name
        );
        let hint = "give its card to whoever creates the federation, or proposes it as a member: ssid card; \
            who became a member later joins with: ssid federation join genesis.json --epochs epochs.jsonl";
        return Err(CliError::usage(message).hint(hint).into());
    };
    // else it would start, and every member refuse its connections
    if member.peer_id != own.peer_id {
        let message = format!(
            "the genesis file binds this node to peer {}, its own is {}",
            member.peer_id, own.peer_id
        );
        return Err(CliError::usage(message)
            .hint("the federation must be made with this node's present card")
            .into());
    }
    // of one federation for good: votes of two under one key would be proof against it
    if home.genesis().exists() {
        let joined = read_genesis(&home.genesis())?;
        if joined != genesis {
            let message = format!(
                "{data} belongs to federation {} ({}) already",
                joined.name,
                joined.federation_id()
            );
            return Err(CliError::usage(message)
                .hint("use a data directory of its own for each federation")
                .into());
        }
    }
    write(&home.genesis(), &genesis.to_pretty())?;
    Ok(())
}

/// A share in percent, above 0 and at most 100, in basis points, as it is signed: 66.67 % has to be
/// one number for everyone.
pub(crate) fn basis_points(percent: f64) -> Result<u32, CliError> {
    // also refuses what is no number: NaN compares with nothing
    if !(percent > 0.0 && percent <= 100.0) {
        let message = format!("--threshold {percent}: above 0 and at most 100");
        return Err(CliError::usage(message));
    }
    #[expect(
        clippy::cast_sign_loss,
        reason = "above 0 and at most 100, checked just before"
    )]
    Ok((percent * 100.0).round() as u32)
}

/// A member card from a file.
pub(crate) fn read_card(path: &Path) -> Result<MemberCard> {
    let bytes = read_document(path, "make a node with: ssid init")?;
    Ok(MemberCard::parse(&bytes)
        .map_err(|e| CliError::usage(format!("{} is no member card: {e}", path.display())))?)
}

/// A valid genesis manifest from a file.
pub(crate) fn read_genesis(path: &Path) -> Result<Manifest> {
    let bytes = read_document(
        path,
        "join a federation with: ssid federation join genesis.json",
    )?;
    let invalid = |e| CliError::usage(format!("{} is no valid genesis file: {e}", path.display()));
    let manifest = Manifest::parse(&bytes).map_err(invalid)?;
    manifest.validate_genesis().map_err(invalid)?;
    Ok(manifest)
}

/// The bytes of a file that a person named, no more than a document may have.
pub(crate) fn read_document(path: &Path, hint: &str) -> Result<Vec<u8>, CliError> {
    let failed = |e: std::io::Error| {
        CliError::usage(format!("cannot read {}: {e}", path.display())).hint(hint)
    };
    named_file::read(path, limits::DOCUMENT_BYTES as u64).map_err(failed)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let failed = |e| {
        CliError::new(
            Code::Failed,
            format!("cannot write {}: {e}", path.display()),
        )
    };
    Ok(write_atomic(path, text.as_bytes()).map_err(failed)?)
}

/// The passphrase in the environment, if there is one.
pub(crate) fn passphrase_from_env() -> Option<String> {
    std::env::var(PASSPHRASE_ENV)
        .ok()
        .filter(|text| !text.is_empty())
}

/// The passphrase of a node's keys, if they have one: from the environment, else asked on a
/// terminal.
pub(crate) fn passphrase_for(home: &Home) -> Result<Option<String>> {
    if !keyfile::needs_passphrase(&home.voting_key()).or_usage()? {
        return Ok(None);
    }
    match passphrase_from_env() {
        Some(passphrase) => Ok(Some(passphrase)),
        None if std::io::stdin().is_terminal() => {
            progress::hide_command();
            Ok(Some(rpassword::prompt_password("Passphrase: ")?))
        }
        None => Err(keyfile::KeyFileError::PassphraseNeeded(home.voting_key()))
            .or_usage()
            .map_err(Into::into),
    }
}

/// Removes what a failed attempt has made.
pub(crate) fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(CliError::new(
            Code::Failed,
            format!("cannot remove {}: {e}", path.display()),
        )
        .into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_listens_where_others_are_told_to_reach_it() {
        let listen = |texts: &[&str]| {
            default_listen(&texts.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(
            listen(&["/dns4/berlin.example/tcp/7000"]),
            ["/ip4/0.0.0.0/tcp/7000"]
        );
        assert_eq!(
            listen(&["/ip6/2001:db8::1/udp/7001/quic-v1"]),
            ["/ip6/::/udp/7001/quic-v1"]
        );
        assert_eq!(listen(&[]).len(), 2);
    }

    #[test]
    fn names_are_checked() {
        assert!(check_name("--name", "Österreich 7").is_ok());
        for bad in ["", " a", "a\u{1b}[2J", &"x".repeat(101)] {
            assert!(check_name("--name", bad).is_err(), "{bad:?}");
        }
    }
}
