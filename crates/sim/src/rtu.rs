//! Simulated units on a serial line: RTU frames in, frames out, at the pace of the line.
//!
//! Source: MODBUS over Serial Line Specification and Implementation Guide V1.02, section 2.5.1.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use crate::{fault::Fault, image::Image};

/// Unit identifier, function code, CRC.
const FRAME_MIN: usize = 4;
/// Unit identifier, 253 bytes, CRC.
const FRAME_MAX: usize = 256;
/// How long a request may pause before the rest of it is not waited for any more.
const GAP: Duration = Duration::from_millis(100);

/// How fast a simulated line is. Its bytes take no time themselves, so answers come later by the
/// time that the request and the answer would have taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// The time of one character: 11 bits at 9600 baud are 1.146 ms. Zero for as fast as can be.
    pub character: Duration,
    /// How long a unit thinks before it answers.
    pub thinks: Duration,
}

/// Serves the units of `image` on a line until `cancel` fires or the line ends. A unit that is not
/// there is silent, as are all units to a request for unit 0, which they carry out.
///
/// # Errors
///
/// Those of the line.
pub async fn serve_rtu(
    line: &mut (impl AsyncRead + AsyncWrite + Unpin),
    image: &Image,
    pace: Pace,
    cancel: &CancellationToken,
) -> io::Result<()> {
    let start = Instant::now();
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        let wait = if buffer.is_empty() {
            Duration::MAX
        } else {
            GAP
        };
        let mut chunk = [0; FRAME_MAX];
        let read = time::timeout(wait.min(Duration::from_secs(86_400)), line.read(&mut chunk));
        match cancel.run_until_cancelled(read).await {
            None => return Ok(()),
            Some(Err(_)) => {
                if !buffer.is_empty() {
                    log::debug!("simulated line: {} bytes were no request", buffer.len());
                }
                buffer.clear();
                continue;
            }
            Some(Ok(read)) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                buffer.extend(chunk.iter().take(read));
            }
        }
        while let Some(length) = request_length(&buffer).filter(|length| *length <= buffer.len()) {
            let request: Vec<u8> = buffer.drain(..length).collect();
            if let Some(answer) = answer(image, &request, start, pace).await {
                time::timeout(GAP * 10, line.write_all(&answer)).await??;
            }
        }
        if buffer.len() > FRAME_MAX {
            buffer.clear();
        }
    }
}

/// The frame to send, when its time has come.
async fn answer(image: &Image, request: &[u8], start: Instant, pace: Pace) -> Option<Vec<u8>> {
    let (rest, check) = request.split_last_chunk::<2>()?;
    let (unit, pdu) = rest.split_first()?;
    if crc(rest) != *check {
        log::debug!("simulated line: a request with a wrong CRC");
        return None;
    }
    let mut frame = vec![*unit];
    if *unit == 0 {
        image.answer_all(pdu, start.elapsed());
        return None;
    }
    if !image.has(*unit) {
        return None;
    }
    let fault = image.answer(*unit, pdu, start.elapsed(), &mut frame);
    match fault {
        Some(Fault::Silence | Fault::Close) => return None,
        Some(Fault::Delay(delay)) => time::sleep(delay).await,
        Some(Fault::WrongUnit) => {
            if let Some(first) = frame.first_mut() {
                *first = first.wrapping_add(1);
            }
        }
        _ => {}
    }
    frame.extend(crc(&frame));
    match fault {
        Some(Fault::Truncate(keep)) => frame.truncate(keep),
        Some(Fault::WrongCheck) => {
            if let Some(last) = frame.last_mut() {
                *last ^= 0x01;
            }
        }
        _ => {}
    }
    let characters = u32::try_from(request.len() + frame.len()).unwrap_or(u32::MAX);
    let takes = pace.thinks + pace.character * characters;
    if !takes.is_zero() {
        time::sleep(takes).await;
    }
    Some(frame)
}

/// How long a request is that begins like this; `None` while more must be seen. One that cannot
/// be a request is as long as what there is of it, and its check will be wrong.
fn request_length(buffer: &[u8]) -> Option<usize> {
    let function = *buffer.get(1)?;
    let count = |at: usize| buffer.get(at).map(|count| usize::from(*count));
    let length = match function {
        1..=6 | 8 => 8,
        7 | 11 | 12 | 17 => 4,
        15 | 16 => 9 + count(6)?,
        22 => 10,
        23 => 13 + count(10)?,
        43 => 7,
        _ => buffer.len(),
    };
    Some(length.max(FRAME_MIN))
}

/// Bit by bit, so that it shares nothing with the table of the bridge.
fn crc(bytes: &[u8]) -> [u8; 2] {
    let crc = bytes.iter().fold(0xFFFF_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xA001
            } else {
                crc >> 1
            }
        })
    });
    crc.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Table, Times, Unit};
    use tokio::io::{DuplexStream, duplex};

    fn frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
        let mut frame = vec![unit];
        frame.extend(pdu);
        frame.extend(crc(&frame));
        frame
    }

    fn serve(pace: Pace) -> (Image, DuplexStream) {
        let image = Image::new();
        for id in [1, 2] {
            let mut unit = Unit::new();
            unit.set_words(Table::Holding, 0, &[7, 8]);
            image.insert(id, unit);
        }
        let (mut line, client) = duplex(1024);
        let served = image.clone();
        tokio::spawn(async move {
            serve_rtu(&mut line, &served, pace, &CancellationToken::new()).await
        });
        (image, client)
    }

    /// What comes within two seconds of silence.
    async fn ask(client: &mut DuplexStream, request: &[u8]) -> Vec<u8> {
        client.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let mut chunk = [0; 300];
        while let Ok(read) = time::timeout(Duration::from_secs(2), client.read(&mut chunk)).await {
            answer.extend(&chunk[..read.unwrap()]);
        }
        answer
    }

    const READ: &[u8] = &[3, 0, 0, 0, 1];
    const ANSWER: &[u8] = &[3, 2, 0, 7];

    #[tokio::test(start_paused = true)]
    async fn units_answer_and_what_is_none_or_wrong_is_met_with_silence() {
        let (_, mut client) = serve(Pace::default());
        let mut wrong = frame(1, READ);
        wrong[7] ^= 1;
        for (request, want) in [
            (frame(1, READ), frame(1, ANSWER)),
            (frame(3, READ), vec![]),
            (wrong, vec![]),
            (b"noise".to_vec(), vec![]),
            (frame(2, READ)[..5].to_vec(), vec![]),
            (frame(2, READ), frame(2, ANSWER)),
            (frame(2, &[3, 0, 9, 0, 1]), frame(2, &[0x83, 2])),
            // To all, and answered by none.
            (frame(0, &[6, 0, 0, 0, 9]), vec![]),
            (frame(1, READ), frame(1, &[3, 2, 0, 9])),
            (frame(2, READ), frame(2, &[3, 2, 0, 9])),
        ] {
            assert_eq!(ask(&mut client, &request).await, want, "{request:02x?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn faults_are_those_of_a_line() {
        let (image, mut client) = serve(Pace::default());
        let answer = frame(1, ANSWER);
        let mut broken = answer.clone();
        broken[6] ^= 1;
        for (fault, want) in [
            (Fault::Silence, vec![]),
            (Fault::WrongCheck, broken),
            (Fault::WrongUnit, frame(2, ANSWER)),
            (Fault::Truncate(3), answer[..3].to_vec()),
            (Fault::Delay(Duration::from_secs(1)), answer.clone()),
        ] {
            image.inject(1, fault, Times::Next(1));
            assert_eq!(ask(&mut client, &frame(1, READ)).await, want, "{fault:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_is_as_slow_as_its_pace() {
        let character = Duration::from_millis(1);
        let thinks = Duration::from_millis(5);
        let (_, mut client) = serve(Pace { character, thinks });
        let start = Instant::now();
        client.write_all(&frame(1, READ)).await.unwrap();
        let mut answer = [0; 7];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(start.elapsed().as_millis(), 5 + 8 + 7);
    }
}
