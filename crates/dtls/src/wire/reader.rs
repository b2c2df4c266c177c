//! A cursor over received bytes.

use crate::error::Fault;

/// The faults of bytes that end too early or too late.
const TRUNCATED: Fault = Fault::decode("a message ends too early");
const TRAILING: Fault = Fault::decode("a message has bytes behind its end");

/// A cursor over received bytes. Every read is checked; a fault is `decode_error`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Fault> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u24(&mut self) -> Result<usize, Fault> {
        self.array().map(|[a, b, c]| usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_be_bytes)
    }

    /// Reads a vector whose length is in one byte.
    pub(crate) fn vec8(&mut self) -> Result<Self, Fault> {
        let length = self.u8()?;
        self.bytes(length.into()).map(Reader)
    }

    /// Reads a vector whose length is in two bytes.
    pub(crate) fn vec16(&mut self) -> Result<Self, Fault> {
        let length = self.u16()?;
        self.bytes(length.into()).map(Reader)
    }

    /// Reads a vector whose length is in three bytes.
    pub(crate) fn vec24(&mut self) -> Result<Self, Fault> {
        let length = self.u24()?;
        self.bytes(length).map(Reader)
    }

    /// Reads a vector of 16-bit numbers, with its length in two bytes; not an empty one.
    pub(crate) fn numbers(&mut self) -> Result<Numbers<'a>, Fault> {
        let bytes = self.vec16()?.rest();
        if bytes.is_empty() || bytes.len() % 2 != 0 {
            return Err(Fault::decode("a list of numbers has an impossible length"));
        }
        Ok(Numbers(bytes))
    }

    /// Checks that everything was read.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        if self.0.is_empty() { Ok(()) } else { Err(TRAILING) }
    }
}

/// A list of 16-bit numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers<'a>(pub(crate) &'a [u8]);

impl Numbers<'_> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    pub(crate) fn contains(&self, number: u16) -> bool {
        self.iter().any(|one| one == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_bounded() {
        let mut reader = Reader::new(&[0, 2, 1, 2, 3, 9]);
        assert_eq!(reader.vec16().unwrap().rest(), [1, 2]);
        assert_eq!(reader.vec8().unwrap_err(), TRUNCATED);
        assert_eq!(Reader::new(&[1]).finish(), Err(TRAILING));
        assert_eq!(Reader::new(&[1, 2]).u24().unwrap_err(), TRUNCATED);
        assert!(Reader::new(&[0, 3, 1, 2, 3]).numbers().is_err());
        assert!(Reader::new(&[0, 0]).numbers().is_err());
        assert!(Reader::new(&[0, 2, 1, 2]).numbers().unwrap().contains(0x0102));
    }
}
