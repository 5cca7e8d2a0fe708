//! Topics here and topics there. Pure.

use std::fmt;

use fieldgate_mqtt::topic;

use crate::subject;

/// How a topic is made of another: `site/{topic}`, `{topic:1..}`, `{gateway}/x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The topic without so many of its first levels.
    Topic(usize),
}

/// Levels that a template can leave out.
const SKIP_MAX: usize = 100;

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its partner.
    #[error("a brace is not closed")]
    Open,
    /// A word in braces that means nothing.
    #[error("{{{0}}} is not known; expected {{topic}}, {{topic:1..}} or {{gateway}}")]
    Unknown(String),
    /// What is around the braces cannot stand in a topic.
    #[error("a topic has no wildcard and no control character")]
    Text,
    /// Every message would get the same topic or an empty one.
    #[error("expected a text such as site/{{topic}}")]
    Empty,
}

impl Template {
    /// The topic itself.
    pub fn same() -> Self {
        Self {
            parts: vec![Part::Topic(0)],
        }
    }

    /// Reads a template, in which `{gateway}` stands for `gateway`.
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn new(text: &str, gateway: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (word, behind) = behind.split_once('}').ok_or(TemplateError::Open)?;
            push_text(before, &mut parts)?;
            match word {
                "topic" => parts.push(Part::Topic(0)),
                "gateway" => push_text(gateway, &mut parts)?,
                word => {
                    let skip = word
                        .strip_prefix("topic:")
                        .and_then(|range| range.strip_suffix(".."))
                        .and_then(|number| number.parse().ok())
                        .filter(|skip| *skip <= SKIP_MAX);
                    let unknown = || TemplateError::Unknown(word.to_owned());
                    parts.push(Part::Topic(skip.ok_or_else(unknown)?));
                }
            }
            rest = behind;
        }
        if rest.contains('}') {
            return Err(TemplateError::Open);
        }
        push_text(rest, &mut parts)?;
        match parts.is_empty() {
            true => Err(TemplateError::Empty),
            false => Ok(Self { parts }),
        }
    }

    /// The topic that is made of `topic`; `None` if it has fewer levels than are left out, or the
    /// result is none.
    pub fn apply(&self, topic: &str) -> Option<String> {
        let mut made = String::with_capacity(topic.len() + 64);
        for part in &self.parts {
            match part {
                Part::Text(text) => made.push_str(text),
                Part::Topic(skip) => made.push_str(without(topic, *skip)?),
            }
        }
        topic::name_is_valid(&made).then_some(made)
    }

    /// A filter that matches all topics that are made of those that `filter` matches.
    pub fn apply_to_filter(&self, filter: &str) -> String {
        let mut made = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => made.push_str(text),
                Part::Topic(skip) => match without(filter, *skip) {
                    Some(rest) => made.push_str(rest),
                    None => made.push('#'),
                },
            }
        }
        // What follows `#` matches whatever it is; so does what stands beside a wildcard in its level.
        let mut levels: Vec<&str> = Vec::new();
        for level in made.split('/') {
            if level.contains('#') {
                levels.push("#");
                break;
            }
            levels.push(if level.contains('+') { "+" } else { level });
        }
        levels.join("/")
    }
}

fn push_text(text: &str, parts: &mut Vec<Part>) -> Result<(), TemplateError> {
    if text.contains(['+', '#']) || text.chars().any(char::is_control) {
        return Err(TemplateError::Text);
    }
    match parts.last_mut() {
        Some(Part::Text(before)) => before.push_str(text),
        _ if text.is_empty() => {}
        _ => parts.push(Part::Text(text.to_owned())),
    }
    Ok(())
}

/// A topic without its first `skip` levels.
fn without(topic: &str, skip: usize) -> Option<&str> {
    let mut rest = topic;
    for _ in 0..skip {
        (_, rest) = rest.split_once('/')?;
    }
    Some(rest)
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Topic(0) => f.write_str("{topic}")?,
                Part::Topic(skip) => write!(f, "{{topic:{skip}..}}")?,
            }
        }
        Ok(())
    }
}

/// Whether some topic matches both filters.
pub fn overlap(one: &str, other: &str) -> bool {
    let (mut ones, mut others) = (one.split('/'), other.split('/'));
    loop {
        match (ones.next(), others.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

/// What a remote takes as a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicRules {
    /// Slashes at most.
    pub slashes: Option<usize>,
    /// Bytes at most.
    pub bytes: Option<usize>,
    /// Whether it may have spaces.
    pub no_spaces: bool,
    /// Whether it becomes a subject of NATS.
    pub is_subject: bool,
}

impl TopicRules {
    /// Why the remote does not take `topic`, which may be a template or a filter.
    pub fn refuse(&self, topic: &str) -> Option<String> {
        let slashes = topic.matches('/').count();
        if let Some(most) = self.slashes.filter(|most| slashes > *most) {
            return Some(format!(
                "the topic has {slashes} slashes, the remote takes {most}"
            ));
        }
        if let Some(most) = self.bytes.filter(|most| topic.len() > *most) {
            let len = topic.len();
            return Some(format!(
                "the topic has {len} bytes, the remote takes {most}"
            ));
        }
        if self.is_subject
            && let Some(why) = subject::refuse(topic)
        {
            return Some(why);
        }
        (self.no_spaces && topic.contains(' '))
            .then(|| "the remote takes no topic with a space".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_template_makes_topics_and_filters() {
        for (text, topic, want, filter, want_filter) in [
            ("{topic}", "a/b", Some("a/b"), "a/#", "a/#"),
            ("site/{topic}", "a/b", Some("site/a/b"), "+/b", "site/+/b"),
            ("{topic:1..}", "a/b/c", Some("b/c"), "a/+/#", "+/#"),
            ("{topic:1..}", "a", None, "a", "#"),
            ("x/{topic:2..}/y", "a/b/c", Some("x/c/y"), "a/#", "x/#"),
            ("{gateway}/{topic}", "a", Some("plant7/a"), "#", "plant7/#"),
            ("fixed", "a/b", Some("fixed"), "a/#", "fixed"),
            ("x{topic}", "a/b", Some("xa/b"), "+/b", "+/b"),
        ] {
            let template = Template::new(text, "plant7").unwrap();
            assert_eq!(template.apply(topic).as_deref(), want, "{text}");
            assert_eq!(template.apply_to_filter(filter), want_filter, "{text}");
        }
    }

    #[test]
    fn a_template_that_means_nothing_is_refused() {
        for (text, want) in [
            ("", "expected a text such as site/{topic}"),
            ("a/{topic", "a brace is not closed"),
            ("a/topic}", "a brace is not closed"),
            (
                "{device}",
                "{device} is not known; expected {topic}, {topic:1..} or {gateway}",
            ),
            (
                "{topic:x..}",
                "{topic:x..} is not known; expected {topic}, {topic:1..} or {gateway}",
            ),
            ("a/#", "a topic has no wildcard and no control character"),
            ("a\n", "a topic has no wildcard and no control character"),
        ] {
            assert_eq!(
                Template::new(text, "g").unwrap_err().to_string(),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn filters_overlap_if_a_topic_matches_both() {
        for (one, other, want) in [
            ("a/#", "a/b", true),
            ("a/#", "a", true),
            ("a/+", "a/b/c", false),
            ("+/b", "a/+", true),
            ("a/b", "a/c", false),
            ("#", "x/y", true),
            ("a", "a/b", false),
        ] {
            assert_eq!(overlap(one, other), want, "{one} {other}");
            assert_eq!(overlap(other, one), want, "{other} {one}");
        }
    }

    #[test]
    fn what_a_remote_does_not_take_is_said() {
        let aws = TopicRules {
            slashes: Some(7),
            bytes: Some(256),
            ..TopicRules::default()
        };
        let nats = TopicRules {
            no_spaces: true,
            ..TopicRules::default()
        };
        for (rules, topic, want) in [
            (aws, "a/b/c/d/e/f/g/h".to_owned(), None),
            (
                aws,
                "a/b/c/d/e/f/g/h/i".to_owned(),
                Some("the topic has 8 slashes, the remote takes 7"),
            ),
            (
                aws,
                "x".repeat(257),
                Some("the topic has 257 bytes, the remote takes 256"),
            ),
            (
                nats,
                "a b".to_owned(),
                Some("the remote takes no topic with a space"),
            ),
            (TopicRules::default(), "a b".to_owned(), None),
        ] {
            assert_eq!(rules.refuse(&topic).as_deref(), want, "{topic}");
        }
    }

    proptest! {
        #[test]
        fn what_is_made_of_a_topic_matches_what_is_made_of_its_filter(
            text in "(x/|y|)\\{topic(:1\\.\\.)?\\}(/z)?", levels in prop::collection::vec("[ab]", 1..5),
            wild in prop::collection::vec(0..3, 5), cut in any::<bool>(),
        ) {
            let topic = levels.join("/");
            let mut filter: Vec<&str> = levels.iter().zip(&wild).map(|(level, wild)| match wild {
                0 => "+",
                _ => level.as_str(),
            }).collect();
            if cut {
                filter.pop();
                filter.push("#");
            }
            let filter = filter.join("/");
            prop_assert!(fieldgate_mqtt::topic::matches(&filter, &topic));
            let template = Template::new(&text, "g").unwrap();
            if let Some(made) = template.apply(&topic) {
                let made_filter = template.apply_to_filter(&filter);
                prop_assert!(fieldgate_mqtt::topic::matches(&made_filter, &made), "{} {}", made_filter, made);
                prop_assert!(overlap(&made_filter, &made));
            }
        }
    }
}
