//! A Modbus TCP device that answers as it should, and then speaks without being asked.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::attack::Attack;

/// Frames of one write.
const BURST: usize = 5_000;

/// The device. Whether the attack has begun says `begun`; `steps` counts its bursts.
pub fn serve(listener: &TcpListener, begun: &AtomicBool, steps: &AtomicU64) {
    thread::scope(|scope| {
        for stream in listener.incoming().flatten() {
            scope.spawn(move || answer(stream, begun, steps));
        }
    });
}

fn answer(mut stream: TcpStream, begun: &AtomicBool, steps: &AtomicU64) -> io::Result<()> {
    let mut request = [0_u8; 12];
    loop {
        stream.read_exact(&mut request)?;
        let mut frame = response(&request);
        stream.write_all(&frame)?;
        while begun.load(Ordering::Relaxed) {
            // A right answer to a question that was not asked.
            let id = u16::from_be_bytes([frame[0], frame[1]]).wrapping_add(1);
            frame[..2].copy_from_slice(&id.to_be_bytes());
            stream.write_all(&frame.repeat(BURST))?;
            steps.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn response(request: &[u8; 12]) -> Vec<u8> {
    let count = u16::from_be_bytes([request[10], request[11]]).clamp(1, 125);
    let mut frame = request[..4].to_vec();
    frame.extend((3 + count * 2).to_be_bytes());
    frame.extend([request[6], request[7], (count * 2) as u8]);
    frame.resize(frame.len() + usize::from(count) * 2, 7);
    frame
}

/// The device does it all.
pub fn unasked(_: &Attack) {
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}
