use super::*;
use fieldgate_mqtt::QoS;
use proptest::prelude::*;

/// A session that may read everything.
struct Member(u64);

impl Member {
    fn new(number: u64) -> Arc<Self> {
        Arc::new(Self(number))
    }
}

impl Recipient for Member {
    fn number(&self) -> u64 {
        self.0
    }

    fn vouches(&self) -> bool {
        false
    }

    fn is_stored(&self) -> bool {
        false
    }

    fn may_read(&self, _: &str) -> bool {
        true
    }

    fn reads_alike(&self, _: &str) -> bool {
        true
    }
}

fn grant(qos: QoS, id: u32) -> Grant {
    Grant {
        qos,
        no_local: false,
        retain_as_published: false,
        id,
    }
}

fn ids(matches: &Matches<Member>) -> Vec<u64> {
    let mut ids: Vec<u64> = matches.plain.iter().map(|s| s.recipient.number()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn wildcards_match_as_the_specification_says() {
    for (filter, topic, want) in [
        ("a/b", "a/b", true),
        ("a/b", "a/B", false),
        ("a/b", "a", false),
        ("a/#", "a", true),
        ("a/#", "a/b/c", true),
        ("a/#", "ab", false),
        ("#", "a/b", true),
        ("#", "/", true),
        ("+", "a", true),
        ("+", "/a", false),
        ("/+", "/a", true),
        ("+/+", "/a", true),
        ("a/+/c", "a//c", true),
        ("a/+", "a", false),
        ("a/+", "a/", true),
        ("#", "$SYS/x", false),
        ("+/x", "$SYS/x", false),
        ("$SYS/#", "$SYS/x", true),
        ("$SYS/+", "$SYS/x", true),
        ("é/+", "é/ü", true),
    ] {
        let mut trie = Trie::new(&Arc::default());
        trie.insert(&Member::new(1), filter, grant(QoS::AtMostOnce, 0));
        assert_eq!(
            !trie.matches(topic).0.is_empty(),
            want,
            "{filter:?} and {topic:?}"
        );
    }
}

#[test]
fn overlapping_subscriptions_become_one_with_the_highest_qos_and_all_identifiers() {
    let mut trie = Trie::new(&Arc::default());
    let recipient = Member::new(1);
    trie.insert(&recipient, "a/#", grant(QoS::AtMostOnce, 7));
    trie.insert(&recipient, "a/+", grant(QoS::ExactlyOnce, 8));
    trie.insert(&recipient, "a/b", grant(QoS::AtLeastOnce, 0));
    trie.insert(&Member::new(2), "a/b", grant(QoS::AtMostOnce, 0));
    let (matches, _) = trie.matches("a/b");
    assert_eq!(ids(&matches), [1, 2]);
    let one = matches
        .plain
        .iter()
        .find(|s| s.recipient.number() == 1)
        .unwrap();
    assert_eq!(one.terms.qos, QoS::ExactlyOnce);
    let mut found = one.terms.ids.as_slice().to_vec();
    found.sort_unstable();
    assert_eq!(found, [7, 8]);
}

#[test]
fn a_no_local_subscription_drops_out_for_the_session_that_published() {
    for (grants, own) in [
        (vec![true], None),
        (vec![false], Some(QoS::AtMostOnce)),
        (vec![true, false], Some(QoS::AtLeastOnce)),
        (vec![false, true], Some(QoS::AtMostOnce)),
        (vec![true, true], None),
    ] {
        let mut trie = Trie::new(&Arc::default());
        let recipient = Member::new(1);
        let filters = ["a/#", "a/+"].into_iter();
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce].into_iter();
        for ((filter, qos), &no_local) in filters.zip(qos).zip(&grants) {
            let grant = Grant {
                no_local,
                ..grant(qos, 0)
            };
            trie.insert(&recipient, filter, grant);
        }
        let (matches, _) = trie.matches("a/b");
        let subscriber = &matches.plain[0];
        let found = subscriber.terms_for(1).map(|terms| terms.qos);
        assert_eq!(found, own, "{grants:?}");
        assert!(subscriber.terms_for(2).is_some(), "{grants:?}");
    }
}

#[test]
fn a_shared_subscription_takes_turns_and_ends_with_its_last_member() {
    let mut trie = Trie::new(&Arc::default());
    let recipients = [Member::new(1), Member::new(2)];
    for recipient in &recipients {
        assert!(trie.insert(recipient, "$share/g/a/+", grant(QoS::AtMostOnce, 0)));
    }
    assert_eq!(trie.counts(), (0, 2));
    let (matches, _) = trie.matches("a/b");
    assert!(matches.plain.is_empty());
    let turn = |_| {
        matches.groups[0]
            .rotation()
            .next()
            .unwrap()
            .recipient
            .number()
    };
    assert_eq!((0..4).map(turn).collect::<Vec<_>>(), [1, 2, 1, 2]);
    assert!(trie.remove(1, "$share/g/a/+"));
    assert!(!trie.remove(1, "$share/g/a/+"));
    assert!(trie.remove(2, "$share/g/a/+"));
    assert!(trie.matches("a/b").0.is_empty());
    assert!(trie.tree.is_bare());
}

#[test]
fn what_one_level_says_holds_for_those_beside_it_unless_a_filter_names_one() {
    let many = [
        "t/d/1", "t/d/2", "t/d/3", "t/d/4", "t/d/5", "t/d/6", "t/d/7", "t/d/8", "t/d/9",
    ];
    for (filters, want) in [
        (&[][..], Some("")),
        (&["#", "t/+/+", "t/d/#", "t/+/+/#"], Some("")),
        (&["#", "t/+/+", "t/d/#", "t/+/p/x/#"], None),
        (&["t/d/p"], None),
        (&["t/d/q", "t/+/q/#", "t/+/r"], Some("q r")),
        (&["t/e/q"], Some("")),
        (&["$share/g/t/d/+"], Some("")),
        (&["$share/g/t/d/p"], None),
        (&many[..8], Some("1 2 3 4 5 6 7 8")),
        (&many, None),
    ] {
        let mut trie = Trie::new(&Arc::default());
        for filter in filters {
            let recipient = Member::new(1);
            trie.insert(&recipient, filter, grant(QoS::AtMostOnce, 0));
        }
        let (_, beside) = trie.matches("t/d/p");
        let beside = beside.map(|mut names| {
            names.sort_unstable();
            names.join(" ")
        });
        assert_eq!(beside.as_deref(), want, "{filters:?}");
    }
    // Who reads `#` reads no `$` topics: first levels have nothing in common.
    assert!(
        Trie::<Member>::new(&Arc::default())
            .matches("a")
            .1
            .is_none()
    );
}

fn level() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "a", "b", "$x"])
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => level(), 1 => Just("+")];
    (prop::collection::vec(level, 1..4), any::<bool>()).prop_map(|(mut levels, all)| {
        if all {
            levels.push("#");
        }
        levels.join("/")
    })
}

proptest! {
    #[test]
    fn the_trie_agrees_with_matching_filter_by_filter(
        filters in prop::collection::vec((filter(), any::<bool>()), 0..20),
        topic in prop::collection::vec(level(), 1..4).prop_map(|levels| levels.join("/")),
    ) {
        let mut trie = Trie::new(&Arc::default());
        let mut want = Vec::new();
        for (index, (filter, keep)) in filters.iter().enumerate() {
            let recipient = Member::new(index as u64);
            prop_assert!(trie.insert(&recipient, filter, grant(QoS::AtMostOnce, 0)));
            if *keep {
                want.extend(topic::matches(filter, &topic).then_some(index as u64));
            }
        }
        for (index, (filter, keep)) in filters.iter().enumerate() {
            if !keep {
                prop_assert!(trie.remove(index as u64, filter));
            }
        }
        let (matches, beside) = trie.matches(&topic);
        prop_assert_eq!(ids(&matches), want.clone());
        let above = topic.rsplit_once('/').map(|(above, _)| above);
        for level in ["", "a", "b", "$x", "other"] {
            let is_like = beside.as_ref().is_some_and(|names| !names.iter().any(|name| **name == *level));
            let topic = format!("{}/{level}", above.unwrap_or_default());
            prop_assert!(!is_like || ids(&trie.matches(&topic).0) == want, "{}", topic);
        }
        for (index, (filter, keep)) in filters.iter().enumerate() {
            prop_assert_eq!(trie.remove(index as u64, filter), *keep);
        }
        prop_assert!(trie.tree.is_bare());
    }
}
