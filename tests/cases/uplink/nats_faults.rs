//! What Debian's nats-server says when it does not want a message, or a client: each is told, nothing is lost, and
//! messages go on as soon as the server is mended.

use std::process::Command;

use fieldgate_tests::counter::Wire;
use serde_json::Value;

use super::Gateway;
use super::nats::{assert_each_once, is_through, publish, says, through, to_port, uplink};
use crate::harness::gateway::fieldgate;
use crate::harness::nats::Nats;

/// Offline, for this reason. It goes on trying, so that it may be connected for a moment.
fn stalls(gateway: &Gateway, why: &'static str) -> Value {
    let is_told = says(why);
    gateway.wait(why, |status| is_told(status) && status["window"] == 0)
}

/// What `fieldgate uplink rejected` prints.
fn rejected(gateway: &Gateway) -> String {
    let output = Command::new(fieldgate())
        .args(["uplink", "rejected", "cloud", "--config"])
        .arg(gateway.folder.path().join("gateway.yaml"))
        .arg("--control")
        .arg(gateway.folder.path().join("control"))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_stream_or_an_account_that_is_full_and_a_stream_that_is_removed_hold_messages_until_there_is_room()
 {
    let account = |most: &str| {
        format!(
            "accounts: {{A: {{jetstream: {{max_file: {most}, max_streams: 3}}, users: [{{user: a, password: b}}]}}}}\n\
             no_auth_user: a"
        )
    };
    let nats = Nats::start(&account("10M"));
    nats.ask(&["create", "SITE", "site.>", "1", "120", "80"]);
    let gateway = Gateway::start("plant7", &uplink(&to_port(nats.port()), ""));
    let mut here = Wire::connect(gateway.port, "publisher");
    let mut number = 0;
    publish(&mut here, &mut number, 130);
    let status = stalls(&gateway, "the stream does not take a message of site.data.");
    assert!(says("maximum messages exceeded")(&status), "{status:#}");
    assert_each_once(&nats.read("SITE"), 80);
    // Room for the rest, and no more.
    nats.ask(&["purge", "SITE"]);
    through(&gateway, number);
    assert_eq!(nats.read("SITE").len(), 50);
    nats.ask(&["delete", "SITE"]);
    publish(&mut here, &mut number, 70);
    let status = stalls(&gateway, "no stream takes the subject site.data.");
    assert_eq!(status["dropped"]["rejected"], 0);
    nats.ask(&["create", "SITE", "site.>", "1", "120"]);
    through(&gateway, number);
    assert_eq!(nats.read("SITE").len(), 70);
    // About 150 bytes each.
    nats.reload(&account("30K"));
    publish(&mut here, &mut number, 400);
    let status = stalls(&gateway, "resource limits exceeded for account");
    assert_eq!(status["state"], "offline", "{status:#}");
    nats.reload(&account("10M"));
    let status = through(&gateway, number);
    assert_eq!(nats.read("SITE").len(), 470);
    let dropped = &status["dropped"];
    assert_eq!(
        [&dropped["full"], &dropped["rejected"]],
        [0, 0],
        "{status:#}"
    );
}

#[test]
fn a_subject_that_the_user_may_not_publish_is_set_aside_and_the_others_go_on() {
    let users = |denied: &str| {
        format!(
            "authorization: {{users: [{{user: a, password: b, permissions: {{publish: {{deny: [{denied}]}}}}}}]}}\n\
             no_auth_user: a"
        )
    };
    let nats = Nats::start(&users("\"site.data.p7\", \"site.data.p30\""));
    nats.ask(&["create", "SITE", "site.>", "1", "120"]);
    let gateway = Gateway::start("plant7", &uplink(&to_port(nats.port()), ""));
    gateway.wait("connected", |status| status["state"] == "online");
    let mut here = Wire::connect(gateway.port, "publisher");
    let mut number = 0;
    publish(&mut here, &mut number, 100);
    let status = gateway.wait("the others", |status| {
        is_through(status) && status["acknowledged"] == 96
    });
    assert_eq!(status["dropped"]["rejected"], 4, "{status:#}");
    let told = rejected(&gateway);
    let of_first = told
        .lines()
        .find(|line| line.contains("Permissions Violation for Publish to"));
    assert!(
        of_first.is_some_and(|line| line.contains("site.data.p")),
        "{told}"
    );
    // Only of the other subject it is still so.
    nats.reload(&users("\"site.data.p30\""));
    publish(&mut here, &mut number, 50);
    gateway.wait("all but one", |status| {
        is_through(status)
            && status["acknowledged"] == 96 + 49
            && status["dropped"]["rejected"] == 5
    });
    assert_eq!(nats.read("SITE").len(), 96 + 49);
}

#[test]
fn a_message_that_is_larger_than_the_server_takes_is_set_aside_also_when_it_takes_less_than_before()
{
    let nats = Nats::start("max_payload: 64K");
    nats.ask(&["create", "SITE", "site.>", "1", "120"]);
    let gateway = Gateway::start("plant7", &uplink(&to_port(nats.port()), ""));
    gateway.wait("connected", |status| status["state"] == "online");
    let mut here = Wire::connect(gateway.port, "publisher");
    let mut number = 0;
    here.publish("data/long", &"x".repeat(70_000), false);
    publish(&mut here, &mut number, 20);
    let status = through(&gateway, number);
    assert_eq!(status["dropped"]["rejected"], 1, "{status:#}");
    nats.reload("max_payload: 8K");
    here.publish("data/long", &"x".repeat(30_000), false);
    gateway
        .process
        .wait_line("the remote ends the connection: Maximum Payload Violation");
    publish(&mut here, &mut number, 20);
    let status = through(&gateway, number);
    assert_eq!(status["dropped"]["rejected"], 2, "{status:#}");
    assert_each_once(&nats.read("SITE"), number);
    let told = rejected(&gateway);
    assert_eq!(told.matches("data/long").count(), 2, "{told}");
}

#[test]
fn a_long_message_goes_on_to_a_server_that_takes_more_than_usual() {
    // Its own default is 1 MB.
    let nats = Nats::start("max_payload: 8M");
    nats.ask(&["create", "SITE", "site.>", "1", "120"]);
    let rest = "    limits: {packet: 3M}\n";
    let gateway = Gateway::start("plant7", &uplink(&to_port(nats.port()), rest));
    gateway.wait("connected", |status| status["state"] == "online");
    let mut here = Wire::connect(gateway.port, "publisher");
    // The gateway takes packets up to 2 MiB.
    let long = "x".repeat(2_000_000);
    here.publish("data/long", &long, false);
    let status = through(&gateway, 1);
    assert_eq!(status["dropped"]["rejected"], 0, "{status:#}");
    let stored = nats.read("SITE");
    assert!(stored.len() == 1 && stored[0]["payload"] == long.as_str());
}

#[test]
fn a_gateway_that_stood_still_is_told_that_its_connection_is_stale_and_comes_back() {
    let nats = Nats::start("ping_interval: \"1s\"\nping_max: 1\ndebug: true");
    nats.ask(&["create", "SITE", "site.>", "1", "120"]);
    let gateway = Gateway::start("plant7", &uplink(&to_port(nats.port()), ""));
    let mut here = Wire::connect(gateway.port, "publisher");
    let mut number = 0;
    publish(&mut here, &mut number, 20);
    through(&gateway, number);
    gateway.process.signal("STOP");
    nats.wait_line("Stale Client Connection");
    gateway.process.signal("CONT");
    gateway
        .process
        .wait_line("the remote ends the connection: Stale Connection");
    publish(&mut here, &mut number, 20);
    through(&gateway, number);
    assert_each_once(&nats.read("SITE"), number);
}
