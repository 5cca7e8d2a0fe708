//! Topics: the only place where their strings are built.

mod points;

pub use points::PointTopics;

/// The topics of one gateway, from a template such as `{gateway}/{device}/{point}`.
///
/// Each placeholder and each fixed part is a whole level; the device comes before the point, and
/// something before the device. So every topic can be taken apart again, and a state topic
/// (`$state` in place of the point) never begins with `$`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    levels: Vec<Level>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    /// A fixed level, or the gateway's name.
    Fixed(String),
    Device,
    Point,
}

/// Why a template or a name cannot be used in topics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// A placeholder that must be there is not, or is there twice.
    #[error("topic: expected {{{0}}} once, as a level of its own")]
    Placeholder(&'static str),
    /// The placeholders are in an order that cannot work.
    #[error(
        "topic: expected {{gateway}} or a fixed level first, then {{device}}, and {{point}} after it"
    )]
    Order,
    /// A level that is neither a placeholder nor a plain text.
    #[error("topic: level `{0}` is not a placeholder and not a plain name")]
    Level(String),
    /// A name that would break a topic.
    #[error("`{0}` cannot be part of a topic: {1}")]
    Name(String, &'static str),
}

/// Longest name in bytes. A topic of MQTT holds 65,535.
const NAME_MAX: usize = 255;
/// Most levels of a template.
const LEVELS_MAX: usize = 32;
const STATE: &str = "$state";
const SET: &str = "set";
const RESULT: &str = "result";
const STATS: &str = "$stats";
const BUS: &str = "$bus";
const RAW: &str = "$raw";
const RX: &str = "rx";
const TX: &str = "tx";

/// Checks a name of a gateway, device or point: it is one level of a topic.
///
/// # Errors
///
/// If it is empty, longer than 255 bytes, starts with `$`, or contains `/`, `+`, `#` or a
/// control character.
pub fn check_name(name: &str) -> Result<(), TopicError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_MAX {
        "it is longer than 255 bytes"
    } else if name.starts_with('$') {
        "names that start with $ are reserved"
    } else if name.contains(['/', '+', '#']) {
        "`/`, `+` and `#` are not allowed"
    } else if name.contains(char::is_control) {
        "control characters are not allowed"
    } else {
        return Ok(());
    };
    Err(TopicError::Name(name.to_owned(), reason))
}

impl Topics {
    /// From the template and the gateway's name.
    ///
    /// # Errors
    ///
    /// If a placeholder is missing, doubled or unknown, or a level or the name is no valid one.
    pub fn new(template: &str, gateway: &str) -> Result<Self, TopicError> {
        check_name(gateway)?;
        let mut levels = Vec::new();
        for level in template.split('/') {
            levels.push(match level {
                "{gateway}" => Level::Fixed(gateway.to_owned()),
                "{device}" => Level::Device,
                "{point}" => Level::Point,
                plain if plain.contains(['{', '}']) || check_name(plain).is_err() => {
                    return Err(TopicError::Level(plain.to_owned()));
                }
                plain => Level::Fixed(plain.to_owned()),
            });
            if levels.len() > LEVELS_MAX {
                return Err(TopicError::Level(level.to_owned()));
            }
        }
        let only = |wanted: &Level| {
            let mut found = levels
                .iter()
                .enumerate()
                .filter(|(_, level)| *level == wanted);
            match (found.next(), found.next()) {
                (Some((index, _)), None) => Some(index),
                _ => None,
            }
        };
        let device = only(&Level::Device).ok_or(TopicError::Placeholder("device"))?;
        let point = only(&Level::Point).ok_or(TopicError::Placeholder("point"))?;
        if device == 0 || device > point {
            return Err(TopicError::Order);
        }
        Ok(Self { levels })
    }

    /// Where the samples of a point go, retained.
    pub fn point(&self, device: &str, point: &str) -> String {
        self.build(device, point, None)
    }

    /// Where the message of a whole device goes, retained: its topics' levels up to its name.
    pub fn device(&self, device: &str) -> String {
        let mut topic = self.base();
        // The device's is the first level that is not fixed.
        topic.push('/');
        topic.push_str(device);
        topic
    }

    /// Where the state of a device goes, retained.
    pub fn device_state(&self, device: &str) -> String {
        self.build(device, STATE, None)
    }

    /// Where the state of the gateway goes, retained: the levels before the device's.
    pub fn gateway_state(&self) -> String {
        format!("{}/{STATE}", self.base())
    }

    /// The levels before the device's.
    pub fn base(&self) -> String {
        let fixed = self.levels.iter().map_while(|level| match level {
            Level::Fixed(name) => Some(name.as_str()),
            Level::Device | Level::Point => None,
        });
        fixed.collect::<Vec<_>>().join("/")
    }

    /// The filters of all topics below a device's name that are for clients to publish to.
    pub fn commands(&self) -> [String; 3] {
        [
            self.command_filter(),
            self.device_command_filter(),
            self.raw_filter(),
        ]
    }

    /// Where a command for a point comes from.
    pub fn command(&self, device: &str, point: &str) -> String {
        self.build(device, point, Some(SET))
    }

    /// Where the answer to a command goes if the client named no response topic.
    pub fn result(&self, device: &str, point: &str) -> String {
        self.build(device, point, Some(RESULT))
    }

    /// The filter that matches the commands for all points.
    pub fn command_filter(&self) -> String {
        self.build("+", "+", Some(SET))
    }

    /// The device and the point that a command's topic names; `None` if it is no such topic.
    pub fn parse_command<'t>(&self, topic: &'t str) -> Option<(&'t str, &'t str)> {
        self.parse(topic, SET)
    }

    /// The device and the point of a topic that ends in `last`.
    fn parse<'t>(&self, topic: &'t str, last: &str) -> Option<(&'t str, &'t str)> {
        let mut parts = topic.split('/');
        let (mut device, mut point) = (None, None);
        for level in &self.levels {
            let part = parts.next()?;
            match level {
                Level::Fixed(name) if name == part => {}
                Level::Fixed(_) => return None,
                Level::Device => device = Some(part),
                Level::Point => point = Some(part),
            }
        }
        (parts.next() == Some(last) && parts.next().is_none()).then_some((device?, point?))
    }

    /// Where the bytes go that a device sends, as they are.
    pub fn raw_received(&self, device: &str) -> String {
        self.build(device, RAW, Some(RX))
    }

    /// Where the bytes come from that a device is to be sent, as they are.
    pub fn raw_to_send(&self, device: &str) -> String {
        self.build(device, RAW, Some(TX))
    }

    /// Where it is told what became of such bytes if the client named no response topic.
    pub fn raw_result(&self, device: &str) -> String {
        self.result(device, RAW)
    }

    /// The filter that matches the bytes for all devices.
    pub fn raw_filter(&self) -> String {
        self.build("+", RAW, Some(TX))
    }

    /// The device that raw bytes are for; `None` if the topic is no such topic.
    pub fn parse_raw<'t>(&self, topic: &'t str) -> Option<&'t str> {
        let (device, point) = self.parse(topic, TX)?;
        (point == RAW).then_some(device)
    }

    /// Where a command for several points of a device comes from.
    pub fn device_command(&self, device: &str) -> String {
        self.build(device, SET, None)
    }

    /// Where the answer to it goes if the client named no response topic.
    pub fn device_result(&self, device: &str) -> String {
        self.build(device, RESULT, None)
    }

    /// The filter that matches the commands for several points of any device.
    pub fn device_command_filter(&self) -> String {
        self.build("+", SET, None)
    }

    /// The device that the topic of a command for several points names; `None` if it is no such
    /// topic.
    pub fn parse_device_command<'t>(&self, topic: &'t str) -> Option<&'t str> {
        let mut parts = topic.split('/');
        let mut device = None;
        for level in &self.levels {
            let part = parts.next()?;
            match level {
                Level::Fixed(name) if name == part => {}
                Level::Fixed(_) => return None,
                Level::Device => device = Some(part),
                Level::Point if part == SET => {}
                Level::Point => return None,
            }
        }
        device.filter(|_| parts.next().is_none())
    }

    /// Where the counters of a device go, retained.
    pub fn device_stats(&self, device: &str) -> String {
        self.build(device, STATS, None)
    }

    /// Where the counters of a bus go, retained: `$bus` and its name below the gateway's levels.
    pub fn bus_stats(&self, bus: &str) -> String {
        format!("{}/{BUS}/{bus}", self.base())
    }

    /// Where the state and the counters of an uplink go, retained: `$uplink` and its name below the gateway's levels.
    pub fn uplink(&self, name: &str) -> String {
        format!("{}/$uplink/{name}", self.base())
    }

    fn build(&self, device: &str, point: &str, last: Option<&str>) -> String {
        let mut topic = String::with_capacity(64);
        self.points(device).append(&mut topic, point);
        if let Some(last) = last {
            topic.push('/');
            topic.push_str(last);
        }
        topic
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEFAULT: &str = "{gateway}/{device}/{point}";

    #[test]
    fn topics_follow_the_template() {
        for (template, point, device, gateway, filter) in [
            (
                DEFAULT,
                "plant7/meter-1/power",
                "plant7/meter-1/$state",
                "plant7/$state",
                "plant7/+/+/set",
            ),
            (
                "site/{gateway}/dev/{device}/{point}/value",
                "site/plant7/dev/meter-1/power/value",
                "site/plant7/dev/meter-1/$state/value",
                "site/plant7/dev/$state",
                "site/plant7/dev/+/+/value/set",
            ),
            (
                "hall/{device}/{point}",
                "hall/meter-1/power",
                "hall/meter-1/$state",
                "hall/$state",
                "hall/+/+/set",
            ),
        ] {
            let topics = Topics::new(template, "plant7").unwrap();
            assert_eq!(topics.point("meter-1", "power"), point);
            assert_eq!(topics.device_state("meter-1"), device);
            let whole = device.split_once("/$state").map(|(whole, _)| whole);
            assert_eq!(Some(&*topics.device("meter-1")), whole);
            assert_eq!(topics.gateway_state(), gateway);
            assert_eq!(topics.command_filter(), filter);
            assert_eq!(topics.result("meter-1", "power"), format!("{point}/result"));
        }
    }

    #[test]
    fn a_template_that_could_not_be_taken_apart_is_refused() {
        let level = |text: &str| TopicError::Level(text.into());
        for (template, want) in [
            ("{gateway}/{point}", TopicError::Placeholder("device")),
            ("{gateway}/{device}", TopicError::Placeholder("point")),
            (
                "{gateway}/{device}/{device}/{point}",
                TopicError::Placeholder("device"),
            ),
            ("{device}/{point}", TopicError::Order),
            ("{gateway}/{point}/{device}", TopicError::Order),
            ("{gateway}/x-{device}/{point}", level("x-{device}")),
            ("{gateway}/{devcie}/{point}", level("{devcie}")),
            ("{gateway}/+/{device}/{point}", level("+")),
            ("{gateway}/#/{device}/{point}", level("#")),
            ("{gateway}//{device}/{point}", level("")),
            ("/{device}/{point}", level("")),
            ("$SYS/{device}/{point}", level("$SYS")),
            ("", level("")),
        ] {
            assert_eq!(Topics::new(template, "plant7"), Err(want), "{template}");
        }
        assert!(Topics::new(DEFAULT, "a/b").is_err());
    }

    #[test]
    fn names_are_one_plain_level() {
        for name in [
            "a",
            "meter-1",
            "Zähler 3",
            "a.b_c",
            "ä".repeat(127).as_str(),
        ] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "a/b",
            "+",
            "a#",
            "$x",
            "a\0",
            "a\n",
            "a".repeat(256).as_str(),
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn only_a_set_topic_is_a_command() {
        let topics = Topics::new(DEFAULT, "plant7").unwrap();
        for (topic, want) in [
            ("plant7/plc/pump/set", Some(("plc", "pump"))),
            ("plant7/plc/pump", None),
            ("plant7/plc/pump/set/", None),
            ("plant7/plc/pump/result", None),
            ("plant8/plc/pump/set", None),
            ("plant7/plc/set", None),
            ("", None),
        ] {
            assert_eq!(topics.parse_command(topic), want, "{topic}");
        }
    }

    #[test]
    fn topics_of_a_whole_device_and_of_a_bus_stand_beside_those_of_points() {
        for (template, set, result, stats, bus) in [
            (
                DEFAULT,
                "plant7/plc/set",
                "plant7/plc/result",
                "plant7/plc/$stats",
                "plant7/$bus/rs485",
            ),
            (
                "site/{gateway}/x/{device}/p/{point}",
                "site/plant7/x/plc/p/set",
                "site/plant7/x/plc/p/result",
                "site/plant7/x/plc/p/$stats",
                "site/plant7/x/$bus/rs485",
            ),
        ] {
            let topics = Topics::new(template, "plant7").unwrap();
            assert_eq!(topics.device_command("plc"), set);
            assert_eq!(topics.device_result("plc"), result);
            assert_eq!(topics.device_stats("plc"), stats);
            assert_eq!(topics.bus_stats("rs485"), bus);
            assert_eq!(topics.uplink("rs485"), bus.replace("$bus", "$uplink"));
            assert_eq!(topics.parse_device_command(set), Some("plc"));
            assert_eq!(topics.parse_command(set), None);
            for other in [result, stats, bus, &topics.command("plc", "pump")] {
                assert_eq!(topics.parse_device_command(other), None, "{other}");
            }
        }
    }

    #[test]
    fn raw_bytes_have_topics_of_their_own() {
        let topics = Topics::new(DEFAULT, "plant7").unwrap();
        assert_eq!(topics.raw_received("scale"), "plant7/scale/$raw/rx");
        assert_eq!(topics.raw_to_send("scale"), "plant7/scale/$raw/tx");
        assert_eq!(topics.raw_result("scale"), "plant7/scale/$raw/result");
        assert_eq!(topics.raw_filter(), "plant7/+/$raw/tx");
        for (topic, want) in [
            ("plant7/scale/$raw/tx", Some("scale")),
            ("plant7/scale/$raw/rx", None),
            ("plant7/scale/raw/tx", None),
            ("plant8/scale/$raw/tx", None),
        ] {
            assert_eq!(topics.parse_raw(topic), want, "{topic}");
            assert_eq!(topics.parse_command(topic), None, "{topic}");
        }
    }

    proptest! {
        #[test]
        fn a_command_topic_is_taken_apart_again(
            device in "[a-z0-9 äµ._-]{1,20}",
            point in "[a-z0-9 äµ._-]{1,20}",
        ) {
            let topics = Topics::new(DEFAULT, "plant7").unwrap();
            let topic = topics.command(&device, &point);
            prop_assert_eq!(topics.parse_command(&topic), Some((&device[..], &point[..])));
        }
    }
}
