//! Frames of all formats, there and back.

use proptest::prelude::*;

use super::*;

/// A frame that is of the codec as far as the packetizer looks.
fn frame(format: Format, mut bytes: Vec<u8>) -> Vec<u8> {
    match format {
        Format::Whole | Format::Vp8 => bytes,
        Format::Vp9 => {
            bytes[0] = 0x80 | (bytes[0] & 0x07) | 0x04;
            bytes
        }
        Format::H264 { .. } => {
            // No start code, and no zero at the end, within a unit.
            bytes.iter_mut().for_each(|byte| *byte |= 1);
            bytes[0] = 0x65;
            [&[0, 0, 0, 1][..], &[0x67, 1, 2, 3, 0, 0, 0, 1, 0x68, 9, 0, 0, 0, 1], &bytes].concat()
        }
        Format::Av1 => {
            let mut size = [0; 10];
            let len = crate::bits::put_leb128(&mut size, bytes.len() as u64);
            [&[0x0A, 2, 1, 2, 0x32][..], &size[..len], &bytes].concat()
        }
    }
}

const CUT: [Format; 4] = [Format::Vp8, Format::Vp9, Format::H264 { non_interleaved: true }, Format::Av1];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn frames_come_back(
        format in prop::sample::select(&CUT),
        bytes in prop::collection::vec(any::<u8>(), 1..6000),
        room in 30_usize..1300,
    ) {
        let frame = frame(format, bytes);
        let mut packetizer = Packetizer::new(format);
        let mut assembler = Assembler::new(format);
        let count = packetizer.begin(&frame, room).unwrap();
        let (mut out, mut received, mut sizes) = (vec![0; room], Vec::new(), Vec::new());
        while let Some(part) = packetizer.next(&frame, &mut out).unwrap() {
            let info = Assembler::inspect(format, &out[..part.len]).unwrap();
            prop_assert!(!sizes.is_empty() || info.begins);
            prop_assert_eq!(assembler.push(&out[..part.len], &mut received), Ok(info));
            sizes.push(part.len + usize::from(part.padding));
            prop_assert_eq!(part.last, sizes.len() == count);
        }
        prop_assert_eq!(received, frame);
        let mut distinct = sizes.clone();
        distinct.sort_unstable();
        distinct.dedup();
        prop_assert!(distinct.len() <= 2, "{:?}", sizes);
    }

    #[test]
    fn nonsense_passes(
        format in prop::sample::select(&CUT),
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..20),
    ) {
        let mut assembler = Assembler::new(format);
        let mut received = Vec::new();
        for payload in &payloads {
            let _ = Assembler::inspect(format, payload);
            if assembler.push(payload, &mut received).is_err() {
                assembler.reset();
                received.clear();
            }
            let _ = red::blocks(payload).map(|blocks| blocks.for_each(drop));
            let _ = Packetizer::new(format).begin(payload, 50);
        }
        prop_assert!(received.len() <= 20 * 60 * 5);
    }
}

#[test]
fn whole_frames_must_fit() {
    let mut packetizer = Packetizer::new(Format::Whole);
    assert_eq!(packetizer.begin(&[1; 10], 9), Err(FrameError::TooLarge { len: 10, room: 9 }));
    assert_eq!(packetizer.begin(&[1; 10], 10), Ok(1));
    assert_eq!(packetizer.next(&[1; 10], &mut [0; 9]), Err(FrameError::NoRoom { room: 9 }));
    let part = packetizer.next(&[1; 10], &mut [0; 10]).unwrap();
    assert_eq!(part, Some(Part { len: 10, padding: 0, last: true }));
    assert_eq!(packetizer.next(&[1; 10], &mut [0; 10]), Ok(None));
    for format in CUT {
        assert!(matches!(Packetizer::new(format).begin(&[], 100), Err(FrameError::Malformed { .. })));
    }
}

/// A frame that never ends does not take all memory.
#[test]
fn frames_have_a_limit() {
    let mut assembler = Assembler::new(Format::Vp8);
    let mut received = Vec::new();
    let payload = [[0x10].as_slice(), &[1; 1000]].concat();
    let pushed = (0..10_000).take_while(|_| assembler.push(&payload, &mut received).is_ok()).count();
    assert!(pushed <= MAX_FRAME_LEN / 1000 && received.len() <= MAX_FRAME_LEN);
}
