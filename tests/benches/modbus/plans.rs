//! What is read of a meter in one round, as it is planned.

use fieldgate_bridge_modbus::{DeviceEntry, plan};

/// Maps of real shapes: the name, and the requests, registers and points of their plan.
pub fn plans() -> Vec<(&'static str, f64, f64, f64)> {
    let sdm: Vec<u16> = (0..18)
        .chain([21, 23, 24, 26, 27, 28, 30, 31, 35, 36, 37])
        .map(|n| n * 2)
        .collect();
    let dense: Vec<u16> = (0..60).map(|n| n * 2).collect();
    let sparse: Vec<u16> = (0..20).map(|n| n * 40).collect();
    let maps = [
        ("29 of a three-phase meter's map", sdm),
        ("60 without gaps", dense),
        ("20 far apart", sparse),
    ];
    let planned = maps.map(|(name, addresses)| {
        let points: Vec<String> = addresses
            .iter()
            .map(|at| format!("\"p{at}\": {{\"input\": {at}, \"as\": \"f32\"}}"))
            .collect();
        let json = format!(
            "{{\"bus\": \"b\", \"unit\": 1, \"points\": {{{}}}}}",
            points.join(",")
        );
        let entry: DeviceEntry = serde_json::from_str(&json).expect("a device");
        let device = entry
            .resolve("d", 1, None, &Default::default())
            .expect("a device");
        let all: Vec<usize> = (0..device.points.len()).collect();
        let requests = plan(&device, &all, &Default::default());
        let read: u32 = requests
            .iter()
            .map(|request| u32::from(request.count))
            .sum();
        (
            name,
            requests.len() as f64,
            f64::from(read),
            addresses.len() as f64,
        )
    });
    planned.into()
}
