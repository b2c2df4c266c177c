//! The choices of a DTLS server, read from its messages in the clear (RFC 5246 §7.4.1.3, RFC 8422
//! §5.4, RFC 8446 §4.1.3).

/// Bytes of the headers of a record and of a handshake message.
const RECORD_HEADER: usize = 13;
const MESSAGE_HEADER: usize = 12;

/// The content type of handshake messages.
const HANDSHAKE: u8 = 22;

/// The types of the messages that are read.
const SERVER_HELLO: u8 = 2;
const SERVER_KEY_EXCHANGE: u8 = 12;

/// The extension with the group of DTLS 1.3.
const KEY_SHARE: u16 = 51;

/// `ECCurveType`: the curve is named.
const NAMED_CURVE: u8 = 3;

/// Cipher suites by their names in IANA's registry: those that the machine has.
const CIPHERS: [(u16, &str); 7] = [
    (0x1301, "TLS_AES_128_GCM_SHA256"),
    (0x1302, "TLS_AES_256_GCM_SHA384"),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    (0xC02B, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    (0xC02C, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    (0xCCA9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xC02F, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
];

/// Groups by their names in IANA's registry.
const GROUPS: [(u16, &str); 4] =
    [(23, "secp256r1"), (24, "secp384r1"), (29, "x25519"), (4588, "X25519MLKEM768")];

/// The cipher suite and the group that a server has chosen.
///
/// Messages in the clear may be forged; a handshake with a forged one does not succeed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    cipher: Option<u16>,
    group: Option<u16>,
}

impl Choice {
    /// Returns the name of the cipher suite.
    pub(crate) fn cipher(self) -> Option<&'static str> {
        name(&CIPHERS, self.cipher?)
    }

    /// Returns the name of the group.
    pub(crate) fn group(self) -> Option<&'static str> {
        name(&GROUPS, self.group?)
    }

    /// Reads the records of a datagram. What is not a message of a server's is passed over.
    pub(super) fn learn(&mut self, mut datagram: &[u8]) {
        while let Some((header, rest)) = datagram.split_first_chunk::<RECORD_HEADER>() {
            let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
            let Some((body, rest)) = rest.split_at_checked(length) else { return };
            // Only the first epoch is in the clear.
            if header[0] == HANDSHAKE && header[3..5] == [0, 0] {
                self.learn_messages(body);
            }
            datagram = rest;
        }
    }

    fn learn_messages(&mut self, mut body: &[u8]) {
        while let Some((header, rest)) = body.split_first_chunk::<MESSAGE_HEADER>() {
            let number = |at: usize| u32::from_be_bytes([0, header[at], header[at + 1], header[at + 2]]);
            let (offset, fragment) = (number(6), usize::try_from(number(9)).unwrap_or(usize::MAX));
            let Some((message, rest)) = rest.split_at_checked(fragment) else { return };
            // What is read stands in the beginning of its message.
            match header[0] {
                SERVER_HELLO if offset == 0 => self.learn_hello(message),
                SERVER_KEY_EXCHANGE if offset == 0 => self.learn_key_exchange(message),
                _ => {}
            }
            body = rest;
        }
    }

    fn learn_hello(&mut self, message: &[u8]) {
        // Version and random number, then a session identifier with its length.
        let Some((length, rest)) = message.get(34..).and_then(<[u8]>::split_first) else { return };
        let Some(rest) = rest.get(usize::from(*length)..) else { return };
        let Some((cipher, rest)) = rest.split_first_chunk::<2>() else { return };
        self.cipher = Some(u16::from_be_bytes(*cipher));
        // The compression method, and the length of the extensions.
        let mut rest = rest.get(3..).unwrap_or_default();
        while let Some((header, after)) = rest.split_first_chunk::<4>() {
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let Some((extension, after)) = after.split_at_checked(length) else { return };
            if u16::from_be_bytes([header[0], header[1]]) == KEY_SHARE
                && let Some(group) = extension.first_chunk::<2>()
            {
                self.group = Some(u16::from_be_bytes(*group));
            }
            rest = after;
        }
    }

    fn learn_key_exchange(&mut self, message: &[u8]) {
        if let Some([NAMED_CURVE, group @ ..]) = message.first_chunk::<3>() {
            self.group = Some(u16::from_be_bytes(*group));
        }
    }
}

fn name(names: &[(u16, &'static str)], number: u16) -> Option<&'static str> {
    names.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u8::try_from(body.len()).unwrap();
        let mut message = vec![kind, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, length];
        message.extend_from_slice(body);
        message
    }

    fn record(body: &[u8]) -> Vec<u8> {
        let mut record = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, u8::try_from(body.len()).unwrap()];
        record.extend_from_slice(body);
        record
    }

    fn hello(cipher: [u8; 2], extensions: &[u8]) -> Vec<u8> {
        let length = u8::try_from(extensions.len()).unwrap();
        [&[254, 253][..], &[7; 32], &[1, 9], &cipher, &[0, 0, length], extensions].concat()
    }

    #[test]
    fn choices_of_both_versions_are_read() {
        let mut choice = Choice::default();
        let datagram = [
            record(&[message(2, &hello([0xC0, 0x2B], &[])), message(12, &[3, 0, 29, 32])].concat()),
            record(&message(14, &[])),
        ];
        choice.learn(&datagram.concat());
        assert_eq!(choice.cipher(), Some("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"));
        assert_eq!(choice.group(), Some("x25519"));
        let mut choice = Choice::default();
        let extensions = [0, 43, 0, 2, 254, 252, 0, 51, 0, 4, 0, 23, 0, 0];
        choice.learn(&record(&message(2, &hello([0x13, 1], &extensions))));
        assert_eq!((choice.cipher(), choice.group()), (Some("TLS_AES_128_GCM_SHA256"), Some("secp256r1")));
        choice.learn(&record(&message(2, &hello([0x99, 1], &[]))));
        assert_eq!(choice.cipher(), None, "unknown ones have no name");
    }

    proptest! {
        #[test]
        fn anything_is_survived(body in prop::collection::vec(any::<u8>(), 0..120), kind in 0_u8..20) {
            Choice::default().learn(&body);
            Choice::default().learn(&record(&message(kind, &body)));
            Choice::default().learn(&record(&body));
        }
    }
}
