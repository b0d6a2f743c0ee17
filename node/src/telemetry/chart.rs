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
    let plot = Plot::of(&known[known.len().saturating_sub(POINTS)..], limits);
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\">\n<title>SSID compliance score</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">SSID compliance score</text>\n"
    );
    plot.draw_levels(limits, &mut picture);
    plot.draw_line(&mut picture);
    // after the line: a mark is not to be crossed by it
    plot.draw_marks(&mut picture);
    plot.draw_dates(&mut picture);
    picture.push_str("</svg>\n");
    picture
}

/// What is drawn, and where a score stands in the picture.
struct Plot<'a> {
    /// Rows with their scores, in order of date.
    known: &'a [(&'a Row, f64)],
    /// The score at the lower edge.
    floor: f64,
}

impl<'a> Plot<'a> {
    fn of(known: &'a [(&'a Row, f64)], limits: &Thresholds) -> Self {
        let lowest = known
            .iter()
            .map(|(_, score)| *score)
            .fold(limits.compliance_score_critical, f64::min);
        // whole tens, so that the picture does not make much of little
        let floor = ((lowest / 10.0).floor() * 10.0 - 10.0).max(0.0);
        Self { known, floor }
    }

    fn y(&self, score: f64) -> f64 {
        TOP + (100.0 - score) / (100.0 - self.floor) * (HEIGHT - TOP - BOTTOM)
    }

    /// Of the `n`th score: all are equally far apart, however far their dates are.
    fn x(&self, n: usize) -> f64 {
        let width = WIDTH - LEFT - RIGHT;
        match self.known.len() {
            0 | 1 => LEFT + width / 2.0,
            count => LEFT + n as f64 / (count - 1) as f64 * width,
        }
    }

    /// The edges and the two thresholds, each with its score.
    fn draw_levels(&self, limits: &Thresholds, picture: &mut String) {
        for (score, color, dashes) in [
            (100.0, "#ccc", "none"),
            (self.floor, "#ccc", "none"),
            (limits.compliance_score_min, "#f39c12", "6 4"),
            (limits.compliance_score_critical, "#e74c3c", "6 4"),
        ] {
            let at = self.y(score);
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
    }

    fn draw_line(&self, picture: &mut String) {
        let points: Vec<String> = self
            .known
            .iter()
            .enumerate()
            .map(|(n, (_, score))| format!("{:.1},{:.1}", self.x(n), self.y(*score)))
            .collect();
        let _ = writeln!(
            picture,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"#2c3e50\" stroke-width=\"2\"/>",
            points.join(" ")
        );
    }

    /// A point for each score, which says its date where a pointer rests on it.
    fn draw_marks(&self, picture: &mut String) {
        let scores: Vec<f64> = self.known.iter().map(|(_, score)| *score).collect();
        for (n, (row, score)) in self.known.iter().enumerate() {
            // by what came before it: that is what was known on its day
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
                self.x(n),
                self.y(*score),
                row.date,
                number(*score),
            );
        }
    }

    fn draw_dates(&self, picture: &mut String) {
        let (Some((first, _)), Some((last, _))) = (self.known.first(), self.known.last()) else {
            picture.push_str(
                "<text x=\"480\" y=\"180\" text-anchor=\"middle\">no score is known</text>\n",
            );
            return;
        };
        let (base, end) = (HEIGHT - 16.0, WIDTH - RIGHT);
        let _ = writeln!(
            picture,
            "<text x=\"{LEFT}\" y=\"{base}\">{}</text>",
            first.date
        );
        let _ = writeln!(
            picture,
            "<text x=\"{end}\" y=\"{base}\" text-anchor=\"end\">{}</text>",
            last.date
        );
    }
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
