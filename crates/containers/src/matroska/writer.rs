//! Writes WebM and Matroska cluster by cluster.

use std::io::Write;
use std::time::Duration;

use super::{CODECS, ebml, id};
use crate::codec::opus_head;
use crate::{Codec, Error, Frame, MAX_FRAME_LEN, Track, h264};

/// The duration of a cluster: what may be lost when the writer is cut off.
const CLUSTER: Duration = Duration::from_secs(1);
/// The bytes after which a cluster is written, however short it is.
const CLUSTER_LEN: usize = 4 << 20;
/// The samples that a decoder of Opus needs before those it gives out: 80 ms (RFC 7845 §4.6).
const SEEK_PRE_ROLL: u64 = 80_000_000;

#[derive(Debug)]
pub(crate) struct MatroskaWriter<W> {
    sink: W,
    codecs: Vec<Codec>,
    /// The time of the cluster that waits, in milliseconds, and its blocks.
    begin: Option<u64>,
    blocks: Vec<u8>,
}

impl<W: Write> MatroskaWriter<W> {
    pub(crate) fn new(mut sink: W, tracks: &[Track], webm: bool) -> Result<Self, Error> {
        if tracks.is_empty() || tracks.len() > 126 {
            return Err(Error::unsupported("a file has 1 to 126 tracks"));
        }
        let mut out = Vec::new();
        let mut header = Vec::new();
        ebml::put_unsigned(&mut header, id::EBML_VERSION, 1);
        ebml::put_unsigned(&mut header, id::EBML_READ_VERSION, 1);
        ebml::put_unsigned(&mut header, id::EBML_MAX_ID_LENGTH, 4);
        ebml::put_unsigned(&mut header, id::EBML_MAX_SIZE_LENGTH, 8);
        ebml::put(&mut header, id::DOC_TYPE, if webm { b"webm" } else { b"matroska" });
        ebml::put_unsigned(&mut header, id::DOC_TYPE_VERSION, 4);
        ebml::put_unsigned(&mut header, id::DOC_TYPE_READ_VERSION, 2);
        ebml::put(&mut out, id::EBML, &header);
        // A segment of unknown size needs no end.
        ebml::put_id(&mut out, id::SEGMENT);
        out.extend_from_slice(&[0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        let mut info = Vec::new();
        ebml::put_unsigned(&mut info, id::TIMESTAMP_SCALE, 1_000_000);
        ebml::put(&mut info, id::MUXING_APP, b"columba");
        ebml::put(&mut info, id::WRITING_APP, b"columba");
        ebml::put(&mut out, id::INFO, &info);
        let mut entries = Vec::new();
        for (index, track) in tracks.iter().enumerate() {
            if webm && track.codec == Codec::H264 {
                return Err(Error::unsupported("H.264 does not go into WebM; MP4 and Matroska have it"));
            }
            ebml::put(&mut entries, id::TRACK_ENTRY, &entry(index as u64 + 1, track)?);
        }
        ebml::put(&mut out, id::TRACKS, &entries);
        sink.write_all(&out)?;
        Ok(Self {
            sink,
            codecs: tracks.iter().map(|track| track.codec).collect(),
            begin: None,
            blocks: Vec::new(),
        })
    }

    pub(crate) fn write(&mut self, frame: &Frame) -> Result<(), Error> {
        if frame.track >= self.codecs.len() || frame.data.len() > MAX_FRAME_LEN {
            return Err(Error::unsupported("the file has no such track, or the frame more than 16 MiB"));
        }
        let time = u64::try_from(frame.timestamp.as_millis()).unwrap_or(u64::MAX);
        let fits = self.begin.is_some_and(|begin| {
            let passed = i64::try_from(time).unwrap_or(i64::MAX).saturating_sub_unsigned(begin);
            // Frames of another track may be earlier than the cluster.
            passed < CLUSTER.as_millis() as i64 && passed >= i64::from(i16::MIN)
        });
        if !fits || self.blocks.len() > CLUSTER_LEN {
            self.write_cluster()?;
            self.begin = Some(time);
        }
        let offset = (time.cast_signed() - self.begin.unwrap_or(time).cast_signed()) as i16;
        let data = match self.codecs[frame.track] {
            Codec::H264 => h264::to_lengths(&frame.data),
            _ => frame.data.clone(),
        };
        ebml::put_head(&mut self.blocks, id::SIMPLE_BLOCK, 4 + data.len());
        self.blocks.push(0x80 | (frame.track + 1) as u8);
        self.blocks.extend_from_slice(&offset.to_be_bytes());
        self.blocks.push(if frame.key { 0x80 } else { 0 });
        self.blocks.extend_from_slice(&data);
        Ok(())
    }

    fn write_cluster(&mut self) -> Result<(), Error> {
        let Some(begin) = self.begin else { return Ok(()) };
        let mut timestamp = Vec::new();
        ebml::put_unsigned(&mut timestamp, id::TIMESTAMP, begin);
        let mut head = Vec::new();
        ebml::put_head(&mut head, id::CLUSTER, timestamp.len() + self.blocks.len());
        head.extend_from_slice(&timestamp);
        self.sink.write_all(&head)?;
        self.sink.write_all(&self.blocks)?;
        self.sink.flush()?;
        self.blocks.clear();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<W, Error> {
        self.write_cluster()?;
        Ok(self.sink)
    }
}

fn entry(number: u64, track: &Track) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    ebml::put_unsigned(&mut out, id::TRACK_NUMBER, number);
    ebml::put_unsigned(&mut out, id::TRACK_UID, number);
    ebml::put_unsigned(&mut out, id::TRACK_TYPE, if track.codec.is_video() { 1 } else { 2 });
    ebml::put_unsigned(&mut out, id::FLAG_LACING, 0);
    let name = CODECS.iter().find(|(codec, _)| *codec == track.codec);
    let (_, name) = name.ok_or(Error::unsupported("the codec does not go into Matroska"))?;
    ebml::put(&mut out, id::CODEC_ID, name.as_bytes());
    match track.codec {
        Codec::Opus => {
            ebml::put(&mut out, id::CODEC_PRIVATE, &opus_head(track));
            let delay = u64::from(track.pre_skip) * 1_000_000_000 / 48_000;
            ebml::put_unsigned(&mut out, id::CODEC_DELAY, delay);
            ebml::put_unsigned(&mut out, id::SEEK_PRE_ROLL, SEEK_PRE_ROLL);
            let mut audio = Vec::new();
            ebml::put(&mut audio, id::SAMPLING_FREQUENCY, &48_000_f64.to_be_bytes());
            ebml::put_unsigned(&mut audio, id::CHANNELS, u64::from(track.channels.clamp(1, 2)));
            ebml::put(&mut out, id::AUDIO, &audio);
            return Ok(out);
        }
        Codec::H264 => {
            let configuration = h264::configuration(&track.private)
                .ok_or(Error::unsupported("the parameter sets of the H.264 track are missing"))?;
            ebml::put(&mut out, id::CODEC_PRIVATE, &configuration);
        }
        Codec::Av1 => ebml::put(&mut out, id::CODEC_PRIVATE, &av1_configuration(&track.private)?),
        Codec::Vp8 | Codec::Vp9 => {}
    }
    let mut video = Vec::new();
    ebml::put_unsigned(&mut video, id::PIXEL_WIDTH, u64::from(track.width.max(1)));
    ebml::put_unsigned(&mut video, id::PIXEL_HEIGHT, u64::from(track.height.max(1)));
    ebml::put(&mut out, id::VIDEO, &video);
    Ok(out)
}

/// The contents of `av1C` for the OBU of a sequence header, for 4:2:0 and 8 bits, as calls send it
/// (AV1 in ISOBMFF §2.3.3).
fn av1_configuration(sequence: &[u8]) -> Result<Vec<u8>, Error> {
    let missing = Error::unsupported("the sequence header of the AV1 track is missing");
    // The header of an OBU with a size of one byte, and then the profile in three bits.
    let [_, _, first, ..] = sequence else { return Err(missing) };
    let mut out = vec![0x81, first & 0xE0, 0x0C, 0];
    out.extend_from_slice(sequence);
    Ok(out)
}
