//! The table that the bench prints. Pure.

use std::fmt::Write as _;

use super::load::Yardstick;
use super::process::Broker;
use super::stats::{median, paired_ratio};

/// The figures of one line of the table, by broker in the order of [`Broker::ALL`], one per round.
///
/// A round in which a broker failed is NaN, so that the rounds of two brokers stay pairs.
#[derive(Clone, Debug)]
pub struct Row {
    pub yardstick: Yardstick,
    pub figures: [Vec<f64>; 3],
}

impl Row {
    fn of(&self, broker: Broker) -> &[f64] {
        &self.figures[broker as usize]
    }

    fn median_of(&self, broker: Broker) -> Option<f64> {
        let valid: Vec<f64> = self
            .of(broker)
            .iter()
            .copied()
            .filter(|v| !v.is_nan())
            .collect();
        median(&valid)
    }

    fn ratio_to(&self, other: Broker) -> Option<f64> {
        let (ours, theirs): (Vec<f64>, Vec<f64>) = self
            .of(Broker::Fieldgate)
            .iter()
            .zip(self.of(other))
            .filter(|(ours, theirs)| !ours.is_nan() && !theirs.is_nan())
            .unzip();
        paired_ratio(&ours, &theirs)
    }

    /// How much slower than the table's machine this one was during the bench, by the yardstick that ran: rumqttd,
    /// which is the very version of the table, else mosquitto. 1 for what does not scale.
    fn scale(&self) -> Option<f64> {
        if !self.yardstick.scales() {
            return Some(1.0);
        }
        let rumqttd = self
            .median_of(Broker::Rumqttd)
            .map(|v| v / self.yardstick.rumqttd);
        rumqttd.or_else(|| Some(self.median_of(Broker::Mosquitto)? / self.yardstick.mosquitto))
    }
}

/// All rows as text, with the targets scaled to this machine and a verdict.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<32}{:>5}{:>11}{:>11}{:>9}{:>11}{:>11}{:>10}{:>9}{:>9}",
        "load",
        "unit",
        "fieldgate",
        "mosquitto",
        "rumqttd",
        "to mosq.",
        "to rumqttd",
        "FlashMQ*",
        "target*",
        ""
    );
    for row in rows {
        let scale = row.scale();
        let target = scale.map(|scale| scale * row.yardstick.target);
        let verdict = match (row.median_of(Broker::Fieldgate), target) {
            (Some(ours), Some(target)) if ours <= target => "reached",
            (Some(_), Some(_)) => "missed",
            _ => "",
        };
        let _ = writeln!(
            text,
            "{:<32}{:>5}{:>11}{:>11}{:>9}{:>11}{:>11}{:>10}{:>9}{:>9}",
            row.yardstick.title,
            row.yardstick.unit,
            figure(row.median_of(Broker::Fieldgate)),
            figure(row.median_of(Broker::Mosquitto)),
            figure(row.median_of(Broker::Rumqttd)),
            figure(row.ratio_to(Broker::Mosquitto)),
            figure(row.ratio_to(Broker::Rumqttd)),
            figure(scale.map(|scale| scale * row.yardstick.flashmq)),
            figure(target),
            verdict,
        );
    }
    text.push_str(
        "us: broker CPU microseconds per delivered message, median of the rounds. to mosq., to rumqttd: ours divided \
         by theirs,\nmedian of the ratios within each round. * the yardstick table's figure, times what rumqttd \
         (else mosquitto) measured\nhere divided by what the table says of it; ms and KiB as in the table.\n",
    );
    text
}

fn figure(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.abs() < 0.1 => format!("{value:.3}"),
        Some(value) if value.abs() < 10.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::LOADS;

    fn row(fieldgate: &[f64], mosquitto: &[f64], rumqttd: &[f64]) -> Row {
        Row {
            // The table has 1.93 for both yardsticks, and 0.9 as the target.
            yardstick: LOADS[0].rows[0],
            figures: [fieldgate.to_vec(), mosquitto.to_vec(), rumqttd.to_vec()],
        }
    }

    #[test]
    fn the_target_scales_with_the_yardstick_that_ran() {
        let nan = f64::NAN;
        for (row, target, verdict) in [
            (row(&[1.7], &[100.0], &[3.86]), "1.80", "reached"),
            (row(&[1.9], &[100.0], &[3.86]), "1.80", "missed"),
            (row(&[0.1], &[0.965], &[]), "0.45", "reached"),
            (row(&[0.1], &[0.965], &[nan]), "0.45", "reached"),
            (row(&[0.1], &[], &[]), "-", ""),
            (row(&[], &[], &[1.93]), "0.90", ""),
        ] {
            let text = table(std::slice::from_ref(&row));
            let line = text.lines().nth(1).unwrap();
            let (before, end) = line.split_at(line.len() - 9);
            assert_eq!(end.trim(), verdict, "{line}");
            assert_eq!(before.split_whitespace().last(), Some(target), "{line}");
        }
    }

    #[test]
    fn memory_does_not_scale_with_the_speed_of_the_machine() {
        let memory = Row {
            yardstick: LOADS[7].rows[0],
            figures: [vec![4.1], vec![], vec![500.0]],
        };
        let text = table(&[memory]);
        let line = text.lines().nth(1).unwrap();
        assert!(line.ends_with("4.00   missed"), "{line}");
    }

    #[test]
    fn a_failed_round_leaves_the_pairs_of_the_other_rounds() {
        let row = row(&[1.0, 8.0, 3.0], &[2.0, f64::NAN, 4.0], &[]);
        assert_eq!(row.ratio_to(Broker::Mosquitto), Some(0.625));
        assert_eq!(row.median_of(Broker::Mosquitto), Some(3.0));
        assert_eq!(row.ratio_to(Broker::Rumqttd), None);
    }
}
