//! NMEA 0183 sentences: checksum, talkers, named fields.
//!
//! Facts from the public descriptions of NMEA 0183 4.x sentences (gpsd's "NMEA Revealed").

use fieldgate_model::{Decimal, Value};

use super::Found;

/// A sentence whose checksum is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence<'f> {
    /// Talker and type: `GPGGA`; of a proprietary one all of it: `PUBX`.
    pub address: &'f str,
    /// What follows, from the first comma to the checksum.
    pub fields: Vec<&'f str>,
}

/// Why a frame is no sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NmeaError {
    /// No `$` or `!`, no address, or letters that do not belong there.
    #[error("not an NMEA sentence")]
    Syntax,
    /// Without `*` and two hexadecimal digits.
    #[error("no checksum")]
    NoChecksum,
    /// The checksum is another.
    #[error("wrong checksum: it says {said:02X}, the sentence has {has:02X}")]
    Checksum {
        /// What the sentence says.
        said: u8,
        /// What its bytes give.
        has: u8,
    },
}

/// What a field holds and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    /// Degrees and minutes, `ddmm.mmmm`, with the hemisphere in the next field.
    Angle,
    /// A number with east or west in the next field; west is negative.
    EastWest,
    /// `hhmmss.ss` as `hh:mm:ss.ss`.
    Time,
    /// `ddmmyy` as `20yy-mm-dd`.
    Date,
    /// Time here and date (`ddmmyy`) in field 9.
    DateTime,
    /// Time, and day, month and year in the fields after it.
    Calendar,
}

/// One named field of a sentence.
#[derive(Debug)]
struct Named {
    name: &'static str,
    /// From 1.
    index: usize,
    kind: Kind,
    /// Whether it means nothing while the receiver has no fix: many repeat the last one then.
    needs_fix: bool,
}

const fn named(name: &'static str, index: usize, kind: Kind, needs_fix: bool) -> Named {
    Named {
        name,
        index,
        kind,
        needs_fix,
    }
}

const GGA: &[Named] = &[
    named("time", 1, Kind::Time, false),
    named("lat", 2, Kind::Angle, true),
    named("lon", 4, Kind::Angle, true),
    named("quality", 6, Kind::Number, false),
    named("sats", 7, Kind::Number, false),
    named("hdop", 8, Kind::Number, true),
    named("alt", 9, Kind::Number, true),
    named("geoid", 11, Kind::Number, true),
    named("age", 13, Kind::Number, false),
    named("station", 14, Kind::Text, false),
];
const RMC: &[Named] = &[
    named("time", 1, Kind::Time, false),
    named("status", 2, Kind::Text, false),
    named("lat", 3, Kind::Angle, true),
    named("lon", 5, Kind::Angle, true),
    named("speed", 7, Kind::Number, true),
    named("course", 8, Kind::Number, true),
    named("date", 9, Kind::Date, false),
    named("datetime", 1, Kind::DateTime, false),
    named("variation", 10, Kind::EastWest, false),
    named("mode", 12, Kind::Text, false),
];
const VTG: &[Named] = &[
    named("course", 1, Kind::Number, true),
    named("course_magnetic", 3, Kind::Number, true),
    named("speed", 5, Kind::Number, true),
    named("speed_kmh", 7, Kind::Number, true),
    named("mode", 9, Kind::Text, false),
];
const GSA: &[Named] = &[
    named("selection", 1, Kind::Text, false),
    named("fix", 2, Kind::Number, false),
    named("pdop", 15, Kind::Number, true),
    named("hdop", 16, Kind::Number, true),
    named("vdop", 17, Kind::Number, true),
    named("system", 18, Kind::Number, false),
];
const ZDA: &[Named] = &[
    named("time", 1, Kind::Time, false),
    named("day", 2, Kind::Number, false),
    named("month", 3, Kind::Number, false),
    named("year", 4, Kind::Number, false),
    named("datetime", 1, Kind::Calendar, false),
    named("zone_hours", 5, Kind::Number, false),
    named("zone_minutes", 6, Kind::Number, false),
];
const HDT: &[Named] = &[named("heading", 1, Kind::Number, false)];

const SENTENCES: &[(&str, &[Named])] = &[
    ("GGA", GGA),
    ("RMC", RMC),
    ("VTG", VTG),
    ("GSA", GSA),
    ("ZDA", ZDA),
    ("HDT", HDT),
];

/// The most fields that are kept; a sentence of 82 letters cannot have more.
const FIELDS_MAX: usize = 80;

/// Which field of which sentence a point shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NmeaField {
    /// Three letters for any talker (`GGA`), all of them for one (`GNGGA`, `PUBX`).
    pub sentence: String,
    /// The index from 1, and its kind if it was named.
    index: usize,
    kind: Kind,
    needs_fix: bool,
}

/// The names of a sentence's fields; none if it is read by index only.
pub fn names(sentence: &str) -> Vec<&'static str> {
    let table = table(sentence);
    table.iter().map(|named| named.name).collect()
}

/// The three letters of the type; `None` for a proprietary sentence.
fn kind_of(address: &str) -> Option<&str> {
    match address.len() {
        3 => Some(address),
        5 if !address.starts_with('P') => address.get(2..),
        _ => None,
    }
}

fn table(sentence: &str) -> &'static [Named] {
    let found = SENTENCES
        .iter()
        .find(|(name, _)| Some(*name) == kind_of(sentence));
    found.map_or(&[], |(_, table)| table)
}

impl NmeaField {
    /// A field by its name; `None` if the sentence has no such name.
    pub fn named(sentence: &str, name: &str) -> Option<Self> {
        let found = table(sentence).iter().find(|named| named.name == name)?;
        Some(Self {
            sentence: sentence.to_owned(),
            index: found.index,
            kind: found.kind,
            needs_fix: found.needs_fix,
        })
    }

    /// A field by its index from 1, as a text.
    pub fn at(sentence: &str, index: usize) -> Self {
        Self {
            sentence: sentence.to_owned(),
            index,
            kind: Kind::Text,
            needs_fix: false,
        }
    }
}

impl<'f> Sentence<'f> {
    /// Reads a line. What stands before the last `$` or `!` is garbage, or a sentence that broke
    /// off.
    ///
    /// # Errors
    ///
    /// If it is no sentence, or its checksum is missing or wrong.
    pub fn parse(line: &'f str) -> Result<Self, NmeaError> {
        let (_, body) = line.rsplit_once(['$', '!']).ok_or(NmeaError::Syntax)?;
        let (data, said) = body
            .trim_end()
            .rsplit_once('*')
            .ok_or(NmeaError::NoChecksum)?;
        if said.len() != 2 || !said.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NmeaError::NoChecksum);
        }
        let said = u8::from_str_radix(said, 16).map_err(|_| NmeaError::NoChecksum)?;
        let has = data.bytes().fold(0, |check, byte| check ^ byte);
        if said != has {
            return Err(NmeaError::Checksum { said, has });
        }
        let mut fields = data.split(',');
        let address = fields.next().unwrap_or_default();
        let is_address = (3..=8).contains(&address.len())
            && address
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if !is_address {
            return Err(NmeaError::Syntax);
        }
        Ok(Self {
            address,
            fields: fields.take(FIELDS_MAX).collect(),
        })
    }

    /// What a field holds.
    pub fn get(&self, field: &NmeaField) -> Found<'f> {
        let fits = self.address == field.sentence
            || (field.sentence.len() == 3 && kind_of(self.address) == Some(&field.sentence));
        if !fits {
            return Found::Absent;
        }
        let text = self.field(field.index);
        if text.is_empty() || (field.needs_fix && !self.has_fix()) {
            return Found::Empty;
        }
        match field.kind {
            Kind::Text => Found::Text(text.into()),
            Kind::Number => text
                .parse()
                .map_or(Found::Wrong, |n| Found::Value(Value::Decimal(n))),
            Kind::Angle => or_wrong(angle(text, self.field(field.index + 1)).map(Value::Decimal)),
            Kind::EastWest => {
                let west = self.field(field.index + 1) == "W";
                let sign = Decimal::from(if west { -1 } else { 1 });
                let number = text
                    .parse::<Decimal>()
                    .ok()
                    .and_then(|n| n.checked_mul(sign));
                or_wrong(number.map(Value::Decimal))
            }
            Kind::Time => or_wrong(time(text).map(Value::Text)),
            Kind::Date => or_wrong(date(text).map(Value::Text)),
            Kind::DateTime => self.moment(text, date(self.field(9))),
            Kind::Calendar => {
                let [day, month, year] = [2, 3, 4].map(|index| self.field(index));
                self.moment(text, calendar(year, month, day))
            }
        }
    }

    /// By its index from 1; empty if there are fewer.
    fn field(&self, index: usize) -> &'f str {
        let field = index
            .checked_sub(1)
            .and_then(|index| self.fields.get(index));
        field.copied().unwrap_or_default().trim()
    }

    fn moment(&self, clock: &str, date: Option<String>) -> Found<'f> {
        let moment = date
            .zip(time(clock))
            .map(|(date, time)| format!("{date}T{time}Z"));
        moment.map_or(Found::Empty, |moment| Found::Value(Value::Text(moment)))
    }

    fn has_fix(&self) -> bool {
        match kind_of(self.address) {
            Some("GGA") => !matches!(self.field(6), "" | "0"),
            Some("RMC") => self.field(2) == "A",
            // Older receivers have no mode in it.
            Some("VTG") => self.field(9) != "N",
            Some("GSA") => matches!(self.field(2), "2" | "3"),
            _ => true,
        }
    }
}

fn or_wrong(value: Option<Value>) -> Found<'static> {
    value.map_or(Found::Wrong, Found::Value)
}

/// Decimal degrees, south and west negative, rounded to nine digits: a tenth of a millimetre.
fn angle(text: &str, hemisphere: &str) -> Option<Decimal> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !(3..=5).contains(&whole.len()) || !digits(whole) || fraction.len() > 12 || !digits(fraction)
    {
        return None;
    }
    let (degrees, minutes) = whole.split_at_checked(whole.len() - 2)?;
    let degrees: i128 = degrees.parse().ok()?;
    let scaled: i128 = format!("{minutes}{fraction}").parse().ok()?;
    let unit = 60 * 10i128.pow(u32::try_from(fraction.len()).ok()?);
    let (limit, sign) = match hemisphere {
        "N" => (90, 1),
        "S" => (90, -1),
        "E" => (180, 1),
        "W" => (180, -1),
        _ => return None,
    };
    let nano = degrees * 1_000_000_000 + (scaled * 1_000_000_000 + unit / 2) / unit;
    (scaled < unit && nano <= limit * 1_000_000_000).then(|| Decimal::new(sign * nano, 9))?
}

/// `hhmmss.ss` as `hh:mm:ss.ss`.
fn time(text: &str) -> Option<String> {
    let (whole, fraction) = match text.find('.') {
        Some(at) => text.split_at_checked(at)?,
        None => (text, ""),
    };
    let [hour, minute, second] = pairs(whole)?;
    let is_fraction = fraction.chars().skip(1).all(|c| c.is_ascii_digit()) && fraction.len() < 12;
    // A leap second is the 60th.
    (hour < 24 && minute < 60 && second <= 60 && is_fraction)
        .then(|| format!("{hour:02}:{minute:02}:{second:02}{fraction}"))
}

/// `ddmmyy` as `20yy-mm-dd`.
fn date(text: &str) -> Option<String> {
    let [day, month, year] = pairs(text)?;
    is_day(day, month).then(|| format!("20{year:02}-{month:02}-{day:02}"))
}

fn calendar(year: &str, month: &str, day: &str) -> Option<String> {
    let number = |text: &str| text.parse::<u16>().ok();
    let (year, month, day) = (number(year)?, number(month)?, number(day)?);
    ((1980..=2200).contains(&year) && is_day(day, month))
        .then(|| format!("{year}-{month:02}-{day:02}"))
}

fn is_day(day: u16, month: u16) -> bool {
    (1..=31).contains(&day) && (1..=12).contains(&month)
}

/// Three numbers of two digits each.
fn pairs(text: &str) -> Option<[u16; 3]> {
    if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let pair = |at: usize| text.get(at..at + 2)?.parse().ok();
    Some([pair(0)?, pair(2)?, pair(4)?])
}

#[cfg(test)]
mod tests;
