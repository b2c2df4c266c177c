//! Reading and writing big-endian fields, with bounds.

use crate::error::WireError;

/// Reads a value from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let Some((taken, rest)) = self.bytes.split_at_checked(count) else {
            return Err(WireError::Truncated { offset: self.offset + self.bytes.len() });
        };
        self.bytes = rest;
        self.offset += count;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let Some((taken, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(WireError::Truncated { offset: self.offset + self.bytes.len() });
        };
        self.bytes = rest;
        self.offset += N;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    /// The next chunk or parameter: its first two bytes and its value; the padding behind it may be
    /// missing at the end.
    #[inline]
    pub(crate) fn element(&mut self) -> Result<([u8; 2], &'a [u8]), WireError> {
        let head = self.array::<2>()?;
        let length = usize::from(self.u16()?);
        let Some(length) = length.checked_sub(4) else {
            return Err(WireError::Length { offset: self.offset - 2 });
        };
        let value = self.bytes(length)?;
        let padding = (super::padded(length) - length).min(self.bytes.len());
        self.bytes(padding)?;
        Ok((head, value))
    }
}

/// Writes a packet into a buffer. The caller asks first whether there is [`room`](Self::room); what
/// does not fit is a fault of this crate, found by a debug assertion, and cut off.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl<'a> Writer<'a> {
    /// A writer into the whole of `buffer`.
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, length: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// The number of bytes that fit.
    pub(crate) fn room(&self) -> usize {
        self.buffer.len() - self.length
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        debug_assert!(end <= self.buffer.len(), "a packet does not fit");
        if let Some(target) = self.buffer.get_mut(self.length..end) {
            target.copy_from_slice(bytes);
            self.length = end;
        }
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn zeros(&mut self, count: usize) {
        let end = self.length + count;
        debug_assert!(end <= self.buffer.len(), "a packet does not fit");
        if let Some(target) = self.buffer.get_mut(self.length..end) {
            target.fill(0);
            self.length = end;
        }
    }

    /// A chunk or parameter: two bytes, the length, the value that `write` writes, and padding.
    pub(crate) fn element(&mut self, head: [u8; 2], write: impl FnOnce(&mut Self)) {
        let start = self.length;
        self.bytes(&head);
        self.u16(0);
        write(self);
        let length = self.length - start;
        if let Some(field) = self.buffer.get_mut(start + 2..start + 4) {
            field.copy_from_slice(&(length as u16).to_be_bytes());
        }
        self.zeros(super::padded(length) - length);
    }

    /// A chunk.
    pub(crate) fn chunk(&mut self, kind: u8, flags: u8, write: impl FnOnce(&mut Self)) {
        self.element([kind, flags], write);
    }

    /// A parameter or an error cause.
    pub(crate) fn parameter(&mut self, kind: u16, write: impl FnOnce(&mut Self)) {
        self.element(kind.to_be_bytes(), write);
    }

    /// Returns the bytes that have been written.
    pub(crate) fn written(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.length]
    }
}
