//! The targets of what stands behind the parsers of RTP: the demultiplexer, the state of a stream,
//! and congestion control. The crate's ordinary tests include this file, too.
#![allow(dead_code, reason = "each target uses one of the bodies")]

use std::time::{Duration, Instant};

use columba_rtp::congestion::{
    ArrivalClock, ArrivalRecorder, DelayEstimator, Estimator, EstimatorLimits, PacketResult, SentPackets,
};
use columba_rtp::payload::Format;
use columba_rtp::rtcp::{Compound, CompoundWriter, RtcpPacket};
use columba_rtp::stream::{
    Arrival, FrameBuffer, History, HistoryLimits, KeyFrameLimiter, KeyFrameRequester, NackGenerator,
    NackLimits, PacketInfo, StreamReceiver, StreamSender,
};
use columba_rtp::{
    Demultiplexer, DemuxSection, FixedHeader, Header, NtpTime, Packet, PayloadType, RtpTimestamp,
    SequenceNumber, Ssrc,
};

/// Packets of a frame buffer here.
const BUFFER: usize = 64;

/// Routes packets, each with two bytes of length in front, among sections that change meanwhile.
pub(crate) fn demultiplexer(data: &[u8]) {
    let mut demultiplexer = Demultiplexer::new();
    demultiplexer.set_sections(sections(0));
    for packet in split(data) {
        // One byte alone changes the sections.
        if let [choice] = packet {
            demultiplexer.set_sections(sections(*choice));
            continue;
        }
        let Ok(header) = Header::parse(packet) else { continue };
        let (ssrc, number) = (header.ssrc(), header.fixed().payload_type);
        let count = demultiplexer.sections().len();
        let unknown = demultiplexer.unknown();
        let routed = demultiplexer.route(&header).map(|route| {
            assert!(route.rid.is_none_or(|rid| rid.len() <= 16));
            route.section
        });
        match routed {
            Some(section) => {
                assert!(section < count);
                assert!(demultiplexer.sections()[section].payload_types.contains(&number));
                assert_eq!(demultiplexer.section_of(ssrc), Some(section));
            }
            None => assert_eq!(demultiplexer.unknown(), unknown + 1),
        }
    }
}

fn sections(choice: u8) -> Vec<DemuxSection> {
    let section = |mid: &str, numbers: &[u8], ssrcs: &[u32]| DemuxSection {
        mid: mid.to_owned(),
        mid_extension: (choice & 1 == 0).then_some(1),
        rid_extension: Some(2),
        repaired_rid_extension: (choice & 2 == 0).then_some(3),
        payload_types: numbers.iter().filter_map(|number| PayloadType::new(*number)).collect(),
        ssrcs: ssrcs.iter().map(|ssrc| Ssrc(*ssrc)).collect(),
    };
    let all = [
        section("0", &[111, 0], &[1]),
        section("1", &[96, 97, 0], &[2, 3]),
        section("a name that is long", &[96], &[2]),
    ];
    let skipped = usize::from(choice >> 2) % 4;
    all.into_iter().skip(skipped).collect()
}

/// A stream's packets and what is done with them, eight bytes each: frames come out once and in
/// order, requests are few, and nothing is kept without bound.
pub(crate) fn stream(now: Instant, data: &[u8]) {
    for format in [Format::Whole, Format::Vp8, Format::H264 { non_interleaved: true }] {
        receive(now, format, data);
    }
    send(now, data);
}

fn receive(mut now: Instant, format: Format, data: &[u8]) {
    let mut receiver = StreamReceiver::new(Ssrc(1), 90_000);
    let (mut frames, mut nack) =
        (FrameBuffer::new(format, BUFFER), NackGenerator::new(NackLimits::default()));
    let mut requester = KeyFrameRequester::default();
    let (mut frame, mut asked, mut last) = (Vec::new(), Vec::new(), None::<u64>);
    let mut payload = [0; 40];
    let mut round_trip = Duration::from_millis(50);
    let begin = now;
    let mut requests = 0;
    for step in data.chunks_exact(8) {
        let &[action, high, low, time, timestamp, len, first, second] = step else { continue };
        now += Duration::from_millis(u64::from(time));
        if action & 0xC0 == 0xC0 {
            round_trip = Duration::from_millis(u64::from(high));
            frames.give_up(u64::from(low) + (1 << 16));
        }
        let header = FixedHeader {
            marker: action & 1 == 1,
            payload_type: PayloadType::new(96).expect("7 bits"),
            sequence_number: SequenceNumber(u16::from_be_bytes([high, low])),
            timestamp: RtpTimestamp(u32::from(timestamp) * 3000),
            ssrc: Ssrc(1),
        };
        let len = usize::from(len) % payload.len();
        payload[..2].copy_from_slice(&[first, second]);
        let payload = &payload[..len];
        let number = match receiver.handle_packet(now, &header, 12, len) {
            Arrival::Accepted(number) => Some(number),
            Arrival::Restarted(number) => {
                frames = FrameBuffer::new(format, BUFFER);
                nack = NackGenerator::new(NackLimits::default());
                Some(number)
            }
            Arrival::Doubted => None,
        };
        if let Some(number) = number {
            let is_whole = nack.handle_packet(now, number);
            let FixedHeader { marker, timestamp, payload_type, .. } = header;
            frames.insert(PacketInfo { number, timestamp, marker, payload_type }, payload);
            if !is_whole || frames.wants_key_frame() {
                requester.request();
            }
        }
        if let Some(lost) = nack.poll(now, round_trip, &mut asked) {
            frames.give_up(lost);
        }
        assert!(asked.len() <= NackGenerator::MAX_MISSING);
        requests += usize::from(requester.poll(now, round_trip));
        assert!(nack.poll_timeout().is_none_or(|due| due > now), "what is due was done");
        assert!(requester.poll_timeout(now).is_none_or(|due| due > now), "what is due was done");
        while let Some(info) = frames.pop(&mut frame) {
            assert!(info.first <= info.last && info.last - info.first < BUFFER as u64);
            assert!(last.is_none_or(|last| last < info.first), "frames come once, in order");
            assert!(frame.len() <= (BUFFER + 1) * (payload_limit() + 8));
            nack.forget_until(info.last);
            last = Some(info.last);
            requester.fulfilled();
        }
        if let Some(report) = receiver.report(now) {
            assert_eq!(report.ssrc, Ssrc(1));
        }
    }
    // A request is fulfilled by a frame, and then the next may follow at once.
    let patience = now.saturating_duration_since(begin).as_millis() as usize / 200;
    assert!(requests <= patience + data.len() / 8 + 1);
}

const fn payload_limit() -> usize {
    40
}

/// Reports of others about our packets, and requests for lost ones.
fn send(mut now: Instant, data: &[u8]) {
    let mut sender = StreamSender::new(Ssrc(1), 90_000, SequenceNumber(65_000));
    let mut history = History::new(HistoryLimits::default());
    let mut limiter = KeyFrameLimiter::new(Duration::from_millis(500));
    let begin = now;
    let (mut keys, mut resent, mut stored) = (0, 0_usize, 0_usize);
    for step in data.chunks_exact(8) {
        let &[action, high, low, time, ..] = step else { continue };
        now += Duration::from_millis(u64::from(time));
        match action & 3 {
            0 => {
                let packet = [7; 100];
                history.store(now, SequenceNumber(u16::from_be_bytes([high, low])), &packet);
                stored += packet.len();
            }
            1 => {
                let number = SequenceNumber(u16::from_be_bytes([high, low]));
                resent += history.resend(now, number, Duration::from_millis(50)).map_or(0, <[u8]>::len);
            }
            2 => limiter.picture_loss(),
            _ => limiter.full_intra(high),
        }
        keys += usize::from(limiter.poll(now));
        assert!(limiter.poll_timeout(now).is_none_or(|due| due > now), "what is due was done");
        let block = columba_rtp::rtcp::ReportBlock {
            ssrc: Ssrc(1),
            last_sender_report: columba_rtp::CompactNtp(u32::from_be_bytes([action, high, low, time])),
            delay: columba_rtp::CompactNtp(u32::from(low) << 8),
            ..Default::default()
        };
        let round_trip = sender.handle_report(NtpTime(u64::from(high) << 40), &block);
        assert!(round_trip.is_none_or(|round_trip| round_trip < Duration::from_secs(65_536)));
    }
    let passed = now.saturating_duration_since(begin);
    assert!(keys <= 1 + passed.as_millis() as usize / 500, "{keys} key frames in {passed:?}");
    // The first allowance, and a share of what was stored.
    assert!(resent <= stored + 100_000);
}

/// Feedback that a stranger made up, about packets that were sent: rates stay within their limits,
/// and each packet has one fate.
pub(crate) fn congestion(now: Instant, data: &[u8]) {
    let limits = EstimatorLimits::default();
    let mut estimator = DelayEstimator::new(limits);
    let mut sent = SentPackets::new();
    let mut arrivals = ArrivalRecorder::new(now);
    let (mut now, mut count, mut answered) = (now, 0, 0);
    for (index, packet) in split(data).enumerate() {
        now += Duration::from_millis(index as u64 % 50);
        for number in 0..packet.first().copied().unwrap_or_default() % 32 {
            sent.handle_sent(now, Ssrc(u32::from(number) % 3), SequenceNumber(number.into()), 1200);
            estimator.handle_sent(now, 1200);
            count += 1;
        }
        let mut results: Vec<PacketResult> = Vec::new();
        for packet in Compound::new(packet).flatten() {
            match packet {
                RtcpPacket::Transport(feedback) => {
                    results.extend_from_slice(sent.handle_transport_feedback(&feedback));
                }
                RtcpPacket::CongestionControl(feedback) => {
                    results.extend_from_slice(sent.handle_congestion_feedback(&feedback));
                }
                _ => {}
            }
        }
        answered += results.len();
        assert!(answered <= count, "a packet has one fate");
        estimator.handle_feedback(now, ArrivalClock::Receiver, &results);
        estimator.handle_round_trip(Duration::from_millis(u64::from(packet.get(1).copied().unwrap_or(0))));
        if estimator.poll_timeout().is_some_and(|due| due <= now) {
            estimator.handle_timeout(now);
            assert!(estimator.poll_timeout().is_none_or(|due| due > now), "what is due was done");
        }
        let rate = estimator.bits_per_second();
        assert!((limits.min..=limits.max).contains(&rate), "{rate}");
        if let Ok(packet) = Packet::parse(packet) {
            arrivals.handle_packet(now, packet.fixed().sequence_number);
        }
        let (mut buffer, mut reports) = ([0; 1200], 0);
        let mut writer = CompoundWriter::new(&mut buffer);
        while arrivals.write_feedback(&mut writer, Ssrc(1), Ssrc(2)) {
            reports += 1;
            assert!(reports <= 1200);
        }
        let len = writer.len();
        assert!(Compound::new(&buffer[..len]).all(|packet| packet.is_ok()));
    }
}

fn split(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = data.split_at_checked(2)?;
        let len = usize::from(u16::from_be_bytes([len[0], len[1]])).min(rest.len());
        let part;
        (part, data) = rest.split_at(len);
        Some(part)
    })
}
