//! A gateway named `plant7` that is started again and again: its folder, its state and its port outlive
//! its process.

use std::process::Command;

use serde_json::Value;

use super::{
    Folder, free_port,
    gateway::{configuration, fieldgate},
    mqtt::{Subscriber, mosquitto_pub},
    process::Process,
};

/// Points are named `device/point` throughout.
pub struct Plant {
    pub folder: Folder,
    pub port: u16,
}

impl Plant {
    /// `rest` follows the head of the file, which lets anyone in.
    pub fn new(rest: &str) -> Self {
        let (folder, port) = (Folder::new(), free_port());
        let plant = Self { folder, port };
        plant.write(rest);
        plant
    }

    /// Replaces the file; what runs is not told.
    pub fn write(&self, rest: &str) {
        let text = configuration(self.port, rest);
        self.folder.write("gateway.yaml", &text);
    }

    /// Starts it and waits until the broker serves.
    pub fn serve(&self) -> Process {
        let folder = self.folder.path();
        let mut command = Command::new(fieldgate());
        command.arg("run").arg(folder.join("gateway.yaml"));
        command.arg("--state").arg(folder.join("state"));
        let process = Process::spawn("fieldgate", &mut command);
        process.wait_line("MQTT on");
        process
    }

    /// Starts it, and waits until these devices are online.
    pub fn start(&self, devices: &[&str]) -> (Process, Subscriber) {
        let process = self.serve();
        for device in devices {
            until_online(&self.subscriber(), device);
        }
        (process, self.subscriber())
    }

    /// A client that has just come and takes everything.
    pub fn subscriber(&self) -> Subscriber {
        Subscriber::start(self.port, "mqttv5", "plant7/#")
    }

    /// Waits until a client that has just come sees a point with a value.
    pub fn shows(&self, point: &str, value: &Value) {
        let topic = format!("plant7/{point}");
        let seen = Subscriber::start(self.port, "mqttv5", &topic);
        until(&seen, point, value);
    }

    pub fn publish(&self, point: &str, payload: &str) {
        let topic = format!("plant7/{point}/set");
        mosquitto_pub(self.port, "mqttv5", &topic, payload);
    }

    /// Sends a command and returns its answer.
    pub fn command(&self, seen: &Subscriber, point: &str, payload: &str) -> Value {
        self.publish(point, payload);
        seen.json(&format!("plant7/{point}/result"))
    }
}

pub fn until_online(seen: &Subscriber, device: &str) {
    until_state(seen, device, |state| state == "online");
}

/// Waits for a state of a device, and returns it.
pub fn until_state(
    seen: &Subscriber,
    device: &str,
    mut wanted: impl FnMut(&str) -> bool,
) -> String {
    let state = format!("plant7/{device}/$state");
    seen.wait(&format!("a state of {device}"), |topic, payload| {
        (topic == state && wanted(payload)).then(|| payload.to_owned())
    })
}

/// Waits until a point has a value.
pub fn until(seen: &Subscriber, point: &str, value: &Value) {
    let wanted = format!("plant7/{point}");
    seen.wait(&format!("{point} with {value}"), |topic, payload| {
        let sample: Value = serde_json::from_str(payload).ok()?;
        (topic == wanted && sample["value"] == *value).then_some(())
    });
}
