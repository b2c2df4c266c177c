//! ClientHello (RFC 6347 §4.2.1, RFC 9147 §5.3, RFC 8446 §4.1.2).

use super::extension::{
    ALPN, COOKIE, EC_POINT_FORMATS, EXTENDED_MASTER_SECRET, KEY_SHARE, RECORD_SIZE_LIMIT, RENEGOTIATION_INFO,
    SIGNATURE_ALGORITHMS, SUPPORTED_GROUPS, SUPPORTED_VERSIONS, UNCOMPRESSED, USE_SRTP, for_each, put,
    put_alpn, put_numbers, put_use_srtp, read_limit, read_use_srtp,
};
use crate::config::{Config, Version};
use crate::crypto::group::KeyExchange;
use crate::crypto::signature::Scheme;
use crate::error::Fault;
use crate::wire::{Numbers, Reader, put_u16, put_vec8, put_vec16};

/// `TLS_EMPTY_RENEGOTIATION_INFO_SCSV` (RFC 5746 §3.3).
const RENEGOTIATION_SCSV: u16 = 0x00FF;

/// The only compression method: none.
const NO_COMPRESSION: u8 = 0;

/// A ClientHello that was received.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientHello<'a> {
    pub(crate) version: u16,
    pub(crate) random: [u8; 32],
    pub(crate) session_id: &'a [u8],
    /// That of DTLS 1.2.
    pub(crate) cookie: &'a [u8],
    pub(crate) suites: Numbers<'a>,
    pub(crate) versions: Option<&'a [u8]>,
    pub(crate) groups: Option<Numbers<'a>>,
    pub(crate) schemes: Option<Numbers<'a>>,
    pub(crate) key_shares: Option<Reader<'a>>,
    /// That of DTLS 1.3.
    pub(crate) retry_cookie: Option<&'a [u8]>,
    pub(crate) srtp: Option<Numbers<'a>>,
    pub(crate) alpn: Option<Reader<'a>>,
    pub(crate) extended_master_secret: bool,
    pub(crate) secure_renegotiation: bool,
    pub(crate) record_size_limit: Option<u16>,
}

impl<'a> ClientHello<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        let mut hello = Self { version: reader.u16()?, random: reader.array()?, ..Self::default() };
        hello.session_id = reader.vec8()?.rest();
        hello.cookie = reader.vec8()?.rest();
        hello.suites = reader.numbers()?;
        if !reader.vec8()?.rest().contains(&NO_COMPRESSION) {
            return Err(Fault::illegal("the client wants compression"));
        }
        if hello.session_id.len() > 32 {
            return Err(Fault::decode("a session identifier is too long"));
        }
        hello.secure_renegotiation = hello.suites.contains(RENEGOTIATION_SCSV);
        if !reader.is_empty() {
            let extensions = reader.vec16()?;
            for_each(extensions, |number, body| hello.read_extension(number, body))?;
        }
        reader.finish()?;
        Ok(hello)
    }

    fn read_extension(&mut self, number: u16, mut body: Reader<'a>) -> Result<(), Fault> {
        match number {
            SUPPORTED_VERSIONS => self.versions = Some(body.vec8()?.rest()),
            SUPPORTED_GROUPS => self.groups = Some(body.numbers()?),
            SIGNATURE_ALGORITHMS => self.schemes = Some(body.numbers()?),
            KEY_SHARE => self.key_shares = Some(body.vec16()?),
            COOKIE => self.retry_cookie = Some(body.vec16()?.rest()),
            USE_SRTP => self.srtp = Some(read_use_srtp(&mut body)?),
            ALPN => self.alpn = Some(body.vec16()?),
            RECORD_SIZE_LIMIT => self.record_size_limit = Some(read_limit(&mut body)?),
            EXTENDED_MASTER_SECRET => self.extended_master_secret = true,
            RENEGOTIATION_INFO => {
                // RFC 5746 §3.6: in a first handshake it is empty.
                if !body.vec8()?.is_empty() {
                    return Err(Fault::incompatible("the client renegotiates what was not negotiated"));
                }
                self.secure_renegotiation = true;
            }
            EC_POINT_FORMATS => {
                if !body.vec8()?.rest().contains(&UNCOMPRESSED) {
                    return Err(Fault::illegal("the client takes no uncompressed points"));
                }
            }
            // Others say nothing to this side.
            _ => return Ok(()),
        }
        body.finish()
    }

    /// Returns true if the client has this version.
    pub(crate) fn offers(&self, version: Version) -> bool {
        match self.versions {
            Some(versions) => Numbers(versions).contains(version.number()),
            // Versions count downwards (RFC 6347 §4.1).
            None => {
                version == Version::Dtls12
                    && self.version <= Version::Dtls12.number()
                    && self.version >> 8 == 0xFE
            }
        }
    }

    /// The shares of the key exchange: group and public key.
    pub(crate) fn shares(&self) -> Result<Vec<(u16, &'a [u8])>, Fault> {
        let Some(mut reader) = self.key_shares else { return Ok(Vec::new()) };
        let mut shares: Vec<(u16, &[u8])> = Vec::new();
        while !reader.is_empty() {
            let (group, share) = (reader.u16()?, reader.vec16()?.rest());
            if shares.iter().any(|(known, _)| *known == group) {
                return Err(Fault::illegal("the client has two keys in one group"));
            }
            shares.push((group, share));
        }
        Ok(shares)
    }

    /// The application protocols.
    pub(crate) fn protocols(&self) -> Result<Option<Vec<&'a [u8]>>, Fault> {
        let Some(mut reader) = self.alpn else { return Ok(None) };
        let mut names = Vec::new();
        while !reader.is_empty() {
            names.push(reader.vec8()?.rest());
        }
        Ok(Some(names))
    }
}

/// The parts of a ClientHello to be sent.
#[derive(Debug)]
pub(crate) struct ClientHelloParts<'a> {
    pub(crate) config: &'a Config,
    pub(crate) random: &'a [u8; 32],
    /// That of a HelloVerifyRequest.
    pub(crate) cookie: &'a [u8],
    /// That of a HelloRetryRequest.
    pub(crate) retry_cookie: Option<&'a [u8]>,
    pub(crate) keys: &'a [KeyExchange],
}

impl ClientHelloParts<'_> {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        put_u16(&mut out, Version::Dtls12.number());
        out.extend_from_slice(self.random);
        put_vec8(&mut out, |_| {});
        put_vec8(&mut out, |out| out.extend_from_slice(self.cookie));
        put_vec16(&mut out, |out| self.config.suites().for_each(|suite| put_u16(out, suite.number())));
        put_vec8(&mut out, |out| out.push(NO_COMPRESSION));
        put_vec16(&mut out, |out| self.write_extensions(out));
        out
    }

    fn write_extensions(&self, out: &mut Vec<u8>) {
        let config = self.config;
        let (has_12, has_13) = (config.has(Version::Dtls12), config.has(Version::Dtls13));
        if has_13 {
            put(out, SUPPORTED_VERSIONS, |out| {
                put_vec8(out, |out| {
                    put_u16(out, Version::Dtls13.number());
                    if has_12 {
                        put_u16(out, Version::Dtls12.number());
                    }
                });
            });
        }
        if has_12 {
            put(out, EXTENDED_MASTER_SECRET, |_| {});
            put(out, RENEGOTIATION_INFO, |out| put_vec8(out, |_| {}));
            put(out, EC_POINT_FORMATS, |out| put_vec8(out, |out| out.push(UNCOMPRESSED)));
        }
        let newest = if has_13 { Version::Dtls13 } else { Version::Dtls12 };
        put_numbers(out, SUPPORTED_GROUPS, config.groups_of(newest).map(|group| group.number()));
        put_numbers(out, SIGNATURE_ALGORITHMS, Scheme::OFFERED.map(|scheme| scheme.0));
        if !config.srtp_profiles.is_empty() {
            put_use_srtp(out, &config.srtp_profiles);
        }
        if !config.alpn.is_empty() {
            put_alpn(out, config.alpn.iter().map(|name| &name[..]));
        }
        if config.record_size_limit.is_some() {
            put(out, RECORD_SIZE_LIMIT, |out| put_u16(out, config.record_limit(newest)));
        }
        if let Some(cookie) = self.retry_cookie {
            put(out, COOKIE, |out| put_vec16(out, |out| out.extend_from_slice(cookie)));
        }
        if has_13 {
            put(out, KEY_SHARE, |out| {
                put_vec16(out, |out| {
                    for key in self.keys {
                        put_u16(out, key.group().number());
                        put_vec16(out, |out| out.extend_from_slice(key.share()));
                    }
                });
            });
        }
    }
}
