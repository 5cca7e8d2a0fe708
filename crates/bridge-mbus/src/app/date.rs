//! Dates and times. They are local times of the meter, without a zone.

use fieldgate_model::Value;

use super::Absent;

/// A date: two bytes, type G.
///
/// Source: EN 13757-3, annex A.
pub(super) fn date(bytes: &[u8]) -> Result<Value, Absent> {
    match bytes {
        [low, high] => Ok(Value::Text(day(*low, *high, None)?)),
        // Some meters give a date in the field of a time.
        _ => date_time(bytes),
    }
}

/// A date and time: type F of four bytes, type I of six, type J of three, type G of two.
pub(super) fn date_time(bytes: &[u8]) -> Result<Value, Absent> {
    let text = match bytes {
        [low, high] => day(*low, *high, None)?,
        [second, minute, hour] => {
            let (second, minute, hour) = (second & 0x3F, minute & 0x3F, hour & 0x1F);
            if second > 59 || minute > 59 || hour > 23 {
                return Err(Absent::Invalid);
            }
            format!("{hour:02}:{minute:02}:{second:02}")
        }
        [minute, hour, low, high] => {
            if minute & 0x80 != 0 {
                return Err(Absent::Invalid);
            }
            let century = hour >> 5 & 3;
            let day = day(*low, *high, Some(century))?;
            format!("{day}T{}", clock(hour & 0x1F, minute & 0x3F)?)
        }
        [second, minute, hour, low, high, _] => {
            if minute & 0x80 != 0 || second & 0x3F > 59 {
                return Err(Absent::Invalid);
            }
            let day = day(*low, *high, None)?;
            let clock = clock(hour & 0x1F, minute & 0x3F)?;
            format!("{day}T{clock}:{:02}", second & 0x3F)
        }
        _ => return Err(Absent::Invalid),
    };
    Ok(Value::Text(text))
}

fn clock(hour: u8, minute: u8) -> Result<String, Absent> {
    match (hour, minute) {
        (0..=23, 0..=59) => Ok(format!("{hour:02}:{minute:02}")),
        // Every hour, every minute.
        (31, 0..=59) => Ok(format!("*:{minute:02}")),
        (0..=23, 63) => Ok(format!("{hour:02}:*")),
        (31, 63) => Ok("*:*".to_owned()),
        _ => Err(Absent::Invalid),
    }
}

/// A `*` stands for every day, month or year, as in a yearly due date.
fn day(low: u8, high: u8, century: Option<u8>) -> Result<String, Absent> {
    let (day, month) = (low & 0x1F, high & 0x0F);
    let year = low >> 5 | high >> 4 << 3;
    let year = match (year, century) {
        (127, _) => "*".to_owned(),
        (0..=99, Some(century)) if century > 0 => {
            format!("{}", 1900 + 100 * u16::from(century) + u16::from(year))
        }
        (0..=80, _) => format!("20{year:02}"),
        (81..=99, _) => format!("19{year:02}"),
        _ => return Err(Absent::Invalid),
    };
    let month = match month {
        1..=12 => format!("{month:02}"),
        15 => "*".to_owned(),
        _ => return Err(Absent::Invalid),
    };
    let day = match day {
        0 => "*".to_owned(),
        day => format!("{day:02}"),
    };
    if (year == "2000" || year == "1900") && month == "*" {
        return Err(Absent::Invalid);
    }
    Ok(format!("{year}-{month}-{day}"))
}
