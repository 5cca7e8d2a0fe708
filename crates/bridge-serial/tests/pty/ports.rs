use std::process::{Command, Stdio};

use fieldgate_bridge_serial::config::{Flow, Parity};
use fieldgate_bridge_serial::{Port, PortConfig};
use rustix::termios::{ControlModes, InputModes, LocalModes, OutputModes, tcgetattr};

use super::device::Pty;

#[tokio::test]
async fn a_port_is_raw_whatever_it_was_before_and_has_the_speed_that_was_asked_for() {
    let pty = Pty::new();
    // As a terminal: echo, line editing, CR to LF, XON and XOFF.
    let before = tcgetattr(&pty.far).unwrap();
    assert!(
        before
            .local_modes
            .contains(LocalModes::ECHO | LocalModes::ICANON)
    );
    for baud in [1200, 9600, 31_250, 115_200] {
        let port = Port::open(&PortConfig::new(pty.path(), baud)).unwrap();
        let now = tcgetattr(&pty.far).unwrap();
        let local = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
        assert!(!now.local_modes.intersects(local), "{:?}", now.local_modes);
        let input = InputModes::ICRNL | InputModes::INLCR | InputModes::ISTRIP | InputModes::IXON;
        assert!(!now.input_modes.intersects(input), "{:?}", now.input_modes);
        assert!(!now.output_modes.contains(OutputModes::OPOST));
        assert!(
            now.control_modes
                .contains(ControlModes::CLOCAL | ControlModes::CREAD)
        );
        assert_eq!((now.output_speed(), now.input_speed()), (baud, baud));
        drop(port);
    }
    let soft = PortConfig {
        flow: Flow::Software,
        ..PortConfig::new(pty.path(), 9600)
    };
    let _port = Port::open(&soft).unwrap();
    assert!(
        tcgetattr(&pty.far)
            .unwrap()
            .input_modes
            .contains(InputModes::IXON | InputModes::IXOFF)
    );
}

#[tokio::test]
async fn a_port_that_cannot_be_opened_says_why_and_what_helps() {
    let refused = |config: &PortConfig| Port::open(config).unwrap_err().to_string();
    let error = refused(&PortConfig::new("/dev/serial/by-id/absent", 9600));
    assert!(
        error.contains("there is no such port; it is unplugged, or has another name"),
        "{error}"
    );
    assert_eq!(
        refused(&PortConfig::new("/dev/null", 9600)),
        "/dev/null: this is no serial port"
    );
    // A pseudo terminal has no parity and no handshake lines.
    let pty = Pty::new();
    let even = PortConfig {
        parity: Parity::Even,
        ..PortConfig::new(pty.path(), 9600)
    };
    assert!(
        refused(&even).ends_with("this adapter cannot do `parity: even`"),
        "{}",
        refused(&even)
    );
    let dtr = PortConfig {
        dtr: Some(true),
        ..PortConfig::new(pty.path(), 9600)
    };
    assert!(
        refused(&dtr).contains("cannot set the line dtr"),
        "{}",
        refused(&dtr)
    );
}

#[tokio::test]
async fn a_port_in_use_names_who_has_it() {
    let pty = Pty::new();
    // `flock` holds the lock for as long as the command runs.
    let mut holder = Command::new("flock")
        .args([
            "--exclusive",
            pty.path(),
            "sh",
            "-c",
            "echo locked; read line",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let out = holder.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
    let error = Port::open(&PortConfig::new(pty.path(), 9600))
        .unwrap_err()
        .to_string();
    assert!(error.contains(": in use by "), "{error}");
    assert!(error.contains("(process "), "{error}");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    Port::open(&PortConfig::new(pty.path(), 9600)).unwrap();
}
