use super::*;
use crate::unit::Table;

const START: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_secs(3);

fn seconds(now: Duration) -> u16 {
    u16::try_from(now.as_secs()).unwrap()
}

fn moving() -> Unit {
    let mut unit = Unit::new();
    unit.set_words(Table::Holding, 9, &[900]);
    unit.move_words(Table::Holding, 10, 2, |now| vec![seconds(now), 1000]);
    unit.move_words(Table::Holding, 12, 2, |now| {
        vec![seconds(now), 2000 + seconds(now)]
    });
    unit
}

#[test]
fn any_window_over_moving_registers_shows_the_right_words() {
    for (address, want) in [
        (9, &[900, 3][..]),
        (9, &[900, 3, 1000, 3, 2003]),
        (10, &[3, 1000]),
        (11, &[1000, 3]),
        (13, &[2003]),
    ] {
        let count = want.len() as u16;
        let got = moving().words(Table::Holding, address, count, LATER);
        assert_eq!(got.as_deref(), Some(want), "{address}+{count}");
    }
}

#[test]
fn a_range_that_touches_a_hole_or_the_end_of_the_table_does_not_exist() {
    let mut unit = moving();
    unit.set_words(Table::Input, 65535, &[5, 6]);
    for (table, address, count) in [
        (Table::Holding, 8, 1),
        (Table::Holding, 8, 2),
        (Table::Holding, 13, 2),
        (Table::Input, 0, 1),
        (Table::Input, 65535, 2),
        (Table::Coil, 9, 1),
    ] {
        let got = unit.words(table, address, count, START);
        assert_eq!(got, None, "{table:?} {address}+{count}");
    }
    let last = unit.words(Table::Input, 65535, 1, START);
    assert_eq!(last, Some(vec![5]));
}

#[test]
fn a_write_sticks_and_its_whole_point_stands_still_while_neighbours_go_on() {
    let mut unit = moving();
    assert!(unit.write_words(11, &[7], LATER));
    let later = unit.words(Table::Holding, 9, 5, LATER * 2);
    assert_eq!(later, Some(vec![900, 3, 7, 6, 2006]));
}

#[test]
fn a_write_that_touches_a_hole_changes_nothing() {
    let mut unit = moving();
    assert!(!unit.write_words(13, &[1, 2], LATER));
    assert!(!unit.write_words(65535, &[1, 2], LATER));
    let later = unit.words(Table::Holding, 12, 2, LATER * 2);
    assert_eq!(later, Some(vec![6, 2006]));
}

#[test]
fn bits_of_one_register_move_apart_and_a_write_to_it_ends_them_all() {
    let mut unit = Unit::new();
    unit.set_words(Table::Holding, 5, &[0x8000]);
    unit.move_register_bit(Table::Holding, 5, 0, |now| now >= LATER);
    unit.move_register_bit(Table::Holding, 5, 3, |now| now < LATER);
    for (now, want) in [(START, 0x8008), (LATER, 0x8001)] {
        let got = unit.words(Table::Holding, 5, 1, now);
        assert_eq!(got, Some(vec![want]), "{now:?}");
    }
    assert!(unit.write_words(5, &[0x0010], LATER));
    assert_eq!(unit.words(Table::Holding, 5, 1, START), Some(vec![0x0010]));
}

#[test]
fn a_replaced_unit_keeps_what_clients_have_written_and_nothing_else() {
    let image = Image::new();
    image.insert(1, moving());
    image.with(1, |unit| unit.write_words(12, &[7, 8], LATER));
    let mut new = Unit::new();
    new.move_words(Table::Holding, 10, 4, |now| vec![seconds(now); 4]);
    image.insert(1, new);
    let words = image.with(1, |unit| unit.words(Table::Holding, 10, 4, LATER));
    assert_eq!(
        words,
        Some(Some(vec![0, 0, 7, 8])),
        "one point: it stands still"
    );
    let mut smaller = Unit::new();
    smaller.set_words(Table::Holding, 12, &[1]);
    image.insert(1, smaller);
    let words = image.with(1, |unit| unit.words(Table::Holding, 12, 1, LATER));
    assert_eq!(words, Some(Some(vec![7])));
    let hole = image.with(1, |unit| unit.words(Table::Holding, 13, 1, LATER));
    assert_eq!(hole, Some(None));
}

#[test]
fn a_moving_coil_holds_what_was_written() {
    let mut unit = Unit::new();
    unit.move_bit(Table::Coil, 2, |now| now >= LATER);
    assert_eq!(unit.bits(Table::Coil, 2, 1, LATER), Some(vec![true]));
    assert!(unit.write_bits(2, &[false], LATER));
    assert_eq!(unit.bits(Table::Coil, 2, 1, LATER), Some(vec![false]));
}
