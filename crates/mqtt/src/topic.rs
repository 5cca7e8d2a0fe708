//! Topic names and topic filters (section 4.7), and shared subscriptions (section 4.8.2).

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
    length_is_valid(name)
        && !name.bytes().fold(false, |found, byte| {
            found | (byte == 0) | (byte == b'+') | (byte == b'#')
        })
}

/// Whether a client may subscribe to `filter`: 1 to 65,535 bytes, no U+0000, `+` alone in its
/// level, `#` alone in the last level, and after `$share/` a group and a filter.
pub fn filter_is_valid(filter: &str) -> bool {
    if !length_is_valid(filter) || filter.bytes().any(|byte| byte == 0) {
        return false;
    }
    if filter.starts_with(SHARE_PREFIX) {
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
    let mut name_levels = levels(name);
    for wanted in levels(filter) {
        // `#` selects the parent too: `a/#` selects `a`.
        if wanted == "#" {
            return true;
        }
        match name_levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    name_levels.next().is_none()
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
