//! Bytes of messages that this side sends. Their lengths are known to fit.

pub(crate) fn put_u16(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_be_bytes());
}

pub(crate) fn put_u24(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&[(number >> 16) as u8, (number >> 8) as u8, number as u8]);
}

/// Appends a vector with its length in one byte.
pub(crate) fn put_vec8(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    put_vec(out, 1, fill);
}

/// Appends a vector with its length in two bytes.
pub(crate) fn put_vec16(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    put_vec(out, 2, fill);
}

/// Appends a vector with its length in three bytes.
pub(crate) fn put_vec24(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    put_vec(out, 3, fill);
}

fn put_vec(out: &mut Vec<u8>, width: usize, fill: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.resize(at + width, 0);
    fill(out);
    let length = (out.len() - at - width) as u64;
    debug_assert!(length < 1 << (8 * width), "the lengths of own messages fit");
    out[at..at + width].copy_from_slice(&length.to_be_bytes()[8 - width..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_their_lengths_in_front() {
        let mut out = vec![7];
        put_vec16(&mut out, |out| put_vec8(out, |out| out.extend([1, 2])));
        put_vec24(&mut out, |out| put_u16(out, 0x0304));
        put_u24(&mut out, 0x05_0607);
        assert_eq!(out, [7, 0, 3, 2, 1, 2, 0, 0, 2, 3, 4, 5, 6, 7]);
    }
}
