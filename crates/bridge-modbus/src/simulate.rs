//! Simulated devices for a configuration: every point gets a value that moves and fits it.
//!
//! What is chosen is pure; [`Simulator`] opens the sockets.

use std::io;
use std::time::Duration;

use fieldgate_bridge::{Place, Simulated, Work};
use fieldgate_model::{Decimal, Value};
use fieldgate_sim::{Image, ModbusServer, Pace, Pty, Table as SimTable, Unit, Wave, serve_rtu};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::WriteRule;
use crate::{
    DeviceConfig, PointConfig, SerialConfig, Table, Transport, Type, WriteRequest, encode,
};
use fieldgate_field_line::{Parity, PortSettings};

/// The simulated units of one bus.
#[derive(Debug)]
pub struct Simulator {
    /// How clients reach them.
    pub transport: Transport,
    image: Image,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Simulator {
    /// Makes the place and serves the devices there. `real` is how the bus is reached otherwise.
    ///
    /// # Errors
    ///
    /// That it cannot listen there, or that there is no line.
    pub async fn start(
        place: Place,
        real: &Transport,
        devices: &[&DeviceConfig],
    ) -> io::Result<Self> {
        let started = Self::open(place, real).await.map_err(|error| {
            let text = match place {
                Place::Listen(listen) => format!("cannot listen on {listen}: {error}"),
                Place::Line => format!("no line to simulate a bus on: {error}"),
            };
            io::Error::new(error.kind(), text)
        })?;
        started.update(devices);
        Ok(started)
    }

    async fn open(place: Place, real: &Transport) -> io::Result<Self> {
        let (image, cancel) = (Image::new(), CancellationToken::new());
        let served = (image.clone(), cancel.clone());
        let (transport, task) = match (place, real) {
            (Place::Line, Transport::Serial(serial)) => {
                let pty = Pty::open()?;
                let port = pty.path().display().to_string();
                let pace = Pace {
                    character: serial.port.character(),
                    thinks: THINKS,
                };
                // A line without a cable has no parity; the pace is that of the real one.
                let serial = SerialConfig::new(PortSettings {
                    port,
                    parity: Parity::None,
                    rs485: None,
                    dtr: None,
                    rts: None,
                    ..serial.port.clone()
                });
                let task = tokio::spawn(serve_line(pty, served.0, pace, served.1));
                (Transport::Serial(serial), task)
            }
            (Place::Line, Transport::Tcp(_) | Transport::RtuOverTcp(_)) => {
                let text = "only a serial bus is simulated on a line";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            (Place::Listen(listen), Transport::RtuOverTcp(_)) => {
                let listener = TcpListener::bind(listen).await?;
                let address = listener.local_addr()?.to_string();
                let task = tokio::spawn(serve_streams(listener, served.0, served.1));
                (Transport::RtuOverTcp(address), task)
            }
            (Place::Listen(listen), Transport::Tcp(_) | Transport::Serial(_)) => {
                let server = ModbusServer::bind(listen).await?;
                let address = server.local_addr()?.to_string();
                let task = tokio::spawn(server.run(served.0, served.1));
                (Transport::Tcp(address), task)
            }
        };
        Ok(Self {
            transport,
            image,
            cancel,
            task,
        })
    }

    /// Takes these devices of the bus in; units of other devices go on undisturbed.
    pub fn update(&self, devices: &[&DeviceConfig]) {
        for device in devices {
            let same = devices.iter().filter(|other| other.unit == device.unit);
            self.image.insert(device.unit, unit(same.copied()));
            let objects = ["fieldgate", "simulated", env!("CARGO_PKG_VERSION")];
            self.image.identify(device.unit, objects);
        }
    }

    /// Frees the place, so that it can be used again when this returns.
    pub async fn end(self) {
        self.cancel.cancel();
        if let Err(error) = self.task.await {
            log::error!("simulator: {error}");
        }
    }
}

impl Simulated for Simulator {
    fn stop(self: Box<Self>) -> Work<'static, ()> {
        Box::pin(self.end())
    }
}

/// How long a simulated unit thinks, as real ones do.
const THINKS: Duration = Duration::from_millis(5);

async fn serve_line(mut pty: Pty, image: Image, pace: Pace, cancel: CancellationToken) {
    if let Err(error) = serve_rtu(&mut pty, &image, pace, &cancel).await {
        log::error!("simulated line {}: {error}", pty.path().display());
    }
}

/// RTU over TCP: one client at a time, as a serial device server has it.
async fn serve_streams(listener: TcpListener, image: Image, cancel: CancellationToken) {
    while let Some(accepted) = cancel.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((mut stream, peer)) => {
                let served = serve_rtu(&mut stream, &image, Pace::default(), &cancel).await;
                if let Err(error) = served {
                    log::debug!("simulator: {peer}: {error}");
                }
            }
            Err(error) => {
                log::warn!("simulator: cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The registers and bits of all devices with the same unit number.
fn unit<'d>(devices: impl Iterator<Item = &'d DeviceConfig>) -> Unit {
    let mut unit = Unit::new();
    for device in devices {
        fill_gaps(&mut unit, device);
        for (index, (name, point)) in device.points.iter().enumerate() {
            // Points of one kind shall not all show the same.
            let phase =
                Duration::from_millis(u64::from(device.unit) * 2_700 + index as u64 * 1_300);
            let is_factor = device
                .points
                .iter()
                .any(|(_, other)| other.scale_from == Some(index));
            if is_factor {
                // Its raw register is 0: what it scales is worth what its own register says.
                let zeros = vec![0; usize::from(point.kind.registers())];
                unit.set_words(table(point.table), point.address, &zeros);
                continue;
            }
            add(&mut unit, name, point, phase);
        }
    }
    unit
}

/// A real device answers for the registers between its points, too.
fn fill_gaps(unit: &mut Unit, device: &DeviceConfig) {
    let mut ends: Vec<(Table, u32, u32)> = device
        .points
        .iter()
        .map(|(_, point)| (point.table, u32::from(point.address), point.end()))
        .collect();
    ends.sort_unstable();
    for (left, right) in ends.iter().zip(ends.iter().skip(1)) {
        let gap = right.1.saturating_sub(left.2);
        let Ok(start) = u16::try_from(left.2) else {
            continue;
        };
        if left.0 != right.0 || gap > 125 {
            continue;
        }
        if left.0.is_bits() {
            unit.set_bits(table(left.0), start, &vec![false; gap as usize]);
        } else {
            unit.set_words(table(left.0), start, &vec![0; gap as usize]);
        }
    }
}

fn table(table: Table) -> SimTable {
    match table {
        Table::Coil => SimTable::Coil,
        Table::Discrete => SimTable::Discrete,
        Table::Input => SimTable::Input,
        Table::Holding => SimTable::Holding,
    }
}

fn add(unit: &mut Unit, name: &str, point: &PointConfig, phase: Duration) {
    let at = (table(point.table), point.address);
    let blink = Wave::Toggle {
        // A period of zero stands still: what clients set stays off until they do.
        period: if point.write.is_some() {
            Duration::ZERO
        } else {
            Duration::from_secs(8)
        },
    };
    match point.kind {
        Type::Switch => unit.move_bit(at.0, at.1, move |now| blink.is_on(now + phase)),
        Type::Bit(_) => {
            for bit in bits_of(point, &Value::Bool(true)) {
                unit.move_register_bit(at.0, at.1, bit, move |now| blink.is_on(now + phase));
            }
        }
        // The other byte of the register may be another point.
        Type::U8High | Type::U8Low => {
            for bit in bits_of(point, &Value::Decimal(Decimal::ONE)) {
                let is_settable = point.write.is_some();
                let point = writable(point);
                let shape = shape(name, &point, is_settable);
                let source = move |now: Duration| {
                    let word = words(&point, &shape.at(&point, now + phase));
                    word.first().is_some_and(|word| word >> bit & 1 == 1)
                };
                unit.move_register_bit(at.0, at.1, bit, source);
            }
        }
        kind => {
            let is_settable = point.write.is_some();
            let point = writable(point);
            let shape = shape(name, &point, is_settable);
            let source = move |now: Duration| words(&point, &shape.at(&point, now + phase));
            unit.move_words(at.0, at.1, kind.registers(), source);
        }
    }
}

/// The bits of its register that a point takes.
fn bits_of(point: &PointConfig, any: &Value) -> Vec<u8> {
    let plain = PointConfig {
        scale: Decimal::ONE,
        offset: Decimal::ZERO,
        labels: None,
        invalid: None,
        ..writable(point)
    };
    let mask = match encode(&plain, any) {
        Ok((WriteRequest::Mask { mask, .. }, _)) => mask,
        _ => 0,
    };
    (0..16).filter(|bit| mask >> bit & 1 == 1).collect()
}

/// The point as the device itself sees it: it sets what it only shows to others.
fn writable(point: &PointConfig) -> PointConfig {
    PointConfig {
        table: Table::Holding,
        write: Some(WriteRule::default()),
        ..point.clone()
    }
}

/// What a point shows over time.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Text(String),
    /// Raw numbers, one after the other.
    Steps(Vec<Value>),
    /// The scaled value.
    Scaled(Wave),
    /// The number before it is scaled.
    Raw(Wave),
}

/// How long each step lasts.
const STEP: Duration = Duration::from_secs(5);

impl Shape {
    fn at(&self, point: &PointConfig, now: Duration) -> Value {
        match self {
            Self::Text(text) => Value::Text(text.clone()),
            Self::Steps(values) => {
                let step = now.as_secs() / STEP.as_secs();
                let count = values.len().max(1) as u64;
                let index = usize::try_from(step % count).unwrap_or(0);
                values.get(index).cloned().unwrap_or(Value::Bool(false))
            }
            Self::Scaled(wave) => {
                let scale = point.scale.to_f64();
                let raw = (wave.at(now) - point.offset.to_f64()) / scale;
                scaled(point, raw)
            }
            Self::Raw(wave) => scaled(point, wave.at(now)),
        }
    }
}

/// The value of a raw number: whole for an integer type, and exact.
fn scaled(point: &PointConfig, raw: f64) -> Value {
    let raw = if point.kind.is_float() {
        (raw * 1000.0).round() / 1000.0
    } else {
        raw.round()
    };
    Decimal::from_f64(raw)
        .and_then(|raw| raw.checked_mul(point.scale)?.checked_add(point.offset))
        .map_or(Value::F64(0.0), Value::Decimal)
}

fn words(point: &PointConfig, value: &Value) -> Vec<u16> {
    match encode(point, value) {
        Ok((WriteRequest::Registers { words, .. }, _)) => words,
        Ok((WriteRequest::Mask { bits, .. }, _)) => vec![bits],
        Ok((
            WriteRequest::Coil { .. } | WriteRequest::Coils { .. } | WriteRequest::Exchange { .. },
            _,
        ))
        | Err(_) => {
            vec![0; usize::from(point.kind.registers())]
        }
    }
}

/// The shape for a point, and a plain one where that does not fit the point's type.
fn shape(name: &str, point: &PointConfig, is_settable: bool) -> Shape {
    let wanted = wanted_shape(name, point, is_settable);
    let fits = (0..60).step_by(7).all(|second| {
        let value = wanted.at(point, Duration::from_secs(second));
        encode(point, &value).is_ok()
    });
    if fits {
        return wanted;
    }
    let plain = Wave::Ramp {
        from: 0.0,
        to: 100.0,
        period: Duration::from_secs(50),
    };
    Shape::Raw(plain)
}

fn wanted_shape(name: &str, point: &PointConfig, is_settable: bool) -> Shape {
    match point.kind {
        Type::String(length) => {
            let text = name.to_ascii_uppercase();
            return Shape::Text(text.chars().take(usize::from(length)).collect());
        }
        Type::Bytes(length) => return Shape::Text("5A".repeat(usize::from(length))),
        _ => {}
    }
    // What clients set stands still until they do.
    let is_still = is_settable || point.poll == Some(fieldgate_bridge::Poll::Once);
    if let Some(labels) = &point.labels {
        let raws = labels.iter().map(|(raw, _)| raw.clone());
        let count = if is_still { 1 } else { usize::MAX };
        return Shape::Steps(raws.take(count).collect());
    }
    if is_still {
        return Shape::Raw(Wave::Constant(1.0));
    }
    by_unit(name, point)
}

/// What a quantity of this unit usually looks like in a plant.
fn by_unit(name: &str, point: &PointConfig) -> Shape {
    let counter = |start: f64, per_second: f64| Wave::Counter { start, per_second };
    let sine = |mean: f64, amplitude: f64| Wave::Sine {
        mean,
        amplitude,
        period: Duration::from_secs(30),
    };
    Shape::Scaled(match point.unit.as_deref() {
        Some("V") => sine(230.0, 6.0),
        Some("A") => sine(8.0, 5.0),
        Some("W" | "VA") => sine(1500.0, 900.0),
        Some("var") => sine(200.0, 150.0),
        Some("Hz") => sine(50.0, 0.2),
        Some("kWh" | "kvarh" | "kVAh") => counter(12_345.0, 0.02),
        Some("Wh" | "varh" | "VAh") => counter(123_456.0, 1.0),
        Some("°") => sine(15.0, 10.0),
        Some("°C") => sine(45.0, 10.0),
        Some("%") => sine(60.0, 30.0),
        Some("m") => sine(2.0, 1.2),
        _ if name.contains("factor") => sine(0.93, 0.06),
        _ if point.kind.is_float() => sine(50.0, 40.0),
        _ => return Shape::Raw(counter(100.0, 3.0)),
    })
}

#[cfg(test)]
mod tests;
