//! A mistake in one item of `provision.yaml` costs that one only.

use super::*;

#[test]
fn a_mistake_in_one_item_costs_that_item_only() {
    const BAD: &str = "ssh-ed25519 AAAA ann@pc";
    let broken = "version: 1\nbroker: {usres: x}\n";
    let cases = [
        // What is written, what is refused, and which items are taken all the same.
        (
            "hostname: -a\n",
            "hostname",
            ["zone", "keys", "wifi", "user"].as_slice(),
        ),
        (
            "timezone: Mars/Olympus\n",
            "timezone",
            &["name", "keys", "wifi", "user"],
        ),
        (
            "ssh: {keyz: []}\n",
            "ssh.keyz",
            &["name", "zone", "wifi", "user"],
        ),
        (
            "wifi: {country: DE, ssid: x, password: short}\n",
            "wifi.password",
            &["name", "zone", "keys", "user"],
        ),
        (
            "mqtt: {user: ann, password: 12}\n",
            "mqtt.password",
            &["name", "zone", "keys", "wifi"],
        ),
        (
            "color: red\n",
            "color",
            &["name", "zone", "keys", "wifi", "user"],
        ),
    ];
    for (wrong, place, taken) in cases {
        let board = Board::new(&format!("item-{place}"));
        // The mapping names no file of users, and the new one is wrong.
        board.put("root/etc/fieldgate/gateway.yaml", "version: 1\n");
        fs::remove_file(board.0.join("root/etc/fieldgate/users.yaml")).unwrap();
        board.put("boot/fieldgate/gateway.yaml", broken);
        let right = format!(
            "hostname: plant7\ntimezone: Europe/Berlin\nssh: {{keys: [{KEY}]}}\n\
             wifi: {{country: DE, ssid: x, password: long-enough}}\nmqtt: {{user: ann, password: secret}}\n"
        );
        let item = wrong.split(':').next().unwrap();
        let right = right
            .split_inclusive('\n')
            .filter(|line| !line.starts_with(item));
        let text = format!("version: 1\n{wrong}{}", right.collect::<String>());
        board.put("boot/fieldgate/provision.yaml", &text);
        let said = board.start();
        assert!(said.contains(&format!(": {place}: ")), "{place}: {said}");
        assert!(said.ends_with("2 mistakes"), "{place}: {said}");
        let there = |path: &str| {
            board
                .0
                .join("root/etc")
                .join(path)
                .symlink_metadata()
                .is_ok()
        };
        let found = [
            ("name", there("hostname")),
            ("zone", there("localtime")),
            ("keys", there("ssh/authorized_keys.d/root")),
            ("wifi", there("wpa_supplicant/wpa_supplicant-wlan0.conf")),
            ("user", there("fieldgate/users.yaml")),
        ];
        let found = found.iter().filter(|(_, is)| *is).map(|(name, _)| *name);
        assert_eq!(found.collect::<Vec<_>>(), taken, "{place}");
        let report = board.report();
        assert!(report.contains("provision.yaml: taken IN PART"), "{report}");
        let left = board.get("boot/fieldgate/provision.yaml");
        assert!(!left.contains("long-enough"), "{left}");
        assert_eq!(left.contains("short"), place == "wifi.password", "{left}");

        // What was changed on the board stays when the mistake is said again, and when it is corrected.
        board.put("root/etc/fieldgate/users.yaml", "users: {}\n");
        assert!(board.start().contains(&format!(": {place}: ")));
        let fixed = board
            .get("boot/fieldgate/provision.yaml")
            .replace(wrong, "");
        board.put("boot/fieldgate/provision.yaml", fixed);
        board.put("boot/fieldgate/gateway.yaml", "version: 1\n");
        assert_eq!(board.start(), "", "{place}");
        assert_eq!(board.get("root/etc/fieldgate/users.yaml"), "users: {}\n");
    }

    // Of several keys, those that are right can log in.
    let board = Board::new("item-keys");
    board.put(
        "boot/fieldgate/provision.yaml",
        format!("version: 1\nssh: {{keys: [{BAD}, {KEY}]}}\n"),
    );
    assert!(board.start().contains(": ssh.keys[0]: "));
    let keys = board.get("root/etc/ssh/authorized_keys.d/root");
    assert_eq!(keys, format!("{KEY}\n"));
    assert!(board.report().contains("1 key"), "{}", board.report());
}
