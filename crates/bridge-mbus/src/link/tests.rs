use super::*;
use proptest::prelude::*;

fn feed(pieces: &[&[u8]]) -> (Vec<Frame>, Rejected) {
    let (mut framer, mut frames) = (Framer::default(), Vec::new());
    for piece in pieces {
        framer.feed(piece, &mut frames);
    }
    framer.cut();
    (frames, framer.take_rejected())
}

fn long(data: &[u8]) -> Frame {
    Frame::Long {
        control: RSP_UD,
        address: 1,
        ci: 0x72,
        data: data.to_vec(),
    }
}

#[test]
fn frames_are_written_as_the_standard_shows_them() {
    let short = |control, address| Frame::Short { control, address };
    for (frame, want) in [
        (Frame::Ack, vec![0xE5]),
        (short(SND_NKE, 1), vec![0x10, 0x40, 0x01, 0x41, 0x16]),
        (
            short(REQ_UD2 | FCB, 0xFE),
            vec![0x10, 0x7B, 0xFE, 0x79, 0x16],
        ),
        (
            long(&[0x12]),
            vec![0x68, 4, 4, 0x68, 0x08, 0x01, 0x72, 0x12, 0x8D, 0x16],
        ),
    ] {
        assert_eq!(frame.encode(), want);
        assert_eq!(feed(&[&want]), (vec![frame], Rejected::default()));
    }
}

#[test]
fn what_is_no_frame_is_counted_by_its_kind_and_the_next_frame_is_found() {
    let good = long(&[1, 2, 3]).encode();
    let mut wrong = good.clone();
    wrong[8] ^= 1;
    let mut unstopped = good.clone();
    *unstopped.last_mut().unwrap() = 0;
    for (bad, checks, headers) in [
        (&[][..], 0, 0),
        (&[0x00, 0xFF, 0x16], 0, 0),
        (&wrong, 1, 0),
        (&unstopped, 1, 0),
        (&[0x10, 0x7B, 0x01, 0x00, 0x16], 1, 0),
        (&[0x68, 0x05, 0x06, 0x68], 0, 1),
        (&[0x68, 0x02, 0x02, 0x68], 0, 1),
    ] {
        let (frames, rejected) = feed(&[bad, &good]);
        assert_eq!(frames, [long(&[1, 2, 3])], "{bad:02x?}");
        assert_eq!(
            (rejected.checks, rejected.headers),
            (checks, headers),
            "{bad:02x?}"
        );
    }
}

#[test]
fn a_single_character_counts_only_if_nothing_unreadable_came_before_it() {
    assert_eq!(feed(&[&[0xE5]]).0, [Frame::Ack]);
    assert_eq!(feed(&[&[0x00, 0xE5]]).0, []);
    let (mut framer, mut frames) = (Framer::default(), Vec::new());
    framer.feed(&[0x00], &mut frames);
    framer.reset();
    framer.feed(&[0xE5], &mut frames);
    assert_eq!(frames, [Frame::Ack]);
}

#[test]
fn a_frame_that_breaks_off_is_counted_once() {
    let good = long(&[1, 2, 3]).encode();
    for length in 1..good.len() {
        let (frames, rejected) = feed(&[&good[..length]]);
        assert_eq!((frames.len(), rejected.cut), (0, 1), "{length}");
    }
}

proptest! {
    #[test]
    fn a_frame_comes_back_in_whatever_pieces_it_arrives(
        data in prop::collection::vec(any::<u8>(), 0..=252),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = long(&data).encode();
        let (first, second) = bytes.split_at(cut.index(bytes.len()));
        prop_assert_eq!(feed(&[first, second]), (vec![long(&data)], Rejected::default()));
    }

    #[test]
    fn any_bytes_leave_at_most_one_frame_held(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let (mut framer, mut frames) = (Framer::default(), Vec::new());
        framer.feed(&bytes, &mut frames);
        prop_assert!(framer.held.len() < FRAME_MAX);
    }
}
