//! Telling protocols apart by the first byte (RFC 7983, RFC 9443).

/// What a datagram that is not ICE's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// DTLS, or what claims to be. The unified header of version 1.3 (RFC 9147 §4) is in the range, too.
    Dtls,
    /// RTP or RTCP.
    Media,
    /// ZRTP, QUIC, channel data from anybody but a relay, or noise.
    Unknown,
}

pub(crate) fn protocol_of(datagram: &[u8]) -> Protocol {
    match datagram.first() {
        Some(20..=63) => Protocol::Dtls,
        Some(128..=191) => Protocol::Media,
        _ => Protocol::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells() {
        for (range, protocol) in [
            (0..=19, Protocol::Unknown),
            (20..=63, Protocol::Dtls),
            (64..=127, Protocol::Unknown),
            (128..=191, Protocol::Media),
            (192..=255, Protocol::Unknown),
        ] {
            for byte in range {
                assert_eq!(protocol_of(&[byte]), protocol, "{byte}");
            }
        }
        assert_eq!(protocol_of(&[]), Protocol::Unknown);
    }
}
