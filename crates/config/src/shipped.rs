//! The device types that come with the program: the files of `config/types`, as they were when it was built.

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../config/types/", $name, ".yaml")))),*]
    };
}

/// Name and text of each type, by name. A test compares the list with the folder.
const TYPES: &[(&str, &str)] = files![
    "abb-b23",
    "abb-drive",
    "adam-4150",
    "adam-6050",
    "apc-smart-ups",
    "countis-e",
    "danfoss-fc51",
    "deye-1p",
    "deye-3p",
    "dtsu666",
    "em24",
    "em340",
    "gmp252",
    "growatt",
    "hmp110",
    "hmp4",
    "iem3155",
    "or-we-516",
    "pro380",
    "pzem016",
    "pzem017",
    "r4dcb08",
    "sdm120",
    "sdm230",
    "sdm630",
    "sdm72-v2",
    "senseair-s8",
    "sharky775",
    "sma-inverter",
    "solaredge-meter",
    "sun2000",
    "sunspec-inverter-1p-int",
    "sunspec-inverter-2p-int",
    "sunspec-inverter-3p",
    "sunspec-inverter-3p-int",
    "sunspec-meter-3p-int",
    "sunspec-mppt-int",
    "supercal5",
    "umg96",
    "wago-750",
    "waveshare-io8",
    "waveshare-relay8",
    "xy-md02",
];

/// The names of all types.
pub fn names() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|(name, _)| *name)
}

/// The text of a type.
pub fn text(name: &str) -> Option<&'static str> {
    let found = TYPES.iter().find(|(other, _)| *other == name);
    found.map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_in_the_program() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/types");
        let files = std::fs::read_dir(folder).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let mut files: Vec<String> = files
            .map(|file| file.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        files.sort();
        assert_eq!(names().collect::<Vec<_>>(), files);
    }
}
