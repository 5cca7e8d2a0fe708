//! The few statistics that the bench prints. Pure.

/// The middle value; of an even number of values the mean of the middle two. `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// The median of `ours[i] / theirs[i]`, where `i` is the round: what slows the machine for a minute slows both sides
/// of a pair, and leaves their ratio alone. Rounds that one side lacks, or where the divisor is zero, do not count.
pub fn paired_ratio(ours: &[f64], theirs: &[f64]) -> Option<f64> {
    let ratios: Vec<f64> = ours
        .iter()
        .zip(theirs)
        .filter(|(_, theirs)| **theirs > 0.0)
        .map(|(ours, theirs)| ours / theirs)
        .collect();
    median(&ratios)
}

/// The smallest value that at least `percent` of the values do not exceed (nearest rank). `None` of nothing.
///
/// `percent` is clamped to 0..=100. Sorts its argument.
pub fn percentile(values: &mut [u64], percent: f64) -> Option<u64> {
    values.sort_unstable();
    let rank = (percent.clamp(0.0, 100.0) / 100.0 * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_does_not_mind_order_or_outliers() {
        for (values, want) in [
            (vec![], None),
            (vec![7.0], Some(7.0)),
            (vec![3.0, 1.0], Some(2.0)),
            (vec![900.0, 1.0, 2.0], Some(2.0)),
            (vec![4.0, 1.0, 3.0, 2.0], Some(2.5)),
        ] {
            assert_eq!(median(&values), want, "{values:?}");
        }
    }

    #[test]
    fn a_ratio_is_taken_within_each_round_before_the_median() {
        for (ours, theirs, want) in [
            // The machine is ten times slower in the second round: the medians alone would say 5.5 / 10.
            (
                vec![1.0, 10.0, 1.0, 10.0],
                vec![2.0, 20.0, 2.0, 20.0],
                Some(0.5),
            ),
            (vec![3.0, 8.0, 1.0], vec![1.0, 4.0, 1.0], Some(2.0)),
            (vec![3.0, 8.0], vec![1.0], Some(3.0)),
            (vec![3.0, 8.0], vec![0.0, 4.0], Some(2.0)),
            (vec![3.0], vec![], None),
        ] {
            assert_eq!(paired_ratio(&ours, &theirs), want, "{ours:?} {theirs:?}");
        }
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).rev().collect();
        for (values, percent, want) in [
            (vec![], 99.0, None),
            (vec![5], 0.0, Some(5)),
            (vec![5], 100.0, Some(5)),
            (hundred.clone(), 50.0, Some(50)),
            (hundred.clone(), 99.0, Some(99)),
            (hundred.clone(), 99.1, Some(100)),
            (hundred, 400.0, Some(100)),
            (vec![30, 10, 20], 99.0, Some(30)),
        ] {
            let mut sorted = values.clone();
            assert_eq!(
                percentile(&mut sorted, percent),
                want,
                "{percent} of {values:?}"
            );
        }
    }
}
