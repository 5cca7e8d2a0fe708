//! The devices: one listener, one small task for each connection.

use std::io::{self, BufRead};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fieldgate_bridge_modbus::{DeviceEntry, plan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Arrivals = Arc<Mutex<Vec<Vec<Instant>>>>;

/// Answers reads of registers until the standard input ends. Prints the port, and after "begin"
/// and "end" how many requests came between and how late they were.
pub fn serve(changing: u16) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let arrivals = Arrivals::default();
    let listener = runtime.block_on(TcpListener::bind("0.0.0.0:0"))?;
    println!("{}", listener.local_addr()?.port());
    let seen = Arc::clone(&arrivals);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let mut seen = seen.lock().expect("no task panics");
            match line.as_str() {
                "begin" => seen.iter_mut().for_each(Vec::clear),
                _ => println!("{}", lateness(&seen)),
            }
        }
        std::process::exit(0);
    });
    runtime.block_on(async {
        let start = Instant::now();
        loop {
            let (stream, _) = listener.accept().await?;
            let number = {
                let mut all = arrivals.lock().expect("no task panics");
                all.push(Vec::new());
                all.len() - 1
            };
            let arrivals = Arc::clone(&arrivals);
            tokio::spawn(answer(stream, number, arrivals, changing, start));
        }
    })
}

async fn answer(
    mut stream: TcpStream,
    number: usize,
    arrivals: Arrivals,
    changing: u16,
    start: Instant,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0u8; 12];
    let mut answer = Vec::new();
    loop {
        stream.read_exact(&mut request).await?;
        let now = Instant::now();
        if let Some(seen) = arrivals.lock().expect("no task panics").get_mut(number) {
            seen.push(now);
        }
        let count = u16::from_be_bytes([request[10], request[11]]);
        let second = now.duration_since(start).as_secs() as u16;
        answer.clear();
        answer.extend(&request[..4]);
        answer.extend((3 + count * 2).to_be_bytes());
        answer.extend([request[6], request[7], (count * 2) as u8]);
        for tag in 0..count {
            let moves = tag % 100 < changing;
            let word = if moves { second.wrapping_add(tag) } else { tag };
            answer.extend(word.to_be_bytes());
        }
        stream.write_all(&answer).await?;
    }
}

/// How many requests came, and how much later than a second after the one before them they would
/// have come in step: the median, the 99th percentile and the worst, in milliseconds.
fn lateness(all: &[Vec<Instant>]) -> String {
    let mut late = Vec::new();
    let mut requests = 0;
    for seen in all {
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
    late.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (late.len().saturating_sub(1)) as f64 * share;
        late.get(place as usize).copied().unwrap_or_default()
    };
    format!("{requests} {} {} {}", at(0.5), at(0.99), at(1.0))
}

/// Maps of real shapes: the name, and the requests, registers and points of their plan.
pub fn plans() -> Vec<(&'static str, f64, f64, f64)> {
    let sdm: Vec<u16> = (0..18)
        .chain([21, 23, 24, 26, 27, 28, 30, 31, 35, 36, 37])
        .map(|n| n * 2)
        .collect();
    let dense: Vec<u16> = (0..60).map(|n| n * 2).collect();
    let sparse: Vec<u16> = (0..20).map(|n| n * 40).collect();
    let maps = [
        ("29 of a three-phase meter's map", sdm),
        ("60 without gaps", dense),
        ("20 far apart", sparse),
    ];
    let planned = maps.map(|(name, addresses)| {
        let points: Vec<String> = addresses
            .iter()
            .map(|at| format!("\"p{at}\": {{\"input\": {at}, \"as\": \"f32\"}}"))
            .collect();
        let json = format!(
            "{{\"bus\": \"b\", \"unit\": 1, \"points\": {{{}}}}}",
            points.join(",")
        );
        let entry: DeviceEntry = serde_json::from_str(&json).expect("a device");
        let device = entry
            .resolve("d", 1, None, &Default::default())
            .expect("a device");
        let all: Vec<usize> = (0..device.points.len()).collect();
        let requests = plan(&device, &all, &Default::default());
        let read: u32 = requests
            .iter()
            .map(|request| u32::from(request.count))
            .sum();
        (
            name,
            requests.len() as f64,
            f64::from(read),
            addresses.len() as f64,
        )
    });
    planned.into()
}
