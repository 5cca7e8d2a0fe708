//! The bridges of this gateway: the one place of the program that names them all.

use fieldgate_bridge_gpio::Lines;
use fieldgate_bridge_modbus::Buses;
use fieldgate_bridge_serial::Instruments;
use fieldgate_config::kinds::{Kinds, Of};

/// All bridges; Modbus is that of buses and device types without `protocol`.
pub(crate) const KINDS: Kinds = Kinds(&[
    Of::<Lines>::KIND,
    Of::<Instruments>::KIND,
    Of::<fieldgate_bridge_mbus::MbusLines>::KIND,
    Of::<Buses>::KIND,
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_schema_is_what_the_readers_ask_for() {
        let committed = include_str!("../../../config/gateway.schema.json");
        let committed: serde_json::Value = serde_json::from_str(committed).unwrap();
        let hint = "write it anew: fieldgate schema > config/gateway.schema.json";
        assert!(committed == fieldgate_config::schema(KINDS), "{hint}");
    }
}
