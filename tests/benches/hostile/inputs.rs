//! All hostile inputs by name.

use std::thread;
use std::time::Duration;

use crate::attack::Attack;
use crate::{bus, door, memory, pages, retained, sessions, turns};

/// A row of the table.
pub struct Input {
    /// Its row in the field trial, and what it does.
    pub name: &'static str,
    pub run: fn(&Attack),
    pub needs: Needs,
}

/// What a row needs besides the demo's devices.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    /// Clients have passwords.
    Users,
    /// A device that the attacker plays, on a bus of its own.
    HostileDevice,
    /// 256 file descriptors and not more.
    FewFiles,
    /// A device is added after the attack.
    LateDevice,
    /// Memory is looked at again a minute after.
    Rest,
}

const fn input(name: &'static str, run: fn(&Attack)) -> Input {
    needs(name, Needs::Nothing, run)
}

const fn needs(name: &'static str, needs: Needs, run: fn(&Attack)) -> Input {
    Input { name, run, needs }
}

/// Nothing: what the machine and its other work do by themselves.
fn nothing(attack: &Attack) {
    attack.repeat(1, |_, _| {
        thread::sleep(Duration::from_secs(1));
        Ok(())
    });
}

pub const ALL: &[Input] = &[
    input("no attack", nothing),
    input("A4 sessions for ever", sessions::for_ever),
    input("A5 offline queues of noise", sessions::offline_queues),
    input("A6 user properties", memory::properties),
    input("A6 retained topics of 64 levels", memory::deep_topics),
    input("A6 filters of 64 levels", memory::deep_filters),
    input("A6 filters of 60 KB", memory::long_filters),
    input("A6 unique topics of 60 KB", memory::unique_topics),
    input("A6 2,000 offline sessions on m/#", memory::wide_matches),
    input("A6 wills", memory::wills),
    input("A6 topic aliases", memory::aliases),
    input("A6 queues of deaf clients", sessions::deaf_queues),
    input("A7 unfinished CONNECTs", door::unfinished),
    input("A7 unfinished WebSockets", door::websockets),
    needs("A8 unasked frames", Needs::HostileDevice, bus::unasked),
    input("A9 overlapping filters with ids", turns::overlapping),
    input("A9 deep SUBSCRIBE, UNSUBSCRIBE", turns::deep_in_turn),
    input("A9 UNSUBSCRIBE of 650,000", turns::unsubscribe),
    input("A9 SUBSCRIBE to 100,000 retained", turns::retained),
    input("B7 reads now and then", turns::now_and_then),
    needs("B9 wrong logins", Needs::Users, door::wrong_logins),
    input("B10 names of control characters", door::control_characters),
    needs(
        "B11 100,000 retained first",
        Needs::LateDevice,
        retained::many,
    ),
    needs(
        "B12 no file descriptors",
        Needs::FewFiles,
        door::connections,
    ),
    needs("B15 waves", Needs::Rest, retained::waves),
    input("console: slow heads", pages::slow_heads),
    input("console: 1,000 half-open", pages::half_open),
    input("console: cut uploads", pages::cut_uploads),
    needs("console: wrong logins", Needs::Users, pages::logins),
];
