//! The web console: pages for the engineer at the cabinet, and the REST interface under them.
//!
//! It reads the plant through [`fieldgate_plant`] and writes through it, and what else it shows or asks is told to it
//! by small traits. It knows neither MQTT nor YAML nor paths. It has a thread of its own: whatever its visitors do, no
//! bridge and no client of the broker waits for them.
//!
//! `guard` is what every request passes, `session`, `setup`, `logs` and `trend` are pure, `serve` alone has sockets,
//! and `routes` is the list of everything that can be asked.

mod accounts;
mod answer;
mod app;
mod appliance;
mod assets;
mod certificates;
mod cookie;
mod files;
mod guard;
mod house;
mod jobs;
mod later;
mod live;
mod logs;
mod messages;
mod metrics;
mod network;
mod past;
mod peer;
mod problem;
mod query;
mod routes;
mod serve;
mod session;
mod setup;
mod shown;
mod stall;
mod stream;
mod tools;
mod trend;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use fieldgate_history::{Reader, Tap};
use fieldgate_plant::Plant;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

pub use accounts::{
    Account, Accounts, Bearer, Refusal, Role, RuleView, TokenView, UserChange, UserView, Way,
};
pub use appliance::{
    Appliance, ApplianceView, BundleView, OutlookView, ReleaseView, SlotView, Task, Upload,
    WorkView,
};
pub use bytes::Bytes;
pub use certificates::{CertificateView, Certificates, CertificatesView};
pub use files::{
    Applied, Backup, Candidate, Completion, Files, Mistake, NotDone, Restore, Restored, Text,
    Version,
};
pub use house::{Figure, FigureKind, House};
pub use later::Later;
pub use logs::{Entry as LogEntry, Logs};
pub use messages::{Client, Kept, Level, Messages, Sent};
pub use network::{Addressing, ChangeView, InterfaceView, Network, NetworkView};
pub use serve::{Door, Encrypt, Encrypted, Socket};
pub use tools::{Found, NewDevice, Raw, RawRead, Scan, Told, Tools, Unable};

use app::App;

/// Threads for what takes long, such as passwords. They end when they have had nothing to do for some seconds.
const HELPERS: usize = 4;

/// What is the console's own to decide.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The name of the gateway.
    pub gateway: String,
    /// The version of the program, for people.
    pub version: String,
    /// Names under which visitors may ask for it, beside addresses and `localhost`.
    pub names: Vec<String>,
    /// Whether figures are for every client that can connect; otherwise for programs on this machine, and for those who
    /// are logged in.
    pub open_metrics: bool,
}

/// What it shows and asks.
#[derive(Clone)]
pub struct Around {
    /// The read model.
    pub plant: Plant,
    /// Who may log in.
    pub accounts: Arc<dyn Accounts>,
    /// What the program has logged.
    pub logs: Logs,
    /// The message broker.
    pub messages: Arc<dyn Messages>,
    /// What is done on buses.
    pub tools: Arc<dyn Tools>,
    /// The files of the gateway.
    pub files: Arc<dyn Files>,
    /// The certificate of the gateway.
    pub certificates: Arc<dyn Certificates>,
    /// The addresses of the machine.
    pub network: Arc<dyn Network>,
    /// The board as a system.
    pub appliance: Arc<dyn Appliance>,
    /// Figures of the rest of the program.
    pub house: Arc<dyn House>,
    /// Readings that are kept on the card, if any are.
    pub history: Option<Reader>,
    /// Where it is told what visitors wrote, if that is kept.
    pub events: Option<Tap>,
}

/// A console that serves. It ends when this is dropped.
pub struct Console {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
    app: Arc<App>,
}

impl Console {
    /// Serves `doors`, which are bound already, on a thread of its own.
    ///
    /// # Errors
    ///
    /// If the system gives no thread, no event queue or no random bytes.
    pub fn start(settings: Settings, doors: Vec<Door>, around: Around) -> io::Result<Self> {
        let app = Arc::new(App::new(settings, around)?);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(HELPERS)
            .build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let served = Arc::clone(&app);
        let serve = move || {
            runtime.block_on(serve::all(doors, served, stopped));
            // Passwords that are being checked end by themselves.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("console".to_owned());
        Ok(Self {
            stop,
            thread: Some(thread.spawn(serve)?),
            app,
        })
    }

    /// The code that lets the first visitor in, if it is that which does now. After wrong tries it is another one.
    pub fn code(&self) -> Option<String> {
        self.app.code_now()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It has said why if it panicked.
            let _ = thread.join();
        }
    }
}
