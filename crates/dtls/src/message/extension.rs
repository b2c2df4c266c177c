//! Extensions (RFC 8446 §4.2).

use crate::alert::AlertDescription;
use crate::error::Fault;
use crate::srtp::SrtpProfile;
use crate::wire::{Numbers, Reader, put_u16, put_vec8, put_vec16};

pub(crate) const SUPPORTED_GROUPS: u16 = 10;
pub(crate) const EC_POINT_FORMATS: u16 = 11;
pub(crate) const SIGNATURE_ALGORITHMS: u16 = 13;
pub(crate) const USE_SRTP: u16 = 14;
pub(crate) const ALPN: u16 = 16;
pub(crate) const EXTENDED_MASTER_SECRET: u16 = 23;
pub(crate) const RECORD_SIZE_LIMIT: u16 = 28;
pub(crate) const SUPPORTED_VERSIONS: u16 = 43;
pub(crate) const COOKIE: u16 = 44;
pub(crate) const KEY_SHARE: u16 = 51;
pub(crate) const RENEGOTIATION_INFO: u16 = 0xFF01;

/// The uncompressed form of points (RFC 8422 §5.1.2).
pub(crate) const UNCOMPRESSED: u8 = 0;

/// Extensions in a message at most; no peer has half as many.
const MAX_EXTENSIONS: usize = 64;

/// The smallest limit of a record's size (RFC 8449 §4).
pub(crate) const SMALLEST_LIMIT: u16 = 64;

/// Gives each extension of a list to `take`, with its number. None may come twice (RFC 8446 §4.2).
pub(super) fn for_each<'a>(
    mut list: Reader<'a>,
    mut take: impl FnMut(u16, Reader<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut seen = Vec::with_capacity(16);
    while !list.is_empty() {
        let number = list.u16()?;
        if seen.contains(&number) {
            return Err(Fault::illegal("an extension comes twice"));
        }
        if seen.len() == MAX_EXTENSIONS {
            return Err(Fault::decode("a message has too many extensions"));
        }
        seen.push(number);
        take(number, list.vec16()?)?;
    }
    Ok(())
}

/// Appends an extension.
pub(super) fn put(out: &mut Vec<u8>, number: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    put_u16(out, number);
    put_vec16(out, fill);
}

/// Appends an extension that is a list of 16-bit numbers.
pub(super) fn put_numbers(out: &mut Vec<u8>, number: u16, numbers: impl IntoIterator<Item = u16>) {
    put(out, number, |out| put_vec16(out, |out| numbers.into_iter().for_each(|one| put_u16(out, one))));
}

/// An offer of `use_srtp` (RFC 5764 §4.1.1). MKIs are never used.
pub(super) fn read_use_srtp<'a>(reader: &mut Reader<'a>) -> Result<Numbers<'a>, Fault> {
    let profiles = reader.numbers()?;
    reader.vec8()?;
    Ok(profiles)
}

pub(super) fn put_use_srtp(out: &mut Vec<u8>, profiles: &[SrtpProfile]) {
    put(out, USE_SRTP, |out| {
        put_vec16(out, |out| profiles.iter().for_each(|profile| put_u16(out, profile.number())));
        put_vec8(out, |_| {});
    });
}

pub(super) fn put_alpn<'a>(out: &mut Vec<u8>, protocols: impl IntoIterator<Item = &'a [u8]>) {
    put(out, ALPN, |out| {
        put_vec16(out, |out| {
            protocols.into_iter().for_each(|name| put_vec8(out, |out| out.extend_from_slice(name)));
        });
    });
}

pub(super) fn read_limit(reader: &mut Reader<'_>) -> Result<u16, Fault> {
    let limit = reader.u16()?;
    if limit < SMALLEST_LIMIT {
        return Err(Fault::illegal("the limit of a record's size is too small"));
    }
    Ok(limit)
}

/// The choices of a server that a ServerHello of DTLS 1.2 has, and EncryptedExtensions of DTLS 1.3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choices {
    pub(crate) srtp: Option<SrtpProfile>,
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) record_size_limit: Option<u16>,
}

impl Choices {
    /// Reads an extension, if it is one of these. Returns whether it is.
    pub(super) fn read(&mut self, number: u16, body: &mut Reader<'_>) -> Result<bool, Fault> {
        match number {
            USE_SRTP => {
                let profiles = read_use_srtp(body)?;
                let mut known = profiles.iter().map(SrtpProfile::from_number);
                let (Some(Some(profile)), None) = (known.next(), known.next()) else {
                    return Err(Fault::illegal("the server has chosen no known profile of SRTP"));
                };
                self.srtp = Some(profile);
            }
            ALPN => {
                let mut names = body.vec16()?;
                self.alpn = Some(names.vec8()?.rest().to_vec());
                names.finish()?;
            }
            RECORD_SIZE_LIMIT => self.record_size_limit = Some(read_limit(body)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if let Some(profile) = self.srtp {
            put_use_srtp(out, &[profile]);
        }
        if let Some(name) = &self.alpn {
            put_alpn(out, [&name[..]]);
        }
        if let Some(limit) = self.record_size_limit {
            put(out, RECORD_SIZE_LIMIT, |out| put_u16(out, limit));
        }
    }
}

/// An extension that was not asked for (RFC 8446 §4.2).
pub(super) const UNSOLICITED: Fault = Fault::new(
    AlertDescription::UNSUPPORTED_EXTENSION,
    "the server answers with an extension that was not offered",
);
