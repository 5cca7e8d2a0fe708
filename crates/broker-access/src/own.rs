//! Topics that belong to the program around the broker. Pure.

use std::collections::HashSet;

use fieldgate_mqtt::topic;

/// Topics that only links publish to, unless a rule names them.
///
/// These are, below the levels of `base`, all topics whose next level begins with `$` or is one of `names`, whether more
/// levels follow or not, without those that `open` matches. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnTopics {
    /// Ends with a slash.
    base: Box<str>,
    levels: usize,
    names: HashSet<Box<str>>,
    open: Box<[Box<str>]>,
}

impl OwnTopics {
    /// `base` is one or more levels, `names` are single ones, and `open` are topic filters.
    pub fn new<'n>(
        base: &str,
        names: impl IntoIterator<Item = &'n str>,
        open: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            base: format!("{base}/").into(),
            levels: base.split('/').count() + 1,
            names: names.into_iter().map(Into::into).collect(),
            open: open.into_iter().map(Into::into).collect(),
        }
    }

    /// How many levels of `topic` a rule has to name; `None` if it is anyone's.
    pub fn levels_of(&self, topic: &str) -> Option<usize> {
        if self.base.is_empty() {
            return None;
        }
        let below = topic.strip_prefix(&*self.base)?;
        let is_own = match below.split_once('/') {
            _ if below.starts_with('$') => true,
            Some((name, _)) => self.names.contains(name),
            None => self.names.contains(below),
        };
        let is_open = || self.open.iter().any(|open| topic::matches(open, topic));
        (is_own && !is_open()).then_some(self.levels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_a_name_or_begins_with_a_dollar_is_owned_and_commands_are_not() {
        let own = |base: &str| {
            let open = [format!("{base}/+/+/set"), format!("{base}/+/$raw/tx")];
            OwnTopics::new(base, ["plc", "meter-1"], open)
        };
        for (base, topic, want) in [
            ("m", "m/plc/level", Some(2)),
            ("m", "m/plc/level/result", Some(2)),
            ("m", "m/plc/level/x/set", Some(2)),
            ("m", "m/plc/", Some(2)),
            ("m", "m/meter-1/$state", Some(2)),
            ("m", "m/$state", Some(2)),
            ("m", "m/$bus/one", Some(2)),
            ("m", "m/$", Some(2)),
            ("m", "m/plc/level/set", None),
            ("m", "m/plc/$raw/tx", None),
            ("m", "m/plc/$raw/rx", Some(2)),
            ("m", "m/plc", Some(2)),
            ("m", "m/other/level", None),
            ("m", "m/meter/level", None),
            ("m", "m", None),
            ("m", "mm/plc/level", None),
            ("m", "M/plc/level", None),
            ("m", "x/m/plc/level", None),
            ("site/m", "site/m/plc/level", Some(3)),
            ("site/m", "site/m/$state", Some(3)),
            ("site/m", "site/$state", None),
            ("site/m", "site/plc/level", None),
        ] {
            assert_eq!(own(base).levels_of(topic), want, "{base}: {topic}");
        }
        assert_eq!(OwnTopics::default().levels_of("/$state"), None);
    }
}
