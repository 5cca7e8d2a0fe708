//! Carries a change out, as root: tries it, and keeps it once it is confirmed. Else the old setting returns.

use std::fs;
use std::io::{self, ErrorKind};
use std::process::Command;
use std::time::Duration;

use super::{Asked, Became, Places, SECONDS, State, board, uptime};
use crate::handover::{self, read, read_bytes, remove, write};

/// From one look for a confirmation to the next.
const PAUSE: Duration = Duration::from_millis(500);

/// What has the network managed.
pub(crate) trait Manager {
    /// Has it read its files again, and set an interface up as they say.
    fn load(&mut self, interface: &str) -> io::Result<()>;

    /// Lets some time pass.
    fn wait(&mut self) {
        std::thread::sleep(PAUSE);
    }

    /// Seconds since the start of the system.
    fn now(&self) -> u64 {
        uptime()
    }
}

/// systemd-networkd.
pub(crate) struct Networkd;

impl Manager for Networkd {
    fn load(&mut self, interface: &str) -> io::Result<()> {
        for words in [["reload", ""], ["reconfigure", interface]] {
            let words = words.into_iter().filter(|word| !word.is_empty());
            let status = Command::new("networkctl").args(words).status()?;
            if !status.success() {
                return Err(io::Error::other(format!("networkctl: {status}")));
            }
        }
        Ok(())
    }
}

/// Carries out what the daemon asked for.
pub(crate) fn carry_out(places: &Places, manager: &mut impl Manager) -> io::Result<()> {
    // One that was cut off.
    give_back(places, manager)?;
    let asked = read::<Asked>(&places.taken());
    remove(&places.taken())?;
    let Some(asked) = asked else {
        return Err(io::Error::other("what is asked for cannot be read"));
    };
    let Asked { id, wanted } = asked;
    let mut became = Became {
        id,
        wanted,
        state: State::Trying,
        until: manager.now() + SECONDS,
        problem: None,
    };
    // The daemon has looked at it, but need not be itself.
    if let Some(text) = board::wrong(places, &became.wanted) {
        (became.state, became.problem) = (State::Refused, Some(text));
        return say(places, &became);
    }
    let interface = became.wanted.interface.clone();
    log::warn!(
        "the address of {interface} is changed; it returns in {SECONDS} s unless it is confirmed"
    );
    write(&places.trial(), &became.wanted.file())?;
    say(places, &became)?;
    manager.load(&interface)?;
    while manager.now() < became.until {
        let confirmed = read_bytes(&places.confirmed()).unwrap_or_default();
        if confirmed == became.id.as_bytes() {
            write(&places.kept(&interface), &became.wanted.file())?;
            remove(&places.trial())?;
            // Before the end is told: until then, no file says what the interface has.
            let loaded = manager.load(&interface);
            became.state = State::Kept;
            say(places, &became)?;
            log::warn!("the address of {interface} was confirmed and stays");
            return loaded;
        }
        manager.wait();
    }
    give_back(places, manager)
}

/// Brings the old setting back if a change is being tried.
pub(crate) fn give_back(places: &Places, manager: &mut impl Manager) -> io::Result<()> {
    let trial = places.trial();
    let interface = match fs::read_to_string(&trial) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    remove(&trial)?;
    let name = interface
        .lines()
        .find_map(|line| line.strip_prefix("Name="));
    let name = name.unwrap_or_default().to_owned();
    log::warn!("the change of {name} was not confirmed: the old setting returns");
    // As above.
    let loaded = manager.load(&name);
    if let Some(mut became) = read::<Became>(&places.became()) {
        became.state = State::Returned;
        say(places, &became)?;
    }
    loaded
}

fn say(places: &Places, became: &Became) -> io::Result<()> {
    handover::say(&places.became(), became)
}

#[cfg(test)]
mod tests {
    use super::super::wanted::Wanted;
    use super::*;

    /// Time that passes by itself, and what was loaded: whether there was a trial, and what was said of it.
    struct Fake<'p> {
        places: &'p Places,
        now: u64,
        loaded: Vec<(String, bool, Option<State>)>,
        confirms: Option<(u64, &'static str)>,
    }

    impl Manager for Fake<'_> {
        fn load(&mut self, interface: &str) -> io::Result<()> {
            let said = read::<Became>(&self.places.became()).map(|became| became.state);
            let is_trial = self.places.trial().exists();
            self.loaded.push((interface.to_owned(), is_trial, said));
            Ok(())
        }

        fn wait(&mut self) {
            self.now += 1;
            if let Some((at, id)) = self.confirms
                && at == self.now
            {
                fs::write(self.places.confirmed(), id).unwrap();
            }
        }

        fn now(&self) -> u64 {
            self.now
        }
    }

    fn ask(places: &Places, address: &str) {
        let wanted = Wanted {
            interface: "eth0".into(),
            address: Some(address.to_owned()),
            ..Wanted::default()
        };
        let id = "one".to_owned();
        let text = serde_json::to_string(&Asked { id, wanted }).unwrap();
        fs::write(places.asked(), text).unwrap();
        handover::take(&places.asked(), &places.taken()).unwrap();
    }

    #[test]
    fn a_change_returns_unless_it_is_confirmed_in_time() {
        let folder = std::env::temp_dir().join(format!("network-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("run/fieldgate")).unwrap();
        fs::create_dir_all(folder.join("sys/class/net/eth0/device")).unwrap();
        fs::write(folder.join("sys/class/net/eth0/type"), "1\n").unwrap();
        let places = Places::new(&folder);
        let loads = |trials: &[bool]| -> Vec<(String, bool, Option<State>)> {
            let one = |is_trial: &bool| ("eth0".to_owned(), *is_trial, Some(State::Trying));
            trials.iter().map(one).collect()
        };
        for (address, confirms, state, trials) in [
            ("192.168.1.5/24", None, State::Returned, vec![true, false]),
            (
                "192.168.1.5/24",
                Some((95, "one")),
                State::Returned,
                vec![true, false],
            ),
            (
                "192.168.1.5/24",
                Some((20, "two")),
                State::Returned,
                vec![true, false],
            ),
            ("192.168.1.0/24", Some((20, "one")), State::Refused, vec![]),
            (
                "192.168.1.5/24",
                Some((80, "one")),
                State::Kept,
                vec![true, false],
            ),
        ] {
            let _ = fs::remove_file(places.confirmed());
            ask(&places, address);
            let mut fake = Fake {
                places: &places,
                now: 5,
                loaded: Vec::new(),
                confirms,
            };
            carry_out(&places, &mut fake).unwrap();
            let became: Became = read(&places.became()).unwrap();
            assert_eq!(became.state, state, "{address} {confirms:?}");
            assert_eq!(fake.loaded, loads(&trials), "{address} {confirms:?}");
            assert_eq!(places.kept("eth0").exists(), state == State::Kept);
            assert!(!places.trial().exists());
        }
        // What ended in the middle: the next one, and the unit's end, take it back.
        write(&places.trial(), "[Match]\nName=eth0\n").unwrap();
        let mut became: Became = read(&places.became()).unwrap();
        became.state = State::Trying;
        say(&places, &became).unwrap();
        let mut fake = Fake {
            places: &places,
            now: 5,
            loaded: Vec::new(),
            confirms: None,
        };
        give_back(&places, &mut fake).unwrap();
        give_back(&places, &mut fake).unwrap();
        assert_eq!(fake.loaded, loads(&[false]));
        // Nothing is tried a second time.
        assert!(carry_out(&places, &mut fake).is_err());
        fs::write(places.asked(), b"not JSON").unwrap();
        handover::take(&places.asked(), &places.taken()).unwrap();
        assert!(carry_out(&places, &mut fake).is_err());
        assert!(!places.asked().exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
