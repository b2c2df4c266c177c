//! The protocol of a datagram, by its first byte (RFC 7983, RFC 9443).

/// The protocol of a datagram that is not ICE's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// DTLS. The range includes the unified header of version 1.3 (RFC 9147 §4).
    Dtls,
    /// RTP or RTCP.
    Media,
    /// ZRTP, QUIC, TURN channel data that is not a relay's, or noise.
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
    fn first_byte_names_the_protocol() {
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
