//! The port and the form of RTCP.

use std::fmt;

use crate::address::NetworkAddress;
use crate::error::Expected;
use crate::field::{Field, flag_attribute};
use crate::scan::Words;

flag_attribute!(
    /// `a=rtcp-mux`: RTP and RTCP share a port (RFC 5761).
    RtcpMux,
    "rtcp-mux"
);

flag_attribute!(
    /// `a=rtcp-mux-only`: there is no other port for RTCP (RFC 8858).
    RtcpMuxOnly,
    "rtcp-mux-only"
);

flag_attribute!(
    /// `a=rtcp-rsize`: RTCP packets may be reduced in size (RFC 5506).
    RtcpRsize,
    "rtcp-rsize"
);

/// `a=rtcp`: the port, and where it differs the address, of RTCP (RFC 3605).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rtcp {
    /// The port; 9 as long as none is known.
    pub port: u16,
    /// The address, if it is written.
    pub address: Option<NetworkAddress>,
}

impl Field for Rtcp {
    const NAMES: &'static [&'static str] = &["rtcp"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let text = value.unwrap_or_default();
        let mut words = Words::new(text);
        let port = words.number("a port")?;
        let address = match Words::new(text).rest().nth(1) {
            None => None,
            Some(_) => Some(NetworkAddress::parse(&mut words)?),
        };
        words.end()?;
        match address {
            Some((_, Some(_))) => Err(Expected("a unicast address")),
            address => Ok(Self { port, address: address.map(|(address, _)| address) }),
        }
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{}", self.port)?;
        self.address.as_ref().map_or(Ok(()), |address| write!(out, " {address}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lines;

    #[test]
    fn the_address_may_be_left_out() {
        let parse = |text: &str| Rtcp::parse("", Some(text));
        assert_eq!(parse("53020"), Ok(Rtcp { port: 53020, address: None }));
        assert_eq!(parse("9 IN IP4 0.0.0.0").unwrap().address, Some(NetworkAddress::UNSPECIFIED));
        for bad in ["", "x", "9 IN", "9 IN IP4 224.0.0.1/127", "9 IN IP4 0.0.0.0 x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let mut lines = Lines::new();
        lines.set(&parse("9 IN IP6 ::1").unwrap()).unwrap();
        assert_eq!(lines.to_string(), "a=rtcp:9 IN IP6 ::1\r\n");
    }
}
