//! The configuration as the console edits it: byte for byte, as a whole or not at all.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    board::{read, restart, start},
    free_port,
    http::{Answer, Http},
};

fn put(http: &Http, tag: &str, text: &str) -> Answer {
    let host = format!("Host: {}", http.address);
    let cookie = format!("Cookie: {}", http.cookie.as_deref().unwrap_or_default());
    let tag = format!("If-Match: \"{tag}\"");
    let head = [
        host.as_str(),
        &cookie,
        "Sec-Fetch-Site: same-origin",
        "Content-Type: application/json",
        &tag,
    ];
    http.send(
        "PUT",
        "/api/v1/config",
        &head,
        &json!({"text": text}).to_string(),
    )
}

#[test]
fn the_configuration_is_saved_as_it_was_typed_applied_and_had_back() {
    let (gateway, http) = start(free_port());
    let file = gateway.folder.path().join("gateway.yaml");
    let first = http.get("/api/v1/config").json();
    assert_eq!(first["text"], read(&file).as_str());
    assert_eq!(first["tag"], first["running"]);
    let text = first["text"].as_str().expect("text");
    let tag = first["tag"].as_str().expect("a tag");

    let wrong = text.replace("unit: 1", "unti: 1");
    let checked = http
        .ask(
            "POST",
            "/api/v1/config/check",
            &json!({"text": wrong}).to_string(),
        )
        .json();
    let mistake = &checked["mistakes"][0];
    assert_eq!(
        (&mistake["own"], &mistake["suggestion"]),
        (&json!(true), &json!("unit")),
        "{checked}"
    );
    let line = wrong
        .lines()
        .position(|line| line.contains("unti"))
        .expect("a line")
        + 1;
    assert_eq!(mistake["line"], line);
    let refused = put(&http, tag, &wrong);
    assert_eq!(
        (refused.status, &refused.json()["mistakes"][0]["line"]),
        (422, &json!(line))
    );

    // Odd spaces, comments and line ends stay.
    let new = format!(
        "{text}  second:   {{bus: plant, unit: 2,type: own}}   # käse \u{20ac}\t\r\n\r\n# the end"
    );
    let saved = put(&http, tag, &new);
    assert_eq!(saved.status, 200, "{saved:?}");
    assert_eq!(read(&file), new);
    assert_eq!(
        put(&http, tag, text).status,
        412,
        "the other editor's text is not lost"
    );
    let now = http.get("/api/v1/config").json();
    assert_ne!(now["tag"], now["running"]);
    assert_eq!(http.get("/api/v1/config/running").json()["text"], text);
    let applied = http.ask("POST", "/api/v1/config/apply", "{}").json();
    assert_eq!(
        (&applied["added"], &applied["changed"]),
        (&json!(["second"]), &json!([]))
    );
    assert_eq!(http.get("/api/v1/devices/second").status, 200);

    let versions = http.get("/api/v1/config/versions").json();
    let users: Vec<_> = versions["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| &item["user"])
        .collect();
    assert_eq!(users, [&json!("local"), &Value::Null]);
    let oldest = versions["items"][1]["version"].to_string();
    let back = http
        .get(&format!("/api/v1/config/versions/{oldest}"))
        .json();
    assert_eq!(back["text"], text);
    let tag = now["tag"].as_str().expect("a tag");
    assert_eq!(
        put(&http, tag, back["text"].as_str().expect("text")).status,
        200
    );
    let applied = http.ask("POST", "/api/v1/config/apply", "{}").json();
    assert_eq!(applied["removed"], json!(["second"]));

    // Mistakes made with another editor are reported too, and what runs goes on.
    fs::write(&file, wrong).expect("the file");
    let refused = http.ask("POST", "/api/v1/config/apply", "{}");
    assert_eq!(
        (refused.status, &refused.json()["mistakes"][0]["suggestion"]),
        (422, &json!("unit"))
    );
    assert_eq!(http.get("/api/v1/devices/plc").status, 200);
    let offset = text.find("unit: 1").expect("a unit");
    let asked = json!({"text": text, "offset": text[..offset].chars().count()}).to_string();
    let offered = http.ask("POST", "/api/v1/config/complete", &asked).json();
    assert!(
        offered["items"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|item| item["text"] == "poll"),
        "{offered}"
    );
}

#[test]
fn a_kill_while_it_is_saved_leaves_the_old_or_the_new_text() {
    let port = free_port();
    let mut kept = None;
    for round in 0..8 {
        let (mut gateway, http) = match kept.take() {
            None => start(port),
            Some(folder) => restart(port, folder),
        };
        let file = gateway.folder.path().join("gateway.yaml");
        let first = http.get("/api/v1/config").json();
        let old = first["text"].as_str().expect("text").to_owned();
        let new = format!("{old}# {}\n", "x".repeat(100_000 + round));
        let typed = new.clone();
        let tag = first["tag"].as_str().expect("a tag").to_owned();
        let (address, cookie) = (http.address.clone(), http.cookie.clone());
        let asking = std::thread::spawn(move || {
            let http = Http { address, cookie };
            std::panic::catch_unwind(|| put(&http, &tag, &typed).status).unwrap_or(0)
        });
        // Somewhere between the request and its answer, elsewhere each time.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(3 * round as u64) {
            std::hint::spin_loop();
        }
        gateway.process.kill();
        let status = asking.join().expect("a thread");
        let found = read(&file);
        assert!(
            found == old || found == new,
            "round {round}: {} bytes",
            found.len()
        );
        assert!(
            status != 200 || found == new,
            "round {round}: what was acknowledged is there"
        );
        kept = Some(gateway.folder);
    }
}
