//! Scale factors that a device holds in registers of their own: powers of ten, as SunSpec has
//! them. Pure.
//!
//! A point with `scale_from` is worth nothing without its factor, so the factor's point is read
//! whenever the point is. What one answer holds belongs together; a factor that came in another
//! request is remembered.

use std::collections::BTreeMap;

use fieldgate_model::{Decimal, Value};

use crate::config::DeviceConfig;
use crate::data::{Data, ReadRequest};
use crate::decode::{DecodeError, values};

/// What SunSpec allows as the exponent, both ways.
const EXPONENT_MAX: i128 = 10;

/// The factors of one device, by the index of their points.
#[derive(Debug, Default)]
pub(crate) struct Factors {
    known: BTreeMap<usize, Result<Decimal, DecodeError>>,
}

/// Adds the factors of the points that are to be read, each point once.
pub(crate) fn add_factors(device: &DeviceConfig, points: &mut Vec<usize>) {
    // Most devices have none.
    if device.points.factors().is_empty() {
        return;
    }
    let factors: Vec<usize> = points
        .iter()
        .filter_map(|point| device.points.get(*point)?.1.scale_from)
        .collect();
    for factor in factors {
        if !points.contains(&factor) {
            points.push(factor);
        }
    }
}

impl Factors {
    /// Gives `take` what the points of a request decode to, their factors applied. A point whose factor has
    /// not been read yet is [`DecodeError::Unscaled`]; one whose factor is no value has none
    /// either.
    pub(crate) fn values(
        &mut self,
        device: &DeviceConfig,
        request: &ReadRequest,
        data: &Data,
        mut take: impl FnMut(usize, Result<Value, DecodeError>),
    ) {
        let all = values(device, request, data);
        let factors = device.points.factors();
        // Most devices have none.
        if factors.is_empty() {
            return all.for_each(|(point, value)| take(point, value));
        }
        let mut found: Vec<_> = all.collect();
        for (point, value) in &found {
            if factors.contains(point) {
                self.known.insert(*point, power_of_ten(value));
            }
        }
        for (point, value) in &mut found {
            let factor = device.points.get(*point);
            if let Some(factor) = factor.and_then(|(_, point)| point.scale_from)
                && let Ok(Value::Decimal(number)) = value
            {
                *value = match self.known.get(&factor) {
                    Some(Ok(by)) => number
                        .checked_mul(*by)
                        .map(Value::Decimal)
                        .ok_or(DecodeError::Overflow),
                    Some(Err(error)) => Err(*error),
                    None => Err(DecodeError::Unscaled),
                };
            }
        }
        found
            .into_iter()
            .for_each(|(point, value)| take(point, value));
    }

    /// The device refuses these points: what they scale has no value.
    pub(crate) fn refuse(&mut self, device: &DeviceConfig, points: &[usize]) {
        let factors = device.points.factors();
        for point in points.iter().filter(|point| factors.contains(point)) {
            self.known.insert(*point, Err(DecodeError::Invalid));
        }
    }
}

fn power_of_ten(value: &Result<Value, DecodeError>) -> Result<Decimal, DecodeError> {
    let exponent = match value {
        Ok(Value::Decimal(number)) => number.to_integer(),
        Ok(_) => None,
        Err(error) => return Err(*error),
    };
    exponent
        .filter(|exponent| exponent.abs() <= EXPONENT_MAX)
        .and_then(|exponent| {
            let size = exponent.unsigned_abs() as u8;
            if exponent < 0 {
                Decimal::new(1, size)
            } else {
                Decimal::new(10i128.pow(size.into()), 0)
            }
        })
        .ok_or(DecodeError::Factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DeviceEntry, Table};
    use fieldgate_bridge::Defaults;

    fn device() -> DeviceConfig {
        let json = r#"{"bus": "b", "unit": 1, "points": {
            "power": {"holding": 0, "as": "i16", "scale_from": "power_sf", "invalid": "0x8000"},
            "power_sf": {"holding": 1, "as": "i16", "invalid": "0x8000", "poll": "once"},
            "energy": {"holding": 9, "as": "u32", "scale_from": "energy_sf", "scale": 0.001},
            "energy_sf": {"holding": 11, "as": "i16"}
        }}"#
        .replace("\"0x8000\"", "32768");
        let entry: DeviceEntry = serde_json::from_str(&json).unwrap();
        entry.resolve("d", 1, None, &Defaults::default()).unwrap()
    }

    fn read(factors: &mut Factors, address: u16, points: &[usize], words: &[u16]) -> Vec<String> {
        let request = ReadRequest {
            table: Table::Holding,
            address,
            count: words.len() as u16,
            points: points.into(),
        };
        let mut found = Vec::new();
        let data = Data::Words(words.to_vec());
        factors.values(&device(), &request, &data, |_, value| {
            found.push(match value {
                Ok(value) => value.to_string(),
                Err(error) => error.to_string(),
            });
        });
        found
    }

    #[test]
    fn a_value_is_multiplied_by_the_power_of_ten_beside_it() {
        let mut factors = Factors::default();
        for (words, want) in [
            ([21413, 0xFFFF], "2141.3"),
            ([21413, 0], "21413"),
            ([0x8001, 2], "-3276700"),
            ([1, 0xFFF6], "0.0000000001"),
            ([7, 10], "70000000000"),
            ([0x8000, 1], "the invalid marker"),
            ([5, 0x8000], "the invalid marker"),
            ([5, 11], "its scale factor is not from -10 to 10"),
            ([5, 0xFFF5], "its scale factor is not from -10 to 10"),
        ] {
            assert_eq!(
                read(&mut factors, 0, &[0, 1], &words)[0],
                want,
                "{words:04X?}"
            );
        }
    }

    #[test]
    fn a_value_waits_for_a_factor_of_another_request_and_the_last_one_counts() {
        let mut factors = Factors::default();
        let unread = "its scale factor has not been read yet";
        assert_eq!(read(&mut factors, 9, &[2], &[0x0001, 0x0000]), [unread]);
        assert_eq!(read(&mut factors, 11, &[3], &[1]), ["1"]);
        assert_eq!(read(&mut factors, 9, &[2], &[0x0001, 0x0000]), ["655.36"]);
        assert_eq!(read(&mut factors, 11, &[3], &[0xFFFE]), ["-2"]);
        assert_eq!(read(&mut factors, 9, &[2], &[0x0001, 0x0000]), ["0.65536"]);
        factors.refuse(&device(), &[2, 3]);
        assert_eq!(
            read(&mut factors, 9, &[2], &[0x0001, 0x0000]),
            ["the invalid marker"]
        );
    }

    #[test]
    fn factors_are_read_with_what_they_scale() {
        for (mut due, want) in [
            (vec![0], vec![0, 1]),
            (vec![1], vec![1]),
            (vec![1, 2, 0], vec![1, 2, 0, 3]),
        ] {
            add_factors(&device(), &mut due);
            assert_eq!(due, want);
        }
    }
}
