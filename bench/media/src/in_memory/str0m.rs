//! `str0m`'s connections, without sockets.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::media::{Direction, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::rtp::{RtpPacket, RtpWrite, SeqNo};
use str0m::{Candidate, Event, Input, Output, Rtc};

use super::{BATCH, FRAME, FRAME_STEP, Outcome, PAYLOAD, STEP, STEPS_TO_CONNECT};

/// VP8's number in `str0m`'s descriptions.
const VP8: u8 = 96;

/// Two connections; the first one sends video.
pub struct Link {
    now: Instant,
    ends: [Rtc; 2],
    addresses: [SocketAddr; 2],
    sending: Vec<Mid>,
    is_connected: [bool; 2],
    frames: usize,
}

impl Link {
    /// Connects two ends with so many tracks of video, at the level of packets or of frames.
    pub fn connected(tracks: usize, packets: bool) -> Outcome<Self> {
        let now = Instant::now();
        let addresses = [1, 2].map(|index| SocketAddr::from(([10, 0, 0, index], 4000)));
        let end = |address| -> Outcome<Rtc> {
            let mut rtc = Rtc::builder().set_rtp_mode(packets).build(now);
            rtc.add_local_candidate(Candidate::host(address, "udp")?);
            Ok(rtc)
        };
        let mut ends = [end(addresses[0])?, end(addresses[1])?];
        let mut changes = ends[0].sdp_api();
        let mut sending = Vec::new();
        for _ in 0..tracks {
            sending.push(changes.add_media(MediaKind::Video, Direction::SendOnly, None, None, None));
        }
        let (offer, pending) = changes.apply().ok_or("there is nothing to offer")?;
        let answer = ends[1].sdp_api().accept_offer(offer)?;
        ends[0].sdp_api().accept_answer(pending, answer)?;
        let mut link = Self { now, ends, addresses, sending, is_connected: [false; 2], frames: 0 };
        for _ in 0..STEPS_TO_CONNECT {
            link.step(Duration::from_millis(10))?;
            if link.is_connected == [true; 2] {
                return Ok(link);
            }
        }
        Err("the ends do not connect".into())
    }

    /// Carries what goes out until nothing does, and lets time go on.
    fn step(&mut self, time: Duration) -> Outcome<()> {
        loop {
            let mut quiet = true;
            for from in 0..2 {
                loop {
                    match self.ends[from].poll_output()? {
                        Output::Timeout(_) => break,
                        Output::Transmit(transmit) => {
                            quiet = false;
                            self.carry(1 - from, &transmit)?;
                        }
                        Output::Event(Event::Connected) => self.is_connected[from] = true,
                        Output::Event(Event::MediaData(_)) => self.frames += 1,
                        Output::Event(_) => {}
                    }
                }
            }
            if quiet {
                break;
            }
        }
        self.now += time;
        for end in &mut self.ends {
            end.handle_input(Input::Timeout(self.now))?;
        }
        Ok(())
    }

    fn carry(&mut self, to: usize, transmit: &Transmit) -> Outcome<()> {
        let received =
            Receive::new(Protocol::Udp, self.addresses[1 - to], self.addresses[to], &transmit.contents)?;
        self.ends[to].handle_input(Input::Receive(self.now, received))?;
        Ok(())
    }

    /// Sends frames of all tracks for some time; returns how many arrived.
    pub fn send_frames(&mut self, from: u32, count: u32) -> Outcome<usize> {
        self.frames = 0;
        let mut frame = vec![7; FRAME];
        for number in from..from + count {
            frame[0] = u8::from(number > 0);
            for mid in &self.sending {
                let writer = self.ends[0].writer(*mid).ok_or("there is no writer")?;
                let time = MediaTime::from_90khz((FRAME_STEP * number).as_millis() as u64 * 90);
                writer.write(VP8.into(), self.now, time, &frame[..])?;
            }
            for _ in 0..11 {
                self.step(FRAME_STEP / 11)?;
            }
        }
        Ok(self.frames)
    }
}

/// One connection that receives packets, and another that sends them on.
pub struct Forwarder {
    up: Link,
    down: Link,
    number: u64,
    sealed: Vec<Transmit>,
    packets: Vec<RtpPacket>,
    sent: Vec<Transmit>,
}

impl Forwarder {
    pub fn new() -> Outcome<Self> {
        let [up, mut down] = [Link::connected(1, true)?, Link::connected(1, true)?];
        let mid = down.sending[0];
        // The cheapest way: neither kept for being sent again nor paced.
        let mut direct = down.ends[0].direct_api();
        let stream = direct.stream_tx_by_mid(mid, None).ok_or("there is no stream")?;
        stream.set_rtx_cache(0, Duration::ZERO, None);
        stream.set_unpaced(true);
        let (sealed, packets, sent) = (Vec::new(), Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        Ok(Self { up, down, number: 0, sealed, packets, sent })
    }

    /// Forwards a batch; returns how long it took, and how many packets went on.
    pub fn batch(&mut self) -> Outcome<(Duration, usize)> {
        self.write()?;
        let now = self.up.now;
        let ([_, input], [output, _]) = (&mut self.up.ends, &mut self.down.ends);
        let [source, destination] = self.up.addresses;
        let start = Instant::now();
        for transmit in &self.sealed {
            let received = Receive::new(Protocol::Udp, source, destination, &transmit.contents)?;
            input.handle_input(Input::Receive(now, received))?;
            loop {
                match input.poll_output()? {
                    Output::Timeout(_) => break,
                    Output::Event(Event::RtpPacket(packet)) => self.packets.push(packet),
                    Output::Event(event) => drop(black_box(event)),
                    Output::Transmit(transmit) => drop(black_box(transmit)),
                }
            }
        }
        let mid = self.down.sending[0];
        for packet in self.packets.drain(..) {
            let mut direct = output.direct_api();
            let stream = direct.stream_tx_by_mid(mid, None).ok_or("there is no stream")?;
            let time = packet.header.timestamp.wrapping_add(5);
            let write = RtpWrite::new(packet.header.payload_type, packet.seq_no, time, now, packet.payload);
            stream.write_rtp(write.marker(packet.header.marker).ext_vals(packet.header.ext_vals));
        }
        output.handle_input(Input::Timeout(now))?;
        loop {
            match output.poll_output()? {
                Output::Timeout(_) => break,
                Output::Transmit(transmit) => self.sent.push(transmit),
                Output::Event(event) => drop(black_box(event)),
            }
        }
        let spent = start.elapsed();
        let count = self.sent.len();
        for transmit in self.sent.drain(..) {
            self.down.carry(1, &transmit)?;
        }
        self.up.step(STEP)?;
        self.down.step(STEP)?;
        self.down.now = self.up.now;
        Ok((spent, count))
    }

    /// Protects the packets of a batch at the far end.
    fn write(&mut self) -> Outcome<()> {
        let (now, mid) = (self.up.now, self.up.sending[0]);
        let sender = &mut self.up.ends[0];
        for _ in 0..BATCH {
            let mut direct = sender.direct_api();
            let stream = direct.stream_tx_by_mid(mid, None).ok_or("there is no stream")?;
            stream.set_unpaced(true);
            let time = (self.number / BATCH as u64 * 90) as u32;
            let payload = vec![7; PAYLOAD];
            stream.write_rtp(RtpWrite::new(VP8.into(), SeqNo::from(self.number), time, now, payload));
            self.number += 1;
        }
        sender.handle_input(Input::Timeout(now))?;
        self.sealed.clear();
        loop {
            match sender.poll_output()? {
                Output::Timeout(_) => return Ok(()),
                Output::Transmit(transmit) => self.sealed.push(transmit),
                Output::Event(_) => {}
            }
        }
    }
}
