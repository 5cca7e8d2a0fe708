//! The gateway's side of the control socket.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fieldgate_bridge_modbus::wire::pdu::{Answer, Request};
use fieldgate_bridge_modbus::{BusError, BusHandle, Priority, ReadRequest, WriteRequest};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::protocol::{Ask, Envelope, Greeting, REQUEST_MAX, Told, UplinkQuestion};
use crate::uplinks::Running;
use fieldgate_config::yaml::suggestion;

/// Who may connect: the socket's owner and its group.
const MODE: u32 = 0o660;
/// Tools at a time. One more is turned away.
const CLIENTS_MAX: usize = 8;
/// A tool that asks nothing for so long is forgotten.
const IDLE: Duration = Duration::from_secs(300);
/// The time limit that a tool may ask for; that of a bus in the configuration is the same.
const TIMEOUT_MAX_MS: u32 = 60_000;

/// The buses that tools may use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buses {
    buses: Arc<Mutex<BTreeMap<String, BusHandle>>>,
    uplinks: Running,
}

impl Buses {
    /// No bus yet, and these uplinks, which tools may look at.
    pub(crate) fn with(uplinks: Running) -> Self {
        Self {
            buses: Arc::default(),
            uplinks,
        }
    }

    /// Makes those that tools can use the buses that there are.
    pub(crate) fn set(&self, handles: Vec<(String, Box<dyn Any + Send>)>) {
        let buses = handles.into_iter().filter_map(|(name, handle)| {
            let handle = handle.downcast::<BusHandle>().ok()?;
            Some((name, *handle))
        });
        *self.buses.lock().unwrap_or_else(PoisonError::into_inner) = buses.collect();
    }

    /// A bus by its name.
    ///
    /// # Errors
    ///
    /// That there is none of that name, or that tools cannot use it.
    pub(crate) fn find(&self, name: &str) -> Result<BusHandle, String> {
        let buses = self.buses.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<&String> = buses.keys().collect();
        let known = || {
            let hint = suggestion(name, &names);
            format!("the running gateway has no bus \"{name}\"{hint}")
        };
        buses.get(name).cloned().ok_or_else(known)
    }
}

/// The socket; its file goes, and the tools with it, when this goes.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Control {
    /// Serves `buses` at `path` for the configuration `config`. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// Those of the system, and another gateway that serves there.
    pub(crate) fn start(path: &Path, config: &Path, buses: Buses) -> io::Result<Self> {
        let listener = bind(path)?;
        let greeting = Greeting {
            config: super::absolute(config),
        };
        let greeting = serde_json::to_string(&greeting)? + "\n";
        Ok(Self {
            path: path.to_owned(),
            task: tokio::spawn(serve(listener, greeting.into(), buses)),
        })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(error) = fs::remove_file(&self.path) {
            log::warn!("{}: not removed: {error}", self.path.display());
        }
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent()
        && !folder.exists()
    {
        fs::DirBuilder::new().mode(0o700).create(folder)?;
    }
    if !path.parent().is_some_and(super::is_trusted) {
        return Err(io::Error::other("its folder belongs to another user"));
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::other("another gateway serves there"));
    }
    // Under another name until its mode is right; the rename replaces one that was left behind.
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, Permissions::from_mode(MODE))?;
    fs::rename(&new, path)?;
    Ok(listener)
}

async fn serve(listener: UnixListener, greeting: Arc<str>, buses: Buses) {
    let free = Arc::new(Semaphore::new(CLIENTS_MAX));
    // Dropped, and all of them ended, with this task.
    let mut clients = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    log::warn!("control socket: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            Some(_) = clients.join_next() => continue,
        };
        let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
            log::warn!(
                "control socket: more than {CLIENTS_MAX} tools at a time; one was turned away"
            );
            continue;
        };
        let (greeting, buses) = (Arc::clone(&greeting), buses.clone());
        clients.spawn(async move {
            if let Err(error) = talk(stream, &greeting, &buses).await {
                log::debug!("control socket: {error}");
            }
            drop(permit);
        });
    }
}

/// Until the tool goes.
async fn talk(mut stream: UnixStream, greeting: &str, buses: &Buses) -> io::Result<()> {
    let (from, mut to) = stream.split();
    let mut from = BufReader::new(from);
    to.write_all(greeting.as_bytes()).await?;
    loop {
        let Ok(line) = timeout(IDLE, line(&mut from, REQUEST_MAX)).await else {
            return Ok(());
        };
        let Some(line) = line? else {
            return Ok(());
        };
        let told = tokio::select! {
            told = answer(&line, buses) => told,
            // A tool that has gone needs no answer, and what waits for the bus is withdrawn.
            () = gone(&mut from) => return Ok(()),
        };
        let text = serde_json::to_string(&told)? + "\n";
        let sent = timeout(IDLE, to.write_all(text.as_bytes())).await;
        sent.map_err(|_| io::ErrorKind::TimedOut)??;
    }
}

/// A line without its end, or `None` at the end.
///
/// # Errors
///
/// If it is longer than `max`, or cut.
pub(super) async fn line(
    from: &mut (impl AsyncBufRead + Unpin),
    max: usize,
) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX);
    from.take(limit).read_until(b'\n', &mut line).await?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(io::Error::other("a line that is too long or cut")),
    }
}

async fn gone(from: &mut (impl AsyncBufRead + Unpin)) {
    if from.fill_buf().await.is_ok_and(|bytes| !bytes.is_empty()) {
        // It asks ahead; that is looked at later.
        std::future::pending::<()>().await;
    }
}

async fn answer(line: &[u8], buses: &Buses) -> Told {
    if let Ok(UplinkQuestion { uplink, rejected }) = serde_json::from_slice(line) {
        let told = buses.uplinks.tell(&uplink, rejected);
        return told.map_or_else(Told::Refused, Told::Uplink);
    }
    let envelope: Envelope = match serde_json::from_slice(line) {
        Ok(envelope) => envelope,
        Err(error) => return Told::Refused(format!("not understood: {error}")),
    };
    match buses.find(&envelope.bus) {
        Ok(bus) => perform(&bus, envelope.unit, envelope.background, &envelope.ask)
            .await
            .into(),
        Err(text) => Told::Refused(text),
    }
}

/// Carries out a request on a bus, in whichever process that is.
///
/// # Errors
///
/// Those of the bus.
pub(crate) async fn perform(
    bus: &BusHandle,
    unit: u8,
    background: bool,
    ask: &Ask,
) -> Result<Answer, BusError> {
    let priority = if background {
        Priority::Background
    } else {
        Priority::Command
    };
    let write = |write| bus.write(unit, write, true);
    match ask.clone() {
        Ask::Read {
            table,
            address,
            count,
            timeout_ms,
        } => match timeout_ms {
            Some(limit) => {
                let request = Request::Read {
                    table,
                    address,
                    count,
                };
                let limit = Duration::from_millis(limit.clamp(1, TIMEOUT_MAX_MS).into());
                bus.transact_within(unit, request, priority, limit).await
            }
            None => {
                let request = ReadRequest {
                    table,
                    address,
                    count,
                    points: [].into(),
                };
                let retries = bus.config().retries;
                let data = bus.read(unit, &request, priority, retries).await?;
                Ok(Answer::Data(data))
            }
        },
        Ask::Identify => {
            let found = bus.identify(unit, 1, priority).await?;
            Ok(Answer::Identification(found))
        }
        Ask::Bits { address, bits } => match bits.as_slice() {
            [on] => write(WriteRequest::Coil { address, on: *on }).await,
            _ => {
                let request = Request::WriteCoils { address, bits };
                bus.transact(unit, request, priority).await
            }
        },
        Ask::Words { address, words } => {
            let words = WriteRequest::Registers { address, words };
            check(&words, unit)?;
            write(words).await
        }
        Ask::Mask {
            address,
            mask,
            bits,
        } => {
            write(WriteRequest::Mask {
                address,
                mask,
                bits,
            })
            .await
        }
    }
}

/// A bus takes for granted that writes are as long as they may be.
fn check(write: &WriteRequest, unit: u8) -> Result<(), BusError> {
    let WriteRequest::Registers { address, words } = write else {
        return Ok(());
    };
    let whole = Request::WriteRegisters {
        address: *address,
        words: words.clone(),
    };
    whole.check().map_err(|detail| BusError::Illegal {
        request: whole.describe(unit),
        detail,
    })
}
