//! Texts of an uplink that mean something.

use std::fmt;

use fieldgate_broker::QoS;
use fieldgate_uplink::config::Url;
use fieldgate_uplink::map::Template;
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::limits::{SizeVisitor, shown};

/// URLs that are tried in turn at most.
const URLS_MAX: usize = 16;
/// Messages a second at most.
const RATE_MAX: u32 = 1_000_000;

/// One URL, or several that are tried in turn.
pub(crate) struct Urls(pub(super) Vec<Url>);

impl<'de> Deserialize<'de> for Urls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UrlsVisitor)
    }
}

struct UrlsVisitor;

impl<'de> Visitor<'de> for UrlsVisitor {
    type Value = Urls;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL such as mqtts://broker.example.com or nats://nats1, or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Urls, E> {
        let url = text.parse().map_err(E::custom)?;
        Ok(Urls(vec![url]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Urls, A::Error> {
        let mut urls = Vec::new();
        while let Some(UrlText(url)) = seq.next_element()? {
            urls.push(url);
        }
        match urls.len() {
            1..=URLS_MAX => Ok(Urls(urls)),
            _ => Err(de::Error::custom(format!("expected 1 to {URLS_MAX} URLs"))),
        }
    }
}

struct UrlText(Url);

impl<'de> Deserialize<'de> for UrlText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

/// A topic filter.
pub(crate) struct FilterText(pub(super) String);

impl<'de> Deserialize<'de> for FilterText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_shared = text.starts_with("$share/");
        match fieldgate_broker::filter_is_valid(&text) && !is_shared {
            true => Ok(Self(text)),
            false => Err(de::Error::custom(
                "expected a topic filter such as plant7/+/level or plant7/#",
            )),
        }
    }
}

/// A text such as `site/{topic}`.
pub(crate) struct TemplateText(String);

impl TemplateText {
    /// For a gateway of this name.
    pub(super) fn of(&self, gateway: &str) -> Template {
        // It was read before, with another name that no topic minds.
        Template::new(&self.0, gateway).unwrap_or_else(|_| Template::same())
    }
}

impl<'de> Deserialize<'de> for TemplateText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Template::new(&text, "gateway").map_err(de::Error::custom)?;
        Ok(Self(text))
    }
}

/// 0 or 1.
pub(crate) struct QosNumber(pub(super) QoS);

impl<'de> Deserialize<'de> for QosNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            0 => Ok(Self(QoS::AtMostOnce)),
            1 => Ok(Self(QoS::AtLeastOnce)),
            other => Err(de::Error::custom(format!("expected 0 or 1, found {other}"))),
        }
    }
}

/// A part, such as `50%`.
pub(crate) struct Share(pub(super) f64);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let percent = text
            .strip_suffix('%')
            .and_then(|number| number.parse::<u8>().ok());
        match percent.filter(|percent| (1..=100).contains(percent)) {
            Some(percent) => Ok(Self(f64::from(percent) / 100.0)),
            None => Err(de::Error::custom("expected 1% to 100%")),
        }
    }
}

/// Messages a second, such as `100/s`.
pub(crate) struct MessageRate(pub(super) u32);

impl<'de> Deserialize<'de> for MessageRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let rate = text
            .strip_suffix("/s")
            .and_then(|number| number.parse().ok());
        match rate.filter(|rate| (1..=RATE_MAX).contains(rate)) {
            Some(rate) => Ok(Self(rate)),
            None => Err(de::Error::custom(format!("expected 1/s to {RATE_MAX}/s"))),
        }
    }
}

/// Bytes a second, such as `512K/s`.
pub(crate) struct ByteRate(pub(super) u64);

impl<'de> Deserialize<'de> for ByteRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let range = 1 << 10..=16 << 30;
        let size = text.strip_suffix("/s").and_then(|size| {
            let size: Result<u64, de::value::Error> = match size.parse() {
                Ok(number) => Ok(number),
                Err(_) => SizeVisitor.visit_str(size),
            };
            size.ok()
        });
        match size.filter(|size| range.contains(size)) {
            Some(size) => Ok(Self(size)),
            None => {
                let (least, most) = (shown(*range.start()), shown(*range.end()));
                Err(de::Error::custom(format!("expected {least}/s to {most}/s")))
            }
        }
    }
}
