use std::fs::File;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OutputModes};
use tokio::io::AsyncWriteExt;

use super::*;

/// A pseudo terminal: the far end, and the path of the port.
fn pty() -> (File, String) {
    let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&far).unwrap();
    unlockpt(&far).unwrap();
    let path = ptsname(&far, Vec::new()).unwrap().into_string().unwrap();
    (far.into(), path)
}

#[tokio::test]
async fn a_port_is_raw_whatever_it_was_before_and_has_the_speed_that_was_asked_for() {
    let (far, path) = pty();
    // As a terminal: echo, line editing, CR to LF, XON and XOFF.
    let before = tcgetattr(&far).unwrap();
    assert!(
        before
            .local_modes
            .contains(LocalModes::ECHO | LocalModes::ICANON)
    );
    for baud in [1200, 9600, 31_250, 115_200] {
        let port = Port::open(&PortSettings::new(&path, baud)).await.unwrap();
        let now = tcgetattr(&far).unwrap();
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
    let soft = PortSettings {
        flow: Flow::Software,
        ..PortSettings::new(&path, 9600)
    };
    let _port = Port::open(&soft).await.unwrap();
    assert!(
        tcgetattr(&far)
            .unwrap()
            .input_modes
            .contains(InputModes::IXON | InputModes::IXOFF)
    );
}

#[tokio::test]
async fn a_port_that_cannot_be_opened_says_why_and_what_helps() {
    let (_far, path) = pty();
    let new = |path: &str| PortSettings::new(path, 9600);
    for (settings, want) in [
        (
            new("/dev/serial/by-id/nothing"),
            "/dev/serial/by-id/nothing is not there: is the adapter plugged in? There ",
        ),
        (new("/dev"), "/dev is no serial port"),
        (new("/dev/null"), "/dev/null is no serial port"),
        (
            PortSettings {
                dtr: Some(true),
                ..new(&path)
            },
            "cannot set the line dtr",
        ),
        (
            PortSettings {
                rs485: Some(Rs485::default()),
                ..new(&path)
            },
            "its driver does not switch RS-485",
        ),
    ] {
        let error = Port::open(&settings).await.unwrap_err();
        assert!(error.contains(want), "{error}");
    }
    let text = forbidden(Path::new("/dev/tty"));
    let want = "/dev/tty: permission denied; the gateway's user must be in the group ";
    assert!(text.starts_with(want), "{text}");
}

#[test]
fn what_a_driver_does_not_do_although_it_takes_it_is_told_by_its_key() {
    let (far, path) = pty();
    let plain = PortSettings::new(&path, 9600);
    let mut applied = tcgetattr(&far).unwrap();
    set(&mut applied, &plain).unwrap();
    for (settings, want) in [
        (plain.clone(), None),
        (
            PortSettings {
                parity: Parity::Even,
                ..plain.clone()
            },
            Some("parity: even"),
        ),
        (
            PortSettings {
                data_bits: 7,
                ..plain.clone()
            },
            Some("data_bits: 7"),
        ),
        (
            PortSettings {
                stop_bits: 2,
                ..plain.clone()
            },
            Some("stop_bits: 2"),
        ),
        (
            PortSettings {
                flow: Flow::Hardware,
                ..plain.clone()
            },
            Some("flow: hardware"),
        ),
        (PortSettings::new(&path, 1200), Some("baud: 1200")),
    ] {
        let mut wanted = applied.clone();
        set(&mut wanted, &settings).unwrap();
        let told = check(&applied, &wanted, &settings).err();
        let want = want.map(|what| format!("this adapter cannot do `{what}`"));
        assert_eq!(told, want);
    }
}

#[tokio::test]
async fn a_port_in_use_names_the_program_that_has_it() {
    let (_far, path) = pty();
    // `flock` holds the lock for as long as the command runs.
    let mut holder = Command::new("flock")
        .args(["--exclusive", &path, "sh", "-c", "echo locked; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let out = holder.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
    let settings = PortSettings::new(&path, 9600);
    let error = Port::open(&settings).await.unwrap_err();
    let want = format!("{path} is in use by ");
    assert!(error.starts_with(&want), "{error}");
    assert!(error.contains("(process "), "{error}");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    Port::open(&settings).await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_pulled_out_is_lost_in_both_directions() {
    let (mut far, path) = pty();
    let mut port = Port::open(&PortSettings::new(&path, 9600)).await.unwrap();
    io::Write::write_all(&mut far, b"in").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(port.receive(&mut buffer).await.unwrap(), 2);
    port.send(b"out", Duration::from_secs(1)).await.unwrap();
    port.flush().await.unwrap();
    drop(far);
    let lost = port.receive(&mut buffer).await.unwrap_err();
    assert_eq!(
        (lost.cause, lost.detail.as_str()),
        (Cause::Lost, &*format!("{path}: unplugged"))
    );
}
