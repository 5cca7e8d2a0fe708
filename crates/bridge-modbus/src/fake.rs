//! A Modbus TCP server for tests, written by hand so that it can misbehave.
//!
//! Register `n` of every unit holds `n`, and coil `n` is on if `n` is odd, until they are written:
//! a value that was read from the wrong place shows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

/// What the server does with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Answer,
    Silence,
    /// Answers after so many milliseconds.
    Late(u64),
    WrongId,
    WrongUnit,
    WrongFunction,
    WrongProtocol,
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
pub(crate) struct State {
    pub(crate) script: VecDeque<Act>,
    /// Connection, unit and the request without its header.
    pub(crate) seen: Vec<(usize, u8, Vec<u8>)>,
    pub(crate) registers: BTreeMap<u16, u16>,
    pub(crate) coils: BTreeMap<u16, bool>,
    /// A request that touches one of these gets exception 2.
    pub(crate) holes: BTreeSet<u16>,
    /// A write to one of these is acknowledged and forgotten.
    pub(crate) stuck: BTreeSet<u16>,
    pub(crate) silent_units: BTreeSet<u8>,
    pub(crate) connections: usize,
    /// How many answers are held back and then sent in the wrong order; below 2 none.
    pub(crate) hold: usize,
    /// A connection on which something is asked earlier than that is deaf for good.
    pub(crate) starts_in: Duration,
    /// Functions that are refused.
    pub(crate) lacks: BTreeSet<u8>,
}

pub(crate) struct Fake {
    pub(crate) address: String,
    pub(crate) state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        Self::start_on(&own_address(), Arc::default()).await
    }

    pub(crate) async fn start_on(address: &str, state: Arc<Mutex<State>>) -> Self {
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
    pub(crate) async fn stop(self) -> (String, Arc<Mutex<State>>) {
        self.task.abort();
        let _ = self.task.await;
        (self.address, self.state)
    }

    pub(crate) fn script(&self, acts: &[Act]) {
        self.state.lock().unwrap().script.extend(acts);
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// Function, address and count or value of each request so far.
    pub(crate) fn requests(&self) -> Vec<(u8, u16, u16)> {
        let state = self.state.lock().unwrap();
        let requests = state
            .seen
            .iter()
            .map(|(_, _, pdu)| (pdu[0], word(pdu, 1), word(pdu, 3)));
        requests.collect()
    }

    pub(crate) fn requests_to(&self, unit: u8) -> usize {
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
        let number = {
            let mut state = state.lock().unwrap();
            state.connections += 1;
            state.connections
        };
        connections.spawn(serve(stream, number, state.clone()));
    }
}

async fn serve(mut stream: TcpStream, number: usize, state: Arc<Mutex<State>>) {
    let mut held: Vec<([u8; 7], Vec<u8>, u8)> = Vec::new();
    let (begun, mut is_deaf) = (Instant::now(), false);
    loop {
        let mut header = [0; 7];
        if stream.read_exact(&mut header).await.is_err() {
            return;
        }
        let mut pdu = vec![0; usize::from(word(&header, 4)) - 1];
        if stream.read_exact(&mut pdu).await.is_err() {
            return;
        }
        let (act, answer) = {
            let mut state = state.lock().unwrap();
            state.seen.push((number, header[6], pdu.clone()));
            is_deaf |= begun.elapsed() < state.starts_in;
            let act = match state.script.pop_front() {
                _ if is_deaf => Act::Silence,
                _ if state.silent_units.contains(&header[6]) => Act::Silence,
                act => act.unwrap_or(Act::Answer),
            };
            let is_lost = matches!(act, Act::Close | Act::CloseMidFrame | Act::Exception(_));
            let answer = if is_lost {
                Vec::new()
            } else {
                answer(&mut state, &pdu)
            };
            (act, answer)
        };
        let hold = state.lock().unwrap().hold;
        if hold > 1 {
            held.push((header, answer, pdu[0]));
            if held.len() == hold {
                for (header, answer, function) in held.drain(..).rev() {
                    reply(&mut stream, act, header, answer, function).await;
                }
            }
            continue;
        }
        if !reply(&mut stream, act, header, answer, pdu[0]).await {
            return;
        }
    }
}

/// False to close the connection.
async fn reply(
    stream: &mut TcpStream,
    act: Act,
    mut header: [u8; 7],
    mut answer: Vec<u8>,
    function: u8,
) -> bool {
    match act {
        Act::Answer
        | Act::Twice
        | Act::AnswerAndClose
        | Act::Longer(_)
        | Act::Length(_)
        | Act::Flip(_)
        | Act::Cut(_) => {}
        Act::NoId => header[..2].fill(0),
        Act::Silence => return true,
        Act::Late(ms) => sleep(Duration::from_millis(ms)).await,
        Act::WrongId => header[1] ^= 1,
        Act::WrongUnit => header[6] ^= 1,
        Act::WrongFunction => answer[0] ^= 7,
        Act::WrongProtocol => header[2] ^= 1,
        Act::Short => {
            let less = if function <= 2 { 1 } else { 2 };
            answer.truncate(answer.len() - less);
            answer[1] -= less as u8;
        }
        Act::Exception(code) => answer = vec![function | 0x80, code],
        Act::CloseMidFrame => answer = vec![function, 2],
        Act::Close => return false,
        Act::Garbage => {
            return stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .is_ok();
        }
    }
    let length = answer.len() as u16 + 1;
    let length = match act {
        Act::CloseMidFrame => length + 2,
        Act::Longer(by) => length + by,
        Act::Length(length) => length,
        _ => length,
    };
    header[4..6].copy_from_slice(&length.to_be_bytes());
    let mut frame = header.to_vec();
    frame.extend(&answer);
    match act {
        Act::Flip(bit) => frame[bit / 8] ^= 0x80 >> (bit % 8),
        Act::Cut(bytes) => frame.truncate(bytes),
        _ => {}
    }
    let mut is_ok = stream.write_all(&frame).await.is_ok();
    if act == Act::Twice {
        is_ok &= stream.write_all(&frame).await.is_ok();
    }
    is_ok && !matches!(act, Act::CloseMidFrame | Act::AnswerAndClose | Act::Cut(_))
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
