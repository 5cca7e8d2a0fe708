//! Who connects to Debian's nats-server, in every way that it has: who may not is told, loses nothing, and gets in as
//! soon as the file or the server's configuration is mended.

use std::time::{SystemTime, UNIX_EPOCH};

use fieldgate_tests::counter::Wire;
use serde_json::{Value, json};

use super::Gateway;
use super::nats::{assert_each_once, publish, says, through, to_port, uplink};
use crate::harness::Folder;
use crate::harness::nats::Nats;
use crate::harness::nats_keys::{ACCOUNT, Key, OPERATOR, USER};

/// Offline, for this reason, with so many messages on the card.
fn waits(gateway: &Gateway, why: &'static str, count: u64) {
    let is_told = says(why);
    gateway.wait(why, |status| {
        is_told(status)
            && status["state"] == "offline"
            && status["backlog"]["messages"] == count
            && status["window"] == 0
    });
}

#[test]
fn a_token_a_password_and_a_key_that_are_refused_are_told_and_mended_in_the_file_or_at_the_server()
{
    let keys = [Key::new(USER, 1), Key::new(USER, 2)];
    let users =
        |user: &str| format!("authorization: {{users: [{{user: peer, password: peer}}, {user}]}}");
    // Each with two secrets: what the server is told of one, and what is in the gateway's file.
    let of_token = |secret: &str| format!("authorization: {{token: {secret}}}");
    let of_password = |secret: &str| users(&format!("{{user: plant7, password: {secret}}}"));
    let of_key = |key: &Key| users(&format!("{{nkey: {}}}", key.public()));
    let seeds = [keys[0].seed(), keys[1].seed()];
    for (keyed, login, server, secret) in [
        (
            "token_file",
            "right1@",
            ["right1", "other2"].map(of_token),
            ["right1", "other2"],
        ),
        (
            "username: plant7\n    password_file",
            "peer:peer@",
            ["right1", "other2"].map(of_password),
            ["right1", "other2"],
        ),
        (
            "credentials",
            "peer:peer@",
            [of_key(&keys[0]), of_key(&keys[1])],
            [&seeds[0], &seeds[1]],
        ),
    ] {
        let files = Folder::new();
        let file = files.write("secret", &format!("{}\n", secret[1]));
        let mut nats = Nats::start(&server[0]);
        nats.login = login.to_owned();
        nats.ask(&["create", "SITE", "site.>", "1", "120"]);
        let who = format!("    {keyed}: {file:?}\n");
        let gateway = Gateway::start("plant7", &uplink(&to_port(nats.port()), &who));
        let refused = "the remote refuses the connection: Authorization Violation";
        let mut here = Wire::connect(gateway.port, "publisher");
        let mut number = 0;
        publish(&mut here, &mut number, 50);
        waits(&gateway, refused, 50);
        files.write("secret", &format!("{}\n", secret[0]));
        through(&gateway, number);
        // The server changes its mind, and again.
        nats.reload(&server[1]);
        publish(&mut here, &mut number, 50);
        waits(&gateway, refused, 50);
        nats.reload(&server[0]);
        through(&gateway, number);
        assert_each_once(&nats.read("SITE"), number);
    }
}

#[test]
fn credentials_of_an_operators_account_count_until_they_expire_and_a_new_file_goes_on() {
    let (operator, account) = (Key::new(OPERATOR, 1), Key::new(ACCOUNT, 1));
    let (system, stranger) = (Key::new(ACCOUNT, 2), Key::new(ACCOUNT, 3));
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": 0, "disk_storage": 10_000_000, "streams": 5, "consumer": 20,
    });
    let of_operator = operator.says(&operator, json!({"type": "operator", "version": 2}), None);
    let of_account = |key: &Key, limits: &Value| {
        operator.says(
            key,
            json!({"type": "account", "version": 2, "limits": limits}),
            None,
        )
    };
    let mut none = limits.clone();
    none["disk_storage"] = 0.into();
    none["streams"] = 0.into();
    none["consumer"] = 0.into();
    let mut nats = Nats::start(&format!(
        "operator: {of_operator}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{{}: {}, {}: {}}}",
        system.public(),
        system.public(),
        of_account(&system, &none),
        account.public(),
        of_account(&account, &limits),
    ));
    let of_user = |account: &Key, user: &Key, expires: Option<u64>| {
        let claims = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
        account.says(user, claims, expires)
    };
    let (plant, peer) = (Key::new(USER, 1), Key::new(USER, 2));
    let files = Folder::new();
    nats.environment = vec![
        (
            "NATS_JWT",
            files.write("peer.jwt", &of_user(&account, &peer, None)),
        ),
        ("NATS_KEY", files.write("peer.pem", &peer.pem())),
    ];
    nats.ask(&["create", "SITE", "site.>", "1", "120"]);
    let write = |account: &Key, expires: Option<u64>| {
        files.write(
            "plant.creds",
            &plant.credentials(&of_user(account, &plant, expires)),
        )
    };
    let file = write(&stranger, None);
    let who = format!("    credentials: {file:?}\n");
    let gateway = Gateway::start("plant7", &uplink(&to_port(nats.port()), &who));
    let mut here = Wire::connect(gateway.port, "publisher");
    let mut number = 0;
    publish(&mut here, &mut number, 50);
    waits(
        &gateway,
        "the remote refuses the connection: Authorization Violation",
        50,
    );
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    write(&account, Some(now + 12));
    through(&gateway, number);
    gateway
        .process
        .wait_line("the remote ends the connection: User Authentication Expired");
    publish(&mut here, &mut number, 50);
    waits(&gateway, "the remote refuses the connection", 50);
    write(&account, None);
    through(&gateway, number);
    assert_each_once(&nats.read("SITE"), number);
}
