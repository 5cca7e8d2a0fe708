//! Factors that the device itself holds.

use super::*;

/// Waits until a point is as wanted.
async fn wait_for(device: &mut Device, point: usize, want: &str) {
    let wait = async { while device.round().await[point] != want {} };
    timeout(Duration::from_secs(5), wait).await.expect(want);
}

#[tokio::test]
async fn a_value_follows_its_factor_and_is_never_published_without_it() {
    let fake = Fake::start().await;
    let set = |address, word| {
        let mut state = fake.state.lock().unwrap();
        state.registers.insert(address, word);
    };
    set(0, 21413);
    set(1, 0xFFFF);
    set(50, 7);
    set(100, 3);
    // The second factor is too far away for one request, and is read after its value.
    let points = r#""power": {"holding": 0, "as": "i16", "scale_from": "power_sf"},
        "power_sf": {"holding": 1, "as": "i16", "invalid": 32768, "poll": "once"},
        "energy": {"holding": 50, "as": "u16", "scale_from": "energy_sf"},
        "energy_sf": {"holding": 100, "as": "i16", "poll": "once"}"#;
    let mut device = Device::start(&bus(&fake), 1, points);
    let first = device.round().await;
    assert_eq!(first, ["2141.3", "-1", "7000", "3"]);
    for (word, want) in [
        (0, "21413"),
        (1, "214130"),
        (0x8000, "Bad -"),
        (0xFFFE, "214.13"),
    ] {
        set(1, word);
        // What was read before the change may still come.
        wait_for(&mut device, 0, want).await;
    }
    set(100, 4);
    wait_for(&mut device, 2, "70000").await;
    device.cancel.cancel();
}
