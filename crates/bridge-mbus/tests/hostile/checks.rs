//! What holds for any input. The fuzz targets and the tests call it.

use fieldgate_bridge_mbus::app::parse;
use fieldgate_bridge_mbus::link::{FRAME_MAX, Frame, Framer};
use fieldgate_bridge_mbus::{Secondary, describe};
use fieldgate_model::Value;

/// Any stream in any pieces: every frame is one that comes back from its own bytes, and each byte
/// is a part of one frame at most. The first byte is the length of the pieces.
pub(crate) fn frame(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else {
        return;
    };
    let (mut framer, mut frames) = (Framer::default(), Vec::new());
    for piece in stream.chunks(usize::from(*size).max(1)) {
        framer.feed(piece, &mut frames);
    }
    framer.cut();
    assert!(!framer.is_inside());
    let mut length = 0;
    for frame in &frames {
        let bytes = frame.encode();
        length += bytes.len();
        assert!(bytes.len() <= FRAME_MAX);
        let mut again = Vec::new();
        Framer::default().feed(&bytes, &mut again);
        assert_eq!(&again, std::slice::from_ref(frame));
    }
    assert!(length <= stream.len());
    let (mut whole, mut at_once) = (Framer::default(), Vec::new());
    whole.feed(stream, &mut at_once);
    assert_eq!(at_once, frames, "pieces make no difference");
}

/// Any telegram: no panic, values that are bounded by the telegram, finite numbers. The first byte
/// is the control information field.
pub(crate) fn telegram(data: &[u8]) {
    let Some((ci, data)) = data.split_first() else {
        return;
    };
    let Ok(telegram) = parse(*ci, data) else {
        return;
    };
    assert!(telegram.records.len() <= data.len() + 2);
    assert!(telegram.own.len() <= data.len());
    for record in &telegram.records {
        assert!(record.vib.len() <= data.len() + 1);
        assert!(describe(record).len() <= 200 + 16 * data.len());
        match &record.value {
            Ok(Value::Text(text)) => assert!(text.chars().count() <= 2 * data.len() + 20),
            Ok(Value::Bytes(bytes)) => assert!(bytes.len() <= data.len()),
            Ok(value) => assert!(value.is_finite()),
            Err(_) => {}
        }
    }
    if let Some(address) = telegram.header.and_then(|header| header.address) {
        assert!(Secondary::ANY.matches(address));
    }
    let frame = Frame::Long {
        control: 8,
        address: 1,
        ci: *ci,
        data: data.to_vec(),
    };
    assert!(frame.encode().len() <= FRAME_MAX);
}
