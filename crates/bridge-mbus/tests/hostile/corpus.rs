use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::checks;

/// Runs `check` over every file of a target's corpus, and returns their number.
#[allow(
    clippy::print_stdout,
    reason = "the last name printed is that of the file that fails"
)]
fn replay(target: &str, check: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        println!("{}", path.display());
        check(&input);
        count += 1;
    }
    count
}

#[test]
fn the_corpus_of_frame_holds() {
    assert!(replay("frame", checks::frame) >= 40);
}

#[test]
fn the_corpus_of_telegram_holds() {
    assert!(replay("telegram", checks::telegram) >= 40);
}

/// Bytes that are often part of records.
fn likely() -> impl Strategy<Value = u8> {
    prop_oneof![
        3 => any::<u8>(),
        1 => prop::sample::select(vec![
            0x01, 0x04, 0x0C, 0x0D, 0x0F, 0x1F, 0x2F, 0x80, 0x84, 0xC4, 0x06, 0x13, 0x6C, 0x6D,
            0x7C, 0xFC, 0xFD, 0xFB, 0xFF, 0xF0,
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_telegram_makes_the_decoder_panic(
        ci in prop::sample::select(vec![0x70, 0x72, 0x73, 0x76, 0x77, 0x78, 0x7A]),
        data in prop::collection::vec(likely(), 0..260),
    ) {
        let mut input = vec![ci];
        input.extend(data);
        checks::telegram(&input);
    }

    #[test]
    fn no_stream_makes_the_framer_panic_or_depend_on_its_pieces(
        size in any::<u8>(),
        parts in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..20),
                Just(vec![0xE5]),
                Just(vec![0x68, 0x03, 0x03, 0x68, 0x08, 0x01, 0x72, 0x7B, 0x16]),
                Just(vec![0x10, 0x40, 0x01, 0x41, 0x16]),
            ],
            0..20,
        ),
    ) {
        let mut input = vec![size];
        input.extend(parts.into_iter().flatten());
        checks::frame(&input);
    }
}
