//! Whether the gateway serves, as a slot of the SD card is judged: the broker answers, and the console.

use std::net::TcpListener;
use std::process::{Command, Output};

use crate::harness::{
    Folder, free_port,
    gateway::{Gateway, configuration, fieldgate},
};

fn health(file: &std::path::Path) -> Output {
    let mut command = Command::new(fieldgate());
    let command = command.arg("health").arg("--config").arg(file);
    command.output().expect("the program runs")
}

#[test]
fn the_gateway_is_healthy_when_its_broker_and_its_console_answer() {
    // Takes connections, as the kernel does for a program that hangs, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = silent.local_addr().expect("it is bound").port();
    let console = free_port();
    let sockets = Folder::new();
    let socket = sockets.path().join("console.sock");
    let socket = socket.display();
    let gateway = Gateway::start(&format!(
        "console: {{listen: {{http: '127.0.0.1:{console}', unix: {socket}}}}}\n"
    ));
    for (listen, code, said) in [
        (
            format!("http: '127.0.0.1:{console}'"),
            0,
            "the console answers",
        ),
        (format!("unix: {socket}"), 0, "the console answers"),
        (
            format!("http: '127.0.0.1:{silent}'"),
            4,
            "the console does not answer",
        ),
        (
            format!("http: '127.0.0.1:{}'", free_port()),
            4,
            "the console does not answer",
        ),
        (
            "unix: /nowhere/console.sock".to_owned(),
            4,
            "the console does not answer",
        ),
    ] {
        let text = configuration(
            gateway.port,
            &format!("console: {{listen: {{{listen}}}}}\n"),
        );
        let file = gateway.folder.write("asked.yaml", &text);
        let output = health(&file);
        let told = [output.stdout.as_slice(), &output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert_eq!(output.status.code(), Some(code), "{listen}: {told}");
        assert!(
            told.contains("the broker answers\n") && told.contains(said),
            "{listen}: {told}"
        );
    }
    let text = configuration(free_port(), "");
    let output = health(&gateway.folder.write("asked.yaml", &text));
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4));
    assert!(told.contains("the broker does not answer"), "{told}");
}
