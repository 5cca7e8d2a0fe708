//! Reads meters over M-Bus, and emits samples.
//!
//! `link` (frames), `app` (what they say), `address` and `config` are pure.
//! Nothing here knows MQTT or YAML: topics are built in `model`, and the file is read in `fieldgate`.

pub mod address;
pub mod app;
pub mod link;
