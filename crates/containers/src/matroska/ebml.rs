//! Elements: an identifier, a size, contents (RFC 8794).

use std::io::Read;

use crate::Error;
use crate::reader::Source;

/// The head of an element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) id: u32,
    /// `None` if the writer did not know it: the contents end where something else begins.
    pub(super) size: Option<u64>,
}

/// Reads the head of the next element; `None` at the end of the file.
pub(super) fn head<R: Read>(source: &mut Source<R>) -> Result<Option<Head>, Error> {
    let at = source.position();
    let Some([first]) = source.array_or_end::<1>()? else { return Ok(None) };
    let len = first.leading_zeros() as usize + 1;
    if len > 4 {
        return Err(Error::malformed("identifier of an element", at));
    }
    let Some(id) = rest(source, u64::from(first), len)? else { return Ok(None) };
    let Some([first]) = source.array_or_end::<1>()? else { return Ok(None) };
    let len = first.leading_zeros() as usize + 1;
    if len > 8 {
        return Err(Error::malformed("size of an element", at));
    }
    let marker = 1_u64 << (7 * len);
    let Some(size) = rest(source, u64::from(first), len)? else { return Ok(None) };
    let size = size & (marker - 1);
    Ok(Some(Head { id: id as u32, size: (size != marker - 1).then_some(size) }))
}

fn rest<R: Read>(source: &mut Source<R>, first: u64, len: usize) -> Result<Option<u64>, Error> {
    let mut value = first;
    for _ in 1..len {
        let Some([byte]) = source.array_or_end::<1>()? else { return Ok(None) };
        value = value << 8 | u64::from(byte);
    }
    Ok(Some(value))
}

/// Reads a number of variable length with its marker; returns it and its length.
pub(super) fn vint(data: &[u8]) -> Option<(u64, usize)> {
    let len = data.first()?.leading_zeros() as usize + 1;
    let bytes = data.get(..len).filter(|_| len <= 8)?;
    let value = bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    Some((value & ((1 << (7 * len)) - 1), len))
}

/// The elements of a master element that is in memory; damage ends them.
pub(super) fn children(mut data: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let len = data.first()?.leading_zeros() as usize + 1;
        let id = data.get(..len).filter(|_| len <= 4)?;
        let id = id.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
        let (size, size_len) = vint(&data[len..])?;
        let start = len + size_len;
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        let contents = data.get(start..end)?;
        data = &data[end..];
        Some((id, contents))
    })
}

/// Returns an unsigned number.
pub(super) fn unsigned(contents: &[u8]) -> u64 {
    contents.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}

pub(super) fn put_head(out: &mut Vec<u8>, id: u32, size: usize) {
    put_id(out, id);
    // Eight bytes hold any size, and need no second pass.
    out.extend_from_slice(&((1_u64 << 56) | size as u64).to_be_bytes());
}

pub(super) fn put_id(out: &mut Vec<u8>, id: u32) {
    let zeros = (id.leading_zeros() / 8) as usize;
    out.extend_from_slice(&id.to_be_bytes()[zeros..]);
}

pub(super) fn put(out: &mut Vec<u8>, id: u32, contents: &[u8]) {
    put_head(out, id, contents.len());
    out.extend_from_slice(contents);
}

pub(super) fn put_unsigned(out: &mut Vec<u8>, id: u32, value: u64) {
    let zeros = (value.leading_zeros() / 8).min(7) as usize;
    put(out, id, &value.to_be_bytes()[zeros..]);
}
