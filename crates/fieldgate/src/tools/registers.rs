//! `read` and `write`: registers and bits of one unit, raw and decoded.

use std::fmt::Write as _;

use fieldgate_bridge::Defaults;
use fieldgate_bridge_modbus::config::PointEntry;
use fieldgate_bridge_modbus::wire::pdu::{Answer, Request};
use fieldgate_bridge_modbus::{
    BusError, Data, Order, PointConfig, Table, WriteRequest, decode, encode,
};
use fieldgate_model::Value;

use super::{Line, explained};
use crate::args::{At, ReadTable, WriteTable};
use crate::control::Ask;
use crate::output::print;
use crate::stop::Stop;
use fieldgate_bridge::show::shown;
use fieldgate_config::yaml::suggestion;

/// Reads and shows.
///
/// # Errors
///
/// Those of the command line and of the bus.
pub(crate) async fn read(read: &ReadTable) -> Result<(), Stop> {
    let at = &read.at;
    let table = table(&at.table)?;
    let point = point(at, table, false)?;
    let width = point.as_ref().map_or(1, |point| point.kind.registers());
    let count = read.count.unwrap_or(width);
    check(&Request::Read {
        table,
        address: at.address,
        count,
    })?;
    if !count.is_multiple_of(width) {
        let text = format!("COUNT: one value takes {width} registers, and {count} are no multiple");
        return Err(Stop::Usage(text));
    }
    let mut line = Line::find(&at.on).await?;
    if line.config.transport.is_broadcast(at.unit) {
        line.close().await?;
        let text =
            "UNIT: 0 is all units of the line, and none of them answers: it can only be written";
        return Err(Stop::Usage(text.to_owned()));
    }
    let data = fetch(&mut line, at, table, count).await;
    let way = line.way.clone();
    line.close().await?;
    let data = data?.map_err(|error| explained(&error))?;
    let mut text = format!(
        "unit {} on bus {} ({way}), {} {}, {} from {} on\n",
        at.unit,
        at.on.bus,
        table.name(),
        if table.is_bits() { "bits" } else { "registers" },
        count,
        at.address
    );
    match (&point, &data) {
        (Some(point), _) => values(&mut text, point, &data),
        (None, data) => text += &plain_table(at.address, data),
    }
    print(&text);
    Ok(())
}

/// Says what it will do, does it, and reads back.
///
/// # Errors
///
/// Those of the command line and of the bus, and if something else is read back.
pub(crate) async fn write(write: &WriteTable) -> Result<(), Stop> {
    let at = &write.at;
    let table = table(&at.table)?;
    if !table.is_writable() {
        let text = format!("{} cannot be written; coil and holding can", table.name());
        return Err(Stop::Usage(text));
    }
    let (ask, target) = wanted(at, table, &write.values)?;
    let asked = match &ask {
        Ask::Mask {
            address,
            mask,
            bits,
        } => {
            let request = WriteRequest::Mask {
                address: *address,
                mask: *mask,
                bits: *bits,
            };
            format!("{} on bus {}", request.describe(at.unit), at.on.bus)
        }
        _ => {
            let request = as_request(at.address, &target);
            check(&request)?;
            format!("{} on bus {}", request.describe(at.unit), at.on.bus)
        }
    };
    let mut line = Line::find(&at.on).await?;
    print(&format!("{asked} ({})\n", line.way));
    let done = carry_out(&mut line, at, table, ask, target).await;
    line.close().await?;
    done
}

/// Reads, writes, and reads again; `target` is what shall be there then, of a mask the bits.
async fn carry_out(
    line: &mut Line,
    at: &At,
    table: Table,
    ask: Ask,
    mut target: Data,
) -> Result<(), Stop> {
    if line.config.transport.is_broadcast(at.unit) {
        if matches!(ask, Ask::Mask { .. }) {
            let text =
                "UNIT: 0 is all units of the line: a part of a register cannot be written there";
            return Err(Stop::Usage(text.to_owned()));
        }
        print(&format!("  writing: {}\n", raw(&target)));
        if let Err(error) = line.ask(at.unit, ask, false).await? {
            return Err(explained(&error));
        }
        print(
            "  sent to all units of the line; none of them answers, so nothing is known of what they did\n",
        );
        return Ok(());
    }
    let count = u16::try_from(target.len()).unwrap_or(u16::MAX);
    let before = fetch(line, at, table, count).await?;
    let is_readable = match (&before, &ask) {
        (Ok(Data::Words(words)), Ask::Mask { mask, bits, .. }) => {
            let held = words.first().copied().unwrap_or_default();
            target = Data::Words(vec![held & !mask | bits & mask]);
            true
        }
        (Ok(_), _) => true,
        // There are registers that can only be written.
        (Err(BusError::Exception { .. }), Ask::Bits { .. } | Ask::Words { .. }) => false,
        (Err(error), _) => return Err(explained(error)),
    };
    match &before {
        Ok(before) => print(&format!("  before:  {}\n", raw(before))),
        Err(error) => print(&format!("  before:  cannot be read: {error}\n")),
    }
    print(&format!("  writing: {}\n", raw(&target)));
    if let Err(error) = line.ask(at.unit, ask, false).await? {
        return Err(explained(&error));
    }
    if !is_readable {
        print("  acknowledged, but it cannot be read back\n");
        return Ok(());
    }
    let now = fetch(line, at, table, count).await?;
    let now = now.map_err(|error| explained(&error))?;
    print(&format!("  now:     {}\n", raw(&now)));
    if now == target {
        return Ok(());
    }
    Err(Stop::Device(
        "the unit acknowledged the write and holds something else; it may have limits of its \
         own, or take its time"
            .to_owned(),
    ))
}

/// What to ask, and what the place shall hold then.
fn wanted(at: &At, table: Table, values: &[String]) -> Result<(Ask, Data), Stop> {
    let address = at.address;
    let Some(point) = point(at, table, true)? else {
        return if table == Table::Coil {
            let bits: Result<Vec<bool>, Stop> = values.iter().map(|value| switch(value)).collect();
            let bits = bits?;
            let data = Data::Bits(bits.clone());
            Ok((Ask::Bits { address, bits }, data))
        } else {
            let words: Result<Vec<u16>, Stop> = values.iter().map(|value| word(value)).collect();
            let words = words?;
            let data = Data::Words(words.clone());
            Ok((Ask::Words { address, words }, data))
        };
    };
    let (mut bits, mut words) = (Vec::new(), Vec::new());
    for text in values {
        let value = Value::Text(text.clone());
        let (request, _) =
            encode(&point, &value).map_err(|why| Stop::Usage(format!("VALUE: {why}")))?;
        match request {
            WriteRequest::Coil { on, .. } => bits.push(on),
            WriteRequest::Registers { words: more, .. } => words.extend(more),
            WriteRequest::Mask { mask, bits, .. } if values.len() == 1 => {
                let ask = Ask::Mask {
                    address,
                    mask,
                    bits,
                };
                return Ok((ask, Data::Words(vec![bits])));
            }
            _ => {
                let text = format!("VALUE: of type {} only one can be written", point.kind);
                return Err(Stop::Usage(text));
            }
        }
    }
    Ok(if words.is_empty() {
        let data = Data::Bits(bits.clone());
        (Ask::Bits { address, bits }, data)
    } else {
        let data = Data::Words(words.clone());
        (Ask::Words { address, words }, data)
    })
}

fn as_request(address: u16, data: &Data) -> Request {
    match data {
        Data::Bits(bits) => Request::WriteCoils {
            address,
            bits: bits.clone(),
        },
        Data::Words(words) => Request::WriteRegisters {
            address,
            words: words.clone(),
        },
    }
}

async fn fetch(
    line: &mut Line,
    at: &At,
    table: Table,
    count: u16,
) -> Result<Result<Data, BusError>, Stop> {
    let ask = Ask::Read {
        table,
        address: at.address,
        count,
        timeout_ms: None,
    };
    match line.ask(at.unit, ask, false).await? {
        Ok(Answer::Data(data)) => Ok(Ok(data)),
        Ok(_) => Err(Stop::Device("not the values asked for".to_owned())),
        Err(error) => Ok(Err(error)),
    }
}

/// What was read from an address on, without a type.
pub(crate) fn plain_table(first: u16, data: &Data) -> String {
    let mut text = String::new();
    match data {
        Data::Words(words) => words_table(&mut text, first, words),
        Data::Bits(bits) => {
            for (address, bit) in (first..=u16::MAX).zip(bits) {
                // Writing to a string does not fail.
                let _ = writeln!(text, "{address:>7}  {}", u8::from(*bit));
            }
        }
    }
    text
}

/// A table by its name.
///
/// # Errors
///
/// That there is none of that name.
pub(crate) fn table(name: &str) -> Result<Table, Stop> {
    let all = [Table::Coil, Table::Discrete, Table::Input, Table::Holding];
    let names = all.map(Table::name);
    let found = all.into_iter().find(|table| table.name() == name);
    found.ok_or_else(|| {
        let text = format!("TABLE: there is no \"{name}\"{}", suggestion(name, &names));
        Stop::Usage(text)
    })
}

fn check(request: &Request) -> Result<(), Stop> {
    request.check().map_err(Stop::Usage)
}

/// What `--as` says, as a configuration would say it.
fn point(at: &At, table: Table, is_write: bool) -> Result<Option<PointConfig>, Stop> {
    let Some(kind) = &at.kind else {
        return Ok(None);
    };
    let mut entry = serde_json::Map::new();
    entry.insert(table.name().to_owned(), at.address.into());
    if !(table.is_bits() && kind == "bool") {
        entry.insert("as".to_owned(), kind.as_str().into());
    }
    if let Some(order) = &at.order {
        entry.insert("order".to_owned(), order.as_str().into());
    }
    if is_write {
        entry.insert("write".to_owned(), true.into());
    }
    let entry: PointEntry = serde_json::from_value(entry.into())
        .map_err(|error| Stop::Usage(format!("--as {kind}: {error}")))?;
    Ok(Some(
        entry.resolve(&Default::default(), &Defaults::default()),
    ))
}

fn switch(text: &str) -> Result<bool, Stop> {
    let value = Value::Text(text.to_owned());
    value
        .to_switch()
        .ok_or_else(|| Stop::Usage(format!("VALUE: expected on or off, got `{text}`")))
}

/// 0 to 65535, -32768 to -1, or hexadecimal with 0x.
fn word(text: &str) -> Result<u16, Stop> {
    let word = match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => text.parse::<u16>().ok().or_else(|| {
            let signed = text.parse::<i16>().ok()?;
            Some(signed.cast_unsigned())
        }),
    };
    word.ok_or_else(|| {
        Stop::Usage(format!(
            "VALUE: `{text}` is no register (-32768 to 65535, or 0x0 to 0xFFFF); other values \
             need --as, such as --as f32"
        ))
    })
}

fn raw(data: &Data) -> String {
    match data {
        Data::Words(words) => {
            let words = words.iter().map(|word| format!("{word:04X} ({word})"));
            words.collect::<Vec<_>>().join(" ")
        }
        Data::Bits(bits) => {
            let bits = bits.iter().map(|bit| if *bit { "on" } else { "off" });
            bits.collect::<Vec<_>>().join(" ")
        }
    }
}

/// Values of one type, one after the other.
fn values(text: &mut String, point: &PointConfig, data: &Data) {
    let width = usize::from(point.kind.registers());
    let parts: Vec<Data> = match data {
        Data::Words(words) => words
            .chunks(width)
            .map(|own| Data::Words(own.to_vec()))
            .collect(),
        Data::Bits(bits) => bits
            .chunks(width)
            .map(|own| Data::Bits(own.to_vec()))
            .collect(),
    };
    for (index, part) in parts.iter().enumerate() {
        let address = usize::from(point.address) + index * width;
        let value = match decode(point, part) {
            Ok(value) => shown(&value),
            Err(error) => format!("- ({error})"),
        };
        let hex = match part {
            Data::Words(words) => {
                let words = words.iter().map(|word| format!("{word:04X}"));
                words.collect::<Vec<_>>().join(" ")
            }
            Data::Bits(_) => raw(part),
        };
        let _ = writeln!(text, "{address:>7}  {hex}  {} {value}", point.kind);
    }
}

/// Each register by itself and with the one behind it.
fn words_table(text: &mut String, first: u16, words: &[u16]) {
    let pairs = if words.len() > 1 {
        "   u32 ABCD     u32 CDAB      f32 ABCD      f32 CDAB"
    } else {
        ""
    };
    let _ = writeln!(text, "address  hex     u16     i16  text{pairs}");
    for (index, word) in words.iter().enumerate() {
        let bytes = word.to_be_bytes();
        let letters: String = bytes
            .iter()
            .map(|byte| match byte {
                0x20..=0x7E => char::from(*byte),
                _ => '.',
            })
            .collect();
        let address = usize::from(first) + index;
        let _ = write!(
            text,
            "{address:>7}  {word:04X}  {word:>6}  {:>6}  {letters}  ",
            word.cast_signed()
        );
        if let Some(next) = words.get(index + 1) {
            for order in [Order::Abcd, Order::Cdab] {
                let _ = write!(text, " {:>12}", join(*word, *next, order));
            }
            for order in [Order::Abcd, Order::Cdab] {
                let _ = write!(
                    text,
                    " {:>13}",
                    float(f32::from_bits(join(*word, *next, order)))
                );
            }
        }
        text.push('\n');
    }
}

fn join(first: u16, second: u16, order: Order) -> u32 {
    let (high, low) = if order.swaps_words() {
        (second, first)
    } else {
        (first, second)
    };
    u32::from(high) << 16 | u32::from(low)
}

/// Short, as most of them are no floats at all.
fn float(value: f32) -> String {
    let plain = value.to_string();
    if plain.len() <= 12 {
        plain
    } else {
        format!("{value:.4e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_shown_by_themselves_and_in_pairs() {
        let mut text = String::new();
        words_table(&mut text, 10, &[0x41A4, 0x0000, 0x4142]);
        let lines: Vec<&str> = text.lines().collect();
        let fields = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>();
        assert_eq!(
            fields(1),
            [
                "10",
                "41A4",
                "16804",
                "16804",
                "A.",
                "1101266944",
                "16804",
                "20.5",
                "2.3547e-41"
            ]
        );
        assert_eq!(fields(3), ["12", "4142", "16706", "16706", "AB"]);
    }

    #[test]
    fn words_are_decimal_signed_or_hexadecimal() {
        for (text, want) in [
            ("0", Some(0)),
            ("65535", Some(65_535)),
            ("-1", Some(0xFFFF)),
            ("-32768", Some(0x8000)),
            ("0x1F", Some(0x1F)),
            ("65536", None),
            ("-32769", None),
            ("20.5", None),
            ("0x", None),
        ] {
            assert_eq!(word(text).ok(), want, "{text}");
        }
    }
}
