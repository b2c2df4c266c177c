//! Tones of a telephone's keys (RFC 4733 §2.3).

use crate::bytes_at::{be16, put16};

/// An event, and how long it lasts so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TelephoneEvent {
    /// The event: 0 to 9 digits, 10 `*`, 11 `#`, 12 to 15 `A` to `D`.
    pub event: u8,
    /// The event has ended.
    pub end: bool,
    /// The power level of the tone in -dBm0, 0 to 63.
    pub volume: u8,
    /// The duration so far in ticks of the clock, from the packet's timestamp on.
    pub duration: u16,
}

impl TelephoneEvent {
    /// The bytes of an event.
    pub const LEN: usize = 4;

    /// Reads an event; `None` if the payload is too short.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let [event, flags, ..] = *payload.get(..Self::LEN)? else { return None };
        let duration = be16(payload, 2);
        Some(Self { event, end: flags & 0x80 != 0, volume: flags & 0x3F, duration })
    }

    /// Returns the payload.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut payload = [self.event, (u8::from(self.end) << 7) | self.volume.min(63), 0, 0];
        put16(&mut payload, 2, self.duration);
        payload
    }

    /// Returns the event of a key; `None` if it is not `0` to `9`, `*`, `#`, or `A` to `D`.
    #[must_use]
    pub const fn event_of(key: char) -> Option<u8> {
        Some(match key {
            '0'..='9' => key as u8 - b'0',
            '*' => 10,
            '#' => 11,
            'A'..='D' => 12 + (key as u8 - b'A'),
            'a'..='d' => 12 + (key as u8 - b'a'),
            _ => return None,
        })
    }

    /// Returns the key of an event; `None` if it has none.
    #[must_use]
    pub fn key(self) -> Option<char> {
        "0123456789*#ABCD".chars().nth(usize::from(self.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_they_were_written() {
        for key in "0123456789*#ABCD".chars() {
            let event = TelephoneEvent {
                event: TelephoneEvent::event_of(key).unwrap(),
                end: key == '#',
                volume: 10,
                duration: 800,
            };
            assert_eq!(event.key(), Some(key));
            assert_eq!(TelephoneEvent::read(&event.to_bytes()), Some(event));
        }
        assert_eq!(TelephoneEvent::event_of('e'), None);
        assert_eq!(TelephoneEvent::read(&[1, 2, 3]), None);
    }
}
