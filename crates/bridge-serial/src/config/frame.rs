//! `frame:` of a device.

use std::fmt;
use std::time::Duration;

use fieldgate_bridge::Period;
use fieldgate_field_line::PortSettings;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::bytes::Escaped;
use crate::check::{ByteOrder, Check, CheckKind};
use crate::frame::{Escape, FrameConfig, FrameKind, MAX};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFrame {
    line: Option<Escaped>,
    delimiter: Option<Escaped>,
    length: Option<usize>,
    prefix: Option<RawPrefix>,
    stx_etx: Option<RawMarked>,
    silence: Option<Period>,
    start: Option<Escaped>,
    max: Option<usize>,
    gap: Option<GapEntry>,
    check: Option<CheckEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrefix {
    offset: usize,
    #[serde(default = "one")]
    width: usize,
    #[serde(default = "big")]
    order: ByteOrder,
    #[serde(default)]
    adjust: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMarked {
    start: Option<Escaped>,
    end: Option<Escaped>,
    escape: Option<EscapeEntry>,
}

/// `dle`, or the byte that comes before.
struct EscapeEntry(Escape);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEscape {
    byte: Escaped,
    #[serde(default)]
    xor: u8,
}

/// A time, or `never`.
struct GapEntry(Option<Duration>);

/// The frames of a device as written. Without a `gap`, the usual one depends on the baud rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrameEntry {
    config: FrameConfig,
    has_usual_gap: bool,
}

/// A kind of check, or all about it.
struct CheckEntry(RawCheck);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCheck {
    kind: CheckKind,
    order: Option<ByteOrder>,
    #[serde(default)]
    hex: bool,
    #[serde(default)]
    from: usize,
    with_start: Option<bool>,
    with_end: Option<bool>,
}

fn one() -> usize {
    1
}

fn big() -> ByteOrder {
    ByteOrder::Big
}

/// Of frames that have no length of their own.
const USUAL_MAX: usize = 1024;
/// A frame's bytes follow each other; a USB adapter hands them on within some 16 ms.
const USUAL_GAP: Duration = Duration::from_millis(500);
/// A line of text is often put together while it is sent: a display's value, then its unit. No
/// instrument takes so long for that, and no reader is used again so soon after a cut-off code.
const LINE_GAP: Duration = Duration::from_secs(1);
/// The usual gap is longer by the time of so many bytes: that counts below some 600 baud.
const GAP_BYTES: usize = 20;
const STX: u8 = 0x02;
const ETX: u8 = 0x03;
const DLE: u8 = 0x10;
const KINDS: &str =
    "expected one of `line`, `delimiter`, `length`, `prefix`, `stx_etx` or `silence`";

impl FrameConfig {
    /// What holds if nothing is said: lines that end in `\n`, or in `\r\n`.
    pub fn lines() -> Self {
        Self {
            kind: FrameKind::Line {
                end: b"\n".to_vec(),
            },
            max: USUAL_MAX,
            gap: Some(LINE_GAP),
            check: None,
        }
    }

    /// Frames with pauses between them.
    pub fn silence(gap: Duration) -> Self {
        Self {
            kind: FrameKind::Silence { gap },
            max: USUAL_MAX,
            gap: None,
            check: None,
        }
    }
}

impl<'de> Deserialize<'de> for FrameConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(FrameEntry::deserialize(deserializer)?.config)
    }
}

impl<'de> Deserialize<'de> for FrameEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawFrame::deserialize(deserializer)?;
        let has_usual_gap = raw.gap.is_none();
        let config = FrameConfig::try_from(raw).map_err(de::Error::custom)?;
        Ok(Self {
            config,
            has_usual_gap,
        })
    }
}

impl FrameEntry {
    /// What holds if nothing is said.
    pub(super) fn lines() -> Self {
        Self {
            config: FrameConfig::lines(),
            has_usual_gap: true,
        }
    }

    /// With the gap that is usual at this baud rate.
    pub(super) fn resolve(&self, port: &PortSettings) -> FrameConfig {
        let mut config = self.config.clone();
        if self.has_usual_gap {
            config.gap = config.gap.map(|gap| gap + port.time_of(GAP_BYTES));
        }
        config
    }
}

impl TryFrom<RawFrame> for FrameConfig {
    type Error = String;

    fn try_from(raw: RawFrame) -> Result<Self, String> {
        let name = raw.kind()?;
        let start = raw.start.map(|start| start.0);
        if start.is_some() && !matches!(name, "length" | "prefix") {
            return Err(format!(
                "start: `{name}` has no such bytes; only `length` and `prefix`"
            ));
        }
        let start = start.unwrap_or_default();
        if start.len() > 8 {
            return Err("start: at most 8 bytes".into());
        }
        if raw.length == Some(0) {
            return Err("length: must be at least 1".into());
        }
        let max = raw.max.or(raw.length).unwrap_or(USUAL_MAX);
        if !(1..=MAX).contains(&max) {
            return Err(format!("max: {max} is outside 1..={MAX}"));
        }
        let check = raw
            .check
            .map(|CheckEntry(check)| check_of(check, name))
            .transpose()?;
        let least = start.len() + check.map_or(0, |check| check.width());
        let (kind, usual_gap) = if let Some(Escaped(end)) = raw.line.or(raw.delimiter) {
            if !(1..=8).contains(&end.len()) {
                return Err(format!("{name}: expected 1 to 8 bytes"));
            }
            if name == "line" {
                (FrameKind::Line { end }, Some(LINE_GAP))
            } else {
                (FrameKind::Delimiter { end }, Some(LINE_GAP))
            }
        } else if let Some(length) = raw.length {
            if !(least.max(1)..=max).contains(&length) {
                return Err(format!(
                    "length: {length} is outside {}..={max}",
                    least.max(1)
                ));
            }
            (FrameKind::Length { length, start }, Some(USUAL_GAP))
        } else if let Some(prefix) = raw.prefix {
            (prefix.resolve(start, max)?, Some(USUAL_GAP))
        } else if let Some(marked) = raw.stx_etx {
            (marked.resolve()?, Some(USUAL_GAP))
        } else {
            let gap = raw.silence.map_or(USUAL_GAP, Period::get);
            if gap > Duration::from_secs(60) {
                return Err("silence: at most 60s".into());
            }
            if raw.gap.is_some() {
                return Err("gap: a frame that ends by silence has no other".into());
            }
            (FrameKind::Silence { gap }, None)
        };
        Ok(Self {
            kind,
            max,
            gap: raw.gap.map_or(usual_gap, |GapEntry(gap)| gap),
            check,
        })
    }
}

impl RawFrame {
    /// The one way that is given.
    fn kind(&self) -> Result<&'static str, String> {
        let given = [
            ("line", self.line.is_some()),
            ("delimiter", self.delimiter.is_some()),
            ("length", self.length.is_some()),
            ("prefix", self.prefix.is_some()),
            ("stx_etx", self.stx_etx.is_some()),
            ("silence", self.silence.is_some()),
        ];
        let mut given = given.into_iter().filter(|(_, is_given)| *is_given);
        match (given.next(), given.next()) {
            (Some((name, _)), None) => Ok(name),
            (Some((first, _)), Some((second, _))) => {
                Err(format!("{second}: the frame already has `{first}`"))
            }
            (None, _) => Err(KINDS.into()),
        }
    }
}

impl RawPrefix {
    fn resolve(self, start: Vec<u8>, max: usize) -> Result<FrameKind, String> {
        if !matches!(self.width, 1 | 2 | 4) {
            return Err(format!(
                "prefix.width: expected 1, 2 or 4, found {}",
                self.width
            ));
        }
        if self.offset >= max {
            return Err(format!(
                "prefix.offset: {} is not below max, {max}",
                self.offset
            ));
        }
        if self.offset < start.len() {
            let text = format!(
                "prefix.offset: the number would be among the {} bytes of `start`",
                start.len()
            );
            return Err(text);
        }
        if !(-8192..=8192).contains(&self.adjust) {
            return Err(format!(
                "prefix.adjust: {} is outside -8192..=8192",
                self.adjust
            ));
        }
        Ok(FrameKind::Prefix {
            offset: self.offset,
            width: self.width,
            order: self.order,
            adjust: self.adjust,
            start,
        })
    }
}

impl RawMarked {
    fn resolve(self) -> Result<FrameKind, String> {
        let start = single("stx_etx.start", self.start, STX)?;
        let end = single("stx_etx.end", self.end, ETX)?;
        let escape = self
            .escape
            .map_or(Escape::None, |EscapeEntry(escape)| escape);
        let special = match escape {
            Escape::None => None,
            Escape::Double(byte) | Escape::Before { byte, .. } => Some(byte),
        };
        if special.is_some_and(|byte| byte == start || byte == end) {
            return Err("stx_etx.escape: it is the start or the end itself".into());
        }
        if start == end && matches!(escape, Escape::Double(_)) {
            return Err("stx_etx.end: with `escape: dle` it must differ from the start".into());
        }
        Ok(FrameKind::Marked { start, end, escape })
    }
}

fn single(key: &str, bytes: Option<Escaped>, usual: u8) -> Result<u8, String> {
    match bytes.as_ref().map(|bytes| bytes.0.as_slice()) {
        None => Ok(usual),
        Some([byte]) => Ok(*byte),
        Some(other) => Err(format!("{key}: expected one byte, found {}", other.len())),
    }
}

fn check_of(raw: RawCheck, frame: &str) -> Result<Check, String> {
    let usual = Check::usual(raw.kind);
    for (key, given) in [("with_start", raw.with_start), ("with_end", raw.with_end)] {
        if given.is_some() && frame != "stx_etx" {
            return Err(format!("check.{key}: only with `stx_etx`"));
        }
    }
    if raw.from > MAX {
        return Err(format!("check.from: at most {MAX}"));
    }
    Ok(Check {
        kind: raw.kind,
        order: raw.order.unwrap_or(usual.order),
        hex: raw.hex,
        from: raw.from,
        with_start: raw.with_start.unwrap_or(usual.with_start),
        with_end: raw.with_end.unwrap_or(usual.with_end),
    })
}

impl<'de> Deserialize<'de> for GapEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(GapVisitor)
    }
}

struct GapVisitor;

impl Visitor<'_> for GapVisitor {
    type Value = GapEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as 500ms, or never")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<GapEntry, E> {
        match text {
            "never" => Ok(GapEntry(None)),
            _ => match Period::parse(text) {
                Some(gap) => Ok(GapEntry(Some(gap.get()))),
                None => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
            },
        }
    }
}

impl<'de> Deserialize<'de> for EscapeEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EscapeVisitor)
    }
}

struct EscapeVisitor;

impl<'de> Visitor<'de> for EscapeVisitor {
    type Value = EscapeEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dle, or a byte such as {byte: '\\x1B'} or {byte: '\\x7D', xor: 0x20}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<EscapeEntry, E> {
        match text {
            "dle" => Ok(EscapeEntry(Escape::Double(DLE))),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EscapeEntry, A::Error> {
        let raw = RawEscape::deserialize(de::value::MapAccessDeserializer::new(map))?;
        let byte = single("byte", Some(raw.byte), DLE).map_err(de::Error::custom)?;
        Ok(EscapeEntry(Escape::Before { byte, xor: raw.xor }))
    }
}

impl<'de> Deserialize<'de> for CheckEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckVisitor)
    }
}

struct CheckVisitor;

impl<'de> Visitor<'de> for CheckVisitor {
    type Value = CheckEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a check such as bcc, or {kind: crc16_modbus, from: 1}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<CheckEntry, E> {
        let name = de::value::StrDeserializer::new(text);
        let kind = CheckKind::deserialize(name)?;
        Ok(CheckEntry(RawCheck {
            kind,
            order: None,
            hex: false,
            from: 0,
            with_start: None,
            with_end: None,
        }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CheckEntry, A::Error> {
        RawCheck::deserialize(de::value::MapAccessDeserializer::new(map)).map(CheckEntry)
    }
}
