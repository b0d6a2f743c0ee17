//! What the README claims in numbers is what the protocol computes.

use ssid_protocol::quorum::{faults_tolerated, quorum};

const README: &str = include_str!("../../README.md");

#[test]
fn the_table_of_what_is_tolerated_is_computed() {
    let rows: Vec<Vec<u64>> = README
        .lines()
        .map(|line| {
            line.split('|')
                .filter_map(|cell| cell.trim().parse().ok())
                .collect::<Vec<u64>>()
        })
        .filter(|cells| cells.len() == 4)
        .collect();
    assert!(rows.len() >= 5, "the table is there");
    for row in rows {
        let quorum = quorum(row[0], 6600, 2);
        assert_eq!(
            row,
            [row[0], quorum, row[0] - quorum, faults_tolerated(row[0])]
        );
    }
}
