//! `config/first-meter.md`, followed line by line: an adapter with a name that stays and a meter behind it, the commands
//! of the page in their order, and under each what the page says that appears.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use crate::harness::{
    Folder, free_port,
    gateway::{Gateway, fieldgate},
    process::Process,
    repository,
};

/// One thing that the page says to do, or to see.
#[derive(Debug, PartialEq)]
enum Step {
    Type(String),
    Write(String),
    See(String),
}

fn steps() -> Vec<Step> {
    let text = fs::read_to_string(repository().join("config/first-meter.md")).unwrap();
    let mut steps = Vec::new();
    for block in text.split("\n```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap();
        let text = text.to_owned();
        steps.push(match language {
            "sh" => Step::Type(text),
            "yaml" => Step::Write(text),
            "" => Step::See(text),
            other => panic!("a block of {other}"),
        });
    }
    steps
}

/// Whether `line` is what the page shows, where `…` stands for anything.
fn fits(shown: &str, line: &str) -> bool {
    let mut parts = shown.trim().split('…');
    let first = parts.next().unwrap_or_default().trim_end();
    let Some(mut rest) = line.trim().strip_prefix(first) else {
        return false;
    };
    for part in parts {
        let part = part.trim();
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    shown.trim().ends_with('…') || rest.is_empty()
}

/// The meter, and the adapter that leads to it under a name that stays.
fn plug_in(folder: &Folder) -> Process {
    let meter = folder.write(
        "meter.yaml",
        "version: 1\nbuses: {line: {serial: {port: /dev/none, baud: 9600}}}\n\
         devices: {meter: {type: sdm120, bus: line, unit: 1}}\n",
    );
    let mut command = Command::new(fieldgate());
    let meter = Process::spawn("the meter", command.arg("simulate").arg(meter));
    let port = meter.wait("its line", |line| {
        let at = line.find("/dev/pts/")?;
        let rest = line.get(at..)?;
        Some(rest.split(',').next()?.to_owned())
    });
    let names = folder.path().join("by-id");
    fs::create_dir(&names).unwrap();
    let name = names.join("usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0");
    symlink(port, name).unwrap();
    meter
}

/// The page's computer: where its paths are here, and its broker's port.
struct Computer {
    folder: Folder,
    port: u16,
}

impl Computer {
    fn here(&self, text: &str) -> String {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let text = text.replace("/dev/serial/by-id", &at("by-id"));
        text.replace("/etc/fieldgate", &at("etc"))
    }

    fn file(&self) -> String {
        self.here("/etc/fieldgate/gateway.yaml")
    }

    /// Types a command of the page; returns what appears.
    fn run(&self, line: &str) -> String {
        let mut line = self.here(line.strip_prefix("sudo ").unwrap_or(line));
        if line.starts_with("mosquitto_sub ") {
            line += &format!(" -p {}", self.port);
        }
        if let Some(rest) = line.strip_prefix("fieldgate ") {
            line = format!("{} {rest} --config {}", fieldgate().display(), self.file());
        }
        // It asks at a terminal otherwise.
        let input = match line.contains(" user add ") {
            true => {
                line += " --stdin";
                "PASSWORD\n"
            }
            false => "",
        };
        let input = self.folder.write("input", input);
        let output = Command::new("sh")
            .args(["-c", &line])
            .stdin(Stdio::from(fs::File::open(input).unwrap()))
            .output()
            .unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        // mosquitto_sub that ends after a time says so by its code.
        let is_done = output.status.success() || line.contains(" -W ");
        assert!(is_done, "{line}: {text}");
        text.into_owned()
    }
}

#[test]
fn the_page_leads_from_the_box_to_the_first_value() {
    let folder = Folder::new();
    let _meter = plug_in(&folder);
    fs::create_dir(folder.path().join("etc")).unwrap();
    let port = free_port();
    let computer = Computer { folder, port };
    let head = format!("broker: {{listen: {{tcp: \"127.0.0.1:{port}\"}}}}\n");
    let mut gateway: Option<Gateway> = None;
    let (mut appeared, mut file) = (String::new(), String::new());
    let (mut typed, mut seen) = (0, 0);
    for step in steps() {
        match step {
            Step::Write(text) => {
                if file.is_empty() {
                    file.clone_from(&head);
                }
                file += &computer.here(&text);
                file.push('\n');
                fs::write(computer.file(), &file).unwrap();
            }
            Step::Type(text) => {
                appeared.clear();
                for line in text.lines() {
                    typed += 1;
                    if line.starts_with("sudo apt install ") {
                        continue;
                    }
                    if line == "sudo systemctl restart fieldgate" {
                        gateway = Some(started(&computer));
                        continue;
                    }
                    if line == "sudo systemctl reload fieldgate" {
                        let gateway = gateway.as_ref().unwrap();
                        gateway.process.signal("HUP");
                        gateway.wait_online("plant7/main-meter/$state");
                        continue;
                    }
                    appeared += &computer.run(line);
                    if line.contains(" user add ") {
                        let gateway = gateway.as_ref().unwrap();
                        gateway.process.wait_line("users and rights have changed");
                    }
                }
            }
            Step::See(text) => {
                for shown in text.lines() {
                    seen += 1;
                    let shown = computer.here(shown);
                    let is_there = appeared.lines().any(|line| fits(&shown, line));
                    assert!(is_there, "no {shown:?} in:\n{appeared}");
                }
            }
        }
    }
    assert!(typed >= 10 && seen >= 10, "{typed} commands, {seen} lines");
    assert!(Path::new(&computer.here("/etc/fieldgate/users.yaml")).exists());
}

/// The gateway with the page's first file.
fn started(computer: &Computer) -> Gateway {
    Gateway::start_at(computer.port, Path::new(&computer.file()))
}
