//! The report as Markdown. Text of others is escaped: a name cannot become a heading, a link or a
//! table.

use std::fmt::Write as _;

use super::{ComplianceReport, INACTIVE_DAYS};
use crate::text::is_unseen;

/// The whole page.
pub fn page(report: &ComplianceReport) -> String {
    let mut page = String::new();
    let summary = &report.summary;
    let state = if report.is_complete {
        ""
    } else {
        " (the month is not over)"
    };
    let _ = write!(
        page,
        "# SSID Compliance Report {}\n\nFederation {} (`{}`), as node `{}` holds it; written {}{state}.\n\n",
        report.month,
        escape(&report.federation_name),
        report.federation_id,
        report.node_id,
        report.written_at,
    );
    let known = |value: Option<f64>, unit: &str| {
        value.map_or("unknown".to_owned(), |v| format!("{v:.2}{unit}"))
    };
    section(
        &mut page,
        "Summary",
        &["", ""],
        &[
            [
                "Compliance score".to_owned(),
                known(summary.compliance_score, "/100"),
            ],
            [
                "Violations".to_owned(),
                summary
                    .violations
                    .map_or("unknown".to_owned(), |count| count.to_string()),
            ],
            ["Members".to_owned(), summary.members.to_string()],
            [
                "Certified in the month".to_owned(),
                summary.certified.to_string(),
            ],
            [
                "With a disagreement".to_owned(),
                summary.with_disagreement.to_string(),
            ],
            [
                "Agreement of observations".to_owned(),
                known(summary.agreement_percent, " %"),
            ],
            [
                "Median time to certify".to_owned(),
                known(summary.median_seconds, " s"),
            ],
            [
                "Conflicts open now".to_owned(),
                summary.open_conflicts.to_string(),
            ],
            [
                "Evidence of equivocation".to_owned(),
                summary.evidence.to_string(),
            ],
            [
                "Certified log".to_owned(),
                format!("{} entries, root `{}`", summary.log_size, summary.log_root),
            ],
        ],
    );
    let bands: Vec<_> = report
        .trust_distribution
        .iter()
        .map(|(l, n)| [band(l), n.to_string()])
        .collect();
    section(
        &mut page,
        "Trust Distribution",
        &["Trust", "Members"],
        &bands,
    );
    let rows: Vec<_> = report
        .members
        .iter()
        .map(|m| {
            [
                escape(&m.node_name),
                m.trust_score.to_string(),
                band(&m.trust_label),
                format!("{:+}", m.points),
            ]
        })
        .collect();
    section(
        &mut page,
        "Members",
        &["Member", "Score", "Trust", "Points in the month"],
        &rows,
    );
    let rows: Vec<_> = report
        .consensus
        .iter()
        .map(|l| {
            let [certified, disagreed, later] =
                [l.certified, l.with_disagreement, l.later_rounds].map(|n| n.to_string());
            [escape(&l.event_type), certified, disagreed, later]
        })
        .collect();
    section(
        &mut page,
        "Consensus",
        &[
            "Event",
            "Certified",
            "With a disagreement",
            "More than one round",
        ],
        &rows,
    );
    let rows: Vec<_> = report
        .sync_failures
        .iter()
        .map(|l| [escape(&l.node_name), l.count.to_string()])
        .collect();
    section(&mut page, "Failed Syncs", &["Member", "Failures"], &rows);
    let never = "never, or not known";
    let rows: Vec<_> = report
        .inactive
        .iter()
        .map(|l| {
            [
                escape(&l.node_name),
                l.last_seen.as_deref().unwrap_or(never).to_owned(),
            ]
        })
        .collect();
    section(
        &mut page,
        &format!("Inactive for {INACTIVE_DAYS} Days"),
        &["Member", "Last heard of"],
        &rows,
    );
    let rows: Vec<_> = report
        .anchors
        .iter()
        .map(|a| {
            [
                escape(&a.name),
                format!("`{}`", escape(&a.cid)),
                a.at.clone(),
                escape(&a.services.join(", ")),
            ]
        })
        .collect();
    section(
        &mut page,
        "Anchors",
        &["Document", "CID", "Anchored", "Held by"],
        &rows,
    );
    page.push_str("## What this report does not know\n\n");
    for unknown in &report.unknown {
        let _ = writeln!(page, "- {unknown}");
    }
    page
}

fn section<const N: usize>(
    page: &mut String,
    title: &str,
    header: &[&str; N],
    rows: &[[String; N]],
) {
    let _ = write!(page, "## {title}\n\n");
    if rows.is_empty() {
        page.push_str("None.\n\n");
        return;
    }
    let _ = writeln!(page, "| {} |\n|{}", header.join(" | "), "---|".repeat(N));
    for row in rows {
        let _ = writeln!(page, "| {} |", row.join(" | "));
    }
    page.push('\n');
}

/// A trust label as people read it: `VERY LOW` for `very_low`.
fn band(label: &str) -> String {
    label.to_uppercase().replace('_', " ")
}

pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            c if is_unseen(c) => escaped.push(' '),
            '<' => escaped.push_str("&lt;"),
            c if "\\`*_[]|#!".contains(c) => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}
