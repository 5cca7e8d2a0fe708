//! Value information: what a value is, in which unit, and what is done to it.

use std::borrow::Cow;

use fieldgate_model::{Decimal, Value};

use super::dib::EXTENSIONS_MAX;
use super::number::{scaled, text};
use super::vif::{self, Kind};
use super::vife::{self, Extension};
use super::{Broken, Bytes, Order};

/// What is measured, in which unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// In a word, such as `energy`.
    pub quantity: Cow<'static, str>,
    /// The unit of the value.
    pub unit: Option<Cow<'static, str>>,
    /// What sets it apart from the plain quantity, such as `negative_only`, in the order sent.
    pub qualifiers: Vec<Cow<'static, str>>,
}

/// A value information block.
#[derive(Clone, Debug)]
pub(super) struct Vib {
    pub(super) meaning: Meaning,
    pub(super) kind: Kind,
    /// The value is the number times ten to this, times `multiplier`, plus `offset`.
    exponent: i8,
    multiplier: u16,
    offset: Decimal,
    /// The meter reports an error in the place of a value.
    pub(super) reported: Option<&'static str>,
}

/// Powers of ten beyond this are none that any meter has.
const EXPONENT_MAX: i8 = 30;

pub(super) fn read(bytes: &mut Bytes<'_>) -> Result<Vib, Broken> {
    let first = bytes.byte()?;
    let mut is_extended = first & 0x80 != 0;
    let entry = match first & 0x7F {
        0x7B if is_extended => {
            let code = bytes.byte()?;
            is_extended = code & 0x80 != 0;
            vif::second(code & 0x7F)
        }
        0x7D if is_extended => {
            let code = bytes.byte()?;
            is_extended = code & 0x80 != 0;
            vif::first(code & 0x7F)
        }
        code => vif::primary(code),
    };
    // Meters send the text at once, before any extension.
    let plain = match first & 0x7F {
        0x7C => {
            let length = bytes.byte()?;
            Some(text(bytes.take(length.into())?, Order::LowFirst))
        }
        _ => None,
    };
    let mut vib = Vib {
        meaning: Meaning {
            quantity: entry.quantity.into(),
            unit: entry.unit.map(Into::into),
            qualifiers: Vec::new(),
        },
        kind: entry.kind,
        exponent: entry.exponent,
        multiplier: entry.multiplier,
        offset: Decimal::ZERO,
        reported: None,
    };
    if let Some(plain) = plain {
        vib.meaning.unit = Some(plain.into());
    }
    let mut is_own = first & 0x7F == 0x7F;
    let mut count = 0;
    while is_extended {
        if count == EXTENSIONS_MAX {
            return Err(Broken::Extensions);
        }
        let code = bytes.byte()?;
        is_extended = code & 0x80 != 0;
        count += 1;
        vib.extend(code & 0x7F, &mut is_own);
    }
    if is_own && first & 0x7F != 0x7F && vib.meaning.qualifiers.is_empty() {
        vib.meaning.qualifiers.push("own".into());
    }
    Ok(vib)
}

impl Vib {
    fn extend(&mut self, code: u8, is_own: &mut bool) {
        if *is_own {
            let name = format!("own_{code:02x}");
            return self.meaning.qualifiers.push(name.into());
        }
        match vife::extension(code) {
            Extension::Own => *is_own = true,
            Extension::Nothing => {}
            Extension::Error(text) => self.reported = Some(text),
            Extension::Power(power) => {
                let exponent = self.exponent.saturating_add(power);
                self.exponent = exponent.clamp(-EXPONENT_MAX, EXPONENT_MAX);
            }
            Extension::Offset(power) => {
                self.offset = scaled(1, power).unwrap_or(Decimal::ZERO);
            }
            Extension::Name(name) => self.meaning.qualifiers.push(name.into()),
            Extension::Per(unit) => {
                if let Some(own) = &self.meaning.unit {
                    self.meaning.unit = Some(format!("{own}/{unit}").into());
                }
                self.meaning.qualifiers.push("per".into());
            }
            Extension::Time(name) => {
                self.plain(Kind::DateTime, None);
                self.meaning.qualifiers.push(name.into());
            }
            Extension::Count(name) => {
                self.plain(Kind::Number, None);
                self.meaning.qualifiers.push(name.into());
            }
            Extension::Duration(name, unit) => {
                self.plain(Kind::Number, Some(unit));
                self.meaning.qualifiers.push(name.into());
            }
        }
    }

    /// The value is not of the quantity itself, but something about it.
    fn plain(&mut self, kind: Kind, unit: Option<&'static str>) {
        self.kind = kind;
        self.exponent = 0;
        self.multiplier = 1;
        self.meaning.unit = unit.map(Into::into);
    }

    /// A number of the data field, in the unit.
    pub(super) fn number(&self, number: i128) -> Option<Value> {
        let number = Decimal::new(number, 0)?;
        self.scale(number).map(Value::Decimal)
    }

    pub(super) fn scale(&self, number: Decimal) -> Option<Decimal> {
        let factor = scaled(self.multiplier.into(), self.exponent)?;
        number.checked_mul(factor)?.checked_add(self.offset)
    }
}
