//! Topics of MQTT and subjects of NATS. Pure.
//!
//! The same as nats-server makes of topics at its MQTT listener, so that both ways of a message meet: `/` becomes `.`,
//! a dot becomes `//`, an empty level `/`.
//!
//! Source: docs.nats.io, MQTT, topics and subjects.

/// Why a topic can be no subject.
pub fn refuse(topic: &str) -> Option<String> {
    let bad = topic
        .chars()
        .find(|c| c.is_whitespace() || c.is_control() || "*>".contains(*c))?;
    Some(match bad {
        ' ' => "a subject of NATS has no space".to_owned(),
        bad => format!("a subject of NATS has no {bad:?}"),
    })
}

/// The subject of a topic that is not refused.
pub fn of_topic(topic: &str, out: &mut String) {
    out.clear();
    for (number, level) in topic.split('/').enumerate() {
        if number > 0 {
            out.push('.');
        }
        if level.is_empty() {
            out.push('/');
        }
        for c in level.chars() {
            match c {
                '.' => out.push_str("//"),
                c => out.push(c),
            }
        }
    }
}

/// The topic of a subject; `None` if no topic makes it.
pub fn to_topic(subject: &str) -> Option<String> {
    let mut topic = String::with_capacity(subject.len());
    for (number, token) in subject.split('.').enumerate() {
        if number > 0 {
            topic.push('/');
        }
        match token {
            "" => return None,
            "/" => {}
            token => {
                let level = token.replace("//", ".");
                if level.contains('/') {
                    return None;
                }
                topic.push_str(&level);
            }
        }
    }
    fieldgate_mqtt::topic::name_is_valid(&topic).then_some(topic)
}

/// The subjects with wildcards that match what a topic filter matches. The second is for the level above `#`, which a
/// filter matches, too.
pub fn of_filter(filter: &str) -> (String, Option<String>) {
    let (mut subject, mut made) = (String::new(), String::new());
    let mut above = None;
    for (number, level) in filter.split('/').enumerate() {
        let token = match level {
            "+" => "*",
            "#" => {
                above = (number > 0).then(|| subject.clone());
                ">"
            }
            level => {
                of_topic(level, &mut made);
                &made
            }
        };
        if number > 0 {
            subject.push('.');
        }
        subject.push_str(token);
    }
    (subject, above)
}

/// Whether a subject is one that a subject with wildcards matches.
pub fn matches(pattern: &str, subject: &str) -> bool {
    let (mut patterns, mut tokens) = (pattern.split('.'), subject.split('.'));
    loop {
        match (patterns.next(), tokens.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_topic_becomes_a_subject_as_at_the_servers_own_mqtt() {
        for (topic, want) in [
            ("plant7/pump/level", "plant7.pump.level"),
            ("a", "a"),
            ("/a", "/.a"),
            ("a/", "a./"),
            ("a//b", "a./.b"),
            ("/", "/./"),
            ("v1.2/x", "v1//2.x"),
            ("plant7/$uplink/test", "plant7.$uplink.test"),
        ] {
            let mut subject = String::new();
            of_topic(topic, &mut subject);
            assert_eq!(subject, want, "{topic}");
            assert_eq!(to_topic(&subject).as_deref(), Some(topic), "{topic}");
        }
    }

    #[test]
    fn what_a_subject_cannot_hold_is_refused() {
        for (topic, want) in [
            ("a b", Some("a subject of NATS has no space")),
            ("a/*", Some("a subject of NATS has no '*'")),
            ("a>b", Some("a subject of NATS has no '>'")),
            ("a\u{a0}b", Some("a subject of NATS has no '\\u{a0}'")),
            ("ä/{topic}/+/#", None),
        ] {
            assert_eq!(refuse(topic).as_deref(), want, "{topic}");
        }
        for subject in ["", "a..b", ".a", "a/b", "a.+.b", "a.#"] {
            assert_eq!(to_topic(subject), None, "{subject}");
        }
    }

    #[test]
    fn a_filter_becomes_subjects_with_wildcards() {
        for (filter, want, above) in [
            ("a/#", "a.>", Some("a")),
            ("a/+/set", "a.*.set", None),
            ("#", ">", None),
            ("+/b", "*.b", None),
            ("/#", "/.>", Some("/")),
        ] {
            assert_eq!(
                of_filter(filter),
                (want.to_owned(), above.map(str::to_owned)),
                "{filter}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_subject_matches_what_its_topic_matches(
            levels in prop::collection::vec("[a.]{0,3}", 1..5), wild in prop::collection::vec(0..3, 5), cut in 0..3_usize,
        ) {
            let topic = levels.join("/");
            prop_assume!(!topic.is_empty());
            let mut filter: Vec<&str> = levels.iter().zip(&wild).map(|(level, wild)| match wild {
                0 => "+",
                _ => level.as_str(),
            }).collect();
            if cut > 0 {
                filter.truncate(levels.len() - (cut - 1).min(levels.len() - 1));
                filter.push("#");
            }
            let filter = filter.join("/");
            prop_assert!(fieldgate_mqtt::topic::matches(&filter, &topic));
            let mut subject = String::new();
            of_topic(&topic, &mut subject);
            let (pattern, above) = of_filter(&filter);
            let is_above = above.is_some_and(|above| matches(&above, &subject));
            prop_assert!(matches(&pattern, &subject) || is_above, "{} {}", filter, topic);
            prop_assert_eq!(to_topic(&subject), Some(topic));
        }
    }
}
