mod names;

use super::*;
use crate::decode::tests::point;
use fieldgate_model::parse_command_value;
use proptest::prelude::*;

fn written(keys: &str, payload: &str) -> Result<WriteRequest, String> {
    let value = parse_command_value(payload.as_bytes()).unwrap();
    encode(&point(keys), &value).map(|(request, _)| request)
}

#[test]
fn values_become_the_write_that_suits_the_type() {
    let registers = |words: &[u16]| WriteRequest::Registers {
        address: 0,
        words: words.to_vec(),
    };
    let mask = |mask, bits| WriteRequest::Mask {
        address: 0,
        mask,
        bits,
    };
    let coil = |on| WriteRequest::Coil { address: 0, on };
    for (keys, payload, want) in [
        ("\"coil\": 0, \"write\": true", "1", coil(true)),
        ("\"coil\": 0, \"write\": true", "OFF", coil(false)),
        (
            "\"as\": \"u16\", \"write\": true",
            "65535",
            registers(&[0xFFFF]),
        ),
        (
            "\"as\": \"u16\", \"write\": true",
            "1e3",
            registers(&[1000]),
        ),
        (
            "\"as\": \"i16\", \"write\": true",
            "-2",
            registers(&[0xFFFE]),
        ),
        (
            "\"as\": \"i24\", \"write\": true",
            "-2",
            registers(&[0xFFFF, 0xFFFE]),
        ),
        (
            "\"as\": \"u24\", \"write\": true",
            "16777215",
            registers(&[0x00FF, 0xFFFF]),
        ),
        (
            "\"as\": \"u32\", \"order\": \"CDAB\", \"write\": true",
            "305419896",
            registers(&[0x5678, 0x1234]),
        ),
        (
            "\"as\": \"u32\", \"order\": \"BADC\", \"write\": true",
            "305419896",
            registers(&[0x3412, 0x7856]),
        ),
        (
            "\"as\": \"u32\", \"order\": \"DCBA\", \"write\": true",
            "305419896",
            registers(&[0x7856, 0x3412]),
        ),
        (
            "\"as\": \"u64\", \"write\": true",
            "18446744073709551615",
            registers(&[0xFFFF; 4]),
        ),
        (
            "\"as\": \"u64\", \"scale\": 0.1, \"write\": true",
            "1844674407370955161.5",
            registers(&[0xFFFF; 4]),
        ),
        (
            "\"as\": \"i16\", \"scale\": 0.1, \"offset\": -40, \"write\": true",
            "21.5",
            registers(&[0x0267]),
        ),
        (
            "\"as\": \"f32\", \"write\": true",
            "123456",
            registers(&[0x47F1, 0x2000]),
        ),
        (
            "\"as\": \"f32\", \"write\": true",
            "{\"value\": 0.1}",
            registers(&[0x3DCC, 0xCCCD]),
        ),
        (
            "\"as\": \"f32\", \"scale\": 10, \"write\": true",
            "1",
            registers(&[0x3DCC, 0xCCCD]),
        ),
        (
            "\"as\": \"f16\", \"write\": true",
            "21.5",
            registers(&[0x4D60]),
        ),
        (
            "\"as\": \"f64\", \"write\": true",
            "0.1",
            registers(&[0x3FB9, 0x9999, 0x9999, 0x999A]),
        ),
        (
            "\"as\": \"bcd16\", \"write\": true",
            "1234",
            registers(&[0x1234]),
        ),
        (
            "\"as\": \"bcd32\", \"scale\": 0.01, \"write\": true",
            "987654.32",
            registers(&[0x9876, 0x5432]),
        ),
        (
            "\"as\": \"string(5)\", \"write\": true",
            "abc",
            registers(&[0x6162, 0x6300, 0]),
        ),
        (
            "\"as\": \"string(4)\", \"order\": \"BADC\", \"write\": true",
            "007",
            registers(&[0x3030, 0x0037]),
        ),
        (
            "\"as\": \"bytes(3)\", \"write\": true",
            "0aFF01",
            registers(&[0x0AFF, 0x0100]),
        ),
        (
            "\"as\": \"bit(3)\", \"write\": true",
            "true",
            mask(0x0008, 0x0008),
        ),
        ("\"as\": \"bit(3)\", \"write\": true", "0", mask(0x0008, 0)),
        (
            "\"as\": \"bit(0)\", \"order\": \"BADC\", \"write\": true",
            "1",
            mask(0x0100, 0x0100),
        ),
        (
            "\"as\": \"u8_high\", \"write\": true",
            "18",
            mask(0xFF00, 0x1200),
        ),
        (
            "\"as\": \"u8_low\", \"order\": \"DCBA\", \"write\": true",
            "18",
            mask(0xFF00, 0x1200),
        ),
        (
            "\"as\": \"u16\", \"enum\": {\"1\": \"day\", \"2\": \"night\"}, \"write\": true",
            "night",
            registers(&[2]),
        ),
        (
            "\"as\": \"u16\", \"enum\": {\"1\": \"day\", \"2\": \"night\"}, \"write\": true",
            "1",
            registers(&[1]),
        ),
        (
            "\"coil\": 0, \"enum\": {\"0\": \"closed\", \"1\": \"open\"}, \"write\": true",
            "open",
            coil(true),
        ),
    ] {
        assert_eq!(written(keys, payload), Ok(want), "{keys}: {payload}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    for (keys, payload, want) in [
        ("\"as\": \"u16\"", "1", "the point is read-only"),
        (
            "\"as\": \"u16\", \"write\": true",
            "65536",
            "65536 is outside 0..=65535 of u16",
        ),
        (
            "\"as\": \"u16\", \"write\": true",
            "-1",
            "-1 is outside 0..=65535 of u16",
        ),
        (
            "\"as\": \"u16\", \"write\": true",
            "1.5",
            "1.5 is not a multiple of 1",
        ),
        (
            "\"as\": \"u16\", \"write\": true",
            "true",
            "expected a number, got `true`",
        ),
        (
            "\"as\": \"u16\", \"write\": true",
            "nan",
            "expected a number, got `nan`",
        ),
        (
            "\"as\": \"u8_low\", \"write\": true",
            "256",
            "256 is outside 0..=255 of u8_low",
        ),
        (
            "\"as\": \"i24\", \"write\": true",
            "8388608",
            "8388608 is outside",
        ),
        (
            "\"as\": \"u64\", \"write\": true",
            "18446744073709551616",
            "outside 0..=18446744073709551615",
        ),
        (
            "\"as\": \"u16\", \"scale\": 0.1, \"write\": true",
            "21.53",
            "21.53 is not a multiple of 0.1",
        ),
        (
            "\"as\": \"u16\", \"scale\": 2, \"offset\": 1, \"write\": true",
            "4",
            "4 is not 1 plus a multiple of 2",
        ),
        (
            "\"as\": \"u16\", \"scale\": 0.1, \"write\": true",
            "7000",
            "7000 has the raw value 70000, outside",
        ),
        (
            "\"as\": \"u16\", \"invalid\": 65535, \"write\": true",
            "65535",
            "65535 is the device's marker",
        ),
        (
            "\"as\": \"f32\", \"write\": {\"min\": 0, \"max\": 80}",
            "80.5",
            "80.5 is outside the limits 0..=80",
        ),
        (
            "\"as\": \"f32\", \"write\": {\"min\": 0}",
            "-0.1",
            "-0.1 is outside the limits 0..=",
        ),
        (
            "\"as\": \"f32\", \"write\": true",
            "3.5e38",
            "too large for f32",
        ),
        (
            "\"as\": \"f16\", \"write\": true",
            "65520",
            "65520 is too large for f16",
        ),
        (
            "\"as\": \"bcd16\", \"write\": true",
            "10000",
            "10000 is outside 0..=9999 of bcd16",
        ),
        (
            "\"as\": \"string(2)\", \"write\": true",
            "abc",
            "the text has 3 bytes",
        ),
        (
            "\"as\": \"string(4)\", \"write\": true",
            "\"a\\u0000b\"",
            "a NUL in it",
        ),
        (
            "\"as\": \"bytes(2)\", \"write\": true",
            "0g00",
            "expected hexadecimal digits",
        ),
        (
            "\"as\": \"bytes(2)\", \"write\": true",
            "0a0",
            "expected hexadecimal digits",
        ),
        (
            "\"as\": \"bytes(2)\", \"write\": true",
            "0a",
            "expected 2 bytes, got 1",
        ),
        (
            "\"as\": \"bit(3)\", \"write\": true",
            "2",
            "expected true or false, got `2`",
        ),
        (
            "\"coil\": 0, \"write\": true",
            "maybe",
            "expected true or false, got `maybe`",
        ),
        (
            "\"as\": \"u16\", \"enum\": {\"1\": \"day\", \"2\": \"night\"}, \"write\": true",
            "noon",
            "expected one of `day`, `night`, got `noon`",
        ),
    ] {
        let error = written(keys, payload).unwrap_err();
        assert!(error.contains(want), "{keys}: {payload}: {error}");
    }
}

#[test]
fn the_limits_themselves_are_allowed() {
    let keys = "\"as\": \"f32\", \"write\": {\"min\": 0, \"max\": 80}";
    for payload in ["0", "80", "79.999"] {
        assert!(written(keys, payload).is_ok(), "{payload}");
    }
}

fn held(keys: &str, value: &Value) -> Option<(Value, Value)> {
    let point = point(keys);
    let (request, held) = encode(&point, value).ok()?;
    let data = match request {
        WriteRequest::Coil { on, .. } => Data::Bits(vec![on]),
        WriteRequest::Coils { bits, .. } => Data::Bits(bits),
        WriteRequest::Registers { words, .. } | WriteRequest::Exchange { words, .. } => {
            Data::Words(words)
        }
        WriteRequest::Mask { bits, .. } => Data::Words(vec![bits]),
    };
    Some((decode(&point, &data).unwrap(), held))
}

const ORDERS: [&str; 4] = ["ABCD", "CDAB", "BADC", "DCBA"];

proptest! {
    #[test]
    fn an_integer_that_is_written_reads_back_the_same(
        raw in any::<i64>(),
        kind in proptest::sample::select(vec![
            "i16", "u16", "i24", "u24", "i32", "u32", "i64", "u64", "bcd16", "bcd32", "u8_high", "u8_low",
        ]),
        order in proptest::sample::select(ORDERS.to_vec()),
        shift in 0u32..63,
        scale in proptest::sample::select(vec!["1", "0.1", "0.001", "-5", "1000"]),
        offset in proptest::sample::select(vec!["0", "-40", "0.5"]),
    ) {
        let scale: Decimal = scale.parse().unwrap();
        let offset: Decimal = offset.parse().unwrap();
        let keys = format!(
            "\"as\": \"{kind}\", \"order\": \"{order}\", \"scale\": {scale}, \"offset\": {offset}, \"write\": true"
        );
        let number = Decimal::from(raw >> shift).checked_mul(scale).unwrap().checked_add(offset).unwrap();
        if let Some((read, held)) = held(&keys, &Value::Decimal(number)) {
            prop_assert_eq!(&read, &Value::Decimal(number));
            prop_assert_eq!(read, held);
        }
    }

    #[test]
    fn a_float_that_is_written_reads_back_the_same(
        single in any::<f32>(),
        double in any::<f64>(),
        order in proptest::sample::select(ORDERS.to_vec()),
    ) {
        let keys = |kind: &str| format!("\"as\": \"{kind}\", \"order\": \"{order}\", \"write\": true");
        if let Some(number) = Decimal::from_f32(single) {
            let (read, _) = held(&keys("f32"), &Value::Decimal(number)).unwrap();
            prop_assert_eq!(read, Value::F32(single));
        }
        if let Some(number) = Decimal::from_f64(double) {
            let (read, _) = held(&keys("f64"), &Value::Decimal(number)).unwrap();
            prop_assert_eq!(read, Value::F64(double));
        }
    }

    #[test]
    fn texts_and_bytes_that_are_written_read_back_the_same(
        text in "[a-zA-Z0-9°µ]{0,6}",
        bytes in proptest::collection::vec(any::<u8>(), 5),
        order in proptest::sample::select(ORDERS.to_vec()),
    ) {
        let keys = |kind: &str| format!("\"as\": \"{kind}\", \"order\": \"{order}\", \"write\": true");
        let text = Value::Text(text);
        prop_assert_eq!(held(&keys("string(12)"), &text).unwrap().0, text);
        let bytes = Value::Bytes(bytes);
        prop_assert_eq!(held(&keys("bytes(5)"), &bytes).unwrap().0, bytes.clone());
        let digits = Value::Text(bytes.to_string());
        prop_assert_eq!(held(&keys("bytes(5)"), &digits).unwrap().0, bytes);
    }

    #[test]
    fn any_registers_decode_to_a_finite_value_or_an_error(
        words in proptest::collection::vec(any::<u16>(), 0..6),
        kind in proptest::sample::select(vec![
            "bit(5)", "u8_high", "i16", "i24", "u24", "i32", "u64", "f16", "f32", "f64", "bcd16", "bcd32", "string(7)", "bytes(3)",
        ]),
        order in proptest::sample::select(ORDERS.to_vec()),
    ) {
        let point = point(&format!("\"as\": \"{kind}\", \"order\": \"{order}\""));
        if let Ok(value) = decode(&point, &Data::Words(words)) {
            prop_assert!(value.is_finite());
        }
    }
}
