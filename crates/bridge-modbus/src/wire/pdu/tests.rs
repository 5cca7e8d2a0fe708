use super::*;
use proptest::prelude::*;

fn read(table: Table, address: u16, count: u16) -> Request {
    Request::Read {
        table,
        address,
        count,
    }
}

/// The examples of the specification, chapter 6, byte by byte.
#[test]
fn the_examples_of_the_specification_are_written_and_read() {
    let words = |words: &[u16]| Answer::Data(Data::Words(words.to_vec()));
    let bits = |bytes: &[u8], count: usize| {
        let all = bytes
            .iter()
            .flat_map(|byte| (0..8).map(move |n| byte >> n & 1 == 1));
        Answer::Data(Data::Bits(all.take(count).collect()))
    };
    for (request, sent, got, want) in [
        (
            read(Table::Coil, 0x13, 0x13),
            &[1, 0, 0x13, 0, 0x13][..],
            &[1, 3, 0xCD, 0x6B, 0x05][..],
            bits(&[0xCD, 0x6B, 0x05], 19),
        ),
        (
            read(Table::Discrete, 0xC4, 0x16),
            &[2, 0, 0xC4, 0, 0x16],
            &[2, 3, 0xAC, 0xDB, 0x35],
            bits(&[0xAC, 0xDB, 0x35], 22),
        ),
        (
            read(Table::Holding, 0x6B, 3),
            &[3, 0, 0x6B, 0, 3],
            &[3, 6, 0x02, 0x2B, 0, 0, 0, 0x64],
            words(&[0x022B, 0, 0x64]),
        ),
        (
            read(Table::Input, 8, 1),
            &[4, 0, 8, 0, 1],
            &[4, 2, 0, 0x0A],
            words(&[10]),
        ),
        (
            Request::WriteCoil {
                address: 0xAC,
                on: true,
            },
            &[5, 0, 0xAC, 0xFF, 0],
            &[5, 0, 0xAC, 0xFF, 0],
            Answer::Done,
        ),
        (
            Request::WriteRegister {
                address: 1,
                word: 3,
            },
            &[6, 0, 1, 0, 3],
            &[6, 0, 1, 0, 3],
            Answer::Done,
        ),
        (
            Request::WriteCoils {
                address: 0x13,
                bits: [0xCDu8, 0x01]
                    .iter()
                    .flat_map(|byte| (0..8).map(move |n| byte >> n & 1 == 1))
                    .take(10)
                    .collect(),
            },
            &[15, 0, 0x13, 0, 0x0A, 2, 0xCD, 0x01],
            &[15, 0, 0x13, 0, 0x0A],
            Answer::Done,
        ),
        (
            Request::WriteRegisters {
                address: 1,
                words: vec![0x0A, 0x0102],
            },
            &[16, 0, 1, 0, 2, 4, 0, 0x0A, 1, 2],
            &[16, 0, 1, 0, 2],
            Answer::Done,
        ),
        (
            Request::MaskRegister {
                address: 4,
                and: 0xF2,
                or: 0x25,
            },
            &[22, 0, 4, 0, 0xF2, 0, 0x25],
            &[22, 0, 4, 0, 0xF2, 0, 0x25],
            Answer::Done,
        ),
        (
            Request::ReadWrite {
                from: 3,
                count: 2,
                to: 0x0E,
                words: vec![0xFF, 0xFF, 0xFF],
            },
            &[23, 0, 3, 0, 2, 0, 0x0E, 0, 3, 6, 0, 0xFF, 0, 0xFF, 0, 0xFF],
            &[23, 4, 0, 0xFE, 0x0A, 0xCD],
            words(&[0xFE, 0x0ACD]),
        ),
        (
            Request::Identify {
                level: 1,
                object: 0,
            },
            &[43, 14, 1, 0],
            b"\x2B\x0E\x01\x01\x00\x00\x03\x00\x04ACME\x01\x02XY\x02\x021\x31",
            Answer::Identification(Identification {
                conformity: 1,
                next: None,
                objects: vec![
                    (0, b"ACME".to_vec()),
                    (1, b"XY".to_vec()),
                    (2, b"11".to_vec()),
                ],
            }),
        ),
        (
            Request::Raw(vec![8, 0, 0, 0xA5, 0x37]),
            &[8, 0, 0, 0xA5, 0x37],
            &[8, 0, 0, 0xA5, 0x37],
            Answer::Raw(vec![8, 0, 0, 0xA5, 0x37]),
        ),
    ] {
        let mut out = Vec::new();
        request.encode(&mut out);
        assert_eq!(out, sent, "{request:?}");
        assert_eq!(request.check(), Ok(()), "{request:?}");
        assert_eq!(request.decode(got), Ok(want), "{request:?}");
        if let Some(length) = request.answer_length() {
            assert_eq!(length, got.len(), "{request:?}");
        }
        // Any other length, function or acknowledgement is no answer.
        assert!(request.decode(&got[..got.len() - 1]).is_err() || got[0] == 8);
        let mut longer = got.to_vec();
        longer.push(0);
        assert!(
            request.decode(&longer).is_err() || got[0] == 8,
            "{request:?}"
        );
        let mut other = got.to_vec();
        other[0] ^= 0x40;
        assert_eq!(request.decode(&other), Err(Wrong::Function(other[0])));
        let refused = request.decode(&[got[0] | 0x80, 2]);
        assert_eq!(refused, Err(Wrong::Exception(Exception(2))), "{request:?}");
    }
}

#[test]
fn an_acknowledgement_of_another_write_is_none() {
    let register = Request::WriteRegister {
        address: 1,
        word: 3,
    };
    let registers = Request::WriteRegisters {
        address: 1,
        words: vec![1, 2],
    };
    for (request, answer) in [
        (&register, [6, 0, 1, 0, 4]),
        (&register, [6, 0, 2, 0, 3]),
        (&registers, [16, 0, 1, 0, 1]),
        (&registers, [16, 0, 2, 0, 2]),
    ] {
        let want = Err(Wrong::Content("acknowledges another write"));
        assert_eq!(request.decode(&answer), want, "{answer:?}");
    }
}

#[test]
fn counts_and_addresses_beyond_the_limits_are_refused() {
    let words = |count: usize| vec![0; count];
    for (request, want) in [
        (
            read(Table::Holding, 0, 0),
            "0 registers are outside 1..=125",
        ),
        (read(Table::Input, 0, 126), "126 registers"),
        (read(Table::Coil, 0, 2001), "2001 bits are outside 1..=2000"),
        (read(Table::Holding, 65535, 2), "pass address 65535"),
        (
            Request::WriteRegisters {
                address: 0,
                words: words(124),
            },
            "124 registers are outside 1..=123",
        ),
        (
            Request::WriteCoils {
                address: 0,
                bits: vec![false; 1969],
            },
            "1969 bits",
        ),
        (
            Request::ReadWrite {
                from: 0,
                count: 1,
                to: 0,
                words: words(122),
            },
            "122 registers are outside 1..=121",
        ),
        (Request::Raw(vec![]), "0 bytes are outside 1..=253"),
    ] {
        let error = request.check().unwrap_err();
        assert!(error.contains(want), "{error}");
    }
    assert_eq!(read(Table::Discrete, 63536, 2000).check(), Ok(()));
}

proptest! {
    #[test]
    fn no_answer_is_too_strange(
        pdu in proptest::collection::vec(any::<u8>(), 0..260),
        function in prop_oneof![Just(1u8), Just(3), Just(15), Just(23), Just(43)],
        count in 1u16..125,
    ) {
        let request = match function {
            1 => read(Table::Coil, 0, count),
            3 => read(Table::Holding, 0, count),
            15 => Request::WriteCoils { address: 0, bits: vec![true; count.into()] },
            23 => Request::ReadWrite { from: 0, count, to: 0, words: vec![1] },
            _ => Request::Identify { level: 1, object: 0 },
        };
        let mut pdu = pdu;
        if let Some(first) = pdu.first_mut() {
            *first = function;
        }
        if let Ok(Answer::Data(data)) = request.decode(&pdu) {
            prop_assert_eq!(data.len(), usize::from(count));
        }
    }
}
