//! ServerHello and HelloRetryRequest (RFC 5246 §7.4.1.3, RFC 8446 §4.1.3, §4.1.4).

use super::extension::{
    COOKIE, Choices, EC_POINT_FORMATS, EXTENDED_MASTER_SECRET, KEY_SHARE, RENEGOTIATION_INFO,
    SUPPORTED_VERSIONS, UNCOMPRESSED, UNSOLICITED, for_each, put,
};
use crate::config::Version;
use crate::crypto::group::Group;
use crate::error::Fault;
use crate::wire::{Reader, put_u16, put_vec8, put_vec16};

/// The random number that marks a HelloRetryRequest (RFC 8446 §4.1.3).
pub(crate) const RETRY_RANDOM: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2,
    0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

/// A ServerHello that was received.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerHello<'a> {
    pub(crate) version: u16,
    pub(crate) random: [u8; 32],
    pub(crate) session_id: &'a [u8],
    pub(crate) suite: u16,
    pub(crate) selected_version: Option<u16>,
    /// Group and public key; of a HelloRetryRequest only the group.
    pub(crate) key_share: Option<(u16, &'a [u8])>,
    pub(crate) cookie: Option<&'a [u8]>,
    pub(crate) extended_master_secret: bool,
    pub(crate) secure_renegotiation: bool,
    /// Those of DTLS 1.2.
    pub(crate) choices: Choices,
}

impl<'a> ServerHello<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        let mut hello = Self { version: reader.u16()?, random: reader.array()?, ..Self::default() };
        hello.session_id = reader.vec8()?.rest();
        hello.suite = reader.u16()?;
        if reader.u8()? != 0 {
            return Err(Fault::illegal("the server wants compression"));
        }
        if !reader.is_empty() {
            let extensions = reader.vec16()?;
            for_each(extensions, |number, body| hello.read_extension(number, body))?;
        }
        reader.finish()?;
        Ok(hello)
    }

    pub(crate) fn is_retry(&self) -> bool {
        self.random == RETRY_RANDOM
    }

    fn read_extension(&mut self, number: u16, mut body: Reader<'a>) -> Result<(), Fault> {
        match number {
            SUPPORTED_VERSIONS => self.selected_version = Some(body.u16()?),
            KEY_SHARE => {
                let group = body.u16()?;
                let share = if self.is_retry() { &[] } else { body.vec16()?.rest() };
                self.key_share = Some((group, share));
            }
            COOKIE => self.cookie = Some(body.vec16()?.rest()),
            EXTENDED_MASTER_SECRET => self.extended_master_secret = true,
            RENEGOTIATION_INFO => {
                if !body.vec8()?.is_empty() {
                    return Err(Fault::incompatible("the server renegotiates what was not negotiated"));
                }
                self.secure_renegotiation = true;
            }
            EC_POINT_FORMATS => {
                if !body.vec8()?.rest().contains(&UNCOMPRESSED) {
                    return Err(Fault::illegal("the server takes no uncompressed points"));
                }
            }
            _ if self.choices.read(number, &mut body)? => {}
            _ => return Err(UNSOLICITED),
        }
        body.finish()
    }
}

/// The parts of a ServerHello to be sent.
#[derive(Debug)]
pub(crate) struct ServerHelloParts<'a> {
    pub(crate) random: &'a [u8; 32],
    pub(crate) suite: u16,
    pub(crate) version: Version,
    /// Group and public key; of a HelloRetryRequest only the group, if the client has to change it.
    pub(crate) key_share: Option<(Group, &'a [u8])>,
    pub(crate) cookie: Option<&'a [u8]>,
    pub(crate) extended_master_secret: bool,
    pub(crate) secure_renegotiation: bool,
    pub(crate) choices: &'a Choices,
}

impl ServerHelloParts<'_> {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        put_u16(&mut out, Version::Dtls12.number());
        out.extend_from_slice(self.random);
        // No session is resumed, and in DTLS 1.3 the client's identifier is not repeated.
        put_vec8(&mut out, |_| {});
        put_u16(&mut out, self.suite);
        out.push(0);
        put_vec16(&mut out, |out| match self.version {
            Version::Dtls12 => self.write_extensions_12(out),
            Version::Dtls13 => self.write_extensions_13(out),
        });
        out
    }

    fn write_extensions_12(&self, out: &mut Vec<u8>) {
        if self.extended_master_secret {
            put(out, EXTENDED_MASTER_SECRET, |_| {});
        }
        if self.secure_renegotiation {
            put(out, RENEGOTIATION_INFO, |out| put_vec8(out, |_| {}));
        }
        put(out, EC_POINT_FORMATS, |out| put_vec8(out, |out| out.push(UNCOMPRESSED)));
        self.choices.write(out);
    }

    fn write_extensions_13(&self, out: &mut Vec<u8>) {
        put(out, SUPPORTED_VERSIONS, |out| put_u16(out, Version::Dtls13.number()));
        if let Some((group, share)) = self.key_share {
            put(out, KEY_SHARE, |out| {
                put_u16(out, group.number());
                if *self.random != RETRY_RANDOM {
                    put_vec16(out, |out| out.extend_from_slice(share));
                }
            });
        }
        if let Some(cookie) = self.cookie {
            put(out, COOKIE, |out| put_vec16(out, |out| out.extend_from_slice(cookie)));
        }
    }
}
