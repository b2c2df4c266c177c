//! Numbers of less than a byte, read and written from the most significant bit on.

/// Bits that are read front to back.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) const fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// Reads up to 32 bits.
    pub(crate) fn bits(&mut self, count: usize) -> Option<u32> {
        if self.at + count > self.data.len() * 8 {
            return None;
        }
        let mut value = 0;
        for at in self.at..self.at + count {
            value = (value << 1) | u32::from((self.data[at / 8] >> (7 - at % 8)) & 1);
        }
        self.at += count;
        Some(value)
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        Some(self.bits(1)? == 1)
    }

    /// Reads a value below `limit` in the non-symmetric form (AV1 specification §4.10.7).
    pub(crate) fn non_symmetric(&mut self, limit: u32) -> Option<u32> {
        let width = (u32::BITS - limit.leading_zeros()) as usize;
        if limit <= 1 {
            return Some(0);
        }
        let short = (1 << width) - limit;
        let value = self.bits(width - 1)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1) - short + self.bits(1)?)
    }
}

/// Bits that are written front to back. It counts on when the buffer is full, so that the need can
/// be told.
#[derive(Debug)]
pub(crate) struct BitWriter<'a> {
    data: &'a mut [u8],
    at: usize,
}

impl<'a> BitWriter<'a> {
    pub(crate) const fn new(data: &'a mut [u8]) -> Self {
        Self { data, at: 0 }
    }

    pub(crate) fn bits(&mut self, value: u32, count: usize) {
        for bit in (0..count).rev() {
            if let Some(byte) = self.data.get_mut(self.at / 8) {
                let mask = 0x80 >> (self.at % 8);
                *byte = (*byte & !mask) | if (value >> bit) & 1 == 1 { mask } else { 0 };
            }
            self.at += 1;
        }
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.bits(u32::from(value), 1);
    }

    pub(crate) fn non_symmetric(&mut self, value: u32, limit: u32) {
        if limit <= 1 {
            return;
        }
        let width = (u32::BITS - limit.leading_zeros()) as usize;
        let short = (1 << width) - limit;
        if value < short {
            self.bits(value, width - 1);
        } else {
            self.bits(value + short, width);
        }
    }

    /// Fills the last byte with zeros; returns the bytes that are needed, written or not.
    pub(crate) fn finish(mut self) -> usize {
        while !self.at.is_multiple_of(8) {
            self.bits(0, 1);
        }
        self.at / 8
    }
}

/// Reads a number of 7 bits a byte, the lowest first (AV1 specification §4.10.5), and its length.
pub(crate) fn leb128(data: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, byte) in data.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

/// Returns the length of a number of 7 bits a byte.
pub(crate) const fn leb128_len(value: u64) -> usize {
    let bits = (u64::BITS - value.leading_zeros()) as usize;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

/// Writes a number of 7 bits a byte at the beginning of `data`, which has room for it, and returns
/// its length.
pub(crate) fn put_leb128(data: &mut [u8], mut value: u64) -> usize {
    let len = leb128_len(value);
    for (index, byte) in data[..len].iter_mut().enumerate() {
        *byte = (value & 0x7F) as u8 | if index + 1 < len { 0x80 } else { 0 };
        value >>= 7;
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let mut data = [0xFF; 16];
        let mut writer = BitWriter::new(&mut data);
        writer.bits(5, 3);
        for value in 0..5 {
            writer.non_symmetric(value, 5);
        }
        writer.flag(true);
        let len = writer.finish();
        let mut reader = BitReader::new(&data[..len]);
        assert_eq!(reader.bits(3), Some(5));
        for value in 0..5 {
            assert_eq!(reader.non_symmetric(5), Some(value));
        }
        assert_eq!(reader.flag(), Some(true));
        assert_eq!(reader.bits(17), None);
    }

    #[test]
    fn leb128_numbers() {
        let mut data = [0; 10];
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX)] {
            let len = put_leb128(&mut data, value);
            assert_eq!(leb128(&data[..len]), Some((value, len)));
            assert_eq!(leb128(&data[..len - 1]), None);
        }
    }
}
