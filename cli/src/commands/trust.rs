//! `ssid trust`: shows and changes trust in members.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use ssid_node::view::{Page, TrustChangeView, TrustRequest, TrustRuleView, TrustView};

use crate::client::Client;
use crate::context::Context;
use crate::output::{Output, Tone, band, clean, short, when};
use crate::table::{named, prose, whole};

/// Show and change this node's trust in the members
#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// List every member's score
    ///
    /// Example:
    ///   ssid trust list
    #[command(verbatim_doc_comment)]
    List,
    /// Show one member's score, where its points come from and what they change
    ///
    /// Example:
    ///   ssid trust show Berlin
    #[command(verbatim_doc_comment)]
    Show {
        /// Its name, or the beginning of its id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// List every change of one member's score: cause, points and the running sum
    ///
    /// Example:
    ///   ssid trust explain Berlin
    #[command(verbatim_doc_comment)]
    Explain {
        /// Its name, or the beginning of its id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Raise one member's score by 10; who did it and why is recorded
    ///
    /// Example:
    ///   ssid trust boost Berlin --reason 'audited on site'
    #[command(verbatim_doc_comment)]
    Boost(AdjustArgs),
    /// Lower one member's score by 20; who did it and why is recorded
    ///
    /// Example:
    ///   ssid trust penalize Berlin --reason 'does not answer its operators phone'
    #[command(verbatim_doc_comment)]
    Penalize(AdjustArgs),
}

/// Whose score, and why.
#[derive(Debug, Args)]
pub(crate) struct AdjustArgs {
    /// Its name, or the beginning of its id
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// Why, in one line; it stays in the ledger
    #[arg(long, value_name = "R", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// Who decided it, recorded beside the operating system's user
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    by: Option<String>,
}

pub(crate) async fn run(command: TrustCommand, context: &Context) -> Result<()> {
    let client = context.client()?;
    let out = context.out;
    match command {
        TrustCommand::List => {
            let all: Page<TrustView> = client.get(&["v1", "trust"], &[]).await?;
            out.show(&all, |all| table(&all.items, out))?;
        }
        TrustCommand::Show { id } => {
            let one: TrustView = client.get(&["v1", "trust", &id], &[]).await?;
            out.show(&one, |one| page(one, out))?;
        }
        TrustCommand::Explain { id } => {
            let one: TrustView = client.get(&["v1", "trust", &id], &[]).await?;
            out.show(&one, |one| ledger(one, out))?;
        }
        TrustCommand::Boost(args) => adjust("boost", args, &client, out).await?,
        TrustCommand::Penalize(args) => adjust("penalize", args, &client, out).await?,
    }
    Ok(())
}

async fn adjust(change: &str, args: AdjustArgs, client: &Client, out: Output) -> Result<()> {
    let AdjustArgs { id, reason, by } = args;
    let request = TrustRequest {
        change: change.to_owned(),
        reason,
        by,
    };
    let one: TrustView = client
        .post_json(&["v1", "trust", &id], &[], &request)
        .await?;
    out.show(&one, |one| page(one, out))?;
    Ok(())
}

fn tone(score: i32) -> Tone {
    match score {
        50.. => Tone::Good,
        25..50 => Tone::Warn,
        _ => Tone::Bad,
    }
}

fn table(all: &[TrustView], out: Output) -> String {
    let row = |t: &TrustView| {
        vec![
            out.plain(short(&t.node_id)),
            out.plain(clean(&t.node_name)),
            out.plain(clean(&t.organization)),
            out.cell(tone(t.trust_score), t.trust_score),
            out.cell(tone(t.trust_score), band(&t.trust_label)),
        ]
    };
    out.table(
        &[
            whole("NODE"),
            named("NAME", 8),
            named("ORGANIZATION", 10).goes(1),
            whole("SCORE"),
            whole("TRUST"),
        ],
        all.iter().map(row),
    )
}

fn title(trust: &TrustView, out: Output) -> String {
    let score = out.paint(
        tone(trust.trust_score),
        &format!("{} {}", trust.trust_score, band(&trust.trust_label)),
    );
    format!(
        "{} of {}: {score}",
        clean(&trust.node_name),
        clean(&trust.organization)
    )
}

/// The points by their causes, and what the score changes.
fn page(trust: &TrustView, out: Output) -> String {
    // a ledger of years in a few lines: each cause with how often and how much
    let mut sums: BTreeMap<&str, (i32, u64)> = BTreeMap::new();
    for change in &trust.changes {
        let sum = sums.entry(&change.reason).or_default();
        *sum = (sum.0 + change.points, sum.1 + 1);
    }
    let effects = trust
        .effects
        .iter()
        .map(|effect| out.paint(Tone::Warn, &format!("  {effect}")));
    let text = [title(trust, out)]
        .into_iter()
        .chain(effects)
        .collect::<Vec<_>>()
        .join("\n");
    if trust.changes.is_empty() {
        return text + "\nno changes: where every member starts";
    }
    let row = |(reason, (points, times)): (&&str, &(i32, u64))| {
        let tone = if *points < 0 { Tone::Bad } else { Tone::Good };
        vec![
            out.plain(reason),
            out.plain(times),
            out.cell(tone, format!("{points:+}")),
        ]
    };
    format!(
        "{text}\n{}",
        out.table(&["REASON", "TIMES", "POINTS"], sums.iter().map(row))
    )
}

/// Every row with the running sum.
fn ledger(trust: &TrustView, out: Output) -> String {
    let about = |change: &TrustChangeView| match &change.note {
        Some(note) => format!("{}: {}", clean(&note.by), clean(&note.words)),
        None => change
            .about
            .as_deref()
            .map_or_else(|| short(&clean(&change.reference)), clean),
    };
    let row = |change: &TrustChangeView| {
        vec![
            out.plain(when(&change.at)),
            out.cell(
                if change.points < 0 {
                    Tone::Bad
                } else {
                    Tone::Good
                },
                format!("{:+}", change.points),
            ),
            out.plain(change.trust_score),
            out.plain(&change.reason),
            out.plain(about(change)),
        ]
    };
    if trust.changes.is_empty() {
        return format!(
            "{}\nno changes: where every member starts",
            title(trust, out)
        );
    }
    // row by row, as each score follows from the one before
    let columns = [
        whole("AT"),
        whole("POINTS"),
        whole("SCORE"),
        whole("REASON"),
        prose("ABOUT"),
    ];
    let rows = out.table(&columns, trust.changes.iter().map(row));
    let rules = [whole("REASON"), whole("POINTS"), prose("COUNTS")];
    let rule = |rule: &TrustRuleView| {
        vec![
            out.plain(&rule.reason),
            out.plain(format!("{:+}", rule.points)),
            out.plain(&rule.limit),
        ]
    };
    // which rules these points follow is part of the answer to "why"
    let rules = out.table(&rules, trust.rules.iter().map(rule));
    format!(
        "{}\n{rows}\n\nHow points are counted here:\n{rules}",
        title(trust, out)
    )
}

#[cfg(test)]
mod tests {
    use ssid_node::view::TrustNoteView;
    use ssid_protocol::id::NodeId;

    use super::*;
    use crate::table::width_of;

    fn change(reason: &str, points: i32, trust_score: i32) -> TrustChangeView {
        TrustChangeView {
            at: "2025-10-11T20:00:00Z".into(),
            reason: reason.into(),
            points,
            trust_score,
            origin: None,
            reference: "0123456789abcdef".into(),
            about: None,
            note: None,
        }
    }

    fn view(trust_score: i32, trust_label: &str, changes: Vec<TrustChangeView>) -> TrustView {
        TrustView {
            node_id: NodeId([4; 32]),
            node_name: "Berlin".into(),
            organization: "Beispiel GmbH".into(),
            trust_score,
            trust_label: trust_label.into(),
            needs_review: trust_score < 50,
            effects: Vec::new(),
            changes,
            rules: vec![TrustRuleView {
                reason: "agreement".into(),
                points: 2,
                limit: "at most once a day per origin".into(),
            }],
        }
    }

    #[test]
    fn points_are_summed_by_their_cause() {
        let changes = vec![
            change("agreement", 2, 52),
            change("sync_failed", -3, 49),
            change("agreement", 2, 51),
        ];
        let page = page(&view(51, "medium", changes), Output::of_width(80));
        let rows: Vec<Vec<&str>> = page
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            page.lines().next(),
            Some("Berlin of Beispiel GmbH: 51 MEDIUM")
        );
        assert!(rows.contains(&vec!["agreement", "2", "+4"]), "{page}");
        assert!(rows.contains(&vec!["sync_failed", "1", "-3"]), "{page}");
    }

    #[test]
    fn who_has_no_changes_stands_where_everybody_starts() {
        let new = view(50, "medium", Vec::new());
        for text in [
            page(&new, Output::of_width(80)),
            ledger(&new, Output::of_width(80)),
        ] {
            assert!(text.ends_with("where every member starts"), "{text}");
        }
        let low = TrustView {
            effects: vec!["its events wait for your review".into()],
            ..view(20, "very_low", Vec::new())
        };
        let text = page(&low, Output::of_width(80));
        assert!(text.contains("20 VERY LOW\n  its events wait"), "{text}");
    }

    #[test]
    fn the_ledger_says_what_each_change_is_about_in_the_best_words_there_are() {
        let by_hand = TrustChangeView {
            note: Some(TrustNoteView {
                by: "Ada (root)".into(),
                words: "answered the audit".into(),
            }),
            about: Some("blueprint_tagged v1".into()),
            ..change("manual_boost", 10, 60)
        };
        let in_words = TrustChangeView {
            about: Some("blueprint_tagged v2".into()),
            ..change("agreement", 2, 62)
        };
        let bare = change("sync_succeeded", 1, 63);
        let ledger = ledger(
            &view(63, "medium", vec![by_hand, in_words, bare]),
            Output::of_width(100),
        );
        assert!(
            ledger.contains("Ada (root): answered the audit"),
            "{ledger}"
        );
        assert!(
            !ledger.contains("blueprint_tagged v1"),
            "a person's words first"
        );
        assert!(ledger.contains("blueprint_tagged v2"), "{ledger}");
        assert!(ledger.contains("0123456789ab") && !ledger.contains("0123456789abc"));
        assert!(ledger.contains("at most once a day per origin"), "{ledger}");
    }

    #[test]
    fn the_table_fits_a_line_and_gives_up_the_organization_first() {
        let long = TrustView {
            organization: "Bundesanstalt für vieles und manches andere mehr".into(),
            ..view(24, "very_low", Vec::new())
        };
        let narrow = table(&[long], Output::of_width(44));
        assert!(narrow.lines().all(|line| width_of(line) <= 44), "{narrow}");
        assert!(!narrow.contains("ORGANIZATION"), "{narrow}");
        assert!(
            narrow.contains("Berlin") && narrow.contains("VERY LOW"),
            "{narrow}"
        );
    }

    #[test]
    fn colours_follow_the_bands() {
        use Tone::{Bad, Good, Warn};
        let tones = [75, 50, 49, 25, 24, 0].map(tone);
        assert_eq!(tones, [Good, Good, Warn, Warn, Bad, Bad]);
    }
}
