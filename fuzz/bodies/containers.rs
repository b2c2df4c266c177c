//! The targets of files. The crate's ordinary tests include this file, too.

use std::io::Cursor;

use columba_containers::Reader;

/// Reads a file to its end: no input panics, and no frame is larger than what there is.
pub(crate) fn read(data: &[u8]) {
    let Ok(mut reader) = Reader::open(Cursor::new(data)) else { return };
    assert!(!reader.tracks().is_empty());
    let mut frames = 0;
    while let Ok(Some(frame)) = reader.next_frame() {
        // A key frame of H.264 may get its parameter sets, and units of few bytes start codes.
        assert!(frame.data.len() <= 8 * data.len() + 8);
        assert!(frame.track < reader.tracks().len());
        frames += 1;
        if frames > 10_000 {
            break;
        }
    }
}
