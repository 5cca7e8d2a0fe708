//! How many readings a second the devices of a file can bring.

use fieldgate_config::Config;

/// All points, each with the name of its device, its own, and its readings a second at most; `None` if its device
/// decides when it sends.
pub(crate) fn readings(config: &Config) -> impl Iterator<Item = (&str, &str, Option<f64>)> {
    config.devices.iter().flat_map(|(name, device)| {
        let points = device.point_names().into_iter();
        points.map(move |point| (name.as_str(), point, device.rate(point)))
    })
}

/// Of some points or topics together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    /// So many a second at most.
    pub(crate) each_second: f64,
    /// How many points or topics.
    pub(crate) count: usize,
    /// Those of them of which it is not known: they are not in `each_second`.
    pub(crate) unknown: usize,
}

impl FromIterator<Option<f64>> for Rates {
    fn from_iter<I: IntoIterator<Item = Option<f64>>>(rates: I) -> Self {
        let mut all = Self::default();
        for rate in rates {
            all.count += 1;
            match rate {
                Some(rate) => all.each_second += rate,
                None => all.unknown += 1,
            }
        }
        all
    }
}
