//! Packets are read as they were written, for any values; and no input panics.

use std::time::Duration;

use columba_rtp::extension::*;
use columba_rtp::rtcp::*;
use columba_rtp::*;
use proptest::prelude::*;

#[path = "../../../fuzz/bodies/rtp.rs"]
mod bodies;

fn header() -> impl Strategy<Value = FixedHeader> {
    (any::<bool>(), 0_u8..128, any::<u16>(), any::<u32>(), any::<u32>()).prop_map(
        |(marker, payload_type, sequence, timestamp, ssrc)| FixedHeader {
            marker,
            payload_type: PayloadType::new(payload_type).unwrap(),
            sequence_number: SequenceNumber(sequence),
            timestamp: RtpTimestamp(timestamp),
            ssrc: Ssrc(ssrc),
        },
    )
}

fn block() -> impl Strategy<Value = ReportBlock> {
    let lost = -0x0080_0000..=0x007F_FFFF_i32;
    (any::<u32>(), any::<u8>(), lost, any::<[u32; 4]>()).prop_map(|(ssrc, fraction_lost, lost, rest)| {
        ReportBlock {
            ssrc: Ssrc(ssrc),
            fraction_lost,
            cumulative_lost: lost,
            highest_sequence: rest[0],
            jitter: rest[1],
            last_sender_report: CompactNtp(rest[2]),
            delay: CompactNtp(rest[3]),
        }
    })
}

fn first(data: &[u8]) -> RtcpPacket<'_> {
    let mut packets = Compound::new(data);
    let first = packets.next().unwrap().unwrap();
    assert!(packets.next().is_none());
    first
}

fn written(write: impl FnOnce(&mut CompoundWriter<'_>)) -> Vec<u8> {
    let mut buffer = vec![0xAA; 65_536];
    let mut writer = CompoundWriter::new(&mut buffer);
    write(&mut writer);
    let len = writer.len();
    buffer.truncate(len);
    buffer
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn rtp(
        header in header(),
        csrcs in prop::collection::vec(any::<u32>().prop_map(Ssrc), 0..16),
        values in prop::collection::vec((1_u8..=255, "[a-z0-9]{1,40}"), 0..5),
        payload in prop::collection::vec(any::<u8>(), 0..100),
        padding in any::<u8>(),
    ) {
        let one_byte = values.iter().all(|(id, text)| *id < 15 && text.len() <= 16);
        let form = if one_byte { ExtensionForm::OneByte } else { ExtensionForm::TwoByte };
        let mut buffer = [0xAA; 2000];
        let mut writer = PacketWriter::new(&mut buffer, &header, form).unwrap().csrcs(&csrcs).unwrap();
        for (id, text) in &values {
            writer = writer.extension(*id, &Mid(text)).unwrap();
        }
        let len = writer.payload(&payload, padding).unwrap();
        let packet = Packet::parse(&buffer[..len]).unwrap();
        prop_assert_eq!(packet.fixed(), header);
        prop_assert_eq!(packet.header().csrcs().collect::<Vec<_>>(), csrcs);
        let read: Vec<_> = packet.header().extensions().map(|(id, text)| (id, text.to_vec())).collect();
        let expected: Vec<_> = values.iter().map(|(id, text)| (*id, text.clone().into_bytes())).collect();
        prop_assert_eq!(read, expected);
        prop_assert_eq!(packet.payload(), payload);
        prop_assert_eq!(packet.padding_len(), usize::from(padding));
    }

    #[test]
    fn reports(
        ssrc in any::<u32>().prop_map(Ssrc),
        blocks in prop::collection::vec(block(), 0..=31),
        times in any::<(u64, u32, u32, u32)>(),
    ) {
        let info = SenderInfo {
            ntp_time: NtpTime(times.0),
            rtp_time: RtpTimestamp(times.1),
            packets: times.2,
            bytes: times.3,
        };
        let data = written(|writer| writer.sender_report(ssrc, &info, &blocks).unwrap());
        let RtcpPacket::SenderReport(report) = first(&data) else { panic!("another type") };
        prop_assert_eq!((report.ssrc, report.info), (ssrc, info));
        prop_assert_eq!(report.blocks().collect::<Vec<_>>(), blocks.clone());
        let data = written(|writer| writer.receiver_report(ssrc, &blocks).unwrap());
        let RtcpPacket::ReceiverReport(report) = first(&data) else { panic!("another type") };
        prop_assert_eq!(report.ssrc, ssrc);
        prop_assert_eq!(report.blocks().collect::<Vec<_>>(), blocks);
    }

    #[test]
    fn texts(
        sources in prop::collection::vec(any::<u32>().prop_map(Ssrc), 1..31),
        text in "\\PC{0,60}",
        data in prop::collection::vec(any::<u32>(), 0..9),
    ) {
        let packet = written(|writer| writer.cname(sources[0], &text).unwrap());
        let RtcpPacket::SourceDescription(description) = first(&packet) else { panic!("another type") };
        let items: Vec<_> = description.items().collect();
        prop_assert_eq!(items.len(), 1);
        prop_assert_eq!((items[0].ssrc, items[0].cname()), (sources[0], Some(text.as_str())));
        let packet = written(|writer| writer.goodbye(&sources, Some(&text)).unwrap());
        let RtcpPacket::Goodbye(goodbye) = first(&packet) else { panic!("another type") };
        prop_assert_eq!(goodbye.sources().collect::<Vec<_>>(), sources.clone());
        prop_assert_eq!(goodbye.reason, Some(text.as_bytes()));
        let bytes: Vec<u8> = data.iter().flat_map(|word| word.to_be_bytes()).collect();
        let packet = written(|writer| writer.application(9, sources[0], *b"name", &bytes).unwrap());
        let RtcpPacket::Application(application) = first(&packet) else { panic!("another type") };
        let expected =
            ApplicationDefined { subtype: 9, ssrc: sources[0], name: *b"name", data: &bytes };
        prop_assert_eq!(application, expected);
    }

    #[test]
    fn nacks(start in any::<u16>(), steps in prop::collection::vec(1_u16..40, 0..100)) {
        let mut number = SequenceNumber(start);
        let missing: Vec<_> = steps.iter().map(|step| { number = number.plus(*step); number }).collect();
        let data = written(|writer| {
            prop_assert_eq_unwrap(writer.nack(Ssrc(1), Ssrc(2), &missing), missing.len());
        });
        if missing.is_empty() {
            prop_assert!(data.is_empty());
        } else {
            let RtcpPacket::Nack(nack) = first(&data) else { panic!("another type") };
            prop_assert_eq!((nack.sender, nack.media), (Ssrc(1), Ssrc(2)));
            prop_assert_eq!(nack.missing().collect::<Vec<_>>(), missing);
        }
    }

    #[test]
    fn requests(rate in any::<u64>(), overhead in 0_u16..512, streams in prop::collection::vec(any::<u32>(), 0..255)) {
        let streams: Vec<_> = streams.into_iter().map(Ssrc).collect();
        let data = written(|writer| writer.remb(Ssrc(1), rate, &streams).unwrap());
        let RtcpPacket::Remb(remb) = first(&data) else { panic!("another type") };
        prop_assert_eq!(remb.streams().collect::<Vec<_>>(), streams);
        prop_assert!(remb.bits_per_second <= rate && rate - remb.bits_per_second <= rate >> 17);
        let request = RateRequest { ssrc: Ssrc(5), bits_per_second: remb.bits_per_second >> 18 << 17, overhead };
        let data = written(|writer| writer.tmmbr(Ssrc(1), &[request]).unwrap());
        let RtcpPacket::Tmmbr(requests) = first(&data) else { panic!("another type") };
        let read = requests.entries().next().unwrap();
        prop_assert_eq!((read.ssrc, read.overhead), (request.ssrc, overhead));
        prop_assert!(read.bits_per_second <= request.bits_per_second);
        prop_assert!(request.bits_per_second - read.bits_per_second <= request.bits_per_second >> 16);
    }

    #[test]
    fn transport_feedback(
        base in any::<u16>(),
        start in -1_000_000_i64..1_000_000,
        steps in prop::collection::vec(prop_oneof![3 => Just(None), 5 => (-300_i64..600).prop_map(Some)], 1..500),
        room in 24_usize..1200,
    ) {
        let mut time = start;
        let statuses: Vec<_> = steps.iter().enumerate().map(|(index, step)| TransportStatus {
            number: SequenceNumber(base).plus(index as u16),
            arrival: step.map(|step| { time += step; time }),
        }).collect();
        let mut buffer = vec![0xAA; room];
        let mut writer = CompoundWriter::new(&mut buffer);
        let told = writer.transport_feedback(Ssrc(1), Ssrc(2), 3, &statuses);
        let len = writer.len();
        prop_assert_eq!(told.is_ok(), len > 0);
        if let Ok(told) = told {
            let RtcpPacket::Transport(feedback) = first(&buffer[..len]) else { panic!("another type") };
            prop_assert_eq!(feedback.statuses().collect::<Vec<_>>(), statuses[..told].to_vec());
        }
    }

    #[test]
    fn congestion_control(
        streams in prop::collection::vec(
            (any::<u32>(), any::<u16>(), prop::collection::vec(prop::option::of((0_u8..4, 0_u64..7900)), 0..40)), 0..6),
    ) {
        let status = |fate: &Option<(u8, u64)>| fate.map_or(CongestionStatus::Lost, |(ecn, ago)| {
            CongestionStatus::Received { ecn, ago: Some(Duration::from_millis(ago)) }
        });
        let all: Vec<(Ssrc, SequenceNumber, Vec<_>)> = streams.iter().map(|(ssrc, begin, fates)| {
            (Ssrc(*ssrc), SequenceNumber(*begin), fates.iter().map(status).collect())
        }).collect();
        let parts: Vec<_> = all.iter().map(|(ssrc, begin, fates)| (*ssrc, *begin, fates.as_slice())).collect();
        let data = written(|writer| writer.congestion_control_feedback(Ssrc(1), CompactNtp(9), &parts).unwrap());
        let RtcpPacket::CongestionControl(feedback) = first(&data) else { panic!("another type") };
        prop_assert_eq!(feedback.timestamp, CompactNtp(9));
        let read: Vec<_> = feedback.streams().collect();
        prop_assert_eq!(read.len(), all.len());
        for (stream, (ssrc, begin, fates)) in read.iter().zip(&all) {
            prop_assert_eq!((stream.ssrc, stream.begin), (*ssrc, *begin));
            for ((_, read), fate) in stream.statuses().zip(fates) {
                let close = match (read, fate) {
                    (
                        CongestionStatus::Received { ecn, ago: Some(ago) },
                        CongestionStatus::Received { ecn: expected, ago: Some(exact) },
                    ) => ecn == *expected && ago <= *exact + Duration::from_nanos(1)
                        && *exact - ago.min(*exact) < Duration::from_millis(1),
                    (CongestionStatus::Lost, CongestionStatus::Lost) => true,
                    _ => false,
                };
                prop_assert!(close, "{:?} {:?}", read, fate);
            }
        }
    }

    #[test]
    fn extended_reports(times in any::<[u64; 2]>(), delays in prop::collection::vec(any::<[u32; 3]>(), 0..9)) {
        let delays: Vec<_> = delays.iter().map(|[ssrc, last, delay]| DelaySinceReceiverReport {
            ssrc: Ssrc(*ssrc), last_report: CompactNtp(*last), delay: CompactNtp(*delay),
        }).collect();
        let data = written(|writer| {
            writer.reference_time(Ssrc(1), NtpTime(times[0])).unwrap();
            writer.delays(Ssrc(1), &delays).unwrap();
        });
        let blocks: Vec<_> = Compound::new(&data).flat_map(|packet| match packet.unwrap() {
            RtcpPacket::Extended(report) => report.blocks().collect::<Vec<_>>(),
            _ => panic!("another type"),
        }).collect();
        prop_assert_eq!(blocks[0], ExtendedBlock::ReferenceTime(NtpTime(times[0])));
        let expected: Vec<_> = delays.into_iter().map(ExtendedBlock::Delay).collect();
        prop_assert_eq!(&blocks[1..], expected);
    }

    #[test]
    fn nonsense_passes(input in prop::collection::vec(any::<u8>(), 0..200)) {
        bodies::rtp(&input);
        bodies::rtcp(&input);
        bodies::srtp(&input);
        bodies::payloads(&input);
    }

    /// A good head in front makes the parsers look at the rest.
    #[test]
    fn nonsense_behind_a_head_passes(
        first in 0x80_u8..0xC0,
        second in prop_oneof![any::<u8>(), 200_u8..208],
        mut rest in prop::collection::vec(prop_oneof![any::<u8>(), 0_u8..4], 2..200),
    ) {
        let mut input = vec![first, second];
        let words = (rest.len() + 2) / 4 - 1;
        rest[..2].copy_from_slice(&(words as u16).to_be_bytes());
        input.extend_from_slice(&rest);
        bodies::rtp(&input);
        input.truncate(4 * (words + 1));
        bodies::rtcp(&input);
    }
}

fn prop_assert_eq_unwrap(result: Result<usize, WriteError>, expected: usize) {
    assert_eq!(result, Ok(expected));
}

#[test]
fn requests_for_pictures() {
    let data = written(|writer| {
        writer.picture_loss(Ssrc(1), Ssrc(2)).unwrap();
        writer.full_intra(Ssrc(1), &[(Ssrc(2), 7), (Ssrc(3), 8)]).unwrap();
    });
    let packets: Vec<_> = Compound::new(&data).map(Result::unwrap).collect();
    let expected = PictureLossIndication { sender: Ssrc(1), media: Ssrc(2) };
    assert!(matches!(packets[0], RtcpPacket::PictureLoss(request) if request == expected));
    let RtcpPacket::FullIntra(requests) = packets[1] else { panic!("another type") };
    assert_eq!(requests.requests().collect::<Vec<_>>(), [(Ssrc(2), 7), (Ssrc(3), 8)]);
}

/// A packet that does not fit leaves the compound packet as it was.
#[test]
fn full_buffers_are_left_alone() {
    let mut buffer = [0; 20];
    let mut writer = CompoundWriter::new(&mut buffer);
    writer.picture_loss(Ssrc(1), Ssrc(2)).unwrap();
    assert!(writer.picture_loss(Ssrc(1), Ssrc(2)).is_err());
    assert!(writer.cname(Ssrc(1), "a long name").is_err());
    assert_eq!((writer.len(), writer.remaining()), (12, 8));
    writer.receiver_report(Ssrc(1), &[]).unwrap();
    assert_eq!(Compound::new(&buffer).filter(Result::is_ok).count(), 2);
    let mut writer = CompoundWriter::new(&mut buffer);
    assert!(writer.receiver_report(Ssrc(1), &[ReportBlock::default(); 32]).is_err());
    // Of three gaps far apart, one has room.
    let far = [0, 100, 200].map(SequenceNumber);
    assert_eq!(writer.nack(Ssrc(1), Ssrc(2), &far), Ok(2));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn nonsense_as_payloads_passes(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20),
    ) {
        let mut input = Vec::new();
        for payload in payloads {
            input.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            input.extend_from_slice(&payload);
        }
        bodies::payloads(&input);
    }
}
