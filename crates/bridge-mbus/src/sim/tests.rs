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
