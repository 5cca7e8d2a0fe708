use super::*;
use crate::app::parse;

fn meter(address: u8, id: &str) -> SimMeter {
    SimMeter::heat(address, id.parse().unwrap(), 37.0)
}

fn ask(line: &mut SimLine, frame: &Frame, seconds: u64) -> Vec<Vec<u8>> {
    let said = line.take(&frame.encode(), Duration::from_secs(seconds));
    said.into_iter().map(|(_, bytes)| bytes).collect()
}

fn short(control: u8, address: u8) -> Frame {
    Frame::Short { control, address }
}

#[test]
fn a_meter_tells_values_that_move_in_the_way_the_decoder_reads() {
    let mut line = SimLine::new(vec![meter(5, "12345678ELS0104")]);
    for (seconds, count_bit, want) in [(0, FCB, "37000"), (100, 0, "38000"), (200, 0, "38000")] {
        let said = ask(&mut line, &short(REQ_UD2 | count_bit, 5), seconds);
        let ([_, _, _, _, _, 5, ci], data) = said[0].split_first_chunk().unwrap() else {
            panic!("{said:?}");
        };
        let telegram = parse(*ci, &data[..data.len() - 2]).unwrap();
        assert_eq!(telegram.broken, None);
        assert_eq!(telegram.header.unwrap().id.unwrap(), "12345678");
        let energy = telegram.records[0].value.clone().unwrap();
        assert_eq!(energy.to_string(), want, "at {seconds} s");
        assert_eq!(telegram.records[1].storage, 1);
    }
}

#[test]
fn a_selection_picks_meters_by_their_digits_and_the_next_one_drops_them() {
    let mut line = SimLine::new(vec![
        meter(1, "12345678ELS0104"),
        meter(2, "12345699ELS0104"),
    ]);
    let select = |text: &str| Frame::Long {
        control: SND_UD,
        address: SELECTED,
        ci: 0x52,
        data: text.parse::<crate::Secondary>().unwrap().bytes().to_vec(),
    };
    let ack = vec![0xE5];
    for (mask, acknowledged, telegrams) in [
        ("12345678", true, 1),
        ("00000000", false, 0),
        ("123456FF", true, 1),
        ("12345699", true, 1),
    ] {
        let said = ask(&mut line, &select(mask), 0);
        assert_eq!(said, vec![ack.clone(); usize::from(acknowledged)], "{mask}");
        let said = ask(&mut line, &short(REQ_UD2 | FCB, SELECTED), 0);
        assert_eq!(said.len(), telegrams, "{mask}");
    }
    assert_eq!(ask(&mut line, &short(SND_NKE, SELECTED), 0), [ack]);
    assert!(ask(&mut line, &short(REQ_UD2, SELECTED), 0).is_empty());
    assert!(ask(&mut line, &short(SND_NKE, 255), 0).is_empty());
}

#[test]
fn the_meter_of_a_mapping_sends_what_each_point_chooses() {
    let entry: crate::MbusEntry = serde_yaml::from_str(
        "
bus: heating
secondary: \"1234FFFF\"
points:
  energy: {quantity: energy, unit: kWh}
  due: {quantity: energy, storage: 33, tariff: 5, subunit: 2, unit: kWh}
  back: {quantity: energy, qualifier: negative_only}
  date: {quantity: date_time, storage: 1}
  day: {quantity: date}
  power: {quantity: power, function: maximum, unit: kW}
  voltage: {quantity: voltage, unit: V}
  phase: {quantity: voltage, qualifier: own_01, unit: V}
  humidity: {quantity: relative_humidity}
  text: {text: \"%RH\"}
  other: {text: bat. time, qualifier: future}
  raw: {vif: FF13}
  flow: {quantity: volume_flow, unit: l/h}
  twelfth: {record: 12}
  last: {record: 20}
  number: {header: id}
  maker: {header: manufacturer}
",
    )
    .unwrap();
    let config = entry.resolve("a", None, &Default::default()).unwrap();
    let mut line = SimLine::of(&[&config]);
    let select = Frame::Long {
        control: SND_UD,
        address: SELECTED,
        ci: 0x52,
        data: "1234FFFF"
            .parse::<crate::Secondary>()
            .unwrap()
            .bytes()
            .to_vec(),
    };
    assert_eq!(ask(&mut line, &select, 0), [[0xE5]]);
    let (mut records, mut header, mut count_bit) = (Vec::new(), None, FCB);
    loop {
        let said = ask(&mut line, &short(REQ_UD2 | count_bit, SELECTED), 10).remove(0);
        assert!(said.len() <= crate::link::FRAME_MAX);
        let telegram = parse(said[6], &said[7..said.len() - 2]).unwrap();
        assert_eq!(telegram.broken, None);
        records.extend(telegram.records);
        header = header.or(telegram.header);
        count_bit ^= FCB;
        if !telegram.more {
            break;
        }
    }
    let readout = crate::Readout {
        header,
        records,
        telegrams: 3,
        more: false,
        broken: None,
        own: Vec::new(),
    };
    for (name, point) in &config.points {
        let value = crate::point::value(point, &readout);
        assert!(value.is_ok(), "{name}: {value:?}");
    }
}

#[test]
fn devices_that_share_an_address_share_a_meter() {
    let device = |point: &str| {
        let yaml = format!("{{bus: b, address: 7, points: {{a: {point}}}}}");
        let entry: crate::MbusEntry = serde_yaml::from_str(&yaml).unwrap();
        entry.resolve("a", None, &Default::default()).unwrap()
    };
    let (first, second) = (device("{quantity: energy}"), device("{quantity: volume}"));
    let line = SimLine::of(&[&first, &second, &first]);
    assert_eq!(line.meters.len(), 1);
    assert_eq!(
        line.meters[0].meter.telegrams,
        [[
            line.meters[0].meter.telegrams[0][0].clone(),
            line.meters[0].meter.telegrams[0][1].clone(),
        ]]
    );
}
