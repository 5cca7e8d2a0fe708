//! Read device identification: function 43 with type 14.
//!
//! Source: MODBUS Application Protocol Specification V1.1b3, section 6.21.

use std::fmt;

/// What one answer says of its device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identification {
    /// What the device can tell at most: 1 basic, 2 regular, 3 extended; 0x80 is added if it
    /// also answers for single objects.
    pub conformity: u8,
    /// With which object the next request goes on, if there is more.
    pub next: Option<u8>,
    /// Objects and their bytes, mostly ASCII.
    pub objects: Vec<(u8, Vec<u8>)>,
}

impl fmt::Display for Identification {
    /// `vendor name "ACME", product code "M1"`. Whatever is not printable is escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (id, bytes)) in self.objects.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            match Self::object_name(*id) {
                Some(name) => f.write_str(name)?,
                None => write!(f, "object {id}")?,
            }
            write!(f, " \"{}\"", bytes.escape_ascii())?;
        }
        Ok(())
    }
}

impl Identification {
    /// From the bytes behind the function code.
    ///
    /// # Errors
    ///
    /// If they are not as long as they say, or answer another level.
    pub(super) fn decode(body: &[u8], level: u8) -> Result<Self, &'static str> {
        let (head, mut rest) = body
            .split_first_chunk::<6>()
            .ok_or("an identification without its head")?;
        let [kind, got, conformity, more, next, count] = *head;
        if kind != 14 || got != level {
            return Err("an identification of another kind");
        }
        let mut objects = Vec::new();
        for _ in 0..count {
            let (head, tail) = rest
                .split_first_chunk::<2>()
                .ok_or("an identification with fewer objects than it says")?;
            let [id, length] = *head;
            let (bytes, tail) = tail
                .split_at_checked(usize::from(length))
                .ok_or("an identification with a cut object")?;
            objects.push((id, bytes.to_vec()));
            rest = tail;
        }
        if !rest.is_empty() {
            return Err("an identification with more bytes than it says");
        }
        Ok(Self {
            conformity,
            next: (more == 0xFF).then_some(next),
            objects,
        })
    }

    /// The name of an object in the specification.
    pub fn object_name(id: u8) -> Option<&'static str> {
        Some(match id {
            0 => "vendor name",
            1 => "product code",
            2 => "revision",
            3 => "vendor URL",
            4 => "product name",
            5 => "model name",
            6 => "application name",
            _ => return None,
        })
    }

    /// How many bytes of such an answer's body there are in all, seen from its beginning; `None`
    /// while more must be seen to tell.
    pub(super) fn body_length(body: &[u8]) -> Option<usize> {
        let count = *body.get(5)?;
        let mut at = 6usize;
        for _ in 0..count {
            let length = *body.get(at + 1)?;
            at += 2 + usize::from(length);
        }
        Some(at)
    }
}
