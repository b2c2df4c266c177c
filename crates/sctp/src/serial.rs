//! Numbers of the wire, each a type of its own, compared as RFC 1982 says where they wrap.

/// A transmission sequence number: names one DATA chunk of an association (RFC 9260 §1.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tsn(pub(crate) u32);

impl Tsn {
    /// The number `count` steps further.
    #[must_use]
    pub(crate) fn plus(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count))
    }

    /// The number one step further.
    #[must_use]
    pub(crate) fn next(self) -> Self {
        self.plus(1)
    }

    /// The number one step back.
    #[must_use]
    pub(crate) fn previous(self) -> Self {
        Self(self.0.wrapping_sub(1))
    }

    /// The number of steps that lead from `earlier` to this one, going round if need be.
    #[must_use]
    pub(crate) fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Returns whether this one comes after `other`: less than half of the number space further on
    /// (RFC 1982 §3.2).
    #[must_use]
    pub(crate) fn is_after(self, other: Self) -> bool {
        (self.since(other) as i32) > 0
    }
}

/// A sequence number of a request to reset streams (RFC 6525 §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestNumber(pub(crate) u32);

impl RequestNumber {
    /// The number of the next request.
    #[must_use]
    pub(crate) fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// One of the 65,536 streams in each direction of an association.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u16);

impl std::fmt::Display for StreamId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A payload protocol identifier: what a message is, as its sender says (RFC 9260 §3.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ppid(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        assert!(Tsn(2).is_after(Tsn(u32::MAX)));
        assert!(!Tsn(u32::MAX).is_after(Tsn(2)));
        assert!(!Tsn(7).is_after(Tsn(7)));
        assert_eq!(Tsn(2).since(Tsn(u32::MAX)), 3);
        assert_eq!(Tsn(0).previous(), Tsn(u32::MAX));
    }
}
