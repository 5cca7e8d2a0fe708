//! What holds for any bytes; shared by the fuzz target and the test that replays its corpus.

use fieldgate_bridge_modbus::Table;
use fieldgate_bridge_modbus::wire::pdu::{Answer, Request};
use fieldgate_bridge_modbus::wire::rtu::{FRAME_MAX, Scan, Side};
use fieldgate_bridge_modbus::wire::{mbap, rtu};

/// The first byte chooses a request, the rest is what comes back.
pub(crate) fn wire(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let request = request(*first);
    for side in [Side::Request, Side::Answer] {
        match rtu::scan(bytes, side) {
            Scan::Frame(length) => {
                assert!((4..=FRAME_MAX).contains(&length) && length <= bytes.len());
                let opened = rtu::open(&bytes[..length]);
                assert!(opened.is_some());
                if let Some((_, pdu)) = opened {
                    answer(&request, pdu);
                }
            }
            Scan::Broken(length) => assert!(length <= bytes.len()),
            Scan::More(Some(length)) => assert!(length > bytes.len() && length <= FRAME_MAX),
            Scan::More(None) | Scan::Unknown => {}
        }
    }
    assert!(rtu::glitch(bytes, *first) <= bytes.len());
    let mut stream = bytes;
    while let Ok(Some(frame)) = mbap::decode(stream) {
        assert!((1..=253).contains(&frame.pdu.len()));
        answer(&request, frame.pdu);
        stream = &stream[frame.length..];
    }
    answer(&request, bytes);
}

fn request(choice: u8) -> Request {
    let count = u16::from(choice >> 3) + 1;
    let read = |table| Request::Read {
        table,
        address: 0,
        count,
    };
    match choice % 8 {
        0 => read(Table::Coil),
        1 => read(Table::Holding),
        2 => Request::WriteCoils {
            address: 1,
            bits: vec![true; count.into()],
        },
        3 => Request::WriteRegisters {
            address: 1,
            words: vec![1; count.into()],
        },
        4 => Request::MaskRegister {
            address: 1,
            and: 2,
            or: 3,
        },
        5 => Request::ReadWrite {
            from: 0,
            count,
            to: 0,
            words: vec![1],
        },
        6 => Request::Identify {
            level: choice >> 6,
            object: 0,
        },
        _ => Request::Raw(vec![choice]),
    }
}

/// An answer that is believed has as many values as were asked for.
fn answer(request: &Request, pdu: &[u8]) {
    let count = match request {
        Request::Read { count, .. } | Request::ReadWrite { count, .. } => usize::from(*count),
        _ => 0,
    };
    if let Ok(Answer::Data(data)) = request.decode(pdu) {
        assert_eq!(data.len(), count);
        if let Some(length) = request.answer_length() {
            assert_eq!(length, pdu.len());
        }
    }
}
