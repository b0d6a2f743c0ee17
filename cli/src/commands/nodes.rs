//! `ssid nodes`: lists members, proposes changes in short, and observes nodes without a key.

use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use ssid_node::git::publishes;
use ssid_node::legacy::plain::{Comparison, allows_unsigned, public_remote};
use ssid_node::registry::manifest::{FederationManifest, ManifestNode};
use ssid_node::registry::paths::RegistryPaths;
use ssid_node::view::{NodeView, ObservedNodeView, Page};

use super::membership::propose;
use super::plain_sync::{self, unless_signalled};
use crate::context::Context;
use crate::deployment::{Deployment, or_read_files, put_in_manifest, remember};
use crate::error::{CliError, Code, OrCode as _};
use crate::output::{Output, Tone, band, clean, seconds, short, when};
use crate::setup;
use crate::table::{named, whole};

/// List the members as this node sees them, propose changes, and observe nodes without a key
#[derive(Debug, Subcommand)]
pub(crate) enum NodesCommand {
    /// List the members
    ///
    /// Example:
    ///   ssid nodes list --json
    #[command(verbatim_doc_comment)]
    List,
    /// Show one member
    ///
    /// Examples:
    ///   ssid nodes show Berlin
    ///   ssid nodes show 3f9a          any unique beginning of its id
    #[command(verbatim_doc_comment)]
    Show {
        /// Its name, or the beginning of its id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Observe a node of which only a Git repository is known: it has no key, and no vote
    ///
    /// What its registry log says is shown as an observation, by nodes list and sync, once
    /// security.allow_unsigned_members is true (where nobody has a key it need not be). It never
    /// counts to a quorum, a certificate or trust; for that an organisation makes a node of its own
    /// (ssid init) and hands over its card. Its repository is asked whether a node publishes there
    /// already; one that does not answer is observed all the same.
    ///
    /// Example:
    ///   ssid nodes observe --node-name Oslo --organization 'Eksempel AS' \
    ///     --git-remote https://git.example/registry.git
    #[command(verbatim_doc_comment)]
    Observe(ObserveArgs),
    /// Stop observing a node
    ///
    /// What its logs said so far stays in the history of the manifest.
    ///
    /// Example:
    ///   ssid nodes unobserve Oslo
    #[command(verbatim_doc_comment)]
    Unobserve {
        /// Its name, or the beginning of its id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Propose that the node of a card becomes a member: membership propose add in short
    ///
    /// Example:
    ///   ssid nodes add oslo.card.json --reason 'joins as agreed' --dry-run
    #[command(verbatim_doc_comment)]
    Add(propose::AddArgs),
    /// Propose that a member leaves: membership propose remove in short
    ///
    /// Example:
    ///   ssid nodes remove Rome --reason 'has left the project'
    #[command(verbatim_doc_comment)]
    Remove(propose::RemoveArgs),
    /// Propose that a member does not vote for a while: membership propose suspend in short
    ///
    /// Example:
    ///   ssid nodes suspend Rome --reason 'its machine is rebuilt'
    #[command(verbatim_doc_comment)]
    Suspend(propose::SuspendArgs),
    /// Propose that a member does something else: membership propose role in short
    ///
    /// Example:
    ///   ssid nodes role Rome coordinator
    #[command(verbatim_doc_comment)]
    Role(propose::RoleArgs),
}

/// Which repository, and whose it is.
#[derive(Debug, Args)]
pub(crate) struct ObserveArgs {
    /// Its repository: https://…, ssh://… or user@host:path, as far as
    /// security.allowed_git_protocols allows
    #[arg(long, value_name = "URL", allow_hyphen_values = true)]
    git_remote: String,
    /// The name it is shown by
    #[arg(long, value_name = "N")]
    node_name: String,
    /// The organisation that it belongs to
    #[arg(long, value_name = "O")]
    organization: String,
}

pub(crate) async fn run(command: NodesCommand, context: &Context) -> Result<()> {
    // needed only for what a node knows: observing is a matter of files
    let client = context.client();
    match command {
        NodesCommand::Add(args) => propose::add(&args, context).await?,
        NodesCommand::Remove(args) => propose::remove(&args, context).await?,
        NodesCommand::Suspend(args) => propose::suspend(&args, context).await?,
        NodesCommand::Role(args) => propose::role(&args, context).await?,
        NodesCommand::Observe(args) => {
            observe(
                context,
                &args.git_remote,
                &args.node_name,
                &args.organization,
            )
            .await?;
        }
        NodesCommand::Unobserve { id } => unobserve(context, &id)?,
        NodesCommand::List => {
            let client = client?;
            let nodes = client.get(&["v1", "nodes"], &[]).await;
            let nodes: Page<NodeView> =
                nodes.map_err(|error| or_read_files(error, "--list-nodes", context))?;
            let nodes = nodes.items;
            let observed: Page<ObservedNodeView> =
                client.get(&["v1", "nodes", "observed"], &[]).await?;
            let observed = observed.items;
            let members = nodes.iter().map(Listed::Member);
            let all = Page::whole(
                members
                    .chain(observed.iter().map(Listed::Observed))
                    .collect(),
            );
            context.out.show(&all, |_| {
                let members = table(&nodes, context.out);
                if observed.is_empty() {
                    members
                } else {
                    members + "\n\n" + &observed_table(&observed, context.out)
                }
            })?;
        }
        NodesCommand::Show { id } => {
            let client = client?;
            let found = client.get::<NodeView>(&["v1", "nodes", &id], &[]).await;
            match found {
                Ok(node) => context.out.show(&node, |node| page(node, context.out))?,
                // observed ones have ids of the old kind, which the node's members do not
                Err(error) => {
                    let observed: Page<ObservedNodeView> =
                        client.get(&["v1", "nodes", "observed"], &[]).await?;
                    let is_it = |node: &&ObservedNodeView| {
                        node.node_name.to_lowercase() == id.to_lowercase()
                            || node.node_id.starts_with(&id)
                    };
                    let fitting: Vec<_> = observed.items.iter().filter(is_it).collect();
                    let [node] = fitting[..] else {
                        return Err(error);
                    };
                    context.out.show(node, |node| {
                        observed_table(std::slice::from_ref(node), context.out)
                    })?;
                }
            }
        }
    }
    Ok(())
}

/// Needs no running node: it is a file.
async fn observe(
    context: &Context,
    git_remote: &str,
    node_name: &str,
    organization: &str,
) -> Result<()> {
    setup::check_name("--node-name", node_name)?;
    setup::check_name("--organization", organization)?;
    let paths = RegistryPaths::choose(context.repo.as_deref(), context.home.root());
    let has_keys = context.home.voting_key().exists();
    // where nobody has a key the repository's files are the deployment, and its manifest is in Git
    let in_manifest = !has_keys && context.repo.is_some() && paths.federation_manifest.exists();
    if in_manifest {
        context.home.create()
    } else {
        context.home.check()
    }
    .or_usage()?;
    let remote = setup::git_remote(&context.home, context.repo.as_deref(), git_remote)?;
    let is_new = remember(context, &remote, node_name, organization)?;
    // what stands there may name the same repository under another id
    let manifest = FederationManifest::read(&paths.federation_manifest).or_code(Code::Failed)?;
    let nodes: Vec<_> = manifest
        .iter()
        .flat_map(FederationManifest::known_nodes)
        .collect();
    if in_manifest
        && !nodes
            .iter()
            .any(|node| public_remote(&node.git_remote) == remote.public())
    {
        put_in_manifest(&paths, &remote, node_name, organization)?;
    }
    let settings = plain_sync::places(context, &paths)?.settings;
    // added and silent would look like a failure: whether its log is read is said at once
    let is_read = allows_unsigned(&settings, has_keys);
    // now, while somebody looks: an address with a slip in it is found before the first sync
    let found = unless_signalled(publishes(&settings, &remote)).await?;
    let branch = &settings.sync_settings.git_branch;
    let why = found.as_ref().err().map(ToString::to_string);
    let shown = json!({ "node_name": node_name, "organization": organization,
        "git_remote": remote.to_string(), "added": is_new, "votes": false, "is_read": is_read,
        "branch": branch, "reached": found.is_ok(), "publishes": found.as_ref().ok(), "not_reached_because": why });
    context.out.show(&shown, |_| {
        let what = if is_new { "is added" } else { "was there already" };
        let how = if is_read { "" } else { "\nIts log is read once security.allow_unsigned_members is true" };
        let seen = match &found {
            Ok(true) => format!(
                "A node publishes there, on the branch {}: once its card is in the federation it is a member with a vote",
                clean(branch)
            ),
            Ok(false) => format!("No node publishes there, on the branch {}: it has a plain log only", clean(branch)),
            Err(error) => {
                let why = clean(&error.to_string());
                context.out.paint(Tone::Warn, &format!("Its repository does not answer now, and is added all the same: {why}"))
            }
        };
        format!("{} {what}: observed at {remote}, without a vote{how}\n{seen}", clean(node_name))
    })?;
    Ok(())
}

/// By name, or by the beginning of the id.
fn unobserve(context: &Context, id: &str) -> Result<()> {
    let deployment = Deployment::read(context)?;
    let is_it = |node: &&ManifestNode| {
        node.node_name.to_lowercase() == id.to_lowercase() || node.node_id.starts_with(id)
    };
    // never guessed: whoever is forgotten is read no more
    let fitting: Vec<_> = deployment.without_keys.iter().filter(is_it).collect();
    let [node] = fitting[..] else {
        let message = match fitting.len() {
            0 => format!(
                "no observed node is called {:?} or has an id that begins so",
                clean(id)
            ),
            many => format!(
                "{many} observed nodes have an id that begins with {}",
                clean(id)
            ),
        };
        return Err(CliError::new(Code::Failed, message)
            .hint("see them with: ssid nodes list")
            .into());
    };
    deployment.forget(context, node)?;
    let name = clean(&node.node_name);
    let node_id = &node.node_id;
    context.out.show(
        &json!({ "node_id": node_id, "node_name": node.node_name, "observed": false }),
        |_| format!("{name} is observed no more"),
    )?;
    Ok(())
}

/// A row of the list: those without a key have the role `observed`.
#[derive(Serialize)]
#[serde(untagged)]
enum Listed<'a> {
    Member(&'a NodeView),
    Observed(&'a ObservedNodeView),
}

fn observed_table(nodes: &[ObservedNodeView], out: Output) -> String {
    let row = |node: &ObservedNodeView| {
        let found = node
            .observation
            .as_ref()
            .and_then(|observation| observation.comparison);
        let error = node
            .observation
            .as_ref()
            .and_then(|observation| observation.error.clone());
        // why it is not read comes before how it went last time
        let (tone, word) = match (node.is_read, &error, found) {
            (false, ..) => (Tone::Warn, "not read"),
            (_, Some(_), _) => (Tone::Bad, "failed"),
            (_, _, Some(_)) => (Tone::Good, "read"),
            _ => (Tone::Dim, "to be read"),
        };
        let count = |part: fn(&Comparison) -> u64| {
            found
                .as_ref()
                .map_or("–".to_owned(), |found| part(found).to_string())
        };
        vec![
            out.plain(short(&node.node_id)),
            out.plain(clean(&node.node_name)),
            out.plain(clean(&node.organization)),
            out.cell(tone, word),
            out.plain(node.last_seen.as_deref().map_or("never".to_owned(), when)),
            out.plain(count(|found| found.same)),
            out.plain(count(|found| found.new)),
            out.plain(count(|found| found.missing_there)),
            out.plain(count(|found| found.divergent)),
        ]
    };
    let columns = [
        whole("NODE"),
        named("NAME", 8),
        named("ORGANIZATION", 10).goes(2),
        whole("LOG"),
        whole("LAST SEEN").goes(1),
        whole("SAME"),
        whole("NEW"),
        whole("MISSING"),
        whole("DIVERGENT"),
    ];
    // below the table and whole: a reason cut to a column's width says nothing
    let whys = nodes.iter().filter_map(|node| {
        let error = node
            .observation
            .as_ref()
            .and_then(|observation| observation.error.as_deref())?;
        Some(format!(
            "\n{}",
            out.paragraph(&format!("{}: {}", clean(&node.node_name), clean(error)), 2)
        ))
    });
    let whys: String = whys.collect();
    let table = out.table(&columns, nodes.iter().map(row));
    // one who is switched off is not read for another reason
    let unread = nodes
        .iter()
        .any(|node| !node.is_read && node.status == "active");
    let how = if unread {
        "\nTheir logs are read once security.allow_unsigned_members is true."
    } else {
        ""
    };
    format!("Without a key: observed, no vote\n{table}{whys}{how}")
}

fn state(node: &NodeView) -> (Tone, &'static str) {
    match (node.is_self, node.connected) {
        (true, _) => (Tone::Good, "this node"),
        (_, true) => (Tone::Good, "connected"),
        (_, false) => (Tone::Warn, "not connected"),
    }
}

fn last_seen(node: &NodeView) -> String {
    match (&node.last_seen, node.is_self) {
        (_, true) => "now".to_owned(),
        (Some(at), _) => seconds(at),
        (None, _) => "never".to_owned(),
    }
}

fn table(nodes: &[NodeView], out: Output) -> String {
    let number = |n: Option<u64>| n.map_or("–".to_owned(), |n| n.to_string());
    let row = |node: &NodeView| {
        let (tone, word) = state(node);
        vec![
            out.plain(short(&node.node_id)),
            out.plain(clean(&node.node_name)),
            out.plain(clean(&node.organization)),
            out.plain(&node.role),
            out.cell(tone, word),
            out.plain(
                node.last_seen
                    .as_deref()
                    .filter(|_| !node.is_self)
                    .map_or_else(|| last_seen(node), when),
            ),
            out.plain(format!("{} {}", node.trust_score, band(&node.trust_label))),
            out.plain(number(node.certified_count)),
        ]
    };
    let columns = [
        whole("NODE"),
        named("NAME", 8),
        named("ORGANIZATION", 10).goes(2),
        whole("ROLE").goes(1),
        whole("STATE"),
        whole("LAST SEEN"),
        whole("TRUST"),
        whole("CERTIFIED"),
    ];
    out.table(&columns, nodes.iter().map(row))
}

fn page(node: &NodeView, out: Output) -> String {
    let (tone, word) = state(node);
    let or = |text: &Option<String>| {
        text.as_deref()
            .filter(|t| !t.is_empty())
            .map_or("–".to_owned(), clean)
    };
    let number = |n: Option<u64>| n.map_or("–".to_owned(), |n| n.to_string());
    let round_trip = node
        .round_trip_ms
        .map_or(String::new(), |ms| format!(", {ms:.1} ms away"));
    let lines = [
        ("Node", node.node_id.to_string()),
        ("Name", clean(&node.node_name)),
        ("Organization", clean(&node.organization)),
        (
            "Role",
            format!("{}, {}, weight {}", node.role, node.status, node.weight),
        ),
        ("State", format!("{}{round_trip}", out.paint(tone, word))),
        ("Last seen", last_seen(node)),
        ("Peer", clean(&node.peer_id)),
        ("Addresses", clean(&node.addresses.join(", "))),
        ("Git remote", or(&Some(node.git_remote.clone()))),
        (
            "Trust",
            format!("{} {}", node.trust_score, band(&node.trust_label)),
        ),
        ("Software", or(&node.software)),
        ("Blueprint", or(&node.blueprint)),
        ("Compliance", or(&node.compliance_score)),
        (
            "Certified",
            format!(
                "{}, log of {}, {} open",
                number(node.certified_count),
                number(node.log_size),
                number(node.open_count)
            ),
        ),
    ];
    out.fields(&lines)
}
