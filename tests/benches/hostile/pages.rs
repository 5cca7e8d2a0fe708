//! At the web console: heads that never end, connections that say nothing, uploads that are cut, wrong passwords.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::Duration;

use crate::attack::{Attack, PATIENCE};

/// Bytes that an upload says it has, of which it sends a part.
const UPLOAD: usize = 6 << 20;
/// From one byte of a slow head to the next.
const DRIP: Duration = Duration::from_millis(200);

/// Heads that come a byte at a time, as many at once as the console takes and more.
pub fn slow_heads(attack: &Attack) {
    attack.repeat(100, |thread, _| {
        let mut stream = open(attack, thread)?;
        for byte in b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
            .iter()
            .cycle()
        {
            stream.write_all(&[*byte])?;
            thread::sleep(DRIP);
        }
        Ok(())
    });
}

/// A thousand connections that say nothing; those that the console closes are opened again.
pub fn half_open(attack: &Attack) {
    attack.repeat(1_000, |thread, _| {
        let mut stream = open(attack, thread)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        // Until the console ends it.
        let _ = stream.read(&mut [0; 64]);
        Ok(())
    });
}

/// Restores of 6 MiB, each of which ends half-way.
pub fn cut_uploads(attack: &Attack) {
    let body = vec![b'A'; UPLOAD / 2];
    attack.repeat(8, |thread, _| {
        let mut stream = open(attack, thread)?;
        let head = format!("Content-Length: {UPLOAD}\r\n");
        stream.write_all(request("restore", &head).as_bytes())?;
        stream.write_all(&body)
    });
}

/// Wrong passwords and tokens, without waiting for the answer of the one before.
pub fn logins(attack: &Attack) {
    let body = r#"{"user": "ann", "password": "wrong"}"#;
    attack.repeat(32, |thread, number| {
        let mut stream = open(attack, thread)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        match number % 2 {
            0 => {
                let head = format!("Content-Length: {}\r\n", body.len());
                stream.write_all(format!("{}{body}", request("session", &head)).as_bytes())?;
            }
            _ => {
                let head = format!(
                    "Content-Length: 2\r\nAuthorization: Bearer fg_{}\r\n",
                    "A".repeat(43)
                );
                stream.write_all(format!("{}{{}}", request("backup", &head)).as_bytes())?;
            }
        }
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)
    });
}

/// Each attacking thread has an address of its own, so that the console's limit of an address is no help.
fn open(attack: &Attack, thread: u64) -> io::Result<TcpStream> {
    let from = Ipv4Addr::new(127, 0, 2, (2 + thread % 250) as u8);
    let stream = attack.stream_to(from, attack.console)?;
    attack.step();
    Ok(stream)
}

fn request(path: &str, head: &str) -> String {
    format!(
        "POST /api/v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Site: same-origin\r\n\
         Content-Type: application/json\r\nConnection: close\r\n{head}\r\n"
    )
}
