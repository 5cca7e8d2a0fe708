//! One point: which record of a meter it shows, in which unit.

use fieldgate_bridge::{Deadband, Defaults, Heartbeat, Misfit, Publish, Rule};
use fieldgate_model::{Decimal, Labels, Point, Value};
use serde::Deserialize;

use crate::app::{Field, Function, qualifiers, quantities, unit, units_of};

/// A point as written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointEntry {
    record: Option<usize>,
    header: Option<Field>,
    quantity: Option<String>,
    text: Option<String>,
    vif: Option<String>,
    storage: Option<u64>,
    tariff: Option<u32>,
    subunit: Option<u16>,
    function: Option<Function>,
    qualifier: Option<String>,
    unit: Option<String>,
    scale: Option<Decimal>,
    offset: Option<Decimal>,
    #[serde(rename = "enum")]
    labels: Option<Labels>,
    publish: Option<Publish>,
    deadband: Option<Deadband>,
    heartbeat: Option<Heartbeat>,
}

/// A point with everything decided.
#[derive(Clone, Debug, PartialEq)]
pub struct PointConfig {
    /// What it shows.
    pub source: Source,
    /// The unit of the value; absent: whichever the meter sends.
    pub unit: Option<String>,
    /// What the number is multiplied by, after it was converted; not zero.
    pub scale: Decimal,
    /// What is added after that.
    pub offset: Decimal,
    /// Names for values.
    pub labels: Option<Labels>,
    /// When it is published.
    pub rule: Rule,
}

/// What a point shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The record with this number, counted from 0 over all telegrams.
    Record(usize),
    /// A field of the header.
    Header(Field),
    /// The only record that is like this.
    Like(Selector),
}

/// What a record has to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// What is measured.
    pub what: What,
    /// The store; 0 is now.
    pub storage: u64,
    /// The tariff; 0 is all.
    pub tariff: u32,
    /// The part of the meter; 0 is the meter.
    pub subunit: u16,
    /// What the value is of its time.
    pub function: Function,
    /// The qualifier that it has; absent: it has none. Not used with [`What::Vif`].
    pub qualifier: Option<String>,
}

/// What a record measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// By name, such as `energy`.
    Quantity(String),
    /// By the text that a meter sends in the place of a code.
    Text(String),
    /// By the bytes of its value information.
    Vif(Vec<u8>),
}

impl PointEntry {
    /// Decides everything.
    pub(super) fn resolve(
        &self,
        name: &str,
        defaults: &Defaults,
        misfits: &mut Vec<Misfit>,
    ) -> Option<PointConfig> {
        let before = misfits.len();
        let mut checks = Checks { name, misfits };
        let source = self.source(&mut checks);
        self.check_unit(&mut checks);
        if self.scale == Some(Decimal::ZERO) {
            checks.wrong("scale", "must not be 0");
        }
        if let Some(labels) = &self.labels
            && let Err(why) = labels.check_numbers()
        {
            checks.wrong("enum", why);
        }
        let source = source.filter(|_| misfits.len() == before)?;
        Some(PointConfig {
            source,
            unit: self.unit.as_deref().map(unit::usual),
            scale: self.scale.unwrap_or(Decimal::ONE),
            offset: self.offset.unwrap_or(Decimal::ZERO),
            labels: self.labels.clone(),
            rule: Rule {
                publish: self.publish.unwrap_or(defaults.publish),
                deadband: self.deadband,
                heartbeat: Heartbeat::of(self.heartbeat, defaults.heartbeat),
            },
        })
    }

    fn source(&self, checks: &mut Checks<'_>) -> Option<Source> {
        let ways = [
            ("record", self.record.is_some()),
            ("header", self.header.is_some()),
            ("quantity", self.quantity.is_some()),
            ("text", self.text.is_some()),
            ("vif", self.vif.is_some()),
        ];
        let mut given = ways.into_iter().filter(|(_, is_given)| *is_given);
        let Some((way, _)) = given.next() else {
            checks.wrong(
                "",
                "expected `quantity`, `record`, `header`, `text` or `vif`",
            );
            return None;
        };
        for (other, _) in given {
            checks.wrong(other, format!("the point already has `{way}`"));
        }
        if matches!(way, "record" | "header") {
            for (key, is_given) in [
                ("storage", self.storage.is_some()),
                ("tariff", self.tariff.is_some()),
                ("subunit", self.subunit.is_some()),
                ("function", self.function.is_some()),
                ("qualifier", self.qualifier.is_some()),
            ] {
                if is_given {
                    checks.wrong(key, format!("not with `{way}`, which names one by itself"));
                }
            }
        }
        match way {
            "record" => self.record.map(Source::Record),
            "header" => self.header.map(Source::Header),
            _ => self.selector(checks).map(Source::Like),
        }
    }

    fn selector(&self, checks: &mut Checks<'_>) -> Option<Selector> {
        if let Some(qualifier) = &self.qualifier {
            let is_own = |name: &str| name.starts_with("own_");
            let known = qualifiers();
            if self.vif.is_some() {
                checks.wrong("qualifier", "not with `vif`, whose bytes hold it");
            } else if !known.contains(&qualifier.as_str()) && !is_own(qualifier) {
                checks.unknown("qualifier", qualifier, &known);
            }
        }
        let what = match (&self.quantity, &self.text, &self.vif) {
            (Some(quantity), ..) => {
                let known = quantities();
                if !known.contains(&quantity.as_str()) {
                    checks.unknown("quantity", quantity, &known);
                    return None;
                }
                What::Quantity(quantity.clone())
            }
            (_, Some(text), _) => What::Text(text.clone()),
            (_, _, vif) => match bytes(vif.as_deref().unwrap_or_default()) {
                Some(bytes) => What::Vif(bytes),
                None => {
                    checks.wrong("vif", "expected bytes such as \"FD47\"");
                    return None;
                }
            },
        };
        Some(Selector {
            what,
            storage: self.storage.unwrap_or(0),
            tariff: self.tariff.unwrap_or(0),
            subunit: self.subunit.unwrap_or(0),
            function: self.function.unwrap_or_default(),
            qualifier: self.qualifier.clone(),
        })
    }

    /// Of a quantity it is known what it can be converted to.
    fn check_unit(&self, checks: &mut Checks<'_>) {
        let Some(wanted) = &self.unit else { return };
        if self.header.is_some() {
            return checks.wrong("unit", "what is in the header has no unit");
        }
        let Some(quantity) = &self.quantity else {
            return;
        };
        let units = units_of(quantity);
        let is_about_it = self.qualifier.is_some();
        let fits = units
            .iter()
            .any(|unit| unit::converts(unit, wanted) || unit.is_empty());
        // A scale makes the unit, such as kWh from m³ of gas.
        let is_made = self.scale.is_some();
        if !units.is_empty() && !is_about_it && !is_made && !fits {
            let message = format!(
                "{quantity} cannot be given in `{wanted}`; meters send it in {}",
                units.join(", ")
            );
            checks.wrong("unit", message);
        }
    }
}

/// Notes what is wrong with a point.
struct Checks<'a> {
    name: &'a str,
    misfits: &'a mut Vec<Misfit>,
}

impl Checks<'_> {
    fn wrong(&mut self, key: &str, message: impl Into<String>) {
        let path = ["points", self.name, key];
        let length = if key.is_empty() { 2 } else { 3 };
        let path = path.get(..length).unwrap_or_default();
        self.misfits.push(Misfit::new(path, message));
    }

    fn unknown(&mut self, key: &str, name: &str, known: &[&str]) {
        let path = ["points", self.name, key];
        let known = known.iter().map(|name| (*name).to_owned()).collect();
        self.misfits.push(Misfit::unknown(&path, key, name, known));
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let is_hex = hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !is_hex || hex.is_empty() || !hex.len().is_multiple_of(2) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(byte).collect()
}

impl PointConfig {
    /// What topics and payloads need to know of it.
    pub fn to_model(&self, name: &str) -> Point {
        Point {
            name: name.to_owned(),
            unit: self.unit.clone(),
            writable: false,
            labels: self.labels.clone(),
        }
    }

    /// The number in the point's own unit.
    pub(crate) fn in_own_unit(&self, number: Decimal) -> Option<Decimal> {
        number.checked_mul(self.scale)?.checked_add(self.offset)
    }

    /// The value with its name in the place of a number that has one.
    pub(crate) fn labelled(&self, value: Value) -> Value {
        let label = self.labels.as_ref().and_then(|labels| labels.label(&value));
        label.cloned().unwrap_or(value)
    }
}
