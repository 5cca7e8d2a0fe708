//! What has to change below the root for a `provision.yaml`. Pure: what is there is given.
//!
//! Paths are those of a system with systemd-networkd, wpa_supplicant and OpenSSH, as the image is.

use super::wanted::{Addressing, Fixed, Ssh, Wanted, Wifi};

/// Where wpa_supplicant's unit for the first Wi-Fi interface looks.
pub(crate) const WPA_FILE: &str = "etc/wpa_supplicant/wpa_supplicant-wlan0.conf";
/// Where the image's sshd looks for the keys of root.
const KEYS_FILE: &str = "etc/ssh/authorized_keys.d/root";
const HOSTNAME_FILE: &str = "etc/hostname";
const TIME_LINK: &str = "etc/localtime";
const ETHERNET_FILE: &str = "etc/systemd/network/20-fieldgate-ethernet.network";
const WIFI_FILE: &str = "etc/systemd/network/20-fieldgate-wifi.network";

/// How the names of files begin that the web console writes for single interfaces. They come first.
pub const CONSOLE_NETWORK: &str = "15-fieldgate-";

/// One change. Paths are relative to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Write {
        path: &'static str,
        /// Permission bits.
        mode: u32,
        text: String,
    },
    Link {
        path: &'static str,
        target: String,
    },
    Remove {
        path: &'static str,
    },
    /// Of the files that the web console has written for single interfaces.
    RemoveConsole {
        folder: &'static str,
    },
    /// The name that the running kernel has.
    HostName(String),
}

/// The changes, and what to tell a person about them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub changes: Vec<Change>,
    pub told: Vec<String>,
}

/// Plans everything but the user of the broker. `wpa` is the text of [`WPA_FILE`] of now.
///
/// # Errors
///
/// The key, and what about it contradicts what is there.
pub(crate) fn plan(wanted: &Wanted, wpa: Option<&str>) -> Result<Plan, (&'static str, String)> {
    let mut plan = Plan::default();
    if let Some(name) = &wanted.hostname {
        plan.write(HOSTNAME_FILE, 0o644, format!("{}\n", name.0));
        plan.changes.push(Change::HostName(name.0.clone()));
        plan.told.push(format!(
            "host name: {}, in the local network {}.local",
            name.0, name.0
        ));
    }
    if let Some(zone) = &wanted.timezone {
        plan.changes.push(Change::Link {
            path: TIME_LINK,
            target: format!("../usr/share/zoneinfo/{}", zone.0),
        });
        plan.told.push(format!("time zone: {}", zone.0));
    }
    if let Some(ethernet) = &wanted.ethernet {
        let folder = "etc/systemd/network";
        plan.changes.push(Change::RemoveConsole { folder });
        plan.network(ETHERNET_FILE, "ether", ethernet);
        plan.told.push(format!("Ethernet: {}", described(ethernet)));
    }
    if let Some(wifi) = &wanted.wifi {
        plan.wifi(wifi, wpa)?;
    }
    if let Some(Ssh { keys }) = &wanted.ssh {
        let lines: Vec<String> = keys.iter().map(|key| format!("{}\n", key.0)).collect();
        match lines.len() {
            0 => plan.changes.push(Change::Remove { path: KEYS_FILE }),
            _ => plan.write(KEYS_FILE, 0o600, lines.concat()),
        }
        plan.told.push(match lines.len() {
            0 => "SSH: no key may log in".to_owned(),
            1 => "SSH: root may log in with 1 key".to_owned(),
            count => format!("SSH: root may log in with {count} keys"),
        });
    }
    Ok(plan)
}

impl Plan {
    fn write(&mut self, path: &'static str, mode: u32, text: String) {
        self.changes.push(Change::Write { path, mode, text });
    }

    fn network(&mut self, path: &'static str, kind: &str, addressing: &Addressing) {
        match addressing {
            // The image's own file for all interfaces says so.
            Addressing::Dhcp => self.changes.push(Change::Remove { path }),
            Addressing::Fixed(fixed) => self.write(path, 0o644, network_file(kind, fixed)),
        }
    }

    fn wifi(&mut self, wifi: &Wifi, wpa: Option<&str>) -> Result<(), (&'static str, String)> {
        let ssid: String = wifi
            .ssid
            .0
            .bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let secret = match &wifi.password {
            Some(password) => format!("psk=\"{}\"", password.0),
            None => taken_before(&ssid, wpa).ok_or_else(|| {
                let text = "is needed: none was taken before for this network".to_owned();
                ("wifi.password", text)
            })?,
        };
        let hidden = u8::from(wifi.hidden);
        let text = format!(
            "ctrl_interface=/run/wpa_supplicant\ncountry={}\nnetwork={{\n\tssid={ssid}\n\tscan_ssid={hidden}\n\
             \tkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE\n\tieee80211w=1\n\t{secret}\n}}\n",
            wifi.country.0
        );
        self.write(WPA_FILE, 0o600, text);
        self.network(WIFI_FILE, "wlan", &wifi.addressing);
        let how = described(&wifi.addressing);
        self.told.push(format!("Wi-Fi: {:?}, {how}", wifi.ssid.0));
        Ok(())
    }
}

/// The line with the password of a network, if the file of now is about that network.
fn taken_before(ssid: &str, wpa: Option<&str>) -> Option<String> {
    let mut lines = wpa?.lines().map(str::trim);
    let own = format!("ssid={ssid}");
    lines.find(|line| *line == own)?;
    lines
        .find(|line| line.starts_with("psk="))
        .map(str::to_owned)
}

fn described(addressing: &Addressing) -> String {
    match addressing {
        Addressing::Dhcp => "address by DHCP".to_owned(),
        Addressing::Fixed(fixed) => format!("{}/{}", fixed.address.address, fixed.address.length),
    }
}

fn network_file(kind: &str, fixed: &Fixed) -> String {
    let mut text = format!(
        "[Match]\nType={kind}\nKind=!*\n\n[Network]\nAddress={}/{}\n",
        fixed.address.address, fixed.address.length
    );
    if let Some(gateway) = fixed.gateway {
        text.push_str(&format!("Gateway={gateway}\n"));
    }
    for server in &fixed.dns {
        text.push_str(&format!("DNS={server}\n"));
    }
    text.push_str("MulticastDNS=yes\n");
    text
}
