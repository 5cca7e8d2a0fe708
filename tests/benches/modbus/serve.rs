//! The devices and the subscribers: what was read when, and when it came out.

use std::io::{self, BufRead};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::subscribe;

/// Reads of a device whose time is known.
pub const KEPT: usize = 64;

/// What has been read and published so far.
#[derive(Default)]
pub struct Seen {
    /// By device.
    devices: Vec<Device>,
    /// How old a value was when the first subscriber had it, in milliseconds.
    pub ages: Vec<f64>,
    /// Values that no device had.
    pub wrong: u64,
    pub messages: u64,
}

#[derive(Default)]
struct Device {
    /// Requests so far.
    count: u16,
    /// When those since the beginning came.
    arrivals: Vec<Instant>,
    /// The number and the time of the last ones.
    served: Vec<(u16, Instant)>,
}

pub type Shared = Arc<Mutex<Seen>>;

pub fn lock(shared: &Shared) -> MutexGuard<'_, Seen> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    fn serve(&mut self, device: usize, now: Instant) -> u16 {
        if self.devices.len() <= device {
            self.devices.resize_with(device + 1, Device::default);
        }
        let device = &mut self.devices[device];
        device.count = device.count.wrapping_add(1);
        device.arrivals.push(now);
        let served = (device.count, now);
        match device.served.get_mut(usize::from(device.count) % KEPT) {
            Some(slot) => *slot = served,
            None => device.served.push(served),
        }
        device.count
    }

    /// A subscriber has got the value of a tag that changes with each read.
    pub fn arrived(&mut self, device: usize, tag: u16, value: u16, now: Instant) {
        let number = value.wrapping_sub(tag);
        let device = self.devices.get(device);
        let mut served = device.into_iter().flat_map(|device| &device.served);
        match served.find(|(known, _)| *known == number) {
            Some((_, at)) => self.ages.push((now - *at).as_secs_f64() * 1000.0),
            None => self.wrong += 1,
        }
    }

    fn begin(&mut self) {
        self.devices
            .iter_mut()
            .for_each(|device| device.arrivals.clear());
        self.ages.clear();
        (self.wrong, self.messages) = (0, 0);
    }

    /// Requests; how much later than a second after the one before them they would have come in step, and how old values
    /// were: median, 99th percentile and worst, in milliseconds; messages and wrong values.
    fn figures(&mut self) -> String {
        let mut late = Vec::new();
        let mut requests = 0;
        for device in &self.devices {
            let seen = &device.arrivals;
            requests += seen.len();
            let Some(first) = seen.first() else { continue };
            let step = |index: usize| Duration::from_secs(index as u64);
            let offset = |(index, at): (usize, &Instant)| {
                at.duration_since(*first).as_secs_f64() - step(index).as_secs_f64()
            };
            let offsets: Vec<f64> = seen.iter().enumerate().map(offset).collect();
            let earliest = offsets.iter().copied().fold(f64::INFINITY, f64::min);
            late.extend(offsets.iter().map(|offset| (offset - earliest) * 1000.0));
        }
        let (late, ages) = (spread(&mut late), spread(&mut self.ages));
        format!("{requests} {late} {ages} {} {}", self.messages, self.wrong)
    }
}

fn spread(all: &mut [f64]) -> String {
    all.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (all.len().saturating_sub(1)) as f64 * share;
        all.get(place as usize).copied().unwrap_or_default()
    };
    format!("{} {} {}", at(0.5), at(0.99), at(1.0))
}

/// Answers reads of registers until the standard input ends, and prints the port. Takes "subscribe PORT COUNT", and prints
/// the figures between "begin" and "end".
pub fn serve(changing: u16) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let shared = Shared::default();
    let listener = runtime.block_on(TcpListener::bind("0.0.0.0:0"))?;
    println!("{}", listener.local_addr()?.port());
    let seen = Arc::clone(&shared);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["subscribe", port, count] => {
                    let (port, count) = (port.parse(), count.parse());
                    if let (Ok(port), Ok(count)) = (port, count) {
                        let is_done = subscribe::start(port, count, changing, &seen);
                        println!("{}", if is_done { "subscribed" } else { "no broker" });
                    }
                }
                ["begin"] => lock(&seen).begin(),
                _ => println!("{}", lock(&seen).figures()),
            }
        }
        std::process::exit(0);
    });
    runtime.block_on(async {
        loop {
            let (stream, _) = listener.accept().await?;
            let IpAddr::V4(address) = stream.local_addr()?.ip() else {
                continue;
            };
            let [_, _, high, low] = address.octets();
            let device = usize::from(high) * 250 + usize::from(low).saturating_sub(1);
            tokio::spawn(answer(stream, device, Arc::clone(&shared), changing));
        }
    })
}

async fn answer(
    mut stream: TcpStream,
    device: usize,
    shared: Shared,
    changing: u16,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0u8; 12];
    let mut answer = Vec::new();
    loop {
        stream.read_exact(&mut request).await?;
        let number = lock(&shared).serve(device, Instant::now());
        let count = u16::from_be_bytes([request[10], request[11]]);
        answer.clear();
        answer.extend(&request[..4]);
        answer.extend((3 + count * 2).to_be_bytes());
        answer.extend([request[6], request[7], (count * 2) as u8]);
        for tag in 0..count {
            let moves = tag % 100 < changing;
            let word = if moves { number.wrapping_add(tag) } else { tag };
            answer.extend(word.to_be_bytes());
        }
        stream.write_all(&answer).await?;
    }
}
