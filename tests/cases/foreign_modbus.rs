//! A Modbus server that we did not write: what it holds is what the topics say.

use std::collections::HashMap;

use serde_json::Value;

use crate::harness::{
    gateway::Gateway,
    modbus::Pymodbus,
    mqtt::{Subscriber, mosquitto_pub, wait_payload},
};

/// The text of the value in a payload, untouched: a JSON parser would pass it through a double.
fn value_text(payload: &str) -> &str {
    let rest = payload
        .strip_prefix("{\"value\":")
        .expect("the value is first");
    let end = rest.find(",\"").expect("more members follow");
    rest.get(..end).unwrap()
}

/// Whether two JSON texts are the same value. Integers are compared digit by digit, fractions as
/// the doubles that Python printed.
fn same(got: &str, want: &str) -> bool {
    if got == want {
        return true;
    }
    let fraction = want.contains(['.', 'e']) && !want.starts_with('"');
    fraction && got.parse::<f64>().ok() == want.parse::<f64>().ok()
}

#[test]
fn every_type_and_order_is_published_as_pymodbus_holds_it() {
    let server = Pymodbus::values();
    let mut config = format!(
        "buses:
  plant: {{tcp: \"127.0.0.1:{}\", modbus: tcp}}
devices:
  all:
    bus: plant
    unit: 1
    points:
",
        server.port
    );
    let mut wanted = HashMap::new();
    for point in &server.points {
        let text = |key: &str| point[key].as_str().unwrap();
        let (name, table, keys) = (text("name"), text("table"), text("keys"));
        let comma = if keys.is_empty() { "" } else { ", " };
        config += &format!(
            "      {name}: {{{table}: {}{comma}{keys}}}\n",
            point["address"]
        );
        wanted.insert(format!("plant7/all/{name}"), text("text").to_owned());
    }
    assert!(wanted.len() > 180, "{} points", wanted.len());

    let gateway = Gateway::start(&config);
    let subscriber = Subscriber::start(gateway.port, "mqttv5", "plant7/all/+");
    let mut wrong = Vec::new();
    subscriber.wait("value of every point", |topic, payload| {
        // The others that this filter sees are `$state`.
        let want = wanted.get(topic)?;
        let got = value_text(payload);
        let quality: Value = serde_json::from_str(payload).expect("JSON");
        let expected = if want == "null" { "bad" } else { "good" };
        if !same(got, want) || quality["quality"] != expected {
            wrong.push(format!("{topic}: {payload}, but the server holds {want}"));
        }
        wanted.remove(topic);
        wanted.is_empty().then_some(())
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_written_through_the_gateway_is_what_pymodbus_reads_back() {
    let server = Pymodbus::values();
    let place = |name: &str| {
        let mut points = server.points.iter();
        let point = points.find(|point| point["name"].as_str().unwrap().ends_with(name));
        point.unwrap_or_else(|| panic!("{name}"))["address"].clone()
    };
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
        place("_f32_cdab"),
        place("_u64_dcba"),
        place("_i16_abcd"),
        place("_string12_abcd"),
        place("_bit3_abcd"),
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
