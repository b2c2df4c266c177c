//! The RTP targets. The crate's ordinary tests include this file, too.
#![allow(dead_code, reason = "each target uses one of the bodies")]

use columba_rtp::extension::{
    AbsCaptureTime, AbsSendTime, AudioLevel, CsrcAudioLevels, DependencyDescriptor, HeaderExtension, Mid,
    PlayoutDelay, VideoLayersAllocation, VideoOrientation,
};
use columba_rtp::rtcp::{Compound, RtcpPacket};
use columba_rtp::srtp::{MasterKey, Profile, SrtpReceiver};
use columba_rtp::{Header, Packet, PacketMut, Ssrc};

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
