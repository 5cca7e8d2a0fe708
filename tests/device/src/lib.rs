//! The Modbus server of the tests, of plain bytes, so that it can be wrong in ways in which no library lets one be.
//!
//! Register `n` of every unit holds `n`, and coil `n` is on if `n` is odd, until they are written:
//! a value that was read from the wrong place shows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crc::{CRC_16_MODBUS, Crc};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_MODBUS);

/// What carries the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Tcp,
    Rtu,
}

/// What the server does with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Answer,
    Silence,
    /// Answers after so many milliseconds.
    Late(u64),
    WrongId,
    WrongUnit,
    WrongFunction,
    /// The number of the protocol in the header, or on RTU the CRC, is another.
    WrongCheck,
    /// Announces twice as many bytes as there are.
    ByteCount,
    /// Twice as many registers as were asked for.
    Twofold,
    /// Comes in front of the next answer.
    Behind,
    /// Ends within its register. On TCP nothing else comes on its connection.
    CutOff,
    /// One register or one byte of bits too few.
    Short,
    Exception(u8),
    CloseMidFrame,
    Close,
    Garbage,
    /// Answers, and sends the answer once more.
    Twice,
    /// Answers, and closes the connection.
    AnswerAndClose,
    /// Answers with a header that names so many bytes more than there are.
    Longer(u16),
    /// Answers with a header that names so many bytes, whatever there are.
    Length(u16),
    /// Answers with transaction 0.
    NoId,
    /// Answers with one bit of the frame turned over.
    Flip(usize),
    /// Sends so many bytes of its answer and closes the connection.
    Cut(usize),
}

#[derive(Default)]
pub struct State {
    pub script: VecDeque<Act>,
    /// Connection, unit and the request without its header.
    pub seen: Vec<(usize, u8, Vec<u8>)>,
    pub registers: BTreeMap<u16, u16>,
    pub coils: BTreeMap<u16, bool>,
    /// A request that touches one of these gets exception 2.
    pub holes: BTreeSet<u16>,
    /// A write to one of these is acknowledged and forgotten.
    pub stuck: BTreeSet<u16>,
    pub silent_units: BTreeSet<u8>,
    pub connections: usize,
    /// How many answers are held back and then sent in the wrong order; below 2 none.
    pub hold: usize,
    /// A connection on which something is asked earlier than that is deaf for good.
    pub starts_in: Duration,
    /// Functions that are refused.
    pub lacks: BTreeSet<u8>,
    /// The only unit for whose requests the script is.
    pub scripted: Option<u8>,
    /// What registers hold in answers that the script spoils.
    pub spoilt: Option<u16>,
}

pub struct Fake {
    pub address: String,
    pub state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Fake {
    pub async fn start() -> Self {
        Self::start_on(&own_address(), Arc::default()).await
    }

    pub async fn start_on(address: &str, state: Arc<Mutex<State>>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let task = tokio::spawn(accept(listener, state.clone()));
        Self {
            address,
            state,
            task,
        }
    }

    /// Closes the port and all connections.
    pub async fn stop(self) -> (String, Arc<Mutex<State>>) {
        self.task.abort();
        let _ = self.task.await;
        (self.address, self.state)
    }

    pub fn script(&self, acts: &[Act]) {
        self.state.lock().unwrap().script.extend(acts);
    }

    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// Function, address and count or value of each request so far.
    pub fn requests(&self) -> Vec<(u8, u16, u16)> {
        let state = self.state.lock().unwrap();
        let requests = state
            .seen
            .iter()
            .map(|(_, _, pdu)| (pdu[0], word(pdu, 1), word(pdu, 3)));
        requests.collect()
    }

    pub fn requests_to(&self, unit: u8) -> usize {
        let state = self.state.lock().unwrap();
        state
            .seen
            .iter()
            .filter(|(_, seen, _)| *seen == unit)
            .count()
    }
}

/// A loopback address of this server's own, so that no other takes its port while it is down: other
/// programs listen on and connect from 127.0.0.1. Nor can a client that connects to it from there
/// meet itself, as one can on a free port of its own address.
fn own_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{high}.{low}:0", 16 + number % 200)
}

fn word(bytes: &[u8], at: usize) -> u16 {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
    u16::from_be_bytes([byte(at), byte(at + 1)])
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Wire::Tcp, state.clone()));
    }
}

/// One request: its header as on TCP, of which RTU has the unit only, and the rest.
struct Request {
    header: [u8; 7],
    pdu: Vec<u8>,
}

async fn read(stream: &mut (impl AsyncRead + Unpin), wire: Wire) -> Option<Request> {
    let mut header = [0; 7];
    if wire == Wire::Tcp {
        stream.read_exact(&mut header).await.ok()?;
        let mut pdu = vec![0; usize::from(word(&header, 4)) - 1];
        stream.read_exact(&mut pdu).await.ok()?;
        return Some(Request { header, pdu });
    }
    // Reads, single writes and function 8, which all have the same length.
    let mut frame = [0; 8];
    stream.read_exact(&mut frame).await.ok()?;
    header[6] = frame[0];
    let pdu = frame[1..6].to_vec();
    Some(Request { header, pdu })
}

/// What to do with a connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    /// Says nothing any more.
    Mute,
    Close,
}

/// Answers what comes over a connection or a line, until it ends.
pub async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    wire: Wire,
    state: Arc<Mutex<State>>,
) {
    let number = {
        let mut state = state.lock().unwrap();
        state.connections += 1;
        state.connections
    };
    let mut held: Vec<(Request, Vec<u8>)> = Vec::new();
    let (begun, mut is_deaf) = (Instant::now(), false);
    let mut behind = Vec::new();
    while let Some(request) = read(&mut stream, wire).await {
        // A barrier comes back as it is, behind what is late.
        if wire == Wire::Rtu && request.pdu[0] == 8 {
            behind.extend(rtu(request.header[6], &request.pdu));
            if stream
                .write_all(&std::mem::take(&mut behind))
                .await
                .is_err()
            {
                return;
            }
            continue;
        }
        let (act, answer) = {
            let mut state = state.lock().unwrap();
            let unit = request.header[6];
            state.seen.push((number, unit, request.pdu.clone()));
            is_deaf |= begun.elapsed() < state.starts_in;
            let is_scripted = state.scripted.is_none_or(|scripted| scripted == unit);
            let act = match state.script.front().copied().filter(|_| is_scripted) {
                Some(act) => {
                    state.script.pop_front();
                    act
                }
                None => Act::Answer,
            };
            let act = match act {
                _ if is_deaf || state.silent_units.contains(&unit) => Act::Silence,
                act => act,
            };
            let is_lost = matches!(act, Act::Close | Act::CloseMidFrame | Act::Exception(_));
            let answer = match is_lost {
                true => Vec::new(),
                false => spoilt(&mut state, &request.pdu, act),
            };
            (act, answer)
        };
        let hold = state.lock().unwrap().hold;
        if hold > 1 {
            held.push((request, answer));
            if held.len() == hold {
                for (request, answer) in held.drain(..).rev() {
                    let (bytes, _) = reply(wire, act, request, answer);
                    let _ = stream.write_all(&bytes).await;
                }
            }
            continue;
        }
        if let Act::Late(ms) = act {
            sleep(Duration::from_millis(ms)).await;
        }
        let (bytes, then) = reply(wire, act, request, answer);
        let mut out = std::mem::take(&mut behind);
        match act {
            Act::Behind => behind = bytes,
            _ => out.extend(bytes),
        }
        if stream.write_all(&out).await.is_err() || then == Then::Close {
            return;
        }
        is_deaf |= then == Then::Mute;
    }
}

/// The answer, with other values if it is spoilt.
fn spoilt(state: &mut State, pdu: &[u8], act: Act) -> Vec<u8> {
    let mut bytes = answer(state, pdu);
    if let (Some(value), 3 | 4, true) = (state.spoilt, bytes[0], act != Act::Answer) {
        for register in bytes[2..].chunks_mut(2) {
            register.copy_from_slice(&value.to_be_bytes());
        }
    }
    bytes
}

/// What is sent for an answer.
fn reply(wire: Wire, act: Act, request: Request, mut answer: Vec<u8>) -> (Vec<u8>, Then) {
    let Request { mut header, pdu } = request;
    let function = pdu[0];
    match act {
        Act::Silence => return (Vec::new(), Then::GoOn),
        Act::Close => return (Vec::new(), Then::Close),
        Act::Garbage => return (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Then::GoOn),
        Act::NoId => header[..2].fill(0),
        Act::WrongId => header[1] ^= 1,
        Act::WrongUnit => header[6] ^= 8,
        Act::WrongFunction => answer[0] ^= 7,
        Act::WrongCheck => header[2] ^= 1,
        Act::ByteCount => answer[1] *= 2,
        Act::Twofold => {
            answer[1] *= 2;
            answer.extend_from_within(2..);
        }
        Act::Short => {
            let less = if function <= 2 { 1 } else { 2 };
            answer.truncate(answer.len() - less);
            answer[1] -= less as u8;
        }
        Act::Exception(code) => answer = vec![function | 0x80, code],
        Act::CloseMidFrame => answer = vec![function, 2],
        _ => {}
    }
    let length = answer.len() as u16 + 1;
    let length = match act {
        Act::CloseMidFrame => length + 2,
        Act::Longer(by) => length + by,
        Act::Length(length) => length,
        _ => length,
    };
    header[4..6].copy_from_slice(&length.to_be_bytes());
    let mut frame = match wire {
        Wire::Tcp => [&header[..], &answer].concat(),
        Wire::Rtu => rtu(header[6], &answer),
    };
    let end = frame.len();
    match act {
        Act::WrongCheck if wire == Wire::Rtu => frame[end - 1] ^= 1,
        Act::Flip(bit) => frame[bit / 8] ^= 0x80 >> (bit % 8),
        Act::Cut(bytes) => frame.truncate(bytes),
        Act::CutOff if wire == Wire::Tcp => frame.truncate(end - 1),
        Act::CutOff => frame.truncate(end - 3),
        Act::Twice => frame.extend_from_within(..),
        _ => {}
    }
    let then = match act {
        Act::CloseMidFrame | Act::AnswerAndClose | Act::Cut(_) => Then::Close,
        Act::CutOff if wire == Wire::Tcp => Then::Mute,
        _ => Then::GoOn,
    };
    (frame, then)
}

fn rtu(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = [&[unit], pdu].concat();
    frame.extend(CRC.checksum(&frame).to_le_bytes());
    frame
}

fn answer(state: &mut State, pdu: &[u8]) -> Vec<u8> {
    let (function, address, count) = (pdu[0], word(pdu, 1), word(pdu, 3));
    let span = match function {
        1..=4 | 16 => u32::from(count),
        _ => 1,
    };
    let touched = u32::from(address)..u32::from(address) + span;
    if state
        .holes
        .iter()
        .any(|hole| touched.contains(&u32::from(*hole)))
    {
        return vec![function | 0x80, 2];
    }
    if state.lacks.contains(&function) {
        return vec![function | 0x80, 1];
    }
    let is_stuck = state.stuck.contains(&address);
    let register = |state: &State, at: u32| {
        let at = at as u16;
        state.registers.get(&at).copied().unwrap_or(at)
    };
    match function {
        1 | 2 => {
            let mut bytes = vec![0u8; usize::from(count).div_ceil(8)];
            for (index, at) in touched.enumerate() {
                let at = at as u16;
                let is_on = state.coils.get(&at).copied().unwrap_or(at % 2 == 1);
                bytes[index / 8] |= u8::from(is_on) << (index % 8);
            }
            [vec![function, bytes.len() as u8], bytes].concat()
        }
        3 | 4 => {
            let words = touched.flat_map(|at| register(state, at).to_be_bytes());
            let words: Vec<u8> = words.collect();
            [vec![function, words.len() as u8], words].concat()
        }
        5 | 6 if is_stuck => pdu.to_vec(),
        5 => {
            state.coils.insert(address, count == 0xFF00);
            pdu.to_vec()
        }
        6 => {
            state.registers.insert(address, count);
            pdu.to_vec()
        }
        16 => {
            for (index, at) in touched.enumerate() {
                if !is_stuck {
                    state.registers.insert(at as u16, word(pdu, 6 + 2 * index));
                }
            }
            pdu[..5].to_vec()
        }
        _ => vec![function | 0x80, 1],
    }
}
