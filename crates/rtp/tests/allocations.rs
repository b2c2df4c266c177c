//! Nothing is allocated for a packet in the steady state: counted, over 20,000 packets of each
//! path.

use std::time::{Duration, Instant};

use allocation_counter::measure;
use columba_rtp::congestion::{
    ArrivalClock, ArrivalRecorder, Class, CongestionRecorder, DelayEstimator, Estimator, EstimatorLimits,
    FlowPriority, Pacer, SentPackets,
};
use columba_rtp::extension::{ExtensionForm, Mid, TransportSequenceNumber};
use columba_rtp::payload::rtx::{self, RtxStream};
use columba_rtp::payload::ulpfec::{UlpfecDecoder, UlpfecEncoder};
use columba_rtp::payload::{Format, Packetizer};
use columba_rtp::rtcp::{Compound, CompoundWriter, RtcpPacket};
use columba_rtp::srtp::{MasterKey, Profile, SrtpReceiver, SrtpSender};
use columba_rtp::stream::{
    FrameBuffer, History, HistoryLimits, NackGenerator, NackLimits, PacketInfo, StreamReceiver, StreamSender,
};
use columba_rtp::{
    FixedHeader, Packet, PacketMut, PacketWriter, PayloadType, RtpTimestamp, SequenceNumber, Ssrc,
};

const PACKETS: u64 = 20_000;

#[expect(clippy::disallowed_methods, reason = "a test needs some time to begin with")]
fn start() -> Instant {
    Instant::now()
}

fn payload_type() -> PayloadType {
    PayloadType::new(96).unwrap()
}

/// Runs a path twice: the first time fills its memory.
fn assert_no_allocation(name: &str, mut packet: impl FnMut(u64)) {
    (0..PACKETS).for_each(&mut packet);
    let counted = measure(|| (PACKETS..2 * PACKETS).for_each(&mut packet));
    assert_eq!(counted.count_total, 0, "{name}");
}

#[test]
fn packets_are_protected_forwarded_and_opened() {
    for profile in [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::Aes128CmSha1_80] {
        let key = MasterKey::new(profile, &vec![1; profile.key_len()], &vec![2; profile.salt_len()]).unwrap();
        let (mut sender, mut receiver) = (SrtpSender::new(&key), SrtpReceiver::new(&key));
        let (mut onward, mut last) = (SrtpSender::new(&key), SrtpReceiver::new(&key));
        let mut buffer = [7; 1500];
        let mut rtcp = [0; 100];
        assert_no_allocation("SRTP", |index| {
            let header = FixedHeader {
                payload_type: payload_type(),
                sequence_number: SequenceNumber(index as u16),
                ssrc: Ssrc(1),
                ..FixedHeader::default()
            };
            let len = PacketWriter::new(&mut buffer, &header, ExtensionForm::OneByte)
                .and_then(|writer| writer.extension(1, &Mid("0")))
                .and_then(|writer| writer.extension(2, &TransportSequenceNumber(index as u16)))
                .and_then(|writer| writer.finish(1100))
                .unwrap();
            let len = sender.protect(&mut buffer, len).unwrap();
            let len = receiver.unprotect(&mut buffer[..len]).unwrap();
            let mut packet = PacketMut::parse(&mut buffer[..len]).unwrap();
            packet.set_ssrc(Ssrc(9));
            packet.set_extension(2, &TransportSequenceNumber(5));
            let len = onward.protect(&mut buffer, len).unwrap();
            let len = last.unprotect(&mut buffer[..len]).unwrap();
            assert!(Packet::parse(&buffer[..len]).is_ok());
            let mut writer = CompoundWriter::new(&mut rtcp);
            writer.picture_loss(Ssrc(1), Ssrc(2)).unwrap();
            let len = writer.len();
            let len = sender.protect_rtcp(&mut rtcp, len).unwrap();
            receiver.unprotect_rtcp(&mut rtcp[..len]).unwrap();
        });
    }
}

#[test]
fn frames_are_cut_repaired_and_put_together() {
    let now = start();
    for format in [Format::Vp8, Format::Av1] {
        let frame: Vec<u8> = match format {
            Format::Av1 => [&[0x0A, 1, 7, 0x32, 0xA0, 0x1F][..], &[9; 4000]].concat(),
            _ => vec![0; 4000],
        };
        let mut packetizer = Packetizer::new(format);
        let mut sender = StreamSender::new(Ssrc(1), 90_000, SequenceNumber(5));
        let mut receiver = StreamReceiver::new(Ssrc(1), 90_000);
        let mut history = History::new(HistoryLimits::default());
        let mut nack = NackGenerator::new(NackLimits::default());
        let mut frames = FrameBuffer::new(format, 256);
        let (mut encoder, mut decoder) = (UlpfecEncoder::new(&[2]), UlpfecDecoder::new(Ssrc(1), &[2]));
        let (mut buffer, mut correction) = ([0; 1300], [0; 1400]);
        let (mut wanted, mut restored, mut out) = (Vec::with_capacity(1000), Vec::new(), Vec::new());
        restored.reserve(1500);
        let rtx = RtxStream { ssrc: Ssrc(2), payload_type: payload_type() };
        let mut received = 0;
        assert_no_allocation("frames", |index| {
            let now = now + Duration::from_millis(40 * index);
            let timestamp = RtpTimestamp(3600 * index as u32);
            packetizer.begin(&frame, 1100).unwrap();
            while let Some(part) = packetizer.next(&frame, &mut buffer[12..1200]).unwrap() {
                let header = sender.next_header(payload_type(), timestamp, part.last);
                PacketWriter::new(&mut buffer, &header, ExtensionForm::OneByte).unwrap();
                let len = 12 + part.len;
                sender.handle_sent(now, timestamp, 12, part.len);
                history.store(now, header.sequence_number, &buffer[..len]);
                encoder.add(&buffer[..len]);
                decoder.add_media(&buffer[..len]);
                // Each 50th packet is lost, asked for, and sent again.
                if index % 50 == 3 && part.last {
                    let again = history.resend(now, header.sequence_number, Duration::ZERO).unwrap();
                    let len = again.len();
                    let mut copy = [0; 1300];
                    copy[..len].copy_from_slice(again);
                    let len = rtx::wrap(&mut copy, len, &rtx, SequenceNumber(index as u16)).unwrap();
                    rtx::unwrap(&mut copy[..len], Ssrc(1), payload_type()).unwrap();
                }
                let arrival = receiver.handle_packet(now, &header, 12, part.len);
                let columba_rtp::stream::Arrival::Accepted(number) = arrival else { panic!("{arrival:?}") };
                nack.handle_packet(now, number);
                nack.poll(now, Duration::from_millis(50), &mut wanted);
                frames.insert(
                    PacketInfo { number, timestamp, marker: part.last, payload_type: PayloadType::default() },
                    &buffer[12..len],
                );
            }
            if let Some(len) = encoder.finish(&mut correction) {
                decoder.add_correction(&correction[..len]).unwrap();
                decoder.restore(&mut restored);
            }
            received += usize::from(frames.pop(&mut out).is_some());
        });
        assert_eq!(received as u64, 2 * PACKETS);
    }
}

#[test]
fn feedback_is_written_and_read() {
    let now = start();
    let (mut sent, mut by_streams) = (SentPackets::new(), SentPackets::new());
    let (mut wide, mut streams) = (ArrivalRecorder::new(now), CongestionRecorder::new(now));
    let mut estimator = DelayEstimator::new(EstimatorLimits::default());
    let mut pacer = Pacer::new(now, 1_000_000);
    let mut buffer = [0; 1200];
    assert_no_allocation("feedback", |index| {
        let now = now + Duration::from_millis(index);
        let number = sent.next_number();
        pacer.set_waiting(Class::Video(FlowPriority::Low), true);
        pacer.may_send(now, Class::Video(FlowPriority::Low));
        pacer.sent(now, Class::Video(FlowPriority::Low), 1200);
        sent.handle_sent(now, Ssrc(1), SequenceNumber(index as u16), 1200);
        by_streams.handle_sent(now, Ssrc(1), SequenceNumber(index as u16), 1200);
        estimator.handle_sent(now, 1200);
        wide.handle_packet(now, number);
        streams.handle_packet(now, Ssrc(1), SequenceNumber(index as u16), 0);
        if index % 50 != 0 {
            return;
        }
        let mut writer = CompoundWriter::new(&mut buffer);
        wide.write_feedback(&mut writer, Ssrc(9), Ssrc(1));
        streams.write_feedback(now, &mut writer, Ssrc(9));
        let len = writer.len();
        for packet in Compound::new(&buffer[..len]).flatten() {
            let results = match packet {
                RtcpPacket::Transport(feedback) => sent.handle_transport_feedback(&feedback),
                RtcpPacket::CongestionControl(feedback) => by_streams.handle_congestion_feedback(&feedback),
                _ => panic!("another type"),
            };
            assert!(!results.is_empty());
            estimator.handle_feedback(now, ArrivalClock::Receiver, results);
        }
        pacer.set_rate(now, estimator.bits_per_second());
    });
}
