//! Topic names, filters and shared subscriptions.

use fieldgate_mqtt::topic::{filter_is_valid, levels, matches, name_is_valid, parse_share};
use proptest::prelude::*;

#[test]
fn names_have_1_to_65535_bytes_and_no_wildcard() {
    for (name, want) in [
        ("a", true),
        ("/", true),
        ("a//b", true),
        (" ", true),
        ("$SYS/broker", true),
        ("ärger/日本/🦀", true),
        ("", false),
        ("a/+/b", false),
        ("a+", false),
        ("#", false),
        ("a\0b", false),
    ] {
        assert_eq!(name_is_valid(name), want, "{name:?}");
    }
    assert!(name_is_valid(&"x".repeat(65_535)));
    assert!(!name_is_valid(&"x".repeat(65_536)));
}

#[test]
fn a_forbidden_character_is_found_at_every_place_and_no_other_is_taken_for_it() {
    for len in 1..40 {
        for place in 0..len {
            for character in 0..=127u8 {
                let mut name = vec![b'a'; len];
                name[place] = character;
                let name = String::from_utf8(name).unwrap();
                let want = !matches!(character, 0 | b'+' | b'#');
                assert_eq!(name_is_valid(&name), want, "{name:?}");
            }
        }
    }
    // Bytes above 127 stand in pairs: none of them, nor a borrow between them, is a wildcard.
    for character in '\u{80}'..'\u{800}' {
        assert!(name_is_valid(&format!(
            "{character}{character}abc{character}/{character}"
        )));
    }
}

#[test]
fn filters_have_wildcards_alone_in_their_levels() {
    for (filter, want) in [
        ("a", true),
        ("/", true),
        ("+", true),
        ("#", true),
        ("/#", true),
        ("+/+", true),
        ("a/+/b/#", true),
        ("a//#", true),
        ("$SYS/#", true),
        ("", false),
        ("a#", false),
        ("#/", false),
        ("#/a", false),
        ("a/#/b", false),
        ("a+/b", false),
        ("+a", false),
        ("++", false),
        ("a\0", false),
        // Shared subscriptions.
        ("$share/g/a", true),
        ("$share/g/#", true),
        ("$share/g//", true),
        ("$share/g/$share/x", true),
        ("$share/g/a#", false),
        ("$share/g/", false),
        ("$share/g", false),
        ("$share/", false),
        ("$share//a", false),
        ("$share/g+/a", false),
        ("$share/#/a", false),
        ("$share/+/a", false),
        // Not shared subscriptions.
        ("$share", true),
        ("$sharex/g", true),
        ("/$share/g", true),
    ] {
        assert_eq!(filter_is_valid(filter), want, "{filter:?}");
    }
    assert!(filter_is_valid(&"x".repeat(65_535)));
    assert!(!filter_is_valid(&"x".repeat(65_536)));
}

#[test]
fn shared_subscriptions_split_into_group_and_filter() {
    for (filter, want) in [
        ("$share/g/a/b", Some(("g", "a/b"))),
        ("$share/g//a", Some(("g", "/a"))),
        ("$share/g/#", Some(("g", "#"))),
        ("$share/g/", None),
        ("$share//a", None),
        ("$share/a+/b", None),
        ("$share/a", None),
        ("$share", None),
        ("share/g/a", None),
        ("a", None),
    ] {
        assert_eq!(parse_share(filter), want, "{filter:?}");
    }
}

#[test]
fn filters_select_names_level_by_level() {
    for (filter, name, want) in [
        ("a/b", "a/b", true),
        ("a/b", "a/B", false),
        ("a/b", "a", false),
        ("a", "a/b", false),
        ("a", "a/", false),
        ("/a", "a", false),
        ("a/b/#", "a/b", true),
        ("a/b/#", "a/b/c/d", true),
        ("a/b/#", "a/bc", false),
        ("a/#", "a/", true),
        ("#", "a/b", true),
        ("#", "/", true),
        ("a/+", "a/b", true),
        ("a/+", "a/b/c", false),
        ("a/+", "a", false),
        ("a/+", "a/", true),
        ("+", "a", true),
        ("+", "/a", false),
        ("+/+", "/a", true),
        ("/+", "/a", true),
        ("+/b/#", "a/b/c", true),
        ("a/+/c", "a/b/c", true),
        ("a/+/c", "a//c", true),
        ("#", "$SYS/x", false),
        ("+/x", "$SYS/x", false),
        ("$SYS/#", "$SYS/x", true),
        ("$SYS/+", "$SYS/x", true),
        ("a/#", "a/$x", true),
        ("a/+", "a/$x", true),
    ] {
        assert_eq!(matches(filter, name), want, "{filter} {name}");
    }
}

/// Section 4.7 word by word: slow, and level by level.
fn selects(filter: &[&str], name: &[&str]) -> bool {
    match (filter, name) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, name @ ..]) => selects(filter, name),
        ([wanted, filter @ ..], [level, name @ ..]) => wanted == level && selects(filter, name),
        _ => false,
    }
}

proptest! {
    #[test]
    fn matching_agrees_with_the_specification(filter in "[ab/+#]{1,8}", name in "[ab/$]{1,8}") {
        prop_assume!(filter_is_valid(&filter));
        let hidden = name.starts_with('$') && filter.starts_with(['+', '#']);
        let split = |text| levels(text).collect::<Vec<_>>();
        let want = !hidden && selects(&split(&filter), &split(&name));
        prop_assert_eq!(matches(&filter, &name), want);
    }
}

#[test]
fn levels_may_be_empty() {
    for (topic, want) in [
        ("a/b", &["a", "b"][..]),
        ("/a/", &["", "a", ""]),
        ("/", &["", ""]),
        ("a", &["a"]),
    ] {
        assert_eq!(levels(topic).collect::<Vec<_>>(), want);
    }
}
