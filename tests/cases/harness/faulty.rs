//! The Modbus server of the tests, on a port or on a line, whose next answers can be spoilt.
//!
//! Register [`BEFORE`] of unit 1 holds that number. Once the server is armed, its next answers are spoilt, with
//! [`SPOILT`] for a value, and after them the register holds [`AFTER`]. Unit 2 is never spoilt.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
};

use fieldgate_test_device::{Act, Fake, State, Wire, serve};
use tokio_serial::SerialPortBuilderExt;

use super::cable::Cable;

pub const BEFORE: u16 = 1111;
pub const AFTER: u16 = 2222;
pub const OTHER: u16 = 3333;
/// In answers of which no value may be taken.
const SPOILT: u16 = 6666;

/// A server on a thread that ends with the test's process.
pub struct Server {
    /// The keys of a bus in the mapping.
    pub place: String,
    state: Arc<Mutex<State>>,
    act: Act,
    times: usize,
    _cable: Option<Cable>,
}

impl Server {
    /// Does `act` with `times` answers once it is armed.
    pub fn start(wire: Wire, act: Act, times: usize) -> Self {
        let state = Arc::new(Mutex::new(State {
            scripted: Some(1),
            spoilt: Some(SPOILT),
            ..State::default()
        }));
        let cable = (wire == Wire::Rtu).then(Cable::new);
        let port = cable
            .as_ref()
            .map(|cable| cable.device().display().to_string());
        let (send, place) = mpsc::channel();
        let served = Arc::clone(&state);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                match port {
                    Some(port) => {
                        let line = tokio_serial::new(port, 115_200).open_native_async();
                        send.send(String::new()).expect("the case waits for it");
                        serve(line.expect("the port opens"), wire, served).await;
                    }
                    None => {
                        let fake = Fake::start_on("127.0.0.1:0", served).await;
                        send.send(format!("tcp: \"{}\"", fake.address))
                            .expect("the case waits for it");
                        std::future::pending::<()>().await;
                    }
                }
            });
        });
        let place = place.recv().expect("it serves");
        let place = match &cable {
            Some(cable) => {
                let path = cable.gateway().display();
                format!("serial: {{port: {path}, baud: 115200}}")
            }
            None => place,
        };
        Self {
            place,
            state,
            act,
            times,
            _cable: cable,
        }
    }

    /// From now on answers are spoilt.
    pub fn arm(&self) {
        let mut state = self.state.lock().expect("no panic");
        state.registers.insert(BEFORE, AFTER);
        state
            .script
            .extend(std::iter::repeat_n(self.act, self.times));
    }
}
