//! The points of a device, held once for all devices of one type.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use fieldgate_bridge::Rule;
use fieldgate_model::Point;

use super::PointConfig;
use crate::data::ReadRequest;

/// Points by name, in the order of the file. A clone is another handle to the same ones.
#[derive(Clone, Debug)]
pub struct Points(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    points: Box<[(String, PointConfig)]>,
    model: Arc<[Point]>,
    rules: Arc<[Rule]>,
    /// Those that scale others.
    factors: BTreeSet<usize>,
    plans: Mutex<Vec<Plan>>,
}

/// The requests that read some of the points, within the limits of some devices.
#[derive(Debug)]
struct Plan {
    limits: [u16; 3],
    due: Box<[usize]>,
    requests: Box<[ReadRequest]>,
}

/// Plans that are remembered: one for each rhythm in which points are read, and for where rhythms meet.
const PLANS_MAX: usize = 8;

impl Points {
    pub(super) fn new(points: Vec<(String, PointConfig)>) -> Self {
        let model = points.iter().map(|(name, point)| point.to_model(name));
        let rules = points.iter().map(|(_, point)| point.rule);
        let factors = points.iter().filter_map(|(_, point)| point.scale_from);
        Self(Arc::new(Shared {
            model: model.collect(),
            rules: rules.collect(),
            factors: factors.collect(),
            plans: Mutex::default(),
            points: points.into(),
        }))
    }

    /// Becomes another handle to `other` if both are equal: a thousand devices of one type need
    /// its register map once.
    pub fn share(&mut self, other: &Self) {
        if self == other {
            self.0 = Arc::clone(&other.0);
        }
    }

    /// What topics and payloads need to know of them, in the same order.
    pub fn model(&self) -> Arc<[Point]> {
        Arc::clone(&self.0.model)
    }

    /// The indices of those that scale others.
    pub(crate) fn factors(&self) -> &BTreeSet<usize> {
        &self.0.factors
    }

    /// The requests that read those `due` within `limits`, which `plan` knows.
    pub(crate) fn planned(
        &self,
        limits: [u16; 3],
        due: &[usize],
        plan: impl FnOnce() -> Vec<ReadRequest>,
    ) -> Vec<ReadRequest> {
        let mut plans = self.0.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = plans.iter();
        let known = known.find(|plan| plan.limits == limits && *plan.due == *due);
        if let Some(plan) = known {
            return plan.requests.to_vec();
        }
        let requests = plan();
        if plans.len() == PLANS_MAX {
            plans.remove(0);
        }
        plans.push(Plan {
            limits,
            due: due.into(),
            requests: requests.clone().into(),
        });
        requests
    }

    /// When each is published, in the same order.
    pub fn rules(&self) -> Arc<[Rule]> {
        Arc::clone(&self.0.rules)
    }
}

impl Deref for Points {
    type Target = [(String, PointConfig)];

    fn deref(&self) -> &Self::Target {
        &self.0.points
    }
}

impl PartialEq for Points {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.points == other.0.points
    }
}

#[cfg(test)]
mod tests {
    use crate::config::DeviceEntry;
    use fieldgate_bridge::Defaults;

    #[test]
    fn equal_points_are_held_once_and_others_are_left_alone() {
        let device = |kind: &str| {
            let json = format!(
                r#"{{"bus": "b", "unit": 1, "points": {{"a": {{"input": 1, "as": "{kind}"}}}}}}"#
            );
            let entry: DeviceEntry = serde_json::from_str(&json).unwrap();
            entry.resolve("d", 1, None, &Defaults::default()).unwrap()
        };
        for (kind, is_shared) in [("u16", true), ("i16", false)] {
            let (first, mut second) = (device("u16"), device(kind));
            second.points.share(&first.points);
            let is_one = std::ptr::eq(&*first.points, &*second.points);
            assert_eq!(is_one, is_shared, "{kind}");
            assert_eq!(second, device(kind));
        }
    }
}
