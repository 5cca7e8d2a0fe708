//! The least that a poller can do on this kernel: one thread, epoll, a send and a receive for each device and second,
//! and for each answer one write of all its values as PUBLISH packets to the one subscriber, if there is one.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// Polls until it is killed.
pub fn run(devices: u32, tags: u16, modbus: u16, mqtt: u16, is_read: bool) -> io::Result<()> {
    let mut subscriber = is_read.then(|| accept(mqtt)).transpose()?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut streams = Vec::new();
    for device in 0..devices {
        let (high, low) = ((device / 250) as u8, (device % 250 + 1) as u8);
        let stream = TcpStream::connect((Ipv4Addr::new(127, 1, high, low), modbus))?;
        stream.set_nodelay(true)?;
        epoll::add(
            &poll,
            &stream,
            EventData::new_u64(device.into()),
            EventFlags::IN,
        )?;
        streams.push(stream);
    }
    let begin = Instant::now();
    let mut next: u32 = 0;
    let (mut answer, mut out) = ([0; 512], Vec::with_capacity(1 << 16));
    let mut events = [MaybeUninit::<epoll::Event>::uninit(); 128];
    loop {
        // Evenly over the second.
        let due = |next: u32| begin + Duration::from_secs(1) * next / devices;
        while due(next) <= Instant::now() {
            let [high, low] = (next as u16).to_be_bytes();
            let [count_high, count_low] = tags.to_be_bytes();
            let request = [high, low, 0, 0, 0, 6, 1, 4, 0, 0, count_high, count_low];
            streams[(next % devices) as usize].write_all(&request)?;
            next += 1;
        }
        let wait = due(next).saturating_duration_since(Instant::now());
        let wait = rustix::event::Timespec::try_from(wait).map_err(io::Error::other)?;
        let (ready, _) = epoll::wait(&poll, &mut events, Some(&wait))?;
        for event in ready {
            let device = event.data.u64();
            let len = streams[device as usize].read(&mut answer)?;
            if let Some(subscriber) = &mut subscriber {
                out.clear();
                write(&mut out, device, &answer[9..len.max(9)]);
                subscriber.write_all(&out)?;
            }
        }
    }
}

/// A broker for one client, which asks for everything.
fn accept(port: u16) -> io::Result<TcpStream> {
    let (mut stream, _) = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.accept()?;
    let mut packet = [0; 64];
    let _ = stream.read(&mut packet)?;
    stream.write_all(&[0x20, 2, 0, 0])?;
    let _ = stream.read(&mut packet)?;
    stream.write_all(&[0x90, 3, 0, 1, 0])?;
    Ok(stream)
}

fn write(out: &mut Vec<u8>, device: u64, words: &[u8]) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_millis();
    for (tag, word) in words.chunks_exact(2).enumerate() {
        let start = out.len();
        // The lengths follow; each packet is shorter than 128 bytes. Writing to a vector does not fail.
        out.extend([0x30, 0, 0, 0]);
        let _ = write!(out, "bench/d{device}/p{tag}");
        out[start + 3] = (out.len() - start - 4) as u8;
        let value = u16::from_be_bytes([word[0], word[1]]);
        let _ = write!(
            out,
            "{{\"value\":{value},\"ts\":{now},\"quality\":\"good\"}}"
        );
        out[start + 1] = (out.len() - start - 2) as u8;
    }
}
