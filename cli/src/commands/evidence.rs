//! `ssid evidence`: what proves that somebody contradicted itself, and what this node saw of
//! rewritten Git branches.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::json;
use ssid_node::config::write_atomic;
use ssid_node::view::{EvidenceView, NamedNode, OBSERVATION_FORMAT, Observation, Page};
use ssid_protocol::evidence::{Evidence, EvidenceKind, Verifier};
use ssid_protocol::id::Epoch;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::member::Member;

use super::offline::{OfflineFederation, refused, with_hint};
use crate::context::Context;
use crate::error::{CliError, Code, OrCode as _};
use crate::output::{Output, Tone, clean, is_standard_output, seconds, short, when};
use crate::setup::read_document;
use crate::table::{named, whole};

/// Show and verify evidence of members that contradicted themselves or rewrote a Git branch
#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// List what this node has
    ///
    /// Example:
    ///   ssid evidence list --json
    #[command(verbatim_doc_comment)]
    List,
    /// Show one piece; with -o write the document that proves it to anyone
    ///
    /// Example:
    ///   ssid evidence show 3f9a -o evidence.json
    #[command(verbatim_doc_comment)]
    Show {
        /// The beginning of its id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// Where to write the document
        #[arg(short, long, value_name = "F")]
        output: Option<PathBuf>,
    },
    Verify(VerifyArgs),
}

/// Verify evidence with nothing but the genesis file; exit 5 with the reason if it proves nothing
///
/// Evidence of a later epoch needs that epoch's chain, as for: ssid certificate verify. Events and
/// log heads are of no epoch: they are judged by the latest one that has their signer. A rewritten
/// Git history proves nothing to others: its commits are unsigned.
///
/// Example:
///   ssid evidence verify evidence.json --genesis genesis.json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct VerifyArgs {
    /// The evidence document to verify
    file: PathBuf,
    #[command(flatten)]
    federation: OfflineFederation,
}

/// The subcommands that ask a node.
pub(crate) async fn run(command: EvidenceCommand, context: &Context) -> Result<()> {
    let out = context.out;
    match command {
        EvidenceCommand::List => {
            let all: Page<EvidenceView> = context.client()?.get(&["v1", "evidence"], &[]).await?;
            out.show(&all, |all| table(&all.items, out))?;
        }
        EvidenceCommand::Show { id, output } => {
            let one: EvidenceView = context.client()?.get(&["v1", "evidence", &id], &[]).await?;
            if let Some(path) = output {
                export(&one, &path, out)?;
            }
            out.show(&one, |one| page(one, out))?;
        }
        EvidenceCommand::Verify(args) => verify(&args, context)?,
    }
    Ok(())
}

fn export(one: &EvidenceView, path: &Path, out: Output) -> Result<()> {
    // made by the node from what it holds: this command never puts one together itself
    let document = one
        .document
        .as_ref()
        .ok_or_else(|| CliError::new(Code::Failed, "the node sent no document"))?;
    let bytes = document.to_string();
    // read as the strict document that it is, and written in its one pretty form
    let text = if one.proven {
        Evidence::parse(bytes.as_bytes())
            .or_code(Code::Verification)?
            .to_pretty()
    } else {
        let observation: Observation = serde_json::from_str(&bytes).or_code(Code::Verification)?;
        serde_json::to_string_pretty(&observation)? + "\n"
    };
    // to standard output goes the document alone, so that it can be piped
    if is_standard_output(path) {
        return Ok(out.document(text.trim_end())?);
    }
    write_atomic(path, text.as_bytes()).map_err(|e| {
        CliError::new(
            Code::Failed,
            format!("cannot write {}: {e}", path.display()),
        )
    })?;
    let next = if one.proven {
        "verify it with: ssid evidence verify"
    } else {
        "it proves nothing: ssid evidence verify"
    };
    out.remark(&format!(
        "wrote {0}; {next} {0} --genesis G",
        path.display()
    ));
    Ok(())
}

fn name(node: Option<&NamedNode>, nobody: &str) -> String {
    node.map_or_else(
        || nobody.to_owned(),
        |node| format!("{} {}", short(&node.node_id), clean(&node.node_name)),
    )
}

fn table(all: &[EvidenceView], out: Output) -> String {
    if all.is_empty() {
        let none = "no evidence: nobody is known to have contradicted itself, or to have rewritten \
                    its Git branch";
        return out.paragraph(none, 0);
    }
    let row = |one: &EvidenceView| {
        vec![
            out.plain(short(&one.evidence_id)),
            out.cell(Tone::Bad, name(one.member.as_ref(), "the federation")),
            out.plain(&one.kind),
            if one.proven {
                out.plain("proven")
            } else {
                out.cell(Tone::Warn, "observed")
            },
            out.plain(when(&one.at)),
            out.plain(name(one.told_by.as_ref(), "seen here")),
        ]
    };
    out.table(
        &[
            whole("EVIDENCE"),
            named("AGAINST", 18),
            whole("KIND"),
            whole("STANDING").goes(1),
            whole("SINCE"),
            named("FROM", 10).goes(2),
        ],
        all.iter().map(row),
    )
}

fn page(one: &EvidenceView, out: Output) -> String {
    let against = match &one.member {
        Some(node) => format!(
            "{} {} of {}",
            node.node_id,
            clean(&node.node_name),
            clean(&node.organization)
        ),
        None => "the federation: more than it tolerates is Byzantine".to_owned(),
    };
    let epoch = one
        .epoch
        .map_or_else(|| "any".to_owned(), |epoch| epoch.to_string());
    out.fields(&[
        ("evidence", one.evidence_id.to_string()),
        ("against", out.paint(Tone::Bad, &against)),
        ("it", clean(&one.what)),
        ("kind", one.kind.clone()),
        ("standing", standing(one)),
        ("epoch", epoch),
        ("since", seconds(&one.at)),
        ("from", name(one.told_by.as_ref(), "seen here")),
    ])
}

fn standing(one: &EvidenceView) -> String {
    if one.proven {
        return "proven: the document shows it to anyone".to_owned();
    }
    let mirror = one.member.as_ref().map(|member| {
        member
            .node_id
            .to_string()
            .chars()
            .take(16)
            .collect::<String>()
    });
    let mirror = mirror.unwrap_or_default();
    format!(
        "observed by this node: commits are unsigned, so that it proves nothing to others; both commits are in its mirror: \
         git/mirrors/{mirror}.git"
    )
}

/// An observation is read, and refused as proof with the reason.
fn refuse_observation(observation: &Observation, genesis: &Manifest) -> String {
    if observation.federation_id != genesis.federation_id() {
        return format!("it is of another federation: {}", observation.federation_id);
    }
    let name = |id| {
        genesis
            .member(id)
            .map_or_else(|| id.to_string(), |member| clean(&member.node_name))
    };
    let who = name(&observation.observer);
    let whose = name(&observation.member);
    let when = clean(&observation.seen_at);
    format!(
        "it proves nothing: {who} says that on {when} it saw a rewritten history of {whose}: {}. Neither commit is signed; ask \
         other members what their ssid evidence list says",
        clean(&observation.what())
    )
}

fn verify(args: &VerifyArgs, context: &Context) -> Result<()> {
    // judged with nothing but the genesis file, as anybody else has to be able to
    let chain = args.federation.pinned_chain()?;
    let genesis = chain.genesis();
    let bytes = read_document(
        &args.file,
        "export one with: ssid evidence show ID -o evidence.json",
    )?;
    // said in its own words: what is no proof must not look like a broken one
    if let Ok(observation) = serde_json::from_slice::<Observation>(&bytes)
        && observation.format == OBSERVATION_FORMAT
    {
        return Err(refused(&args.file, &refuse_observation(&observation, genesis)).into());
    }
    let evidence = Evidence::parse(&bytes).map_err(|e| refused(&args.file, &e))?;
    // what is of no epoch is judged by the latest one in which its signer has a say
    let has_a_say = |m: &Member| m.is_voter() || evidence.kind() == EvidenceKind::LogHead;
    let of_member = evidence
        .member()
        .and_then(|id| chain.latest_with(&id, has_a_say));
    let epoch = evidence
        .epoch()
        .or(of_member.map(|manifest| manifest.epoch))
        .unwrap_or(Epoch::ZERO);
    // by the manifest of its own epoch: keys and voters of another prove nothing
    let manifest = chain
        .proven(epoch)
        .map_err(|e| with_hint(refused(&args.file, &e), &e))?;
    let voters = manifest
        .voters()
        .map_err(|e| refused(&args.federation.genesis, &e))?;
    let policies = genesis.event_policies.clone();
    // the same rules by which a node judges it: there is no second opinion
    let verifier = Verifier::new(chain.federation_id(), manifest, voters, policies);
    let proven = evidence
        .verify(&verifier)
        .map_err(|e| refused(&args.file, &e))?;
    let member = proven.member.and_then(|id| manifest.member(&id));
    let answer = json!({
        "valid": true,
        "evidence_id": evidence.id(),
        "federation_id": evidence.federation_id,
        "kind": proven.kind.as_str(),
        "member": member.map(|m| json!({
            "node_id": m.node_id, "node_name": m.node_name, "organization": m.organization,
        })),
        "epoch": proven.epoch,
        "what": proven.what,
    });
    context.out.show(&answer, |_| {
        let who = member.map_or_else(
            || "the federation".to_owned(),
            |m| {
                format!(
                    "{} {} of {}",
                    short(&m.node_id),
                    clean(&m.node_name),
                    clean(&m.organization)
                )
            },
        );
        format!(
            "{}: {who}\n  {}",
            context.out.paint(Tone::Bad, "proven"),
            clean(&proven.what)
        )
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ssid_node::view::REWRITTEN_HISTORY;
    use ssid_protocol::testing;

    use super::*;

    #[test]
    fn an_observation_is_refused_as_proof_with_who_saw_what() {
        let genesis = testing::manifest(4);
        let of = |federation_id| Observation {
            format: OBSERVATION_FORMAT.to_owned(),
            federation_id,
            kind: REWRITTEN_HISTORY.to_owned(),
            observer: genesis.members[0].node_id,
            member: genesis.members[1].node_id,
            remote: "https://git.example/a".to_owned(),
            was: "a".repeat(40),
            now: "b".repeat(40),
            seen_at: "2026-01-01T00:00:00Z\u{1b}[2J".to_owned(),
        };
        let why = refuse_observation(&of(genesis.federation_id()), &genesis);
        for expected in [
            "it proves nothing",
            genesis.members[0].node_name.as_str(),
            genesis.members[1].node_name.as_str(),
            "2026-01-01T00:00:00Z",
        ] {
            assert!(why.contains(expected), "{expected}: {why}");
        }
        assert!(!why.contains('\u{1b}'), "it comes from a file");
        let other = testing::manifest(5).federation_id();
        assert!(refuse_observation(&of(other), &genesis).contains("another federation"));
    }
}
