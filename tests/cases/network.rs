//! A person changes the address of the board in the console.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Folder, gateway::fieldgate, python, repository};

#[test]
fn a_new_address_is_confirmed_there_and_one_that_nobody_confirms_is_taken_back() {
    let folder = Folder::new();
    folder.write("users.yaml", "users: {}\n");
    folder.write(
        "gateway.yaml",
        "version: 1\ngateway: {name: plant7}\nbroker: {listen: {tcp: 1883}, users: users.yaml}\n\
         console: {listen: {https: 8443}}\n",
    );
    let peers = repository().join("tests/peers");
    let output = Command::new("unshare")
        .args(["-rmnpf", "--mount-proc", "--kill-child", "sh"])
        .arg(peers.join("network_board.sh"))
        .args(["sh", "-c", "exec \"$@\" \"$CODE\" \"$AXE\" \"$SHOTS\"", "-"])
        .arg(python())
        .arg(peers.join("console_network.py"))
        .arg("https://10.99.0.1:8443")
        .env("FIELDGATE", fieldgate())
        .env("FOLDER", folder.path())
        .env(
            "AXE",
            repository().join("tests/.node/node_modules/axe-core/axe.min.js"),
        )
        .env("SHOTS", repository().join("target/console"))
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    let seen: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).expect("JSON");
    assert_eq!(seen["wrong"], json!([]), "{:#}", seen["wrong"]);
}
