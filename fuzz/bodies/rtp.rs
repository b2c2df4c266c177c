//! The RTP targets. The crate's ordinary tests include this file, too.
#![allow(dead_code, reason = "each target uses one of the bodies")]

use columba_rtp::extension::{
    AbsCaptureTime, AbsSendTime, AudioLevel, CsrcAudioLevels, DependencyDescriptor, HeaderExtension, Mid,
    PlayoutDelay, VideoLayersAllocation, VideoOrientation,
};
use columba_rtp::payload::telephone_event::TelephoneEvent;
use columba_rtp::payload::ulpfec::UlpfecDecoder;
use columba_rtp::payload::{Assembler, Format, Packetizer, opus, red, rtx};
use columba_rtp::rtcp::{Compound, RtcpPacket};
use columba_rtp::srtp::{MasterKey, Profile, SrtpReceiver};
use columba_rtp::{Header, Packet, PacketMut, PayloadType, Ssrc};

/// Reads a packet and all that it may hold.
pub(crate) fn rtp(data: &[u8]) {
    if let Ok(header) = Header::parse(data) {
        assert!(header.len() <= data.len());
        header.csrcs().for_each(drop);
        for (id, value) in header.extensions() {
            assert!(id > 0);
            extension(value);
        }
    }
    if let Ok(packet) = Packet::parse(data) {
        assert_eq!(packet.header().len() + packet.payload().len() + packet.padding_len(), data.len());
        let mut copy = data.to_vec();
        let mut rewritten = PacketMut::parse(&mut copy).expect("it was read before");
        rewritten.set_ssrc(Ssrc(7));
        assert_eq!(rewritten.header().ssrc(), Ssrc(7));
        assert_eq!(rewritten.header().len(), packet.header().len());
    }
    extension(data);
}

fn extension(value: &[u8]) {
    same(Mid::read(value), value);
    same(AbsSendTime::read(value), value);
    same(AbsCaptureTime::read(value), value);
    same(CsrcAudioLevels::read(value), value);
    same(PlayoutDelay::read(value), value);
    let _ = (AudioLevel::read(value), VideoOrientation::read(value));
    if let Some(layers) = VideoLayersAllocation::read(value) {
        let mut written = vec![0; layers.len()];
        layers.write(&mut written);
        assert_eq!(VideoLayersAllocation::read(&written), Some(layers));
    }
    if let Ok(descriptor) = DependencyDescriptor::read(value, None) {
        let mut written = [0; 8192];
        let len = descriptor.encode(None, &mut written).expect("it was read before");
        assert_eq!(DependencyDescriptor::read(&written[..len], None), Ok(descriptor));
    }
}

/// An extension that was read is written as it was.
fn same<'a, T: HeaderExtension<'a>>(read: Option<T>, value: &[u8]) {
    if let Some(read) = read {
        let mut written = vec![0; read.len()];
        read.write(&mut written);
        assert_eq!(written, value);
    }
}

/// Reads a compound packet and all that it holds.
pub(crate) fn rtcp(data: &[u8]) {
    for packet in Compound::new(data).flatten() {
        match packet {
            RtcpPacket::SenderReport(report) => report.blocks().for_each(drop),
            RtcpPacket::ReceiverReport(report) => report.blocks().for_each(drop),
            RtcpPacket::SourceDescription(description) => description.items().for_each(drop),
            RtcpPacket::Goodbye(goodbye) => goodbye.sources().for_each(drop),
            RtcpPacket::Nack(nack) => assert!(nack.missing().count() <= 17 * data.len() / 4),
            RtcpPacket::FullIntra(requests) => requests.requests().for_each(drop),
            RtcpPacket::Tmmbr(rates) | RtcpPacket::Tmmbn(rates) => rates.entries().for_each(drop),
            RtcpPacket::Remb(remb) => remb.streams().for_each(drop),
            RtcpPacket::Transport(feedback) => {
                assert_eq!(feedback.statuses().count(), usize::from(feedback.count()));
            }
            RtcpPacket::CongestionControl(feedback) => {
                feedback.streams().for_each(|stream| stream.statuses().for_each(drop));
            }
            RtcpPacket::Extended(report) => report.blocks().for_each(drop),
            _ => {}
        }
    }
}

/// Nothing that was not protected with the key is opened.
pub(crate) fn srtp(data: &[u8]) {
    for profile in [Profile::Aes128CmSha1_80, Profile::AeadAes128Gcm] {
        let (key, salt) = (vec![3; profile.key_len()], vec![4; profile.salt_len()]);
        let mut receiver = SrtpReceiver::new(&MasterKey::new(profile, &key, &salt).expect("lengths fit"));
        assert!(receiver.unprotect(&mut data.to_vec()).is_err());
        assert!(receiver.unprotect_rtcp(&mut data.to_vec()).is_err());
    }
}

/// Reads packets of a stream, each with two bytes of length in front, as payloads of all formats.
pub(crate) fn payloads(data: &[u8]) {
    let formats =
        [Format::Whole, Format::Vp8, Format::Vp9, Format::H264 { non_interleaved: true }, Format::Av1];
    for format in formats {
        let (mut assembler, mut frame) = (Assembler::new(format), Vec::new());
        for payload in split(data) {
            let inspected = Assembler::inspect(format, payload);
            if assembler.push(payload, &mut frame).is_err() {
                assembler.reset();
                frame.clear();
            } else {
                assert!(inspected.is_ok());
            }
        }
        assert!(frame.len() <= 5 * data.len());
        packetize(format, data);
    }
    let (mut decoder, mut out) = (UlpfecDecoder::new(Ssrc(7), &[1]), Vec::new());
    for payload in split(data) {
        if let Ok(blocks) = red::blocks(payload) {
            assert!(blocks.map(|block| block.data.len()).sum::<usize>() <= payload.len());
        }
        decoder.add_media(payload);
        let _ = decoder.add_correction(payload);
        while decoder.restore(&mut out) {}
        let mut copy = payload.to_vec();
        let _ = rtx::unwrap(&mut copy, Ssrc(1), PayloadType::new(96).expect("7 bits"));
        let _ = (TelephoneEvent::read(payload), opus::duration(payload));
    }
}

/// A frame that can be cut comes back, as far as it is a frame.
fn packetize(format: Format, frame: &[u8]) {
    let mut packetizer = Packetizer::new(format);
    let Ok(count) = packetizer.begin(frame, 40) else { return };
    let (mut assembler, mut received, mut out) = (Assembler::new(format), Vec::new(), [0; 40]);
    let mut parts = 0;
    while let Some(part) = packetizer.next(frame, &mut out).expect("there is room") {
        parts += 1;
        assert_eq!(part.last, parts == count);
        if !matches!(format, Format::Av1) {
            assembler.push(&out[..part.len], &mut received).expect("it was written by us");
        }
    }
    assert_eq!(parts, count);
}

fn split(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = data.split_at_checked(2)?;
        let len = usize::from(u16::from_be_bytes([len[0], len[1]])).min(rest.len());
        let payload;
        (payload, data) = rest.split_at(len);
        Some(payload)
    })
}
