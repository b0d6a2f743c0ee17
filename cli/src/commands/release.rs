//! `ssid release`: makes and verifies the quarterly ZIP.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use ssid_node::api::EventDefaults;
use ssid_node::clock;
use ssid_node::git;
use ssid_node::registry::paths::RegistryPaths;
use ssid_node::release::{self, Contents, Quarter, ReleaseError, ReleaseManifest, ReleaseOptions};

use crate::context::Context;
use crate::deployment::repository;
use crate::error::{CliError, Code};
use crate::output::{Output, Tone, clean, seconds};

/// The quarterly release of governance artifacts
#[derive(Debug, Subcommand)]
pub(crate) enum ReleaseCommand {
    /// Make the quarter's ZIP, with the SHA-256 of every file in it, and the release manifest
    ///
    /// The same files give the same bytes. The registry log goes in as it stood when the release
    /// was recorded as an event governance_release_published of this version, else as it is. The
    /// manifest names the commit that is checked out; where Git does not tell it, no bundle is made
    /// without --allow-missing.
    ///
    /// Examples:
    ///   ssid release bundle --repo /srv/governance
    ///   ssid release bundle --quarter 2025-Q4 --json
    #[command(verbatim_doc_comment)]
    Bundle {
        /// The quarter [default: the present one]
        #[arg(long, value_name = "YYYY-QN")]
        quarter: Option<String>,
        /// The blueprint in force
        #[arg(long, value_name = "B")]
        blueprint: Option<String>,
        /// Leave out what is not there, even the compliance report or the commit
        #[arg(long)]
        allow_missing: bool,
    },
    /// Verify a ZIP: every file's SHA-256, and that there is nothing else in it
    ///
    /// Exit 5 if it does not hold.
    ///
    /// Example:
    ///   ssid release verify 05_documentation/releases/SSID_Quarterly_Release_2025-Q4.zip
    #[command(verbatim_doc_comment)]
    Verify {
        /// The ZIP to verify
        file: PathBuf,
    },
}

pub(crate) async fn run(command: ReleaseCommand, context: &Context) -> Result<()> {
    let out = context.out;
    match command {
        ReleaseCommand::Verify { file } => {
            let contents = release::verify(&file).map_err(refused)?;
            out.show(&contents, |contents| verified(contents, out))?;
        }
        ReleaseCommand::Bundle {
            quarter,
            blueprint,
            allow_missing,
        } => {
            let Some(repo) = repository(context) else {
                let error = CliError::usage("this is no governance repository");
                return Err(error
                    .hint("run this in one, or name it with --repo DIR")
                    .into());
            };
            let quarter = quarter
                .as_deref()
                .map_or_else(|| Ok(Quarter::at(jiff::Timestamp::now())), Quarter::parse);
            let quarter = quarter.map_err(refused)?;
            // the release names the commit that it was made of: without it nobody can make it again
            let git_commit = match git::head_commit(&repo).await {
                Ok(commit) => commit,
                Err(why) if allow_missing => {
                    context.out.remark(&format!(
                        "the commit is not known: {}",
                        clean(&why.to_string())
                    ));
                    String::new()
                }
                Err(why) => {
                    let error = CliError::new(
                        Code::Failed,
                        format!("the repository's commit is not known: {why}"),
                    );
                    return Err(error
                        .hint("see that Git can read it, or leave it out with --allow-missing")
                        .into());
                }
            };
            let options = ReleaseOptions {
                quarter,
                // the files are the repository's, whatever the data directory says
                blueprint: blueprint.unwrap_or_else(|| EventDefaults::default().blueprint),
                git_commit,
                allow_missing,
                at: seconds(&clock::now().iso()),
            };
            let made = release::bundle(
                &RegistryPaths::choose(Some(&repo), context.home.root()),
                &options,
            )
            .map_err(refused)?;
            out.show(&made, |made| bundled(made, out))?;
        }
    }
    Ok(())
}

fn refused(error: ReleaseError) -> CliError {
    let code = match &error {
        ReleaseError::Quarter(_) => Code::Usage,
        ReleaseError::Spoiled { .. } => Code::Verification,
        _ => Code::Failed,
    };
    CliError::new(code, error)
}

fn bundled(made: &ReleaseManifest, out: Output) -> String {
    let commit = if made.git_commit.is_empty() {
        "unknown".to_owned()
    } else {
        clean(&made.git_commit)
    };
    let mut text = out.fields(&[
        ("Bundle", clean(&made.artifact)),
        ("Version", clean(&made.version)),
        ("SHA-256", made.hash.clone()),
        (
            "Files",
            format!("{}, {} bytes", made.file_count, made.bundle_size_bytes),
        ),
        ("Compliance", clean(&made.compliance_score)),
        ("Commit", commit),
    ]);
    for missing in &made.files_missing {
        text += &(out.paint(Tone::Warn, &format!("not in it: {}", clean(missing))) + "\n");
    }
    text
}

fn verified(contents: &Contents, out: Output) -> String {
    let row = |file: &release::BundledFile| {
        vec![
            out.plain(clean(&file.name)),
            out.plain(file.bytes),
            out.plain(clean(&file.sha256)),
        ]
    };
    let table = out.table(
        &["FILE", "BYTES", "SHA-256"],
        contents.files.iter().map(row),
    );
    let held = out.paint(
        Tone::Good,
        &format!("release {} holds", clean(&contents.quarter)),
    );
    format!("{table}\n{held}: {} files", contents.files.len())
}

#[cfg(test)]
mod tests {
    use ssid_storage::PathError;

    use super::*;

    #[test]
    fn a_bundle_that_does_not_hold_is_told_from_one_that_cannot_be_read() {
        let io = ReleaseError::Io(PathError {
            action: "read",
            path: "release.zip".into(),
            source: std::io::ErrorKind::NotFound.into(),
        });
        let spoiled = ReleaseError::Spoiled {
            path: "release.zip".into(),
            reason: "README.md is another".into(),
        };
        for (error, code) in [
            (ReleaseError::Quarter("2025-Q5".into()), Code::Usage),
            (spoiled, Code::Verification),
            (io, Code::Failed),
            (ReleaseError::TooLarge, Code::Failed),
        ] {
            assert_eq!(refused(error).code, code);
        }
    }

    #[test]
    fn what_a_release_lacks_is_listed_with_it() {
        let made: ReleaseManifest = serde_json::from_value(serde_json::json!({
            "artifact": "releases/SSID.zip", "version": "v4-Q4-2025", "quarter": "2025-Q4",
            "blueprint": "v4", "compliance_score": "100/100", "hash": "ab".repeat(32),
            "created_at": "2025-12-31T00:00:00Z", "git_commit": "",
            "proof_anchor": "ab".repeat(32), "files_included": ["README.md"],
            "files_missing": ["OPERATIONS_GUIDE.md"], "file_count": 1, "bundle_size_bytes": 17,
        }))
        .unwrap();
        let text = bundled(&made, Output::of_width(100));
        assert!(
            text.contains("1, 17 bytes") && text.contains("unknown"),
            "{text}"
        );
        assert!(text.ends_with("not in it: OPERATIONS_GUIDE.md\n"), "{text}");
    }
}
