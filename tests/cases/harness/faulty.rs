//! A Modbus server of plain bytes, which can be wrong in ways in which no library lets one be.
//!
//! Register 0 of unit 1 holds [`BEFORE`]. Once it is armed, its next answers are spoilt, with
//! [`SPOILT`] for a value, and after them it holds [`AFTER`]. Unit 2 always holds [`OTHER`].

use std::{
    fs::OpenOptions,
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use super::cable::Cable;

pub const BEFORE: u16 = 1111;
pub const AFTER: u16 = 2222;
pub const OTHER: u16 = 3333;
/// In answers of which no value may be taken.
const SPOILT: u16 = 6666;

/// What carries the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Tcp,
    Rtu,
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Exception(u8),
    /// A CRC, or the protocol's number in the header, that is another.
    Check,
    /// Ends within its register. On TCP nothing else comes on its connection.
    Cut,
    CutAndClose,
    Close,
    /// The number of a transaction that there was not.
    OtherNumber,
    OtherUnit,
    OtherFunction,
    /// Announces twice as many bytes as there are.
    ByteCount,
    /// Two registers, of which one was asked for.
    OtherCount,
    /// Comes in front of the next answer.
    Late,
    Silence,
}

/// A server on threads that end with the test's process.
pub struct Server {
    /// The keys of a bus in the mapping.
    pub place: String,
    armed: Arc<AtomicBool>,
    _cable: Option<Cable>,
}

impl Server {
    /// Spoils `times` answers once it is armed.
    pub fn start(wire: Wire, fault: Fault, times: u64) -> Self {
        let armed = Arc::new(AtomicBool::new(false));
        let unit = Script {
            wire,
            fault,
            times,
            spoilt: Arc::default(),
            armed: Arc::clone(&armed),
            late: Vec::new(),
        };
        let (place, cable) = match wire {
            Wire::Tcp => (listen(unit), None),
            Wire::Rtu => {
                let cable = Cable::new();
                let port = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open(cable.device());
                let port = port.expect("the port opens");
                thread::spawn(move || unit.serve(port));
                let path = cable.gateway().display();
                let place = format!("serial: {{port: {path}, baud: 115200}}");
                (place, Some(cable))
            }
        };
        Self {
            place,
            armed,
            _cable: cable,
        }
    }

    /// From now on answers are spoilt.
    pub fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }
}

fn listen(unit: Script) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, unit) = (stream.expect("a connection"), unit.clone());
            thread::spawn(move || unit.serve(stream));
        }
    });
    format!("tcp: \"{address}\"")
}

#[derive(Clone)]
struct Script {
    wire: Wire,
    fault: Fault,
    times: u64,
    spoilt: Arc<AtomicU64>,
    armed: Arc<AtomicBool>,
    late: Vec<u8>,
}

/// What to do with a connection after an answer.
#[derive(PartialEq, Eq)]
enum Then {
    GoOn,
    /// Says nothing any more.
    Mute,
    Close,
}

impl Script {
    fn serve(mut self, mut stream: impl Read + Write) {
        let mut is_mute = false;
        loop {
            // Reads of registers and function 8, which all have the same length.
            let mut request = [0; 12];
            let length = if self.wire == Wire::Tcp { 12 } else { 8 };
            let request = &mut request[..length];
            if stream.read_exact(request).is_err() {
                return;
            }
            let (number, unit) = match self.wire {
                Wire::Tcp => (u16::from_be_bytes([request[0], request[1]]), request[6]),
                Wire::Rtu => (0, request[0]),
            };
            if is_mute {
                self.take_turn(unit);
                continue;
            }
            // A barrier: function 8 comes back as it is, behind what is late.
            if self.wire == Wire::Rtu && request[1] == 8 {
                let mut bytes = std::mem::take(&mut self.late);
                bytes.extend_from_slice(request);
                if stream.write_all(&bytes).is_err() {
                    return;
                }
                continue;
            }
            let (answer, then) = self.answer(number, unit);
            if stream.write_all(&answer).is_err() || then == Then::Close {
                return;
            }
            is_mute = then == Then::Mute;
        }
    }

    /// Whether this request of a unit is one of those that go wrong.
    fn take_turn(&self, unit: u8) -> bool {
        unit == 1
            && self.armed.load(Ordering::SeqCst)
            && self.spoilt.fetch_add(1, Ordering::SeqCst) < self.times
    }

    fn answer(&mut self, number: u16, unit: u8) -> (Vec<u8>, Then) {
        let is_spoilt = self.take_turn(unit);
        let mut bytes = std::mem::take(&mut self.late);
        if is_spoilt {
            let (spoilt, then) = self.spoil(number, unit);
            bytes.extend(spoilt);
            return (bytes, then);
        }
        let value = match unit {
            1 if self.armed.load(Ordering::SeqCst) => AFTER,
            1 => BEFORE,
            _ => OTHER,
        };
        bytes.extend(self.frame(number, unit, &read(value)));
        (bytes, Then::GoOn)
    }

    fn spoil(&mut self, number: u16, unit: u8) -> (Vec<u8>, Then) {
        let [high, low] = SPOILT.to_be_bytes();
        let proper = self.frame(number, unit, &read(SPOILT));
        let cut = || proper[..proper.len() - if self.wire == Wire::Tcp { 1 } else { 3 }].to_vec();
        let bytes = match self.fault {
            Fault::Exception(code) => self.frame(number, unit, &[0x83, code]),
            Fault::Check => {
                let mut frame = proper;
                let place = if self.wire == Wire::Tcp {
                    3
                } else {
                    frame.len() - 1
                };
                frame[place] ^= 1;
                frame
            }
            Fault::Cut if self.wire == Wire::Tcp => return (cut(), Then::Mute),
            Fault::Cut => cut(),
            Fault::CutAndClose => return (cut(), Then::Close),
            Fault::Close => return (Vec::new(), Then::Close),
            Fault::OtherNumber => self.frame(number.wrapping_add(1000), unit, &read(SPOILT)),
            Fault::OtherUnit => self.frame(number, 9, &read(SPOILT)),
            Fault::OtherFunction => self.frame(number, unit, &[4, 2, high, low]),
            Fault::ByteCount => self.frame(number, unit, &[3, 4, high, low]),
            Fault::OtherCount => self.frame(number, unit, &[3, 4, high, low, high, low]),
            Fault::Late => {
                self.late = proper;
                Vec::new()
            }
            Fault::Silence => Vec::new(),
        };
        (bytes, Then::GoOn)
    }

    fn frame(&self, number: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        match self.wire {
            Wire::Tcp => {
                frame.extend(number.to_be_bytes());
                frame.extend([0, 0, 0, pdu.len() as u8 + 1, unit]);
                frame.extend(pdu);
            }
            Wire::Rtu => {
                frame.push(unit);
                frame.extend(pdu);
                frame.extend(crc(&frame).to_le_bytes());
            }
        }
        frame
    }
}

fn read(value: u16) -> [u8; 4] {
    let [high, low] = value.to_be_bytes();
    [3, 2, high, low]
}

/// MODBUS over Serial Line V1.02, section 6.2.2, bit by bit.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xA001
            } else {
                crc >> 1
            }
        })
    })
}
