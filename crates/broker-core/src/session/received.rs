//! The client's QoS 2 messages between PUBLISH and PUBREL (MQTT 5.0 section 4.3.3).

use fieldgate_mqtt::PacketId;

const WORDS: usize = 1 << 10;

/// A set of packet identifiers. A client that never sends QoS 2 pays a pointer for it.
#[derive(Debug, Default)]
pub(crate) struct Received {
    bits: Option<Box<[u64; WORDS]>>,
    /// Those that came on this connection: only they count against the receive maximum, which
    /// begins afresh with every connection (MQTT 5.0 section 4.9).
    count: u16,
}

/// What a QoS 2 PUBLISH is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// To be passed on.
    New,
    /// Passed on before: only the PUBREC is to be repeated.
    Again,
    /// One more than the broker's receive maximum (MQTT-3.3.4-7).
    TooMany,
}

impl Received {
    /// What it takes in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bits.as_ref().map_or(0, |bits| size_of_val(&**bits))
    }

    pub(crate) fn begin_connection(&mut self) {
        self.count = 0;
    }

    pub(crate) fn insert(&mut self, id: PacketId, maximum: u16) -> Receipt {
        let bits = self.bits.get_or_insert_with(|| Box::new([0; WORDS]));
        let (word, bit) = place(id);
        if bits[word] & bit != 0 {
            return Receipt::Again;
        }
        if self.count >= maximum {
            return Receipt::TooMany;
        }
        bits[word] |= bit;
        self.count += 1;
        Receipt::New
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = PacketId> {
        let all = self.bits.iter().flat_map(|_| 1..=u16::MAX);
        all.filter_map(PacketId::new).filter(|&id| self.has(id))
    }

    fn has(&self, id: PacketId) -> bool {
        let (word, bit) = place(id);
        self.bits.as_ref().is_some_and(|bits| bits[word] & bit != 0)
    }

    /// Returns whether `id` was there.
    pub(crate) fn remove(&mut self, id: PacketId) -> bool {
        let (word, bit) = place(id);
        let Some(bits) = &mut self.bits else {
            return false;
        };
        let found = bits[word] & bit != 0;
        bits[word] &= !bit;
        self.count = self.count.saturating_sub(u16::from(found));
        found
    }
}

fn place(id: PacketId) -> (usize, u64) {
    (usize::from(id.get() >> 6), 1 << (id.get() & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_new_once_until_it_is_released() {
        let mut received = Received::default();
        let id = |id| PacketId::new(id).unwrap();
        for number in [1, 63, 64, 65_535] {
            assert!(!received.remove(id(number)));
            assert_eq!(received.insert(id(number), 4), Receipt::New);
            assert_eq!(received.insert(id(number), 4), Receipt::Again);
        }
        assert_eq!(received.insert(id(2), 4), Receipt::TooMany);
        assert!(received.remove(id(64)));
        assert!(!received.remove(id(64)));
        assert_eq!(received.insert(id(2), 4), Receipt::New);
    }
}
