//! The topics of many points of one device.

use super::{Level, Topics};

/// The topics of the points of one device, which differ in one level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointTopics {
    before: String,
    after: String,
}

impl PointTopics {
    /// Appends the topic of a point.
    pub fn append(&self, out: &mut String, point: &str) {
        out.push_str(&self.before);
        out.push_str(point);
        out.push_str(&self.after);
    }
}

impl Topics {
    /// What [`Self::point`] returns for any point of a device.
    pub fn points(&self, device: &str) -> PointTopics {
        let mut topics = PointTopics {
            before: String::with_capacity(64),
            after: String::new(),
        };
        let mut side = &mut topics.before;
        for level in &self.levels {
            let name = match level {
                Level::Fixed(name) => name,
                Level::Device => device,
                Level::Point => {
                    side = &mut topics.after;
                    continue;
                }
            };
            side.push_str(name);
            side.push('/');
        }
        // The levels after the point's have their separators before them.
        if topics.after.pop().is_some() {
            topics.after.insert(0, '/');
        }
        topics
    }
}
