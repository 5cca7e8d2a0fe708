use super::*;
use crate::config::ParseConfig;
use proptest::prelude::*;

fn config(json: &str) -> ParseConfig {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// What a frame holds, for a table.
fn read(json: &str, frame: &[u8], field: &str) -> String {
    let config = config(json);
    let parser = &config.parser;
    let record = match config.parse(frame) {
        Ok(record) => record,
        Err(error) => return format!("unfit: {error}"),
    };
    let field = parser
        .field(field)
        .unwrap_or_else(|| panic!("{json} has no {field}"));
    match record.get(&field) {
        Found::Absent => "absent".to_owned(),
        Found::Empty => "empty".to_owned(),
        Found::Wrong => "wrong".to_owned(),
        Found::Text(text) => format!("text {text}"),
        Found::Value(value) => format!("value {value}"),
    }
}

#[test]
fn every_parser_finds_its_fields() {
    // A scale with the answers of MT-SICS: status, stability, value, unit.
    let sics = r#"{"regex": "^S (?P<st>[SD])\\s+(?P<kg>-?\\s*[\\d.]+) (?P<unit>\\w+)$|^(?P<fault>S [I+-])$"}"#;
    let columns = r#"{"columns": {"delimiter": ";", "names": ["time", "temp", "note"]}}"#;
    let four = &columns.replace("]}}", "], \"count\": 4}}");
    let any = &columns.replace("]}}", "], \"count\": \"any\"}}");
    let fixed = r#"{"fixed": {"head": {"at": 0, "length": 2}, "kg": {"at": 2, "length": 6}, "far": {"at": 20, "length": 1}}}"#;
    let binary = r#"{"binary": {"ppm": {"at": 2, "as": "u16"}, "far": {"at": 9, "as": "u8"}, "bcd": {"at": 0, "as": "bcd(1)"}}}"#;
    let hex = r#"{"hex": {"n": {"at": 0, "as": "i16", "order": "little"}}}"#;
    for (json, frame, field, want) in [
        (
            "\"text\"",
            &b" 4006381333931 "[..],
            "text",
            "text 4006381333931",
        ),
        ("\"text\"", b"  ", "text", "empty"),
        (sics, b"S S     - 12.50 kg", "kg", "text - 12.50"),
        (sics, b"S D      100.00 g", "unit", "text g"),
        (sics, b"S D      100.00 g", "3", "text g"),
        (sics, b"S I", "kg", "absent"),
        (sics, b"S I", "fault", "text S I"),
        (sics, b"ES", "kg", "unfit: the regex does not match"),
        (
            "{\"regex\": \"^T=(?P<t>[\\\\d.]+)°C$\"}",
            b"T=21.5\xB0C",
            "t",
            "text 21.5",
        ),
        (
            columns,
            b"12:00; 21,5 ;\"a \"\"b\"\"; c\"",
            "temp",
            "text 21,5",
        ),
        (
            columns,
            b"12:00; 21,5 ;\"a \"\"b\"\"; c\"",
            "note",
            "text a \"b\"; c",
        ),
        (columns, b"12:00;;x", "temp", "empty"),
        (columns, b"12:00;1;x;", "note", "text x"),
        (
            columns,
            b"12:00;12:00;1;x",
            "temp",
            "unfit: 4 columns, expected 3",
        ),
        (
            columns,
            b"12:00;1;x;;",
            "temp",
            "unfit: 5 columns, expected 3",
        ),
        (four, b"12:00;1;x;y", "4", "text y"),
        (four, b"12:00;1;x", "4", "unfit: 3 columns, expected 4"),
        (any, b"12:00;1;x;y", "4", "text y"),
        (any, b"12:00;1;x", "9", "absent"),
        ("\"columns\"", b"1,2,1,2", "2", "text 2"),
        (columns, b"12:00;1", "temp", "unfit: 2 columns, expected 3"),
        ("\"columns\"", b"1, 2 ,3", "2", "text 2"),
        (
            "{\"columns\": {\"delimiter\": \"blanks\"}}",
            b" 1 \t 2  3",
            "3",
            "text 3",
        ),
        (
            "{\"columns\": {\"delimiter\": \"\\\\t\"}}",
            b"1\t2",
            "2",
            "text 2",
        ),
        (
            "\"json\"",
            b"{\"a\": {\"b\": [1.50, true]}}",
            "/a/b/0",
            "value 1.5",
        ),
        (
            "\"json\"",
            b"{\"a\": {\"b\": [1.50, true]}}",
            "a/b/1",
            "value true",
        ),
        (
            "\"json\"",
            b"{\"n\": 18446744073709551615}",
            "n",
            "value 18446744073709551615",
        ),
        ("\"json\"", b"{\"n\": 0.1}", "n", "value 0.1"),
        ("\"json\"", b"{\"n\": null}", "n", "empty"),
        ("\"json\"", b"{\"n\": {}}", "n", "wrong"),
        ("\"json\"", b"{\"n\": \" x \"}", "n", "text x"),
        ("\"json\"", b"{}", "n", "absent"),
        (fixed, b"ST - 1.5kg", "kg", "text - 1.5"),
        (fixed, b"ST      kg", "kg", "empty"),
        (fixed, b"ST", "far", "absent"),
        (binary, b"\xFF\x86\x01\xF4", "ppm", "value 500"),
        (binary, b"\xFF\x86\x01\xF4", "far", "absent"),
        (binary, b"\xFF\x86\x01\xF4", "bcd", "wrong"),
        (hex, b"FE ff", "n", "value -2"),
        (hex, b"FEf", "n", "unfit: not pairs of hexadecimal digits"),
        (
            r#"{"encoding": "latin-1"}"#,
            b"Z\xC3\xA4",
            "text",
            "text ZÃ¤",
        ),
        (
            r#"{"encoding": "utf-8"}"#,
            b"Z\xE4",
            "text",
            "unfit: not UTF-8; is it `encoding: latin-1`?",
        ),
        (
            r#"{"binary": {"n": {"at": 0, "as": "string(4)"}}, "encoding": "utf-8"}"#,
            b"Z\xE4hl",
            "n",
            "wrong",
        ),
        (
            r#"{"binary": {"n": {"at": 0, "as": "string(6)"}}, "encoding": "latin-1"}"#,
            b"\xC4B \xFF\xFF\xFF",
            "n",
            "text ÄB",
        ),
        (fixed, b"ST12 \xFF\xFF\xFF", "kg", "text 12"),
        (hex, b"zz00", "n", "unfit: not pairs of hexadecimal digits"),
    ] {
        assert_eq!(read(json, frame, field), want, "{json}: {field}");
    }
    let unfit = read("\"json\"", b"{", "n");
    assert!(unfit.starts_with("unfit: not JSON"), "{unfit}");
    assert!(
        config("\"nmea\"")
            .parse(b"$GPHDT,1,T*00")
            .unwrap_err()
            .contains("checksum")
    );
}

#[test]
fn wrong_parsers_of_the_mapping_are_refused_with_their_place() {
    for (json, want) in [
        ("{}", "expected one of `regex`"),
        ("\"nmae\"", "unknown variant `nmae`"),
        (
            r#"{"regex": "a(?P<kg>\\d+"}"#,
            "at character 2: unclosed group",
        ),
        (
            r#"{"regex": "[z-a]"}"#,
            "at character 2: invalid character class range",
        ),
        (r#"{"regex": "\\w{2000}{2000}"}"#, "size limit"),
        (
            r#"{"regex": "a", "hex": {}}"#,
            "hex: there is `regex` already",
        ),
        (
            r#"{"columns": {"delimiter": "ab"}}"#,
            "one character such as",
        ),
        (
            r#"{"columns": {"names": ["a", "a"]}}"#,
            "columns.names: duplicate name \"a\"",
        ),
        (
            r#"{"columns": {"delimiter": "\""}}"#,
            "columns.quote: it is the delimiter",
        ),
        (
            r#"{"columns": {"names": ["a", "b"], "count": 1}}"#,
            "columns.count: fewer than the 2 names",
        ),
        (r#"{"columns": {"count": 0}}"#, "1 to 256, or any"),
        (r#"{"columns": {"count": "all"}}"#, "1 to 256, or any"),
        (
            r#"{"fixed": {"a": {"at": 0, "length": 0}}}"#,
            "fixed.a: expected 1 to",
        ),
        (
            r#"{"binary": {"a": {"at": 0, "as": "u12"}}}"#,
            "a type: u8 u16",
        ),
        (
            r#"{"regex": "a", "encoding": "utf-16"}"#,
            "encoding: expected utf-8 or latin-1",
        ),
        (
            r#"{"regex": "a", "decimal": ";"}"#,
            "decimal: expected \".\" or \",\"",
        ),
        (
            r#"{"regex": "a", "thousands": "."}"#,
            "thousands: \".\" is before the fraction already",
        ),
        (
            r#"{"regex": "a", "thousands": "1"}"#,
            "thousands: \"1\" can be a part",
        ),
    ] {
        let error = serde_json::from_str::<ParseConfig>(json)
            .unwrap_err()
            .to_string();
        assert!(error.contains(want), "{json}: {error}");
    }
}

proptest! {
    #[test]
    fn columns_without_quotes_are_what_split_makes(line in "[a-z;]{0,40}") {
        let want: Vec<&str> = line.split(';').collect();
        prop_assert_eq!(columns(&line, Delimiter::Character(';'), None), want);
    }
}
