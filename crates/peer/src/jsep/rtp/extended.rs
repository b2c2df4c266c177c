//! `a=rtcp-xr`: the extended reports that are agreed (RFC 3611 §5.1).

use std::fmt::Write;

use columba_sdp::{Expected, Field};

/// The name of the exchange by which a receiver measures the round trip.
const RECEIVER_ROUND_TRIP: &str = "rcvr-rtt";

/// The reports that a side takes part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExtendedReports {
    /// Receivers measure the round trip (`rcvr-rtt`).
    pub(super) receiver_round_trip: bool,
}

impl Field for ExtendedReports {
    const NAMES: &'static [&'static str] = &["rtcp-xr"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let mut formats = value.unwrap_or_default().split_ascii_whitespace();
        let is_named = |format: &str| format.split('=').next() == Some(RECEIVER_ROUND_TRIP);
        Ok(Self { receiver_round_trip: formats.any(is_named) })
    }

    fn write_value(&self, out: &mut dyn Write) -> std::fmt::Result {
        // In mode all, those that send as well may ask, too.
        if self.receiver_round_trip { write!(out, "{RECEIVER_ROUND_TRIP}=all") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use columba_sdp::Lines;

    #[test]
    fn lines_are_read_as_they_are_written() {
        let named = ["rcvr-rtt=all", "rcvr-rtt=all:10000", "voip-metrics rcvr-rtt=sender", "rcvr-rtt"];
        let others = [None, Some(""), Some("voip-metrics"), Some("rcvr-rttx=all")];
        let read = |value| ExtendedReports::parse("rtcp-xr", value).unwrap().receiver_round_trip;
        assert!(named.into_iter().all(|value| read(Some(value))));
        assert!(!others.into_iter().any(read));
        let mut lines = Lines::new();
        lines.add(&ExtendedReports { receiver_round_trip: true }).unwrap();
        assert_eq!(lines.to_string(), "a=rtcp-xr:rcvr-rtt=all\r\n");
    }
}
