//! Backups, on the command line and over the console.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
    time::Instant,
};

use serde_json::{Value, json};

use crate::harness::{
    Folder, PATIENCE,
    board::{TYPE, read, start, text},
    free_port,
    gateway::{Gateway, fieldgate},
    http::Http,
};

fn run(arguments: &[&str], folder: &Path, input: &str) -> Output {
    let mut child = Command::new(fieldgate())
        .args(arguments)
        .arg("--config")
        .arg(folder.join("gateway.yaml"))
        .arg("--state")
        .arg(folder.join("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("fieldgate");
    let mut stdin = child.stdin.take().expect("piped");
    // It may have refused the arguments already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

fn tar(arguments: &[&str], folder: &Path) {
    let done = Command::new("tar")
        .current_dir(folder)
        .args(arguments)
        .output();
    let done = done.expect("tar");
    assert!(done.status.success(), "{}", said(&done));
}

/// Sets the pulse counter, and waits until the count is on the disk.
fn count_to(http: &Http, folder: &Path, count: u64) {
    let write = "/api/v1/devices/panel/points/water/write";
    let end = Instant::now() + PATIENCE;
    while http
        .ask("POST", write, &json!({"value": count}).to_string())
        .status
        != 200
    {
        assert!(Instant::now() < end, "the counter takes no value");
    }
    let wanted = format!("\"total\":{count}");
    let log = folder.join("state/gpio/counts");
    loop {
        let entries = fs::read_dir(&log).into_iter().flatten();
        let mut files = entries.filter_map(|entry| fs::read(entry.ok()?.path()).ok());
        if files.any(|bytes| String::from_utf8_lossy(&bytes).contains(&wanted)) {
            return;
        }
        assert!(Instant::now() < end, "the count is not kept");
        std::thread::yield_now();
    }
}

#[test]
fn a_backup_on_the_command_line_brings_everything_to_another_board() {
    let (mut old, http) = start(free_port());
    let folder = old.folder.path().to_owned();
    count_to(&http, &folder, 4711);
    let file = folder.join("b.tar.gz");
    let file = file.to_str().expect("text");
    // The gateway goes on meanwhile.
    let made = run(&["backup", file, "--stdin"], &folder, "correct horse\n");
    assert!(made.status.success(), "{}", said(&made));
    assert_eq!(
        fs::metadata(file).expect("a file").permissions().mode() & 0o777,
        0o600
    );
    old.process.assert_alive();

    // Other programs open it, and no key is in the open.
    let seen = Folder::new();
    tar(&["-xzf", file], seen.path());
    assert_eq!(
        read(seen.path().join("config/gateway.yaml")),
        read(folder.join("gateway.yaml"))
    );
    assert_eq!(read(seen.path().join("config/types/own.yaml")), TYPE);
    assert!(seen.path().join("config/tls/own.pem").exists());
    assert!(!seen.path().join("config/tls/own.key").exists());
    let counts: Value = serde_json::from_str(&read(seen.path().join("counts.json"))).expect("JSON");
    assert_eq!(counts["panel"]["water"]["total"], 4711);

    let new = Folder::new();
    new.write("gateway.yaml", "version: 1\ngateway: {name: fresh}\n");
    fs::create_dir(new.path().join("state")).expect("a folder");
    for (arguments, input, want) in [
        (
            vec!["restore", file, "--stdin"],
            "wrong horse\n",
            "the password is another one",
        ),
        (vec!["restore", file], "", "standard input with --stdin"),
        (vec!["restore", file, "--without-keys"], "", "own.key"),
    ] {
        let refused = run(&arguments, new.path(), input);
        assert!(
            !refused.status.success() && said(&refused).contains(want),
            "{want}: {}",
            said(&refused)
        );
        assert!(
            read(new.path().join("gateway.yaml")).contains("fresh"),
            "{want}: nothing has changed"
        );
    }
    let looked = run(
        &["restore", file, "--stdin", "--check"],
        new.path(),
        "correct horse\n",
    );
    assert!(
        said(&looked).contains("would replace tls/own.key"),
        "{}",
        said(&looked)
    );
    assert!(read(new.path().join("gateway.yaml")).contains("fresh"));
    let restored = run(&["restore", file, "--stdin"], new.path(), "correct horse\n");
    assert!(restored.status.success(), "{}", said(&restored));
    for name in [
        "gateway.yaml",
        "types/own.yaml",
        "tls/own.pem",
        "tls/own.key",
    ] {
        assert_eq!(
            read(new.path().join(name)),
            read(folder.join(name)),
            "{name}"
        );
    }
    let key = fs::metadata(new.path().join("tls/own.key")).expect("the key");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let left: Vec<_> = fs::read_dir(new.path())
        .expect("a folder")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with('.')),
        "{left:?}"
    );

    old.process.signal("TERM");
    old.process.wait_exit(PATIENCE);
    let port = free_port();
    let state = new.path().join("state").display().to_string();
    let text = text(port);
    let again = Gateway::start_with(port, &text, new, &["--state", &state]);
    again
        .process
        .wait_line("counts of GPIO devices are those of a backup");
    crate::harness::mqtt::wait_payload(port, "plant7/panel/water", |payload| {
        payload.contains("4711")
    });
}

#[test]
fn hostile_and_broken_archives_change_nothing() {
    let folder = Folder::new();
    folder.write("gateway.yaml", "version: 1\ngateway: {name: fresh}\n");
    let make = Folder::new();
    let about = r#"{"format": 1, "made": "x", "version": "x", "gateway": "x"}"#;
    let good = "version: 1\ngateway: {name: other}\n";
    let pack = |files: &[(&str, &str)], more: &[&str]| {
        let top = make.path().join("top");
        let _ = fs::remove_dir_all(&top);
        for (name, text) in files {
            let path = top.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        if more.contains(&"link") {
            std::os::unix::fs::symlink("/etc/passwd", top.join("config/users.yaml"))
                .expect("a link");
        }
        let mut arguments = vec!["--format=ustar", "-czf", "../x.tar.gz"];
        arguments.extend(more.iter().filter(|word| word.starts_with("--")));
        arguments.extend(["backup.json", "config"]);
        tar(&arguments, &top);
    };
    let named = "version: 1\ngateway: {name: other}\nbroker: {users: users.yaml}\n";
    let long = format!("version: 1\n{}", "#".repeat(5 << 20));
    for (files, more, want) in [
        (
            vec![
                ("backup.json", about),
                ("config/gateway.yaml", "version: 1\ngatewy: {}\n"),
            ],
            vec![],
            "did you mean \"gateway\"?",
        ),
        (
            vec![
                ("backup.json", about),
                ("config/gateway.yaml", good),
                ("config/x.sh", "x"),
            ],
            vec![],
            "names no such file",
        ),
        (
            vec![
                ("backup.json", about),
                ("config/gateway.yaml", good),
                ("config/types/a/b.yaml", "x"),
            ],
            vec![],
            "names no such file",
        ),
        (
            vec![("backup.json", about), ("config/gateway.yaml", named)],
            vec!["link"],
            "neither a plain file nor a folder",
        ),
        (
            vec![("backup.json", about), ("config/gateway.yaml", good)],
            vec!["--transform=s,^config,../config,"],
            "not taken",
        ),
        (
            vec![("backup.json", about), ("config/gateway.yaml", good)],
            vec!["--absolute-names", "--transform=s,^config,/etc,"],
            "not taken",
        ),
        (
            vec![
                ("backup.json", &about.replace('1', "2")),
                ("config/gateway.yaml", good),
            ],
            vec![],
            "format is 2",
        ),
        (
            vec![("backup.json", "{"), ("config/gateway.yaml", good)],
            vec![],
            "backup.json",
        ),
        (
            vec![("backup.json", about), ("config/other.yaml", good)],
            vec![],
            "no config/gateway.yaml",
        ),
        (
            vec![("backup.json", about), ("config/gateway.yaml", &long)],
            vec![],
            "larger than",
        ),
        (
            vec![
                ("backup.json", about),
                ("config/gateway.yaml", good),
                ("config/types/t.yaml", "points: ["),
            ],
            vec![],
            "types/t.yaml",
        ),
    ] {
        pack(&files, &more);
        let file = make.path().join("x.tar.gz");
        let refused = run(
            &["restore", file.to_str().expect("text")],
            folder.path(),
            "",
        );
        assert!(
            !refused.status.success() && said(&refused).contains(want),
            "{want}: {}",
            said(&refused)
        );
        assert!(
            read(folder.path().join("gateway.yaml")).contains("fresh"),
            "{want}"
        );
        let left = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 1, "{want}: something is left");
    }
    pack(
        &[("backup.json", about), ("config/gateway.yaml", good)],
        &[],
    );
    let file = make.path().join("x.tar.gz");
    let taken = run(
        &["restore", file.to_str().expect("text")],
        folder.path(),
        "",
    );
    assert!(
        taken.status.success(),
        "what tar packs is taken: {}",
        said(&taken)
    );
    assert_eq!(read(folder.path().join("gateway.yaml")), good);
}

#[test]
fn a_backup_over_the_console_restores_and_is_applied() {
    let (gateway, http) = start(free_port());
    let folder = gateway.folder.path();
    let file = folder.join("x.tar.gz");
    let made = run(
        &["backup", file.to_str().expect("text"), "--stdin"],
        folder,
        "correct horse\n",
    );
    assert!(made.status.success(), "{}", said(&made));
    let archive = base64(&fs::read(&file).expect("a file"));
    let text = read(folder.join("gateway.yaml"));
    fs::write(folder.join("gateway.yaml"), text.replace("plc:", "other:")).expect("the file");
    assert_eq!(
        http.ask("POST", "/api/v1/config/apply", "{}").json()["added"],
        json!(["other"])
    );
    let restore = |more: Value| {
        let mut body = json!({"archive": archive});
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        http.ask("POST", "/api/v1/restore", &body.to_string())
    };
    let refused = restore(json!({}));
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (422, &json!("wrong_password"))
    );
    let looked = restore(json!({"password": "correct horse", "check": true}));
    assert_eq!(looked.status, 200, "{looked:?}");
    assert!(read(folder.join("gateway.yaml")).contains("other:"));
    let done = restore(json!({"password": "correct horse"})).json();
    assert_eq!(done["applied"]["added"], json!(["plc"]), "{done}");
    assert_eq!(read(folder.join("gateway.yaml")), text);
    assert_eq!(http.get("/api/v1/devices/plc").status, 200);
    // And the console makes one itself.
    let host = format!("Host: {}", http.address);
    let cookie = format!("Cookie: {}", http.cookie.as_deref().unwrap_or_default());
    let head = [
        host.as_str(),
        &cookie,
        "Sec-Fetch-Site: same-origin",
        "Content-Type: application/json",
    ];
    let answer = http.send("POST", "/api/v1/backup", &head, "{}");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/gzip"))
    );
    let short = http.ask("POST", "/api/v1/backup", r#"{"password": "short"}"#);
    assert_eq!(
        (short.status, &short.json()["code"]),
        (422, &json!("wrong_password"))
    );
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let word = part
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - part.len()));
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place > part.len() {
                '='
            } else {
                digit.into()
            });
        }
    }
    text
}
