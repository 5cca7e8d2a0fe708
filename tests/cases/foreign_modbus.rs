//! A Modbus server that we did not write: what it holds is what the topics say.

use crate::harness::{
    gateway::Gateway,
    modbus::{Pymodbus, value_text},
    mqtt::{Subscriber, mosquitto_pub, wait_payload},
};

#[test]
fn every_type_and_order_is_published_as_pymodbus_holds_it() {
    let server = Pymodbus::values();
    server.compare_all(&format!(
        "{{tcp: \"127.0.0.1:{}\", modbus: tcp}}",
        server.port
    ));
}

#[test]
fn what_is_written_through_the_gateway_is_what_pymodbus_reads_back() {
    let server = Pymodbus::values();
    let config = format!(
        "buses:
  plant: {{tcp: \"127.0.0.1:{}\", modbus: tcp}}
devices:
  all:
    bus: plant
    unit: 1
    points:
      float:  {{holding: {}, as: f32, order: CDAB, write: true}}
      large:  {{holding: {}, as: u64, order: DCBA, write: true}}
      scaled: {{holding: {}, as: i16, scale: 0.1, write: true}}
      text:   {{holding: {}, as: string(12), write: true}}
      coil:   {{coil: 1, write: true}}
      flag:   {{holding: {}, as: bit(3), write: true}}
",
        server.port,
        server.place("_f32_cdab"),
        server.place("_u64_dcba"),
        server.place("_i16_abcd"),
        server.place("_string12_abcd"),
        server.place("_bit3_abcd"),
    );
    let gateway = Gateway::start(&config);
    gateway.wait_online("plant7/all/$state");
    let subscriber = Subscriber::start(gateway.port, "mqttv311", "plant7/all/#");
    for (point, payload, want) in [
        ("float", "21.5", "21.5"),
        ("large", "9007199254740993", "9007199254740993"),
        ("large", "18446744073709551615", "18446744073709551615"),
        ("scaled", "-12.3", "-12.3"),
        ("text", "valve Ü", "\"valve Ü\""),
        ("coil", "1", "true"),
        ("flag", "true", "true"),
    ] {
        mosquitto_pub(
            gateway.port,
            "mqttv5",
            &format!("plant7/all/{point}/set"),
            payload,
        );
        let result = subscriber.wait("result", |topic, payload| {
            (topic == format!("plant7/all/{point}/result")).then(|| payload.to_owned())
        });
        let expected = format!("{{\"status\":\"ok\",\"value\":{want},\"readback\":{want}}}");
        assert_eq!(result, expected, "{point}");
        wait_payload(gateway.port, &format!("plant7/all/{point}"), |payload| {
            value_text(payload) == want
        });
    }
}
