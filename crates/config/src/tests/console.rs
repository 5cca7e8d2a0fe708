//! `console:`, right and wrong.

use std::path::PathBuf;

use super::*;

#[test]
fn a_console_listens_where_it_is_told_and_nowhere_without_a_word() {
    let config = load("version: 1\n", &[]).unwrap();
    assert_eq!(config.console, None);
    let text = "version: 1
broker:
  users: users.yaml
  tls: {certificate: a.pem, key: a.key}
console:
  listen: {http: 80, https: \"192.168.1.2:443\", unix: /run/fieldgate/console.sock}
  names: [gateway.plant.example]
  metrics: true
";
    let console = load(text, &[]).unwrap().console.unwrap();
    assert_eq!(console.listen.http(), Some(Address::Port(80)));
    let address = Address::One("192.168.1.2:443".parse().unwrap());
    assert_eq!(console.listen.https(), Some(address));
    let path = Path::new("/run/fieldgate/console.sock");
    assert_eq!(console.listen.unix().map(PathBuf::as_path), Some(path));
    assert_eq!(
        console.names().collect::<Vec<_>>(),
        ["gateway.plant.example"]
    );
    assert!(console.metrics && !console.allow_plain);
    let other = load(&text.replace("metrics: true", "metrics: false"), &[]).unwrap();
    let changes = diff(&load(text, &[]).unwrap(), &other);
    assert_eq!(changes.need_restart, ["console"]);
}

#[test]
fn what_does_not_fit_a_console_is_said_at_its_place() {
    const USERS: &str = "broker: {users: u.yaml}\n";
    for (text, want) in [
        (
            "console: {listen: {}}".to_owned(),
            "2:11: console.listen: expected one of http, https, unix",
        ),
        ("console: {}".to_owned(), "2:1: console: the key \"listen\" is missing"),
        (
            "console: {listen: {htp: 80}}".to_owned(),
            "2:20: console.listen.htp: unknown key; expected one of http, https, unix; did you mean \"http\"?",
        ),
        (
            "console: {listen: {http: 8080}}".to_owned(),
            "2:20: console.listen.http: passwords would cross the network unencrypted: listen on 127.0.0.1, add https, \
             or say console.allow_plain: true",
        ),
        (
            format!("{USERS}console: {{allow_plain: true, listen: {{http: 80.5}}}}"),
            "3:45: console.listen.http: expected a port 0..=65535 or \"address:port\" such as \"127.0.0.1:8080\" or \
             \"[::1]:8080\", found 80.5",
        ),
        (
            "console: {listen: {unix: sock}}".to_owned(),
            "2:26: console.listen.unix: invalid value \"sock\"; expected the whole path of a socket such as \
             \"/run/fieldgate/console.sock\"",
        ),
        (
            "console: {listen: {http: \"127.0.0.1:8180\"}, names: [\"a:80\"]}".to_owned(),
            "2:53: console.names[0]: invalid value \"a:80\"; expected the name of a host such as \
             \"gateway.plant.example\", without a port",
        ),
        (
            "broker: {listen: {tcp: \"127.0.0.1:1883\"}}\nconsole: {listen: {http: \"127.0.0.1:1883\"}}".to_owned(),
            "3:20: console.listen.http: broker.listen.tcp at line 2 already listens there",
        ),
    ] {
        let found = load(&format!("version: 1\n{text}\n"), &[]).unwrap_err();
        let found: Vec<_> = found
            .lines()
            .filter_map(|line| line.strip_prefix("gateway.yaml:"))
            .collect();
        assert_eq!(found.join("\n"), want, "{text}");
    }
    // The gateway makes a certificate if there is none.
    let own = load("version: 1\nconsole: {listen: {https: 443}}\n", &[]).unwrap();
    assert!(own.certificate.certificate.ends_with("broker.pem"));
    let redirect = "broker: {users: u.yaml, tls: {certificate: a, key: b}}\nconsole: {listen: {http: 80, https: 443}}";
    assert!(load(&format!("version: 1\n{redirect}\n"), &[]).is_ok());
}
