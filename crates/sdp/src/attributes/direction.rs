//! The direction of media (RFC 8866 §6.7).

use std::fmt;

use crate::error::Expected;
use crate::field::Field;

const NAMES: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];

/// `a=sendrecv`, `a=sendonly`, `a=recvonly` or `a=inactive`, as the side that writes the
/// description sees it. Without one, it is `sendrecv`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// Away from the writer.
    SendOnly,
    /// Towards the writer.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl Direction {
    /// The direction in which the writer sends or receives as given.
    pub fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Returns whether the writer sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Returns whether the writer receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The direction as the other side sees it.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// The directions that both allow; both must be seen from the same side.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        NAMES[self as usize]
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Field for Direction {
    const NAMES: &'static [&'static str] = &NAMES;
    const FLAG: bool = true;

    fn parse(name: &str, _value: Option<&str>) -> Result<Self, Expected> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|direction| direction.as_str().eq_ignore_ascii_case(name))
            .ok_or(Expected("a direction"))
    }

    fn name(&self) -> &'static str {
        self.as_str()
    }

    fn write_value(&self, _out: &mut dyn fmt::Write) -> fmt::Result {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverses_and_intersects() {
        assert_eq!(Direction::SendOnly.reversed(), Direction::RecvOnly);
        assert_eq!(Direction::Inactive.reversed(), Direction::Inactive);
        assert_eq!(Direction::SendRecv.intersect(Direction::RecvOnly), Direction::RecvOnly);
        assert_eq!(Direction::SendOnly.intersect(Direction::RecvOnly), Direction::Inactive);
        for name in NAMES {
            assert_eq!(Direction::parse(name, None).unwrap().to_string(), name);
        }
    }
}
