mod items;

use std::os::unix::fs::PermissionsExt;

use fieldgate_bridge_modbus::Buses;
use fieldgate_config::kinds::Of;
use fieldgate_config::yaml::{Node, parse};

use super::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Qf3mHq9Yp1K3yP3Qyq1r8t0V5m2c4g6h8i0j2k4l6 ann@pc";

/// A board: its boot partition and its root. It goes when this goes.
struct Board(PathBuf);

impl Board {
    fn new(name: &str) -> Self {
        let name = format!("fieldgate-provision-{name}-{}", std::process::id());
        let board = Self(std::env::temp_dir().join(name));
        board.put("boot/fieldgate/README", "");
        board.put("root/usr/share/zoneinfo/Europe/Berlin", "TZif");
        board.put("root/etc/fieldgate/users.yaml", "users: {}\n");
        let mapping = "version: 1\nbroker: {users: users.yaml}\n";
        board.put("root/etc/fieldgate/gateway.yaml", mapping);
        board
    }

    fn put(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn get(&self, path: &str) -> String {
        let path = self.0.join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.0.join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    }

    /// Takes what is there. Returns what was refused, with nothing of this machine in it.
    fn start(&self) -> String {
        const KINDS: Kinds = Kinds(&[Of::<Buses>::KIND]);
        let (boot, root) = (self.0.join("boot"), self.0.join("root"));
        let done = provision(&boot, &root, KINDS).unwrap().unwrap_or_default();
        match done.refused.is_empty() {
            true => String::new(),
            false => done
                .refused
                .to_string()
                .replace(self.0.to_str().unwrap(), ""),
        }
    }

    fn report(&self) -> String {
        self.get("boot/fieldgate/REPORT.txt")
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn full() -> String {
    format!(
        "# our first gateway
version: 1
hostname: plant7   # on the door
timezone: Europe/Berlin
ethernet: {{address: 192.168.7.5/24, gateway: 192.168.7.1, dns: [192.168.7.1, 9.9.9.9]}}
wifi:
  country: DE
  ssid: \"Halle 7 °C\"
  password: 'geheim \"und\" lang'   # from the card on the router
  hidden: true
ssh:
  keys:
    - {KEY}
mqtt: {{user: ann, password: \"a \\\"b\\\" c\"}}
"
    )
}

#[test]
fn everything_is_taken_once_and_no_password_stays_on_the_card() {
    let board = Board::new("everything");
    board.put("boot/fieldgate/provision.yaml", full());
    let mapping =
        "\u{feff}version: 1\r\ngateway: {name: plant7}\r\nbroker: {users: users.yaml}\r\n";
    board.put("boot/fieldgate/gateway.yaml", mapping);
    assert_eq!(board.start(), "");

    assert_eq!(board.get("root/etc/hostname"), "plant7\n");
    let zone = fs::read_link(board.0.join("root/etc/localtime")).unwrap();
    assert_eq!(zone, Path::new("../usr/share/zoneinfo/Europe/Berlin"));
    assert_eq!(
        board.get("root/etc/systemd/network/20-fieldgate-ethernet.network"),
        "[Match]\nType=ether\nKind=!*\n\n[Network]\nAddress=192.168.7.5/24\nGateway=192.168.7.1\n\
         DNS=192.168.7.1\nDNS=9.9.9.9\nMulticastDNS=yes\n"
    );
    let wpa = "root/etc/wpa_supplicant/wpa_supplicant-wlan0.conf";
    assert_eq!(
        board.get(wpa),
        "ctrl_interface=/run/wpa_supplicant\ncountry=DE\nnetwork={\n\tssid=48616c6c65203720c2b043\n\
         \tscan_ssid=1\n\tkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE\n\tieee80211w=1\n\
         \tpsk=\"geheim \"und\" lang\"\n}\n"
    );
    assert_eq!(board.mode(wpa), 0o600);
    let keys = "root/etc/ssh/authorized_keys.d/root";
    assert_eq!(board.get(keys), format!("{KEY}\n"));
    let users = config::load_users(&board.0.join("root/etc/fieldgate/users.yaml")).unwrap();
    assert!(users.named["ann"].password.is_some());
    assert_eq!(
        board.get("root/etc/fieldgate/gateway.yaml"),
        "version: 1\ngateway: {name: plant7}\nbroker: {users: users.yaml}\n"
    );
    assert!(
        board
            .get("root/etc/fieldgate/gateway.yaml.before")
            .contains("version: 1")
    );

    let left = board.get("boot/fieldgate/provision.yaml");
    let want = full()
        .replace("'geheim \"und\" lang'", "")
        .replace("\"a \\\"b\\\" c\"", "");
    assert_eq!(
        left, want,
        "all but the passwords is as its author wrote it"
    );
    let report = board.report();
    for line in [
        "provision.yaml: taken.",
        "gateway.yaml: taken.",
        "host name: plant7",
        "passwords were",
    ] {
        assert!(report.contains(line), "{report}");
    }
    assert!(!report.contains("geheim"), "{report}");

    // Another start touches nothing: not the report, not what was changed on the board meanwhile.
    board.put("boot/fieldgate/REPORT.txt", "mine");
    board.put("root/etc/hostname", "other\n");
    assert_eq!(board.start(), "");
    assert_eq!(
        (
            board.report().as_str(),
            board.get("root/etc/hostname").as_str()
        ),
        ("mine", "other\n")
    );

    // A change is taken; passwords that are not there again stay.
    board.put(
        "boot/fieldgate/provision.yaml",
        left.replace("plant7 ", "plant8 "),
    );
    assert_eq!(board.start(), "");
    assert_eq!(board.get("root/etc/hostname"), "plant8\n");
    assert!(board.get(wpa).contains("psk=\"geheim \"und\" lang\""));
    let after = config::load_users(&board.0.join("root/etc/fieldgate/users.yaml")).unwrap();
    assert_eq!(after, users);
}

#[test]
fn what_is_wrong_is_in_the_report_at_its_line_and_changes_nothing() {
    let board = Board::new("wrong");
    let before = board.get("root/etc/fieldgate/gateway.yaml");
    let text = format!(
        "version: 1
hostnam: plant7
timezone: Europe/Berlim
ethernet: {{address: 192.168.7.5/24, gateway: 192.168.8.1}}
wifi: {{country: de, ssid: x, password: short}}
ssh:
  keys: [\"-----BEGIN OPENSSH PRIVATE KEY-----\", \"{}\"]
mqtt: {{user: ann, password: 12345678}}
",
        KEY.replace("AAAAC3", "AAAC3")
    );
    board.put("boot/fieldgate/provision.yaml", text);
    board.put("boot/fieldgate/gateway.yaml.txt", "version: 1\n");
    board.put(
        "boot/fieldgate/gateway.yaml",
        "version: 1\nbroker: {usres: users.yaml}\n",
    );
    let want = "fieldgate/gateway.yaml:2:10: broker.usres: unknown key; expected one of listen, tls, allow_anonymous, local_networks, takeover, users, store, limits; did you mean \"users\"?
fieldgate/gateway.yaml.txt: not read: the name must be gateway.yaml
fieldgate/provision.yaml:2:1: hostnam: unknown key; expected one of version, hostname, timezone, ethernet, wifi, ssh, mqtt; did you mean \"hostname\"?
fieldgate/provision.yaml:3:1: timezone: there is no time zone \"Europe/Berlim\" here
fieldgate/provision.yaml:4:46: ethernet.gateway: 192.168.8.1 is not in the network of the address
fieldgate/provision.yaml:5:17: wifi.country: expected two capital letters, such as DE
fieldgate/provision.yaml:5:40: wifi.password: a Wi-Fi password has 8 to 63 letters, digits and signs of ASCII
fieldgate/provision.yaml:7:10: ssh.keys[0]: this is a private key, which belongs nowhere but on your PC; the public one is in the file that ends in .pub
fieldgate/provision.yaml:7:49: ssh.keys[1]: the public key is cut or not on one line
fieldgate/provision.yaml:8:29: mqtt.password: expected text, found 12345678 (text that looks like a number or like true and false needs quotes)
10 mistakes";
    assert_eq!(board.start(), want);
    let report = board.report();
    assert!(report.contains(want), "{report}");
    for name in ["provision.yaml: REFUSED", "gateway.yaml: REFUSED"] {
        assert!(report.contains(name), "{report}");
    }
    assert_eq!(board.get("root/etc/fieldgate/gateway.yaml"), before);
    for absent in [
        "etc/hostname",
        "etc/ssh",
        "etc/fieldgate-provisioned",
        "etc/fieldgate/gateway.yaml.provision",
    ] {
        assert!(!board.0.join("root").join(absent).exists(), "{absent}");
    }
    // It is said again at each start until it is mended.
    assert_eq!(board.start(), want);
    board.put(
        "boot/fieldgate/provision.yaml",
        "version: 1\nhostname: plant7\n",
    );
    board.put("boot/fieldgate/gateway.yaml", "version: 1\n");
    fs::remove_file(board.0.join("boot/fieldgate/gateway.yaml.txt")).unwrap();
    assert_eq!(board.start(), "");
    assert!(!board.report().contains("REFUSED"));
}

#[test]
fn what_contradicts_the_board_is_refused() {
    let wifi = "wifi: {country: DE, ssid: x}";
    for (name, provision, mapping, want) in [
        (
            "zone",
            "timezone: Mars/Olympus",
            "",
            "timezone: there is no time zone \"Mars/Olympus\" here",
        ),
        (
            "climb",
            "timezone: ../../etc/passwd",
            "",
            "timezone: expected a name such as Europe/Berlin or UTC",
        ),
        (
            "psk",
            wifi,
            "",
            "wifi.password: is needed: none was taken before for this network",
        ),
        (
            "user",
            "mqtt: {user: ann}",
            "",
            "mqtt.password: is needed: there is no such user yet",
        ),
        (
            "both",
            "ethernet: {dhcp: true, address: 10.0.0.1/8}",
            "",
            "ethernet.dhcp: either `dhcp: true` or an address",
        ),
        (
            "none",
            "ethernet: {}",
            "",
            "ethernet: either `dhcp: true` or an address is needed",
        ),
        (
            "lone",
            "ethernet: {gateway: 10.0.0.1}",
            "",
            "ethernet.gateway: makes no sense without `address`",
        ),
        (
            "length",
            "ethernet: {address: 10.0.0.1/33}",
            "",
            "ethernet.address: expected an address with the length",
        ),
        (
            "name",
            "hostname: -a",
            "",
            "hostname: 1 to 63 small letters",
        ),
        (
            "version",
            "",
            "",
            "version: 2 is not known; this version reads 1",
        ),
    ] {
        let board = Board::new(name);
        let version = if name == "version" { 2 } else { 1 };
        let text = format!("version: {version}\n{provision}\n");
        board.put("boot/fieldgate/provision.yaml", text);
        if !mapping.is_empty() {
            board.put("boot/fieldgate/gateway.yaml", mapping);
        }
        let said = board.start();
        assert!(said.contains(want), "{name}: {said}");
        assert!(said.ends_with("1 mistake"), "{name}: {said}");
    }
}

#[test]
fn a_mapping_from_the_card_names_no_file_outside_of_the_gateway_s_folder() {
    let user = "version: 1\nmqtt: {user: ann, password: secret}\n";
    for (key, file) in [
        ("users", "../../x"),
        ("users", "/etc/shadow"),
        ("users", "../shadow"),
        (
            "tls",
            "{certificate: ../../../key.pem, key: ../../../key.pem}",
        ),
    ] {
        let board = Board::new("outside");
        board.put("root/etc/shadow", "root:secret-of-the-board:1\n");
        board.put("key.pem", "secret-of-the-board");
        let mapping = format!("version: 1\nbroker: {{{key}: {file}}}\n");
        board.put("boot/fieldgate/gateway.yaml", &mapping);
        board.put("boot/fieldgate/provision.yaml", user);
        let refused = board.start();
        assert!(
            refused.contains("is not in /etc/fieldgate"),
            "{file}: {refused}"
        );
        let place = "fieldgate/gateway.yaml:2:";
        assert!(refused.contains(place), "{file}: {refused}");
        let all = refused + &board.report();
        assert!(!all.contains("secret-of-the-board"), "{file}: {all}");
        assert!(!board.0.join("x").exists() && !board.0.join("root/x").exists());
        let kept = board.get("root/etc/fieldgate/gateway.yaml");
        assert_eq!(kept, "version: 1\nbroker: {users: users.yaml}\n");
    }
    // Neither does one that the board has already.
    let board = Board::new("outside-before");
    board.put(
        "root/etc/fieldgate/gateway.yaml",
        "version: 1\nbroker: {users: ../../x}\n",
    );
    board.put("boot/fieldgate/provision.yaml", user);
    let refused = board.start();
    assert!(
        refused.contains("../../x is not in /etc/fieldgate"),
        "{refused}"
    );
    assert!(!board.0.join("root/x").exists());
}

#[test]
fn a_link_on_the_card_is_not_followed() {
    let board = Board::new("link");
    board.put("root/etc/shadow", "root:secret-of-the-board:1\n");
    let link = board.0.join("boot/fieldgate/gateway.yaml");
    std::os::unix::fs::symlink(board.0.join("root/etc/shadow"), link).unwrap();
    let refused = board.start();
    assert!(refused.contains("this is no file"), "{refused}");
    assert!(!board.report().contains("secret-of-the-board"));
}

#[test]
fn a_fixed_address_goes_when_dhcp_is_asked_for_and_keys_go_when_there_are_none() {
    let board = Board::new("back");
    for (text, is_there) in [
        (
            format!("version: 1\nethernet: {{address: 10.0.0.7/8}}\nssh: {{keys: [{KEY}]}}\n"),
            true,
        ),
        (
            "version: 1\nethernet: {dhcp: true}\nssh: {keys: []}\n".to_owned(),
            false,
        ),
    ] {
        board.put("boot/fieldgate/provision.yaml", &text);
        assert_eq!(board.start(), "");
        for path in [
            "etc/systemd/network/20-fieldgate-ethernet.network",
            "etc/ssh/authorized_keys.d/root",
        ] {
            assert_eq!(
                board.0.join("root").join(path).exists(),
                is_there,
                "{path} {text}"
            );
        }
    }
}

#[test]
fn without_a_folder_there_is_nothing_to_do_and_other_encodings_are_refused() {
    let board = Board::new("odd");
    board.put(
        "boot/fieldgate/provision.yaml",
        b"\xff\xfev\0e\0r\0".as_slice(),
    );
    let said = board.start();
    assert!(
        said.contains("fieldgate/provision.yaml: not UTF-8 text: save it as UTF-8"),
        "{said}"
    );
    fs::remove_dir_all(board.0.join("boot/fieldgate")).unwrap();
    assert_eq!(board.start(), "");
}

#[test]
fn passwords_are_cut_out_however_they_are_written() {
    for (password, secret, is_cut) in [
        ("geheim123", "geheim123", true),
        ("geheim 123 # why", "geheim 123", true),
        ("\"ge\\\"heim: 123\"", "ge\"heim: 123", true),
        ("'ge{heim} 123'", "ge{heim} 123", true),
        // Written anew as a whole.
        ("'ge''heim 123'", "ge'heim 123", false),
        ("|-\n    geheim123", "geheim123", false),
        ("!!str geheim123", "geheim123", false),
    ] {
        let text = format!(
            "version: 1\nwifi:\n  ssid: é\n  password: {password}\nmqtt:\n  user: ann # me\n"
        );
        let root = parse(&text).root.unwrap();
        let found = root.get(&["wifi", "password"]).and_then(Node::text);
        assert_eq!(found, Some(secret), "{password}");
        let items = ["wifi", "mqtt"];
        let cut = redact::redact(&text, &root, &items).filter(|cut| {
            let again = parse(cut).root.unwrap();
            again
                .get(&["wifi", "password"])
                .and_then(Node::text)
                .is_none()
        });
        assert_eq!(cut.is_some(), is_cut, "{password}: {cut:?}");
        let anew = || serde_yaml::to_string(&redact::bare(&root, &items)).unwrap();
        let left = cut.unwrap_or_else(anew);
        assert!(!left.contains("heim"), "{left}");
        assert!(left.contains("user: ann"), "{left}");
    }
}
