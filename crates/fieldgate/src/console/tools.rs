//! The tools of the console: those of the command line, on buses that the gateway has open.

use std::sync::Arc;

use fieldgate_bridge_modbus::wire::pdu::{Answer, Request};
use fieldgate_bridge_modbus::{Buses as Modbus, Data};
use fieldgate_config::edit;
use fieldgate_config::yaml::suggestion;
use fieldgate_config::{self as config, Config, kinds};
use fieldgate_console::{Files, Found, Later, NewDevice, Raw, RawRead, Scan, Told, Unable};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::files::Desk;
use crate::control::Ask;
use crate::control::server::Buses;
use crate::kinds::KINDS;
use crate::stop::Stop;
use crate::tools::{Line, probe, registers, scan};

/// The tools.
#[derive(Clone)]
pub(super) struct Toolbox {
    pub(super) desk: Desk,
    pub(super) buses: Buses,
}

fn unable(stop: Stop) -> Unable {
    match stop {
        Stop::Usage(text) => Unable::Refused(text),
        other => Unable::Device(other.to_string()),
    }
}

impl Toolbox {
    fn line(&self, bus: &str) -> Result<Line, Unable> {
        let handle = self.buses.find(bus).map_err(|_| {
            let text =
                "tools can use Modbus buses only; for other buses see their counters and the log";
            Unable::Refused(text.to_owned())
        })?;
        Ok(Line::lent(bus, handle))
    }

    /// The configuration that runs.
    async fn config(&self) -> Result<Config, Unable> {
        let (path, text) = (self.desk.path().to_owned(), self.desk.running().text);
        let read = move || config::load_text_with_files(&path, &text, KINDS);
        let loaded = tokio::task::spawn_blocking(read).await;
        let loaded = loaded.map_err(|error| Unable::Refused(error.to_string()))?;
        // A file beside it may have changed since.
        let loaded = loaded.map_err(|report| Unable::Refused(report.to_string()))?;
        Ok(loaded.config)
    }

    async fn tested(&self, name: &str, told: Arc<dyn Told>) -> Result<(), Unable> {
        let config = self.config().await?;
        let device = config.devices.get(name);
        let device =
            device.ok_or_else(|| Unable::Missing(format!("there is no device \"{name}\"")))?;
        let bus = device.of::<Modbus>().map(|modbus| modbus.bus.clone());
        let bus = bus.ok_or_else(|| {
            let text = "only devices on Modbus buses can be tested while the gateway uses them; for others see \
                        the counters and the log, or stop the gateway and use `fieldgate test`";
            Unable::Refused(text.to_owned())
        })?;
        let line = self.line(&bus)?;
        // Ends the work when the one who waits has gone.
        let stop = CancellationToken::new();
        let _guard = stop.clone().drop_guard();
        let (runtime, name) = (Handle::current(), name.to_owned());
        // Its future is none that may move between threads.
        let work = move || {
            runtime.block_on(async {
                let Some(modbus) = config
                    .devices
                    .get(&name)
                    .and_then(|device| device.of::<Modbus>())
                else {
                    return Ok(());
                };
                let mut tell = |text: &str| told.text(text);
                tokio::select! {
                    () = stop.cancelled() => Ok(()),
                    done = probe::show(line, &config, modbus, &mut tell) => done.map_err(unable),
                }
            })
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| Unable::Refused(error.to_string()))?
    }

    async fn scanned(&self, wanted: &Scan, told: Arc<dyn Told>) -> Result<(), Unable> {
        let units = scan::units(&wanted.units, scan::UNITS)
            .map_err(|why| Unable::Refused(format!("units: {why}")))?;
        let config = self.config().await?;
        let part = kinds::part::<Modbus>(&config);
        let mut line = self.line(&wanted.bus)?;
        told.text(&format!(
            "bus {} ({}): asking {} units, {} ms each\n",
            wanted.bus,
            line.way,
            units.len(),
            wanted.timeout_ms
        ));
        for (done, unit) in units.iter().enumerate() {
            told.progress(done, units.len());
            let found = scan::look(&mut line, *unit, wanted.timeout_ms)
                .await
                .map_err(unable)?;
            let Some((understood, text)) = found else {
                continue;
            };
            told.text(&format!("unit {unit}: {text}\n"));
            let mut devices = part.devices.values();
            let known = devices.find(|device| device.bus == wanted.bus && device.unit == *unit);
            told.found(Found {
                unit: *unit,
                understood,
                text,
                device: known.map(|device| device.name.clone()),
            });
        }
        told.progress(units.len(), units.len());
        Ok(())
    }

    async fn had(&self, bus: &str, wanted: &RawRead) -> Result<Raw, Unable> {
        let table = registers::table(&wanted.table).map_err(unable)?;
        let request = Request::Read {
            table,
            address: wanted.address,
            count: wanted.count,
        };
        request.check().map_err(Unable::Refused)?;
        if !(1..=247).contains(&wanted.unit) {
            return Err(Unable::Refused(format!(
                "{} is no unit from 1 to 247",
                wanted.unit
            )));
        }
        let mut line = self.line(bus)?;
        let ask = Ask::Read {
            table,
            address: wanted.address,
            count: wanted.count,
            timeout_ms: None,
        };
        let answer = line.ask(wanted.unit, ask, false).await.map_err(unable)?;
        match answer {
            Ok(Answer::Data(data)) => {
                let text = registers::plain_table(wanted.address, &data);
                let (words, bits) = match data {
                    Data::Words(words) => (Some(words), None),
                    Data::Bits(bits) => (None, Some(bits)),
                };
                Ok(Raw { words, bits, text })
            }
            Ok(_) => Err(Unable::Device("not the values asked for".to_owned())),
            Err(error) => Err(Unable::Device(error.to_string())),
        }
    }
}

impl fieldgate_console::Tools for Toolbox {
    fn test<'a>(&'a self, device: &'a str, told: Arc<dyn Told>) -> Later<'a, Result<(), Unable>> {
        Box::pin(self.tested(device, told))
    }

    fn scan<'a>(&'a self, scan: &'a Scan, told: Arc<dyn Told>) -> Later<'a, Result<(), Unable>> {
        Box::pin(self.scanned(scan, told))
    }

    fn read<'a>(&'a self, bus: &'a str, read: &'a RawRead) -> Later<'a, Result<Raw, Unable>> {
        Box::pin(self.had(bus, read))
    }

    fn types(&self) -> Later<'_, Vec<String>> {
        let path = self.desk.path().to_owned();
        Box::pin(async move {
            let names = tokio::task::spawn_blocking(move || config::type_names(&path)).await;
            names.unwrap_or_default()
        })
    }

    fn add(&self, text: String, devices: Vec<NewDevice>) -> Later<'_, Result<String, Unable>> {
        Box::pin(async move {
            let types = self.types().await;
            let mut new = Vec::new();
            for device in devices {
                let is_known = |kind: &String| types.contains(kind) || text.contains(kind.as_str());
                if let Some(kind) = device.kind.as_ref().filter(|kind| !is_known(kind)) {
                    let hint = suggestion(kind, &types);
                    return Err(Unable::Refused(format!(
                        "there is no type \"{kind}\"{hint}"
                    )));
                }
                new.push(edit::NewDevice {
                    name: device.name,
                    bus: device.bus,
                    unit: device.unit,
                    kind: device.kind,
                });
            }
            edit::add_devices(&text, &new).map_err(Unable::Refused)
        })
    }
}
