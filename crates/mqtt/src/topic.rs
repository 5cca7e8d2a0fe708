//! Topic names and topic filters (section 4.7), and shared subscriptions (section 4.8.2).

use crate::Version;
use crate::read::Found;
use crate::types::MAX_FIELD;

/// How the filter of a shared subscription starts.
pub(crate) const SHARE_PREFIX: &str = "$share/";

/// The levels of a name or a filter. They may be empty: `/a` has two.
#[inline]
pub fn levels(topic: &str) -> core::str::Split<'_, char> {
    topic.split('/')
}

/// Whether a message may be published to `name`: 1 to 65,535 bytes, no wildcard, no U+0000.
#[inline]
pub fn name_is_valid(name: &str) -> bool {
    let Found { nul, wildcard } = Found::in_text(name);
    length_is_valid(name) && !nul && !wildcard
}

/// Whether a client may subscribe to `filter`: 1 to 65,535 bytes, no U+0000, `+` alone in its
/// level, `#` alone in the last level, and after `$share/` a group and a filter.
pub fn filter_is_valid(filter: &str) -> bool {
    is_well_formed(filter, Version::V5)
}

/// Whether `filter` keeps the rules of `version`. Before MQTT 5.0 `$share/` begins a filter like any other.
pub(crate) fn is_well_formed(filter: &str, version: Version) -> bool {
    if !length_is_valid(filter) || Found::in_text(filter).nul {
        return false;
    }
    if version == Version::V5 && filter.starts_with(SHARE_PREFIX) {
        return parse_share(filter).is_some_and(|(_, inner)| wildcards_are_valid(inner));
    }
    wildcards_are_valid(filter)
}

/// Splits `$share/group/filter` into group and filter. `None` when it is no shared subscription,
/// when the group is empty or has a wildcard, or when the filter is empty.
pub fn parse_share(filter: &str) -> Option<(&str, &str)> {
    let (group, inner) = filter.strip_prefix(SHARE_PREFIX)?.split_once('/')?;
    let valid = !group.is_empty() && !group.contains(['+', '#']) && !inner.is_empty();
    valid.then_some((group, inner))
}

/// Whether a valid `filter`, without `$share/group/`, selects a valid topic `name`. A wildcard in
/// the first level does not select names that start with `$` (section 4.7.2).
pub fn matches(filter: &str, name: &str) -> bool {
    if name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (filter, name) = (filter.as_bytes(), name.as_bytes());
    let (mut at_filter, mut at_name) = (0, 0);
    loop {
        match (filter.get(at_filter), name.get(at_name)) {
            (None, None) | (Some(b'#'), _) => return true,
            (Some(b'+'), _) => {
                at_filter += 1;
                while name.get(at_name).is_some_and(|&byte| byte != b'/') {
                    at_name += 1;
                }
            }
            (Some(wanted), Some(byte)) if wanted == byte => {
                at_filter += 1;
                at_name += 1;
            }
            // `a/#` selects `a` too.
            (Some(_), None) => return filter.get(at_filter..) == Some(b"/#"),
            _ => return false,
        }
    }
}

#[inline]
fn length_is_valid(text: &str) -> bool {
    (1..=MAX_FIELD).contains(&text.len())
}

fn wildcards_are_valid(filter: &str) -> bool {
    let mut rest = levels(filter);
    while let Some(level) = rest.next() {
        if level == "#" {
            return rest.next().is_none();
        }
        if level != "+" && level.contains(['+', '#']) {
            return false;
        }
    }
    true
}
