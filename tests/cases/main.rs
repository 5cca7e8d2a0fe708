//! The gateway as its users see it: the program itself, real sockets, pseudo terminals and foreign clients.
//!
//! `cargo test -p fieldgate-tests --test gateway crash::` runs one group.

mod harness;

mod backup;
mod bridge;
mod console;
mod console_access;
mod console_files;
mod crash;
mod databases;
mod device_types;
mod differential;
mod editor;
mod events;
mod exports;
mod first_light;
mod first_meter;
mod floods;
mod foreign_modbus;
mod foreign_mqtt;
mod garbage;
mod gpio;
mod health;
mod history;
mod lifecycle;
mod mbus;
mod modbus_faults;
mod modbus_rtu;
mod network;
mod outage;
mod persistence;
mod serial;
mod simulate;
mod stale;
mod tools;
mod transport;
mod unkept;
mod uplink;
mod users;
