//! IVF: one track of video, each frame with a length and a timestamp.

use std::io::{Read, Write};
use std::time::Duration;

use crate::bytes_at::{le16, le32, le64};
use crate::reader::Source;
use crate::{Codec, Error, Frame, MAX_FRAME_LEN, Track};

const HEADER: usize = 32;
/// Ticks per second of what is written.
const RATE: u32 = 90_000;

#[derive(Debug)]
pub(crate) struct IvfReader<R> {
    source: Source<R>,
    pub(crate) tracks: Vec<Track>,
    /// Seconds of a tick, as a fraction.
    tick: (u64, u64),
}

impl<R: Read> IvfReader<R> {
    pub(crate) fn open(mut source: Source<R>) -> Result<Self, Error> {
        let header: [u8; HEADER] = source.array("IVF header")?;
        let codec = match &header[8..12] {
            b"VP80" => Codec::Vp8,
            b"VP90" => Codec::Vp9,
            b"AV01" => Codec::Av1,
            b"H264" => Codec::H264,
            _ => return Err(Error::NoTracks),
        };
        let (rate, scale) = (u64::from(le32(&header, 16)), u64::from(le32(&header, 20)));
        if rate == 0 || scale == 0 {
            return Err(Error::malformed("time base", 16));
        }
        source.skip(u64::from(le16(&header, 6)).saturating_sub(HEADER as u64))?;
        let (width, height) = (u32::from(le16(&header, 12)), u32::from(le16(&header, 14)));
        let tracks = vec![Track { width, height, ..Track::new(codec) }];
        Ok(Self { source, tracks, tick: (scale, rate) })
    }

    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let Some(head) = self.source.array_or_end::<12>()? else { return Ok(None) };
        let Some(data) = self.source.bytes_or_end(le32(&head, 0) as usize)? else { return Ok(None) };
        let (scale, rate) = self.tick;
        let nanos = u128::from(le64(&head, 4)) * u128::from(scale) * 1_000_000_000 / u128::from(rate);
        let timestamp = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let key = is_key_frame(self.tracks[0].codec, &data);
        Ok(Some(Frame { track: 0, timestamp, key, data }))
    }
}

/// Returns whether a frame is a key frame, as far as its first bytes tell it.
pub(crate) fn is_key_frame(codec: Codec, frame: &[u8]) -> bool {
    match codec {
        Codec::Vp8 => frame.first().is_some_and(|byte| byte & 1 == 0),
        Codec::Vp9 => frame.first().is_some_and(|byte| {
            let profile3 = byte & 0x30 == 0x30;
            let bits = if profile3 { byte << 1 } else { *byte };
            byte >> 6 == 2 && bits & 0x0C == 0
        }),
        Codec::Av1 => {
            // A temporal unit that begins a sequence has its header, behind the delimiter.
            let after = if frame.starts_with(&[0x12, 0]) { &frame[2..] } else { frame };
            after.first().is_some_and(|head| head >> 3 & 15 == 1)
        }
        Codec::H264 => frame.windows(4).any(|four| four[..3] == [0, 0, 1] && matches!(four[3] & 0x1F, 5 | 7)),
        Codec::Opus => true,
    }
}

#[derive(Debug)]
pub(crate) struct IvfWriter<W> {
    sink: W,
}

impl<W: Write> IvfWriter<W> {
    pub(crate) fn new(mut sink: W, tracks: &[Track]) -> Result<Self, Error> {
        let [track] = tracks else { return Err(Error::unsupported("an IVF file has one track")) };
        let code = match track.codec {
            Codec::Vp8 => b"VP80",
            Codec::Vp9 => b"VP90",
            Codec::Av1 => b"AV01",
            Codec::H264 => b"H264",
            Codec::Opus => return Err(Error::unsupported("an IVF file has video only")),
        };
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(b"DKIF\0\0\x20\0");
        header[8..12].copy_from_slice(code);
        header[12..14].copy_from_slice(&(track.width as u16).to_le_bytes());
        header[14..16].copy_from_slice(&(track.height as u16).to_le_bytes());
        header[16..20].copy_from_slice(&RATE.to_le_bytes());
        header[20..24].copy_from_slice(&1_u32.to_le_bytes());
        sink.write_all(&header)?;
        Ok(Self { sink })
    }

    pub(crate) fn write(&mut self, frame: &Frame) -> Result<(), Error> {
        if frame.data.len() > MAX_FRAME_LEN {
            return Err(Error::unsupported("the frame is larger than 16 MiB"));
        }
        let ticks = frame.timestamp.as_nanos() * u128::from(RATE) / 1_000_000_000;
        self.sink.write_all(&(frame.data.len() as u32).to_le_bytes())?;
        self.sink.write_all(&(ticks as u64).to_le_bytes())?;
        self.sink.write_all(&frame.data)?;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<W, Error> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}
