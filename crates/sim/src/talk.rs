//! A simulated instrument on a line: it says what it is given in turn, by itself or when asked.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{self, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

/// When an instrument says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// So often, whether or not a client listens.
    Every(Duration),
    /// When something came and was over.
    Asked,
}

/// What came is over when nothing follows for so long.
const OVER: Duration = Duration::from_millis(20);
/// No client reads: what is sent is lost, as on a wire.
const LOST: Duration = Duration::from_millis(100);
/// Longer than any test or client waits.
const FAR: Duration = Duration::from_secs(86_400);

/// Says `says` in turn until `cancel` fires or the line ends. With nothing to say it only listens.
///
/// # Errors
///
/// Those of the line.
pub async fn talk(
    line: &mut (impl AsyncRead + AsyncWrite + Unpin),
    says: &[Vec<u8>],
    turn: Turn,
    cancel: &CancellationToken,
) -> io::Result<()> {
    let every = match turn {
        Turn::Every(every) => every.max(Duration::from_millis(1)),
        Turn::Asked => FAR,
    };
    let mut ticks = time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut next = says.iter().cycle();
    let mut is_asked = false;
    let mut chunk = [0; 256];
    loop {
        let over = if is_asked { OVER } else { FAR };
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            read = line.read(&mut chunk) => {
                if read? == 0 {
                    return Ok(());
                }
                is_asked = turn == Turn::Asked;
                continue;
            }
            () = time::sleep(over), if is_asked => is_asked = false,
            _ = ticks.tick() => {
                // The first tick comes at once.
                if turn == Turn::Asked {
                    continue;
                }
            }
        }
        if let Some(said) = next.next() {
            let written = time::timeout(LOST, line.write_all(said));
            if let Ok(written) = written.await {
                written?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn heard(turn: Turn, questions: &[&str], count: usize) -> (String, Duration) {
        let (mut near, mut far) = tokio::io::duplex(64);
        let cancel = CancellationToken::new();
        let ends = cancel.clone();
        let says = ["a\n", "b\n"].map(|text| text.as_bytes().to_vec());
        let task = tokio::spawn(async move { talk(&mut near, &says, turn, &ends).await });
        let (start, mut text) = (time::Instant::now(), vec![0; 2 * count]);
        for (index, answer) in text.chunks_mut(2).enumerate() {
            if let Some(question) = questions.get(index) {
                // In pieces, as on a slow line.
                for byte in question.as_bytes().chunks(1) {
                    far.write_all(byte).await.unwrap();
                    time::sleep(OVER / 2).await;
                }
            }
            far.read_exact(answer).await.unwrap();
        }
        cancel.cancel();
        task.await.unwrap().unwrap();
        (String::from_utf8(text).unwrap(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn it_says_its_lines_in_turn_by_itself_or_once_for_each_question() {
        let second = Duration::from_secs(1);
        let (text, took) = heard(Turn::Every(second), &[], 5).await;
        assert_eq!((text.as_str(), took), ("a\nb\na\nb\na\n", 4 * second));
        let (text, took) = heard(Turn::Asked, &["P\r\n", "P\r\n", "?"], 3).await;
        assert_eq!(text, "a\nb\na\n");
        assert!(took < second, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_are_not_read_are_lost_and_delay_nothing() {
        let (mut near, far) = tokio::io::duplex(1);
        let cancel = CancellationToken::new();
        let says = vec![b"too much".to_vec()];
        let talking = talk(&mut near, &says, Turn::Every(OVER), &cancel);
        assert!(
            time::timeout(10 * LOST, talking).await.is_err(),
            "it goes on"
        );
        drop(far);
        talk(&mut near, &says, Turn::Every(OVER), &cancel)
            .await
            .ok();
    }
}
