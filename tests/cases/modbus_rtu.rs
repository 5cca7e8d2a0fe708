//! RTU on serial ports: peers that we did not write, faults of the wire, and cables that are pulled.

use std::{os::unix::fs::symlink, path::Path, process::Command, thread, time::Duration};

use fieldgate_sim::{Fault, Image, Pace, Table, Times, Unit, serve_rtu};
use serde_json::Value;
use tokio_serial::SerialPortBuilderExt;
use tokio_util::sync::CancellationToken;

use crate::harness::{
    Folder,
    cable::Cable,
    gateway::{Gateway, fieldgate},
    modbus::{Pymodbus, value_text},
    mqtt::{Subscriber, mosquitto_pub},
    process::Process,
};

#[test]
fn every_type_and_order_comes_over_a_line_as_pymodbus_holds_it() {
    let cable = Cable::new();
    let server = Pymodbus::values_on(cable.device());
    server.compare_all(&format!(
        "{{serial: {{port: {}, baud: 115200}}, modbus: rtu, timeout: 2s}}",
        cable.gateway().display()
    ));
}

#[test]
fn writes_over_a_line_are_read_back_from_pymodbus_alone_and_together() {
    let cable = Cable::new();
    let server = Pymodbus::values_on(cable.device());
    let config = format!(
        "buses:
  line: {{serial: {{port: {}, baud: 115200}}, timeout: 2s}}
devices:
  all:
    bus: line
    unit: 1
    points:
      float:  {{holding: {}, as: f32, order: CDAB, write: true}}
      large:  {{holding: {}, as: u64, order: DCBA, write: true}}
      flag:   {{holding: {}, as: bit(3), write: true}}
      one:    {{coil: 1, write: true}}
      two:    {{coil: 2, write: true}}
",
        cable.gateway().display(),
        server.place("_f32_cdab"),
        server.place("_u64_dcba"),
        server.place("_bit3_abcd"),
    );
    let gateway = Gateway::start(&config);
    gateway.wait_online("plant7/all/$state");
    let subscriber = Subscriber::start(gateway.port, "mqttv5", "plant7/all/#");
    let done =
        |value: &str| format!("{{\"status\":\"ok\",\"value\":{value},\"readback\":{value}}}");
    for (topic, payload, result, want) in [
        ("float/set", "123456.0", "float/result", done("123456")),
        (
            "large/set",
            "9007199254740993",
            "large/result",
            done("9007199254740993"),
        ),
        ("flag/set", "true", "flag/result", done("true")),
        (
            "set",
            "{\"one\": true, \"two\": false, \"large\": 18446744073709551615}",
            "result",
            format!(
                "{{\"status\":\"ok\",\"points\":{{\"one\":{},\"two\":{},\"large\":{}}}}}",
                done("true"),
                done("false"),
                done("18446744073709551615")
            ),
        ),
    ] {
        mosquitto_pub(
            gateway.port,
            "mqttv5",
            &format!("plant7/all/{topic}"),
            payload,
        );
        let got = subscriber.wait("result", |topic, payload| {
            (topic == format!("plant7/all/{result}")).then(|| payload.to_owned())
        });
        assert_eq!(got, want, "{topic}");
    }
}

/// Simulated units at the far end of a cable, on a thread of their own. When this goes, the cable
/// is pulled.
struct Line {
    cable: Cable,
    cancel: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl Line {
    fn start(image: Image) -> Self {
        let cable = Cable::new();
        let port = cable.device().display().to_string();
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let port = tokio_serial::new(port, 115_200).open_native_async();
                let mut port = port.expect("the port opens");
                let _ = serve_rtu(&mut port, &image, Pace::default(), &stop).await;
            });
        });
        Self {
            cable,
            cancel,
            thread: Some(thread),
        }
    }

    /// The port for the gateway.
    fn path(&self) -> &Path {
        self.cable.gateway()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn image() -> Image {
    let image = Image::new();
    for unit in [1u8, 2] {
        let mut cells = Unit::new();
        cells.set_words(Table::Holding, 0, &[u16::from(unit) * 111; 4]);
        image.insert(unit, cells);
    }
    image
}

#[test]
fn no_fault_of_the_wire_becomes_a_value_and_each_shows_in_a_counter() {
    let image = image();
    let line = Line::start(image.clone());
    let gateway = Gateway::start(&format!(
        "buses:
  line: {{serial: {{port: {}, baud: 115200}}, timeout: 100ms, retries: 0, offline: {{after: 100}}}}
defaults: {{poll: 50ms, publish: every_poll}}
devices:
  one: {{bus: line, unit: 1, points: {{a: {{holding: 0, as: u16}}}}}}
  two: {{bus: line, unit: 2, points: {{a: {{holding: 0, as: u16}}}}}}
",
        line.path().display()
    ));
    gateway.wait_online("plant7/one/$state");
    gateway.wait_online("plant7/two/$state");
    let subscriber = Subscriber::start(gateway.port, "mqttv5", "plant7/#");
    for fault in [
        Fault::WrongCheck,
        Fault::Truncate(5),
        Fault::WrongUnit,
        Fault::Silence,
        Fault::Delay(Duration::from_millis(150)),
    ] {
        image.inject(1, fault, Times::Next(2));
        // Until the fault is over, and its unit read again.
        let mut good = 0;
        subscriber.wait("values after a fault", |topic, payload| {
            let want = match topic {
                "plant7/one/a" => "111",
                "plant7/two/a" => "222",
                _ => return None,
            };
            assert!(
                [want, "null"].contains(&value_text(payload)),
                "{fault:?}: {topic} {payload}"
            );
            good += usize::from(topic == "plant7/one/a");
            (good == 5).then_some(())
        });
    }
    let mut left = vec![
        "timeouts",
        "crc_errors",
        "short_frames",
        "foreign_frames",
        "late_answers",
    ];
    let mut seen = 0;
    subscriber.wait("counters of every fault", |topic, payload| {
        seen += 1;
        if seen % 30 == 0 {
            // A service manager that does not listen stops the gateway's main loop.
            gateway.wait_notice("WATCHDOG=1");
        }
        if topic == "plant7/$bus/line" {
            let stats: Value = serde_json::from_str(payload).expect("JSON");
            left.retain(|name| stats[*name].as_u64() == Some(0));
        }
        left.is_empty().then_some(())
    });
}

#[test]
fn an_adapter_that_is_pulled_and_plugged_in_again_goes_on_by_its_name() {
    let folder = Folder::new();
    let name = folder.path().join("usb-FTDI_A10K-if00-port0");
    let image = image();
    let line = Line::start(image.clone());
    symlink(line.path(), &name).expect("a link");
    let gateway = Gateway::start(&format!(
        "buses:
  line: {{serial: {{port: {}, baud: 115200}}, timeout: 200ms, offline: {{after: 2, backoff: 100ms..500ms}}}}
defaults: {{poll: 50ms, publish: every_poll}}
devices:
  one: {{bus: line, unit: 1, points: {{a: {{holding: 0, as: u16}}}}}}
",
        name.display()
    ));
    gateway.wait_online("plant7/one/$state");
    let subscriber = Subscriber::start(gateway.port, "mqttv5", "plant7/one/+");
    std::fs::remove_file(&name).expect("the link");
    drop(line);
    subscriber.wait("offline", |topic, payload| {
        (topic == "plant7/one/$state" && payload.contains("is the adapter plugged in?"))
            .then_some(())
    });
    let line = Line::start(image);
    symlink(line.path(), &name).expect("a link");
    subscriber.wait("online", |topic, payload| {
        (topic == "plant7/one/$state" && payload == "online").then_some(())
    });
    subscriber.wait("a value", |topic, payload| {
        (topic == "plant7/one/a" && value_text(payload) == "111").then_some(())
    });
}

#[test]
fn mbpoll_reads_and_writes_what_is_simulated_on_a_line() {
    let folder = Folder::new();
    let file = folder.write(
        "gateway.yaml",
        "version: 1
buses: {line: {serial: {port: /dev/ttyUSB0, baud: 115200, parity: even}}}
devices:
  plc:
    bus: line
    unit: 3
    points:
      setpoint: {holding: 0, as: u16, write: true}
      pump: {coil: 5, write: true}
",
    );
    let mut command = Command::new(fieldgate());
    let process = Process::spawn("simulate", command.arg("simulate").arg(&file));
    let line = process.wait_line("bus line: ");
    let path = line
        .split(": ")
        .nth(1)
        .and_then(|rest| rest.split(',').next());
    let path = path.expect("a path").to_owned();
    let mbpoll = |arguments: &[&str], values: &[&str]| {
        let mut command = Command::new("mbpoll");
        command.args([
            "-m", "rtu", "-b", "115200", "-P", "none", "-a", "3", "-0", "-1", "-q",
        ]);
        let output = command.args(arguments).arg(&path).args(values).output();
        let output = output.expect("mbpoll is there: `tests/run --install` installs it");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text} {output:?}");
        text
    };
    mbpoll(&["-t", "4", "-r", "0"], &["4711"]);
    assert!(mbpoll(&["-t", "4", "-r", "0", "-c", "1"], &[]).contains("4711"));
    mbpoll(&["-t", "0", "-r", "5"], &["1"]);
    assert!(mbpoll(&["-t", "0", "-r", "5", "-c", "1"], &[]).contains("[5]: \t1"));
}
