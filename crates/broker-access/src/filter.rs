//! How two topic filters relate. Both are valid and without `$share/GROUP/`.

/// Whether some topic matches both filters.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    if is_apart(one, other) || is_apart(other, one) {
        return false;
    }
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            // "a/#" matches "a" too.
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(one), Some(other)) if one == "+" || other == "+" || one == other => {}
            _ => return false,
        }
    }
}

/// Whether every topic that matches `inner` matches `outer`. May say no where `outer` is an
/// unusual way to write `#`.
pub(crate) fn covers(outer: &str, inner: &str) -> bool {
    if is_apart(outer, inner) {
        return false;
    }
    let (mut outer, mut inner) = (outer.split('/'), inner.split('/'));
    loop {
        match (outer.next(), inner.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

/// A wildcard at the first level leaves out `$` topics (MQTT-4.7.2-1).
fn is_apart(filter: &str, other: &str) -> bool {
    filter.starts_with(['+', '#']) && other.starts_with('$')
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldgate_mqtt::topic;
    use proptest::prelude::*;

    #[test]
    fn filters_relate_as_the_topics_that_they_match() {
        for (one, other, overlaps, covers_it) in [
            ("a/b", "a/b", true, true),
            ("a/b", "a/c", false, false),
            ("a/+", "a/b", true, true),
            ("a/b", "a/+", true, false),
            ("#", "a/+/c", true, true),
            ("a/#", "a", true, true),
            ("a", "a/#", true, false),
            ("a/#", "#", true, false),
            ("a/+", "a/#", true, false),
            ("+/b", "a/+", true, false),
            ("a/b/#", "a", false, false),
            ("#", "$SYS/#", false, false),
            ("+/x", "$SYS/x", false, false),
            ("$SYS/#", "$SYS/broker/+", true, true),
        ] {
            assert_eq!(overlap(one, other), overlaps, "{one} {other}");
            assert_eq!(overlap(other, one), overlaps, "{other} {one}");
            assert_eq!(covers(one, other), covers_it, "{one} covers {other}");
        }
    }

    fn levels() -> impl Strategy<Value = Vec<&'static str>> {
        prop::collection::vec(prop::sample::select(vec!["", "a", "b", "$x"]), 1..4)
    }

    fn filter() -> impl Strategy<Value = String> {
        let level = prop::sample::select(vec!["", "a", "b", "$x", "+", "+"]);
        (prop::collection::vec(level, 1..4), any::<bool>()).prop_map(|(mut levels, all)| {
            if all {
                levels.push("#");
            }
            levels.join("/")
        })
    }

    proptest! {
        #[test]
        fn a_topic_of_both_proves_overlap_and_one_outside_disproves_cover(
            one in filter(), other in filter(), topic in levels(),
        ) {
            let topic = topic.join("/");
            prop_assume!(!topic.is_empty());
            let (is_one, is_other) = (topic::matches(&one, &topic), topic::matches(&other, &topic));
            if is_one && is_other {
                prop_assert!(overlap(&one, &other));
            }
            if is_other && !is_one {
                prop_assert!(!covers(&one, &other));
            }
        }
    }
}
