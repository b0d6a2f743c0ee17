//! Whether a score is within its usual range: a robust z-score against the scores before it.

use serde::Serialize;

/// Scores before the one looked at that count.
const WINDOW: usize = 20;
/// Fewer are no range.
const FEWEST: usize = 5;
/// From here on a score is out of range (Iglewicz and Hoaglin).
const OUT_OF_RANGE: f64 = 3.5;
/// Makes the median absolute deviation comparable to a standard deviation.
const MAD_TO_DEVIATION: f64 = 1.4826;
/// Scores are written with whole points: a smaller spread says nothing.
const LEAST_SPREAD: f64 = 0.5;

/// Where a score is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// The score goes up.
    Improving,
    /// The score neither rises nor falls.
    Stable,
    /// The score goes down.
    Declining,
}

impl Trend {
    /// From one score to the next.
    pub fn between(before: f64, now: f64) -> Self {
        match now.total_cmp(&before) {
            std::cmp::Ordering::Less => Self::Declining,
            std::cmp::Ordering::Equal => Self::Stable,
            std::cmp::Ordering::Greater => Self::Improving,
        }
    }

    /// Returns the word for it in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Improving => "improving",
            Self::Stable => "stable",
            Self::Declining => "declining",
        }
    }
}

/// In words, why `score` is out of the range of the scores before it; `None` if it is not, or if
/// there are too few.
pub fn anomaly(before: &[f64], score: f64) -> Option<String> {
    let window = &before[before.len().saturating_sub(WINDOW)..];
    if window.len() < FEWEST {
        return None;
    }
    let median = median(window)?;
    let deviations: Vec<f64> = window.iter().map(|s| (s - median).abs()).collect();
    let spread = (self::median(&deviations)? * MAD_TO_DEVIATION).max(LEAST_SPREAD);
    let distance = score - median;
    let times = distance.abs() / spread;
    (times > OUT_OF_RANGE).then(|| {
        let side = if distance < 0.0 { "below" } else { "above" };
        format!(
            "This is outside the usual range: {} points {side} the median {} of the {} scores before, which is {times:.1} \
             times their usual spread of {} (from {OUT_OF_RANGE} on a score counts as unusual).",
            number(distance.abs()),
            number(median),
            window.len(),
            number(spread),
        )
    })
}

/// A score without needless digits.
pub fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_score_out_of_range_is_explained() {
        let steady = [98.0, 99.0, 98.0, 97.0, 98.0, 99.0];
        let words = anomaly(&steady, 89.0).unwrap();
        assert!(
            words.contains("9 points below the median 98 of the 6 scores before"),
            "{words}"
        );
        assert!(
            words.contains("12.1 times their usual spread of 0.74"),
            "{words}"
        );
        assert_eq!(anomaly(&steady, 97.0), None);
    }

    #[test]
    fn few_scores_are_no_range_and_an_even_line_tolerates_a_point() {
        assert_eq!(anomaly(&[100.0; 4], 1.0), None);
        assert_eq!(anomaly(&[100.0; 9], 99.0), None);
        assert!(anomaly(&[100.0; 9], 98.0).is_some());
        let wide = [60.0, 95.0, 70.0, 100.0, 80.0, 65.0];
        assert_eq!(
            anomaly(&wide, 55.0),
            None,
            "what always varies is not unusual"
        );
    }

    #[test]
    fn only_the_last_twenty_count() {
        let mut scores = vec![10.0; 50];
        scores.extend([100.0; 20]);
        assert!(anomaly(&scores, 10.0).is_some());
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            ["100", "97.5", "0"].map(String::from),
            [100.0, 97.5, 0.0].map(number)
        );
        assert_eq!(Trend::between(100.0, 89.0).as_str(), "declining");
        assert_eq!(Trend::between(89.0, 89.0), Trend::Stable);
        assert_eq!(Trend::between(89.0, 90.0), Trend::Improving);
    }
}
