use super::*;
use Permission::{Deny, Read, ReadWrite, Write};
use proptest::prelude::*;

fn rights(rules: &[(&str, Permission)], client_id: &str, user: Option<&str>) -> Rights {
    let rules: Vec<Rule> = rules
        .iter()
        .map(|(filter, permission)| Rule::new(filter, *permission).unwrap())
        .collect();
    Rights::bind(&rules, client_id, user)
}

#[test]
fn topics_beside_each_other_are_read_alike_unless_a_rule_names_one() {
    for (filters, want) in [
        (&[][..], true),
        (&["#"], true),
        (&["t/#", "+/d/+", "t/d/+/#"], true),
        (&["t/d", "t/d/#", "t", "u/d/p"], true),
        (&["t/d/p"], false),
        (&["t/d/q"], false),
        (&["t/+/q"], false),
        (&["#", "+/+/q/#"], false),
        (&["t/d/"], false),
    ] {
        let rules: Vec<_> = filters.iter().map(|filter| (*filter, Read)).collect();
        let rights = rights(&rules, "c", None);
        assert_eq!(rights.reads_alike("t/d/p"), want, "{filters:?}");
    }
    assert!(Rights::all().reads_alike("t/d/p"));
}

#[test]
fn the_first_rule_that_speaks_of_the_wish_decides_and_none_refuses() {
    for (rules, topic, read, write) in [
        (&[][..], "a", false, false),
        (&[("a", Read)], "a", true, false),
        (&[("a", Write)], "a", false, true),
        (&[("a", ReadWrite)], "a", true, true),
        (&[("a", ReadWrite)], "b", false, false),
        // A rule about reading does not stand in the way of one about writing.
        (&[("#", Read), ("p/set", Write)], "p/set", true, true),
        (&[("#", Read), ("p/set", Write)], "p/x", true, false),
        (&[("a/b", Deny), ("a/#", ReadWrite)], "a/b", false, false),
        (&[("a/b", Deny), ("a/#", ReadWrite)], "a/c", true, true),
        (&[("a/#", ReadWrite), ("a/b", Deny)], "a/b", true, true),
        (&[("a/#", Read), ("#", Deny)], "a/b", true, false),
        // `$SYS` has to be named, and no client writes there.
        (&[("#", ReadWrite)], "$SYS/broker/uptime", false, false),
        (&[("$SYS/#", ReadWrite)], "$SYS/broker/uptime", true, false),
    ] {
        let rights = rights(rules, "c", Some("u"));
        assert_eq!(rights.may_read(topic), read, "{rules:?} read {topic}");
        assert_eq!(
            rights.may_write(topic, None),
            write,
            "{rules:?} write {topic}"
        );
    }
}

#[test]
fn a_topic_of_the_programs_own_needs_a_rule_that_names_its_levels() {
    for (rules, want) in [
        (&[][..], false),
        (&[("#", ReadWrite)], false),
        (&[("m/#", Write)], false),
        (&[("m/+/level", Write)], false),
        (&[("m/%c/level", Write)], false),
        (&[("m/%u/#", Write)], false),
        (&[("m/p%c/#", Write)], false),
        (&[("m/plc/#", Write)], true),
        (&[("m/plc/+", Write)], true),
        (&[("m/plc/level", Write)], true),
        (&[("m/plc/%c", Write)], true),
        (&[("m/plc/level", Read)], false),
        (&[("m/#", ReadWrite), ("m/plc/#", Write)], true),
        (&[("m/#", Deny), ("m/plc/#", Write)], false),
        (&[("m/%c/#", Deny), ("m/plc/#", Write)], false),
    ] {
        for client_id in ["plc", "level", "lc"] {
            let rights = rights(rules, client_id, Some("plc"));
            let denied = rules.contains(&("m/%c/#", Deny)) && client_id != "plc";
            let named = !rules.contains(&("m/plc/%c", Write)) || client_id == "level";
            let want = (want && named) || denied;
            let may = rights.may_write("m/plc/level", Some(2));
            assert_eq!(may, want, "{rules:?} {client_id}");
        }
    }
    assert!(!Rights::all().may_write("m/plc/level", Some(2)));
}

#[test]
fn without_rules_everything_but_the_brokers_own_topics_is_permitted() {
    let all = Rights::all();
    for (topic, read, write) in [
        ("a", true, true),
        ("$SYS/x", true, false),
        ("$SYS/broker/connection", true, false),
        ("$SYS/broker/connection/b/state", true, true),
        ("$sys/broker/connection/b/state", true, false),
    ] {
        assert_eq!(
            (all.may_read(topic), all.may_write(topic, None)),
            (read, write)
        );
    }
    assert!(all.may_subscribe("$SYS/#") && !all.are_limited());
    let none = Rights::none();
    assert!(!none.may_read("a") && !none.may_write("a", None) && !none.may_subscribe("#"));
}

#[test]
fn names_fill_their_place_and_odd_ones_permit_nothing() {
    for (filter, client_id, user, topic, want) in [
        ("s/%c/#", "c1", None, "s/c1/x", true),
        ("s/%c/#", "c1", None, "s/c2/x", false),
        ("s/x-%c-y", "c1", None, "s/x-c1-y", true),
        ("%u/%c", "c1", Some("ann"), "ann/c1", true),
        ("%c%c", "ab", None, "abab", true),
        ("100%/%c", "c1", None, "100%/c1", true),
        // A value is not filled in again.
        ("%c/%u", "%u", Some("ann"), "%u/ann", true),
        ("%c/%u", "%u", Some("ann"), "ann/ann", false),
        // Wildcards and slashes are no names.
        ("s/%c", "+", None, "s/c1", false),
        ("s/%c", "#", None, "s/c1", false),
        ("%c", "#", None, "a", false),
        ("s/%c/t", "a/b", None, "s/a/b/t", false),
        ("s/x%c", "/y", None, "s/x/y", false),
        ("s/x%c", "+", None, "s/x+", false),
        ("s/%u", "c", None, "s/", false),
        ("%c/#", "$SYS", None, "$SYS/x", false),
        ("é/%c", "ü", None, "é/ü", true),
    ] {
        let rights = rights(&[(filter, ReadWrite)], client_id, user);
        assert_eq!(
            rights.may_read(topic),
            want,
            "{filter} for {client_id} at {topic}"
        );
    }
}

#[test]
fn an_odd_name_does_not_escape_a_rule_that_denies() {
    for client_id in ["a/b", "+", "#", "x/#"] {
        let rights = rights(
            &[("secret/%c/#", Deny), ("#", ReadWrite)],
            client_id,
            Some("u"),
        );
        for (topic, want) in [("secret/a/b", false), ("secret/z/y", false), ("open", true)] {
            assert_eq!(rights.may_write(topic, None), want, "{client_id} {topic}");
        }
    }
}

#[test]
fn a_subscription_is_refused_when_none_of_its_topics_may_be_read() {
    let own: &[(&str, Permission)] = &[("p/%c/#", Read), ("cmd", Write)];
    let but: &[(&str, Permission)] = &[("p/secret/#", Deny), ("p/#", Read)];
    for (rules, filter, want) in [
        (own, "p/c/x", true),
        (own, "p/+/x", true),
        (own, "#", true),
        (own, "p/d/#", false),
        (own, "cmd", false),
        (own, "$SYS/#", false),
        (own, "$share/g/p/#", true),
        (own, "$share/g/q/#", false),
        (but, "p/#", true),
        (but, "p/secret/a", false),
        (but, "p/secret/#", false),
        (but, "p/+/a", true),
        (&[("a/#", Deny), ("a/b", Read)], "#", false),
        (&[("a/b", Read), ("a/#", Deny)], "a/#", true),
    ] {
        let rights = rights(rules, "c", Some("u"));
        assert_eq!(rights.may_subscribe(filter), want, "{rules:?} {filter}");
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{1,2}",
        "[ab/+#$%cu]{0,4}",
        Just("#".to_owned()),
        Just("../+".to_owned()),
    ]
}

proptest! {
    #[test]
    fn a_client_never_writes_outside_its_own_level(
        client_id in name(),
        user in prop::option::of(name()),
        template in prop::sample::select(vec!["s/%c", "s/%c/#", "s/%c/+/x", "%c/x/#", "s/pre%c"]),
        topic in "[abs$]{0,2}(/(pre)?[abcx$%#+]{0,2}){0,3}",
    ) {
        prop_assume!(topic::name_is_valid(&topic));
        let rights = rights(&[(template, ReadWrite)], &client_id, user.as_deref());
        if rights.may_write(&topic, None) || rights.may_read(&topic) {
            let place = template.split('/').position(|level| level.contains("%c")).unwrap();
            let want = template.split('/').nth(place).unwrap().replace("%c", &client_id);
            prop_assert_eq!(topic.split('/').nth(place), Some(want.as_str()));
            for (level, fixed) in topic.split('/').zip(template.split('/')).take(place) {
                prop_assert_eq!(level, fixed);
            }
        }
    }

    #[test]
    fn whatever_is_delivered_was_subscribable(
        rules in prop::collection::vec(
            ("([ab+]/){0,2}([ab+#]|%c)", prop::sample::select(vec![Read, Write, ReadWrite, Deny])),
            0..5,
        ),
        topic in "[ab](/[ab]){0,2}",
        client_id in "[ab]",
    ) {
        let rules: Vec<(&str, Permission)> =
            rules.iter().map(|(filter, permission)| (filter.as_str(), *permission)).collect();
        let rights = rights(&rules, &client_id, None);
        if rights.may_read(&topic) {
            prop_assert!(rights.may_subscribe(&topic));
            prop_assert!(rights.may_subscribe("#"));
        }
    }
}
