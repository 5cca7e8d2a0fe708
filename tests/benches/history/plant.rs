//! Values as meters have them: they drift, with noise, and their times jitter.

use fieldgate_model::{Decimal, Sample, Value};
use jiff::Timestamp;

/// What the series are, in turn.
pub(crate) const KINDS: [&str; 6] = [
    "voltage 0.1 V",
    "power 1 W",
    "temperature 0.1",
    "energy 0.01 kWh",
    "float of 32 bit",
    "switch",
];

/// Series of these kinds.
pub(crate) struct Plant {
    values: Vec<f64>,
    random: u64,
}

impl Plant {
    pub(crate) fn new(series: usize) -> Self {
        let starts = [230.0, 3_000.0, 21.0, 12_345.0, 230.0, 0.0];
        Self {
            values: (0..series)
                .map(|number| starts[number % starts.len()])
                .collect(),
            random: 0x2545_F491_4F6C_DD1D,
        }
    }

    /// Evenly from 0 to 1 (xorshift).
    fn even(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About a normal distribution.
    fn normal(&mut self) -> f64 {
        (0..6).map(|_| self.even()).sum::<f64>() - 3.0
    }

    /// The next reading of each series, read within 3 ms of `at`.
    pub(crate) fn samples(&mut self, at: i64) -> Vec<Sample> {
        let jitter = (self.even() * 7.0) as i64 - 3;
        let at = Timestamp::from_millisecond(at + jitter).expect("within the years of people");
        (0..self.values.len())
            .map(|number| Sample::good(number, self.value(number), at))
            .collect()
    }

    fn value(&mut self, number: usize) -> Value {
        let (normal, even) = (self.normal(), self.even());
        let value = &mut self.values[number];
        let (step, digits) = match number % KINDS.len() {
            0 => (normal * 0.2, 1),
            1 => (normal * 10.0, 0),
            2 => (normal * 0.03, 1),
            3 => (0.002 + even * 0.004, 2),
            4 => (normal * 0.06, 0),
            _ => (0.0, 0),
        };
        *value += step;
        match number % KINDS.len() {
            4 => Value::F32(*value as f32),
            5 => {
                if even < 0.01 {
                    *value = 1.0 - *value;
                }
                Value::Bool(*value > 0.5)
            }
            _ => {
                let whole = (*value * 10_f64.powi(digits)).round() as i128;
                Value::Decimal(Decimal::new(whole, digits as u8).expect("few digits"))
            }
        }
    }
}
