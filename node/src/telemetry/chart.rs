//! The score over time as an SVG picture: one line, its thresholds, and a mark where a score left
//! its usual range.

use std::fmt::Write as _;

use super::config::Thresholds;
use super::dashboard::Row;
use super::trend::{anomaly, number};

/// Picture in pixels.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 360.0;
/// Space around the plot, for words.
const LEFT: f64 = 48.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 40.0;
/// Points drawn; of longer histories the latest.
const POINTS: usize = 2000;

/// Draws the scores that are known of `rows`, which are in order of date.
pub fn svg(rows: &[Row], limits: &Thresholds) -> String {
    let known: Vec<(&Row, f64)> = rows
        .iter()
        .filter_map(|row| Some((row, row.score?)))
        .collect();
    let known = &known[known.len().saturating_sub(POINTS)..];
    let lowest = known
        .iter()
        .map(|(_, score)| *score)
        .fold(limits.compliance_score_critical, f64::min);
    // whole tens, so that the picture does not make much of little
    let floor = ((lowest / 10.0).floor() * 10.0 - 10.0).max(0.0);
    let y = |score: f64| TOP + (100.0 - score) / (100.0 - floor) * (HEIGHT - TOP - BOTTOM);
    let x = |n: usize| match known.len() {
        0 | 1 => LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
        count => LEFT + n as f64 / (count - 1) as f64 * (WIDTH - LEFT - RIGHT),
    };
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\">\n<title>SSID compliance score</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">SSID compliance score</text>\n"
    );
    for (score, color, dashes) in [
        (100.0, "#ccc", "none"),
        (floor, "#ccc", "none"),
        (limits.compliance_score_min, "#f39c12", "6 4"),
        (limits.compliance_score_critical, "#e74c3c", "6 4"),
    ] {
        let at = y(score);
        let words = number(score);
        let end = WIDTH - RIGHT;
        let _ = writeln!(
            picture,
            "<line x1=\"{LEFT}\" x2=\"{end}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"{color}\" stroke-dasharray=\"{dashes}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{words}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    let points: Vec<String> = known
        .iter()
        .enumerate()
        .map(|(n, (_, score))| format!("{:.1},{:.1}", x(n), y(*score)))
        .collect();
    let _ = writeln!(
        picture,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#2c3e50\" stroke-width=\"2\"/>",
        points.join(" ")
    );
    let scores: Vec<f64> = known.iter().map(|(_, score)| *score).collect();
    for (n, (row, score)) in known.iter().enumerate() {
        let unusual = anomaly(&scores[..n], *score);
        let (color, radius) = if unusual.is_some() {
            ("#e74c3c", 5)
        } else {
            ("#2c3e50", 2)
        };
        let words = unusual
            .map(|words| format!(". {words}"))
            .unwrap_or_default();
        let _ = writeln!(
            picture,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{color}\"><title>{}: {}{words}</title></circle>",
            x(n),
            y(*score),
            row.date,
            number(*score),
        );
    }
    let base = HEIGHT - 16.0;
    match (known.first(), known.last()) {
        (Some((first, _)), Some((last, _))) => {
            let _ = writeln!(
                picture,
                "<text x=\"{LEFT}\" y=\"{base}\">{}</text>",
                first.date
            );
            let end = WIDTH - RIGHT;
            let _ = writeln!(
                picture,
                "<text x=\"{end}\" y=\"{base}\" text-anchor=\"end\">{}</text>",
                last.date
            );
        }
        _ => picture.push_str(
            "<text x=\"480\" y=\"180\" text-anchor=\"middle\">no score is known</text>\n",
        ),
    }
    picture.push_str("</svg>\n");
    picture
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::telemetry::dashboard::Dashboard;

    fn draw(scores: &[&str]) -> String {
        let mut text = "date,compliance_score\n".to_owned();
        for (n, score) in scores.iter().enumerate() {
            let _ = writeln!(text, "2026-01-{:02},{score}", n + 1);
        }
        svg(
            &Dashboard::parse(text.as_bytes()).unwrap().rows,
            &Thresholds::default(),
        )
    }

    #[test]
    fn known_scores_are_points_and_unusual_ones_are_marked() {
        let picture = draw(&["99", "98", "99", "98", "99", "unknown", "70"]);
        assert_eq!(
            picture.matches("<circle").count(),
            6,
            "what is unknown is no point"
        );
        assert_eq!(picture.matches("r=\"5\"").count(), 1);
        assert!(
            picture.contains("2026-01-07: 70. This is outside the usual range"),
            "{picture}"
        );
        assert!(picture.contains(">2026-01-01</text>") && picture.contains(">2026-01-07</text>"));
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
    }

    #[test]
    fn nothing_and_one_are_pictures_too() {
        assert!(draw(&[]).contains("no score is known"));
        let one = draw(&["0"]);
        assert!(
            one.matches("<circle").count() == 1 && !one.contains("NaN"),
            "{one}"
        );
    }
}
