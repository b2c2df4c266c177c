//! Parts of one size, but for the last.

/// Cuts `len` bytes into parts that fit into `room`, as few as possible and as even as possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// The bytes of each part but the last.
    pub(super) size: usize,
    /// The parts.
    pub(super) count: usize,
}

impl Split {
    /// Returns `None` if there is nothing to cut or no room.
    pub(super) fn new(len: usize, room: usize) -> Option<Self> {
        if len == 0 || room == 0 {
            return None;
        }
        let count = len.div_ceil(room);
        let size = len.div_ceil(count);
        // With a rounded size fewer parts may do.
        Some(Self { size, count: len.div_ceil(size) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_few_and_even() {
        assert_eq!(Split::new(3000, 1100), Some(Split { size: 1000, count: 3 }));
        assert_eq!(Split::new(1, 1100), Some(Split { size: 1, count: 1 }));
        assert_eq!(Split::new(0, 5), None);
        for len in 1..400 {
            for room in 1..60 {
                let split = Split::new(len, room).unwrap();
                assert!(split.size <= room && split.count <= len.div_ceil(room));
                let last = len - split.size * (split.count - 1);
                assert!(0 < last && last <= split.size);
            }
        }
    }
}
