//! The report as Markdown. Text of others is escaped: a name cannot become a heading, a link or a
//! table.

use std::fmt::Write as _;

use super::{
    AnchorLine, ComplianceReport, CountLine, EventTypeLine, INACTIVE_DAYS, InactiveLine,
    MemberLine, Summary,
};
use crate::text::is_unseen;

/// The whole page.
pub fn page(report: &ComplianceReport) -> String {
    let mut page = heading(report);
    section(&mut page, "Summary", &["", ""], &summary(&report.summary));
    section(
        &mut page,
        "Trust Distribution",
        &["Trust", "Members"],
        &bands(report),
    );
    section(
        &mut page,
        "Members",
        &["Member", "Score", "Trust", "Points in the month"],
        &members(report),
    );
    section(
        &mut page,
        "Consensus",
        &[
            "Event",
            "Certified",
            "With a disagreement",
            "More than one round",
        ],
        &consensus(report),
    );
    section(
        &mut page,
        "Failed Syncs",
        &["Member", "Failures"],
        &sync_failures(report),
    );
    section(
        &mut page,
        &format!("Inactive for {INACTIVE_DAYS} Days"),
        &["Member", "Last heard of"],
        &inactive(report),
    );
    section(
        &mut page,
        "Anchors",
        &["Document", "CID", "Anchored", "Held by"],
        &anchors(report),
    );
    // the last section and never left out: a report that hides its gaps is none
    page.push_str("## What this report does not know\n\n");
    for unknown in &report.unknown {
        let _ = writeln!(page, "- {unknown}");
    }
    page
}

fn heading(report: &ComplianceReport) -> String {
    let state = if report.is_complete {
        ""
    } else {
        " (the month is not over)"
    };
    format!(
        "# SSID Compliance Report {}\n\nFederation {} (`{}`), as node `{}` holds it; written {}{state}.\n\n",
        report.month,
        escape(&report.federation_name),
        report.federation_id,
        report.node_id,
        report.written_at,
    )
}

fn summary(summary: &Summary) -> Vec<[String; 2]> {
    // what was not measured is not 0
    let known = |value: Option<f64>, unit: &str| {
        value.map_or("unknown".to_owned(), |v| format!("{v:.2}{unit}"))
    };
    let violations = match summary.violations {
        Some(count) => count.to_string(),
        None => "unknown".to_owned(),
    };
    let log = format!("{} entries, root `{}`", summary.log_size, summary.log_root);
    let rows = [
        ("Compliance score", known(summary.compliance_score, "/100")),
        ("Violations", violations),
        ("Members", summary.members.to_string()),
        ("Certified in the month", summary.certified.to_string()),
        ("With a disagreement", summary.with_disagreement.to_string()),
        (
            "Agreement of observations",
            known(summary.agreement_percent, " %"),
        ),
        (
            "Median time to certify",
            known(summary.median_seconds, " s"),
        ),
        ("Conflicts open now", summary.open_conflicts.to_string()),
        ("Evidence of equivocation", summary.evidence.to_string()),
        ("Certified log", log),
    ];
    rows.map(|(name, value)| [name.to_owned(), value]).to_vec()
}

fn bands(report: &ComplianceReport) -> Vec<[String; 2]> {
    let row = |(label, members): (&String, &u64)| [band(label), members.to_string()];
    report.trust_distribution.iter().map(row).collect()
}

fn members(report: &ComplianceReport) -> Vec<[String; 4]> {
    let row = |member: &MemberLine| {
        [
            escape(&member.node_name),
            member.trust_score.to_string(),
            band(&member.trust_label),
            format!("{:+}", member.points),
        ]
    };
    report.members.iter().map(row).collect()
}

fn consensus(report: &ComplianceReport) -> Vec<[String; 4]> {
    let row = |line: &EventTypeLine| {
        [
            escape(&line.event_type),
            line.certified.to_string(),
            line.with_disagreement.to_string(),
            line.later_rounds.to_string(),
        ]
    };
    report.consensus.iter().map(row).collect()
}

fn sync_failures(report: &ComplianceReport) -> Vec<[String; 2]> {
    let row = |line: &CountLine| [escape(&line.node_name), line.count.to_string()];
    report.sync_failures.iter().map(row).collect()
}

fn inactive(report: &ComplianceReport) -> Vec<[String; 2]> {
    let row = |line: &InactiveLine| {
        let last_seen = line.last_seen.as_deref().unwrap_or("never, or not known");
        [escape(&line.node_name), last_seen.to_owned()]
    };
    report.inactive.iter().map(row).collect()
}

fn anchors(report: &ComplianceReport) -> Vec<[String; 4]> {
    let row = |anchor: &AnchorLine| {
        [
            escape(&anchor.name),
            format!("`{}`", escape(&anchor.cid)),
            anchor.at.clone(),
            escape(&anchor.services.join(", ")),
        ]
    };
    report.anchors.iter().map(row).collect()
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
