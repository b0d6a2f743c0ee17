#![allow(clippy::unwrap_used, reason = "tests")]

use ssid_protocol::id::LogId;
use ssid_protocol::testing;
use ssid_protocol::trust::TrustChange;
use ssid_storage::{AnchorRow, Changes, Owner};

use super::*;

/// 2026-10-15T00:00:00Z.
const OCTOBER: UnixMillis = UnixMillis(1_792_022_400_000);
const DAY: u64 = 24 * 60 * 60 * 1000;

fn report(month: &str, anonymize: bool) -> ComplianceReport {
    let directory = tempfile::tempdir().unwrap();
    let (manifest, federation, _, keys) = testing::federation(3);
    let node = keys[0].node_id();
    let (store, mut writer) =
        Store::open(directory.path(), Owner { federation, node }, LogId([1; 32])).unwrap();
    let failure = |at: u64| TrustChange {
        at: UnixMillis(at),
        member: keys[1].node_id(),
        reason: TrustReason::SyncFailed,
        points: -3,
        origin: None,
        reference: String::new(),
        note: None,
    };
    let anchor = |at: u64| AnchorRow {
        name: "a|b".into(),
        cid: "Qm".into(),
        at: UnixMillis(at),
        services: vec![],
    };
    writer
        .write(Changes {
            trust: vec![failure(OCTOBER.0), failure(OCTOBER.0 + 20 * DAY)],
            anchors: vec![(ssid_protocol::id::Sha256Hash([1; 32]), anchor(OCTOBER.0))],
            ..Changes::default()
        })
        .unwrap();
    let seen = keys[1].node_id();
    let sources = Sources {
        store: &store,
        manifest: &manifest,
        node,
        trust: TrustRules::default(),
        anonymize,
        started_at: OCTOBER,
        last_seen: &|asked| (*asked == seen).then_some(OCTOBER),
        now: UnixMillis(OCTOBER.0 + 20 * DAY),
    };
    ComplianceReport::of(Month::parse(month).unwrap(), &sources).unwrap()
}

#[test]
fn a_month_is_what_happened_in_it() {
    let october = report("2026-10", false);
    assert_eq!(
        (october.from.as_str(), october.until.as_str()),
        ("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z")
    );
    assert!(october.is_complete && !report("2026-11", false).is_complete);
    assert_eq!(
        october
            .sync_failures
            .iter()
            .map(|line| line.count)
            .collect::<Vec<_>>(),
        [1]
    );
    assert_eq!(
        (
            october.anchors.len(),
            report("2026-09", false).anchors.len()
        ),
        (1, 0)
    );
    assert_eq!(october.members[0].points, -3);
    assert_eq!(october.trust_distribution.values().sum::<u64>(), 3);
    assert_eq!(october.inactive.len(), 1, "one was never heard of");
    assert_eq!(october.inactive[0].last_seen, None);
}

#[test]
fn what_is_unknown_is_called_unknown() {
    let october = report("2026-10", false).with_dashboard(None, OCTOBER);
    assert_eq!(
        (
            october.summary.agreement_percent,
            october.summary.median_seconds
        ),
        (None, None)
    );
    let page = page(&october);
    assert!(
        page.contains("| Agreement of observations | unknown |") && !page.contains("100"),
        "{page}"
    );
    assert!(
        page.contains("agreement: no voter's observation") && page.contains("a\\|b"),
        "{page}"
    );
    assert!(
        page.contains("| Compliance score | unknown |")
            && page.contains("- violations: the dashboard"),
        "{page}"
    );
    assert!(page.contains("(the month is not over)") != october.is_complete);
}

#[test]
fn the_score_is_the_months_own() {
    let text = "date,compliance_score,violations\n2026-09-30,98,0\n2026-10-10,97,1\n2026-10-20,96,2\n2026-11-01,95,3\n";
    let dashboard = Dashboard::parse(text.as_bytes()).unwrap();
    let of = |month, now| {
        report(month, false)
            .with_dashboard(Some(&dashboard), now)
            .summary
            .compliance_score
    };
    assert_eq!(
        of("2026-10", OCTOBER),
        Some(97.0),
        "later rows are still in the future"
    );
    assert_eq!(of("2026-10", UnixMillis(OCTOBER.0 + 90 * DAY)), Some(96.0));
    assert_eq!(
        of("2026-12", UnixMillis(OCTOBER.0 + 90 * DAY)),
        None,
        "a score of November is none of December"
    );
}

#[test]
fn anonymous_reports_have_ids() {
    let (named, anonymous) = (report("2026-10", false), report("2026-10", true));
    for (a, b) in named.members.iter().zip(&anonymous.members) {
        assert!(a.node_name != b.node_name && b.node_id.to_string().starts_with(&b.node_name));
    }
}

#[test]
fn months_are_read_and_refused() {
    assert_eq!(Month::of(OCTOBER), Month::parse("2026-10").unwrap());
    assert_eq!(
        Month::parse("2026-02").unwrap().bounds().1,
        Month::parse("2026-03").unwrap().bounds().0
    );
    let last = Month::parse("9999-12").unwrap();
    assert_eq!(
        last.bounds().1.0 - last.bounds().0.0,
        31 * 24 * 60 * 60 * 1000,
        "not in 1970"
    );
    assert_eq!(last.end(), "9999-12-31T23:59:59Z");
    assert_eq!(
        Month::parse("2026-12").unwrap().end(),
        "2027-01-01T00:00:00Z"
    );
    for wrong in ["2026", "2026-13", "2026-1", "26-01-01", "2026-10-", ""] {
        assert!(
            Month::parse(wrong).unwrap_err().contains("for example"),
            "{wrong}"
        );
    }
}
