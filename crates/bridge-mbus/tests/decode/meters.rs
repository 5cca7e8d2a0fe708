use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fieldgate_bridge_mbus::app::{Record, Telegram, parse};
use fieldgate_bridge_mbus::link::{Frame, Framer};

use super::table::METERS;

/// The bytes of a telegram by the name of its file.
pub(crate) fn bytes(file: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decode/frames");
    let text = fs::read_to_string(folder.join(format!("{file}.hex"))).unwrap();
    let bytes = text.split_whitespace();
    bytes
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

pub(crate) fn telegram(file: &str) -> Telegram {
    let mut frames = Vec::new();
    let mut framer = Framer::default();
    framer.feed(&bytes(file), &mut frames);
    assert!(!framer.take_rejected().is_any(), "{file}");
    match frames.as_slice() {
        [Frame::Long { ci, data, .. }] => parse(*ci, data).unwrap(),
        other => panic!("{file}: {other:?}"),
    }
}

fn header(telegram: &Telegram) -> String {
    let header = telegram.header.as_ref().unwrap();
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    format!(
        "{} {} version {} medium {} access {} status {:02x}{}",
        or_none(header.id.clone()),
        or_none(header.manufacturer.clone()),
        or_none(header.version.map(|version| version.to_string())),
        or_none(header.medium.map(|medium| medium.to_string())),
        header.access,
        header.status,
        if telegram.more { ", more follows" } else { "" },
    )
}

/// What is not usual of a record, its value and its unit.
fn shown(record: &Record) -> String {
    let mut text = record.meaning.quantity.to_string();
    for qualifier in &record.meaning.qualifiers {
        text += &format!(" {qualifier}");
    }
    for (name, number) in [
        ("storage", record.storage),
        ("tariff", record.tariff.into()),
        ("subunit", record.subunit.into()),
    ] {
        if number > 0 {
            text += &format!(", {name} {number}");
        }
    }
    if record.function.name() != "instantaneous" {
        text += &format!(", {}", record.function.name());
    }
    match &record.value {
        Ok(value) => text += &format!(" = {value}"),
        Err(why) => text += &format!(": {why}"),
    }
    if let Some(unit) = &record.meaning.unit {
        text += &format!(" {unit}");
    }
    text
}

#[test]
fn telegrams_of_real_meters_hold_what_other_software_reads_in_them() {
    for meter in METERS {
        let telegram = telegram(meter.file);
        let name = meter.name;
        assert_eq!(header(&telegram), meter.header, "{name}");
        assert_eq!(telegram.broken, None, "{name}");
        assert_eq!(telegram.records.len(), meter.count, "{name}");
        for (index, want) in meter.records {
            let record = telegram.records.get(*index).unwrap();
            assert_eq!(shown(record), *want, "{name}, record {index}");
        }
    }
    let makers: BTreeSet<_> = METERS.iter().map(|meter| &meter.header[9..12]).collect();
    assert!(METERS.len() >= 35 && makers.len() >= 25, "{makers:?}");
}

#[test]
fn a_telegram_that_is_cut_anywhere_gives_the_records_before_the_cut() {
    for meter in METERS {
        let bytes = bytes(meter.file);
        let ([.., ci], data) = bytes.split_first_chunk::<7>().unwrap();
        let data = &data[..data.len() - 2];
        let whole = parse(*ci, data).unwrap();
        for length in 0..data.len() {
            if let Ok(part) = parse(*ci, &data[..length]) {
                assert!(whole.records.starts_with(&part.records), "{}", meter.name);
            }
        }
    }
}
