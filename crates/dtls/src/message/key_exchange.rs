//! ServerKeyExchange and ClientKeyExchange of DTLS 1.2 (RFC 8422 §5.4, §5.7).

use super::read_signed;
use crate::crypto::group::Group;
use crate::crypto::signature::Scheme;
use crate::error::Fault;
use crate::wire::{Reader, put_u16, put_vec8};

/// `ECCurveType`: the curve is named.
const NAMED_CURVE: u8 = 3;

/// A ServerKeyExchange that was received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerKeyExchange<'a> {
    pub(crate) group: u16,
    pub(crate) share: &'a [u8],
    /// The part that is signed, behind the random numbers of both sides.
    pub(crate) parameters: &'a [u8],
    pub(crate) scheme: Scheme,
    pub(crate) signature: &'a [u8],
}

impl<'a> ServerKeyExchange<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        if reader.u8()? != NAMED_CURVE {
            return Err(Fault::illegal("the server's curve has no name"));
        }
        let (group, share) = (reader.u16()?, reader.vec8()?.rest());
        let parameters = body.get(..4 + share.len()).ok_or(Fault::crypto())?;
        let (scheme, signature) = read_signed(&mut reader)?;
        reader.finish()?;
        Ok(Self { group, share, parameters, scheme, signature })
    }
}

/// The part of a ServerKeyExchange that is signed.
pub(crate) fn write_server_parameters(group: Group, share: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + share.len());
    out.push(NAMED_CURVE);
    put_u16(&mut out, group.number());
    put_vec8(&mut out, |out| out.extend_from_slice(share));
    out
}

/// Returns the client's public key.
pub(crate) fn read_client_key_exchange(body: &[u8]) -> Result<&[u8], Fault> {
    let mut reader = Reader::new(body);
    let share = reader.vec8()?.rest();
    reader.finish()?;
    Ok(share)
}

pub(crate) fn write_client_key_exchange(share: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + share.len());
    put_vec8(&mut out, |out| out.extend_from_slice(share));
    out
}
