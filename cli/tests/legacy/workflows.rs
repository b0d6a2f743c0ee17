//! The workflows that `ssid ci init` writes, and the release that one of them makes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::deployment::*;
use super::steps::{Runner, Step, steps};

#[test]
fn workflows_are_written_and_hand_made_ones_left_alone() {
    let (_dir, repo) = repository();
    let init = ["ci", "init", "--repo", "."];
    has_all(
        &runs(&repo, &init, 0).0,
        &[
            "written",
            "federated_sync.yml",
            "quarterly_release.yml",
            "SSID_RELEASES",
        ],
    );
    has_all(&runs(&repo, &init, 0).0, &["as it should be"]);
    let path = repo.join(".github/workflows/federated_sync.yml");
    let ours = fs::read_to_string(&path).unwrap();
    let theirs = ours.replace("0 */6 * * *", "0 3 * * *");
    fs::write(&path, &theirs).unwrap();
    let (out, err) = runs(&repo, &init, 1);
    has_all(
        &out,
        &[
            "left alone",
            "-    - cron: \"0 3 * * *\"",
            "+    - cron: \"0 */6 * * *\"",
        ],
    );
    has_all(&err, &["--force"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
    has_all(
        &runs(&repo, &[&init[..], &["--force"]].concat(), 0).0,
        &["replaced"],
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), ours);
}

#[test]
fn a_release_is_bundled_and_verified() {
    let (_dir, repo) = repository();
    let bundle = ["release", "bundle", "--quarter", "2025-Q4"];
    has_all(
        &runs(&repo, &bundle, 1).1,
        &["2025-Q4/COMPLIANCE_REPORT.md", "--allow-missing"],
    );
    let made = json_of(&repo, &[&bundle[..], &["--allow-missing"]].concat());
    assert_eq!(
        made["git_commit"].as_str().unwrap(),
        git(&repo, &["rev-parse", "HEAD"]).trim()
    );
    let artifact = made["artifact"].as_str().unwrap();
    has_all(
        &runs(&repo, &["release", "verify", artifact], 0).0,
        &["registry_events.log", "release 2025-Q4 holds"],
    );
    assert_eq!(
        json_of(&repo, &[&bundle[..], &["--allow-missing"]].concat()),
        made,
        "made once"
    );
    let path = repo.join(artifact);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|w| w == b"Registry").unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    runs(&repo, &["release", "verify", artifact], 5);
    runs(&repo, &["release", "bundle", "--quarter", "2025-Q9"], 2);
}

/// The workflows in a repository that has an origin to push to.
fn with_workflows() -> (tempfile::TempDir, PathBuf) {
    let (dir, repo) = repository();
    runs(&repo, &["ci", "init", "--repo", "."], 0);
    commit(&repo, "workflows");
    let origin = dir.path().join("origin.git");
    git(
        dir.path(),
        &[
            "init",
            "--quiet",
            "--bare",
            "--initial-branch=main",
            origin.to_str().unwrap(),
        ],
    );
    git(
        &repo,
        &["remote", "add", "origin", origin.to_str().unwrap()],
    );
    git(&repo, &["push", "--quiet", "origin", "main"]);
    (dir, repo)
}

fn steps_of(repo: &Path, file: &str, job: &str) -> Vec<Step> {
    steps(
        &fs::read_to_string(repo.join(".github/workflows").join(file)).unwrap(),
        job,
    )
}

#[test]
fn the_workflows_begin_when_they_should_and_may_do_what_they_do() {
    let (_dir, repo) = with_workflows();
    let text = |file: &str| fs::read_to_string(repo.join(".github/workflows").join(file)).unwrap();
    let (sync, release) = (text("federated_sync.yml"), text("quarterly_release.yml"));
    has_all(
        &sync,
        &[
            "- cron: \"0 */6 * * *\"",
            "workflow_dispatch:",
            "force_sync:",
            "types: [completed]",
        ],
    );
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("name: "))
        .unwrap();
    has_all(&sync, &[&format!("workflows: [\"{name}\"]")]);
    has_all(
        &sync,
        &[
            "contents: write\n      issues: write",
            "contents: read\n      issues: write",
            "if: failure()",
            "uses: actions/upload-artifact@",
        ],
    );
    // the job that validates sees what the sync left, and keeps its report whatever it says
    has_all(
        &sync,
        &[
            "ref: ${{ needs.federation-sync.outputs.commit }}",
            "if: always()\n        uses: actions/upload",
        ],
    );
    has_all(
        &release,
        &[
            "- cron: \"0 9 1 1,4,7,10 *\"",
            "contents: write\n      pull-requests: write",
        ],
    );
    for text in [sync, release] {
        // what an event of GitHub says gets into a script by its environment alone
        let inside = text
            .lines()
            .filter(|line| line.starts_with("          ") && line.contains("${{"));
        let scripts: Vec<_> = inside
            .filter(|line| {
                !line
                    .trim()
                    .split_once(": ")
                    .is_some_and(|(key, _)| is_key(key))
            })
            .collect();
        assert_eq!(scripts, Vec::<&str>::new());
    }
}

/// A secret gets to the steps that need it and to no other; ssid takes an empty one, as GitHub
/// hands out, for none.
#[test]
fn the_steps_that_tell_people_or_put_content_have_their_secrets() {
    let (_dir, repo) = with_workflows();
    let telling = [
        "SLACK_WEBHOOK_URL",
        "DISCORD_WEBHOOK_URL",
        "SSID_WEBHOOK_URL",
        "SSID_WEBHOOK_SECRET",
        "SSID_SMTP_PASSWORD",
    ];
    let anchoring = ["SSID_PINNING_TOKEN", "SSID_IPFS_TOKEN"];
    let jobs = [
        ("federated_sync.yml", "federation-sync", 2),
        ("federated_sync.yml", "consensus-validation", 0),
        ("quarterly_release.yml", "release-bundle", 2),
    ];
    for (file, job, count) in jobs {
        let mut with_secrets = 0;
        for step in steps_of(&repo, file, job) {
            let tells =
                step.script.contains("governance-telemetry") || step.script.contains("--sync ");
            let wanted: &[&str] = match () {
                () if tells => &telling,
                () if step.script.contains("auto-ipfs-anchor") => &anchoring,
                () => &[],
            };
            let has = step
                .env
                .iter()
                .filter(|(_, value)| value.contains("secrets."));
            let has: Vec<_> = has
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            let wanted_of =
                |name: &&str| ((*name).to_owned(), format!("${{{{ secrets.{name} }}}}"));
            assert_eq!(
                has,
                wanted.iter().map(wanted_of).collect::<Vec<_>>(),
                "{file}: {}",
                step.name
            );
            with_secrets += usize::from(!has.is_empty());
        }
        assert_eq!(with_secrets, count, "{file} {job}");
    }
}

fn is_key(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

#[test]
fn the_sync_workflow_syncs_verifies_commits_and_pushes_and_its_report_is_complete() {
    let (dir, repo) = with_workflows();
    federate(&repo, &partners(&repo, 3));
    let mut runner = Runner::new(&repo);
    let (ran, failed) = runner.run(&steps_of(&repo, "federated_sync.yml", "federation-sync"));
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(
        ran,
        [
            "Install ssid",
            "Check federation status",
            "List federated nodes",
            "Synchronize with federation",
            "Validate consensus",
            "Show consensus history",
            "Analyze trust scores",
            "Commit and push what changed",
            "Notify",
        ]
    );
    let origin = dir.path().join("origin.git");
    let pushed = git(&origin, &["show", "--stat", "--format=%s %an", "main"]);
    has_all(
        &pushed,
        &[
            "Federation sync SSID Federation Bot",
            "registry_events.log",
            "federation_manifest.json",
        ],
    );
    assert_eq!(
        runner.values["steps.commit.outputs.commit"],
        git(&origin, &["rev-parse", "main"]).trim()
    );
    assert_eq!(
        git(&repo, &["diff", "HEAD~1", "--name-only"])
            .lines()
            .collect::<Vec<_>>(),
        [LOG, MANIFEST]
    );

    let (_, failed) = runner.run(&steps_of(
        &repo,
        "federated_sync.yml",
        "consensus-validation",
    ));
    assert_eq!(failed, Vec::<String>::new());
    let report = |name: &str| read_json(&runner.temp(), &format!("report/{name}.json"));
    assert_eq!(
        (
            &report("verification")["valid"],
            &report("verification")["invalid"]
        ),
        (&json!(13), &json!(0))
    );
    assert_eq!(report("history").as_array().unwrap().len(), 2);
    assert_eq!(report("status")["statistics"]["total_syncs"], 121);

    // a moment later nothing is due and nothing is committed; forced, it is synced again
    let before = git(&repo, &["rev-parse", "HEAD"]);
    assert_eq!(
        runner
            .run(&steps_of(&repo, "federated_sync.yml", "federation-sync"))
            .1,
        Vec::<String>::new()
    );
    assert_eq!(git(&repo, &["rev-parse", "HEAD"]), before);
    runner.set("inputs.force_sync && '--force' || ''", "--force");
    assert_eq!(
        runner
            .run(&steps_of(&repo, "federated_sync.yml", "federation-sync"))
            .1,
        Vec::<String>::new()
    );
    assert_eq!(read_json(&repo, MANIFEST)["statistics"]["total_syncs"], 122);
    assert_eq!(
        runner
            .asked_of_github()
            .lines()
            .filter(|line| !line.starts_with("release download"))
            .count(),
        0
    );
}

#[test]
fn a_sync_that_fails_opens_an_issue_and_one_that_is_switched_off_does_nothing() {
    let (dir, repo) = with_workflows();
    federate(&repo, &[dir.path().join("gone")]);
    let mut runner = Runner::new(&repo);
    let (ran, failed) = runner.run(&steps_of(&repo, "federated_sync.yml", "federation-sync"));
    assert_eq!(failed, ["Synchronize with federation"]);
    assert_eq!(ran[ran.len() - 2..], ["Notify", "Open an issue on failure"]);
    has_all(
        &runner.asked_of_github(),
        &[
            "issue list --state open",
            "issue create --title Federation sync failed",
        ],
    );

    change(&repo, CONFIG, |config| {
        config["federation"]["enabled"] = false.into();
    });
    let mut runner = Runner::new(&repo);
    let (ran, failed) = runner.run(&steps_of(&repo, "federated_sync.yml", "federation-sync"));
    assert_eq!((ran.len(), failed.len()), (2, 0), "{ran:?} {failed:?}");
    assert_eq!(runner.values["steps.status.outputs.enabled"], "false");

    // a log that somebody tampered with: the validation job's own step fails, whatever the sync
    // said
    let text = fs::read_to_string(repo.join(LOG)).unwrap();
    let cut = text.trim_end().trim_end_matches('}').to_owned();
    fs::write(
        repo.join(LOG),
        format!("{cut}, \"event_hash\": \"{}\"}}\n", "0".repeat(64)),
    )
    .unwrap();
    let (_, failed) = runner.run(&steps_of(
        &repo,
        "federated_sync.yml",
        "consensus-validation",
    ));
    assert_eq!(failed, ["Run consensus validation"]);
    has_all(
        &runner.asked_of_github(),
        &["issue create --title Consensus validation failed"],
    );
    assert_eq!(
        read_json(&runner.temp(), "report/verification.json")["invalid"],
        1,
        "the report says it all the same"
    );
}

#[test]
fn the_release_workflow_bundles_verifies_records_and_proposes() {
    let (dir, repo) = with_workflows();
    write(
        &repo,
        "05_documentation/reports/2025-Q4/COMPLIANCE_REPORT.md",
        "**Overall Compliance Score:** 97/100\n",
    );
    write(
        &repo,
        "05_documentation/reports/dashboard/SSID_Governance_Dashboard.md",
        "# Dashboard\n",
    );
    write(
        &repo,
        DASHBOARD,
        "quarter,date,compliance_score,violations,commits,proof_anchors,hash_valid,root24_status\n",
    );
    commit(&repo, "reports");
    git(&repo, &["push", "--quiet", "origin", "main"]);
    let release = steps_of(&repo, "quarterly_release.yml", "release-bundle");
    let mut runner = Runner::new(&repo);
    runner.set("inputs.quarter", "2025-Q4");
    runner.set(
        "(github.event_name == 'schedule' || inputs.publish_release)",
        "true",
    );
    let (ran, failed) = runner.run(&release);
    assert_eq!(
        failed,
        ["Anchor to IPFS"],
        "there is no IPFS node, which hinders nothing else"
    );
    assert_eq!(
        (ran.len(), ran.last().map(String::as_str)),
        (8, Some("Publish the release")),
        "{ran:?}"
    );
    let branch = "release/2025-Q4";
    let origin = dir.path().join("origin.git");
    let changed = git(
        &origin,
        &["diff", "--name-only", &format!("main..{branch}")],
    );
    has_all(
        &changed,
        &[
            "SSID_Quarterly_Release_2025-Q4.zip",
            "quarterly_release_manifest_2025-Q4.json",
            LOG,
        ],
    );
    let log = git(&origin, &["show", &format!("{branch}:{LOG}")]);
    has_all(
        log.lines().last().unwrap(),
        &["governance_release_published", "v4.4-Q4-2025"],
    );
    let hash = &runner.values["steps.bundle.outputs.hash"];
    has_all(
        &runner.asked_of_github(),
        &[
            "pr create --base main --head release/2025-Q4",
            "release create v4.4-Q4-2025",
        ],
    );
    has_all(
        &runner.asked_of_github(),
        &[hash, "SSID_Quarterly_Release_2025-Q4.zip"],
    );

    // the same quarter again: the same bundle, to the byte, and nothing to commit
    let artifact = repo.join(&runner.values["steps.bundle.outputs.artifact"]);
    let bytes = fs::read(&artifact).unwrap();
    runs(&repo, &["release", "bundle", "--quarter", "2025-Q4"], 0);
    assert_eq!(fs::read(&artifact).unwrap(), bytes);
}
