//! Our peers, without sockets.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_peer::{
    Configuration, Ecn, Event, Input, OutgoingFrame, PacketSource, Path, Peer, PeerConnectionState,
    ReceiveLevel, Request, TrackKind, TransceiverDirection, TransceiverId, TransceiverInit, TransportId,
    UnixTime,
};
use columba_rtp::extension::ExtensionForm;
use columba_rtp::{FixedHeader, PacketMut, PacketWriter, PayloadType, RtpTimestamp, SequenceNumber, Ssrc};

use super::{BATCH, FRAME, FRAME_STEP, Outcome, PAYLOAD, STEP, STEPS_TO_CONNECT};

const WALL: UnixTime = UnixTime(Duration::from_secs(1_790_000_000));

/// The datagrams that go out at once, at most: packets, and checks of ICE.
const MAX_TRANSMITS: usize = 4 * BATCH;

/// A datagram and the way it went.
type Sealed = (Path, Vec<u8>);

/// Two peers; the first one sends video.
pub struct Link {
    now: Instant,
    ends: [Peer; 2],
    sockets: [Option<TransportId>; 2],
    sending: Vec<TransceiverId>,
    receiving: Vec<TransceiverId>,
    buf: Vec<u8>,
    frame: Vec<u8>,
    received: Vec<u8>,
}

impl Link {
    /// Connects two peers with so many tracks of video from the first to the second.
    pub fn connected(tracks: usize) -> Outcome<Self> {
        let now = Instant::now();
        let peer = |index: u8| -> Outcome<Peer> {
            let mut peer = Peer::new(Configuration::default(), now, WALL, [index; 32])?;
            peer.handle_network_change(now, &[IpAddr::from([10, 0, 0, index]).into()]);
            Ok(peer)
        };
        let mut link = Self {
            now,
            ends: [peer(1)?, peer(2)?],
            sockets: [None; 2],
            sending: Vec::new(),
            receiving: Vec::new(),
            buf: vec![0; 1 << 18],
            frame: vec![7; FRAME],
            received: Vec::with_capacity(2 * FRAME),
        };
        for _ in 0..tracks {
            let init = TransceiverInit::new(TransceiverDirection::SendOnly);
            let id = link.ends[0].add_transceiver(now, TrackKind::Video, init)?;
            link.sending.push(id);
        }
        for _ in 0..STEPS_TO_CONNECT {
            link.step(Duration::from_millis(10))?;
            if link.ends.iter().all(|end| end.connection_state() == PeerConnectionState::Connected) {
                link.receiving = link.ends[1].transceivers().iter().map(|info| info.id).collect();
                return Ok(link);
            }
        }
        Err("the peers do not connect".into())
    }

    /// Lets everything happen, and time go on.
    fn step(&mut self, time: Duration) -> Outcome<()> {
        let now = self.now;
        for from in 0..2 {
            while let Some((transport, request)) = self.ends[from].poll_request() {
                if let Request::BindUdp { id, address } = request {
                    self.sockets[from] = Some(transport);
                    let local = SocketAddr::new(address, 4000);
                    self.ends[from].handle_input(now, transport, Input::Bound { id, local });
                }
            }
            while let Some(event) = self.ends[from].poll_event() {
                match event {
                    Event::NegotiationNeeded => self.negotiate(from)?,
                    Event::IceCandidate(Some(candidate)) => {
                        self.ends[1 - from].add_ice_candidate(now, Some(candidate.init))?;
                    }
                    _ => {}
                }
            }
            while let Some(transmit) = self.ends[from].poll_transmit(now, &mut self.buf) {
                let path = Path::udp(transmit.path.remote, transmit.path.local);
                let size = transmit.segment_size.unwrap_or_else(|| transmit.range.len()).max(1);
                let Some(socket) = self.sockets[1 - from] else { continue };
                for datagram in self.buf[transmit.range].chunks_mut(size) {
                    self.ends[1 - from].handle_datagram(now, socket, path, Ecn::NotEct, None, datagram);
                }
            }
        }
        self.now += time;
        self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
        Ok(())
    }

    fn negotiate(&mut self, from: usize) -> Outcome<()> {
        let now = self.now;
        let offer = self.ends[from].set_local_description(now, None)?;
        self.ends[1 - from].set_remote_description(now, offer)?;
        for info in self.ends[1 - from].transceivers() {
            self.ends[1 - from].set_direction(now, info.id, TransceiverDirection::RecvOnly)?;
        }
        let answer = self.ends[1 - from].set_local_description(now, None)?;
        self.ends[from].set_remote_description(now, answer)?;
        Ok(())
    }

    /// Sends frames of all tracks for some time; returns how many arrived.
    pub fn send_frames(&mut self, from: u32, count: u32) -> Outcome<usize> {
        let mut arrived = 0;
        for number in from..from + count {
            // The first of VP8 is a key frame.
            self.frame[0] = u8::from(number > 0);
            for id in &self.sending {
                let frame = OutgoingFrame::new(&self.frame, FRAME_STEP * number);
                // What the path's first estimate does not carry yet is not sent.
                let _ = self.ends[0].send_frame(self.now, *id, &frame);
            }
            for _ in 0..11 {
                self.step(FRAME_STEP / 11)?;
            }
            for id in &self.receiving {
                while self.ends[1].receive_frame(*id, &mut self.received).is_some() {
                    arrived += 1;
                }
            }
        }
        Ok(arrived)
    }
}

/// One peer that receives packets, and another that sends them on.
pub struct Forwarder {
    up: Link,
    down: Link,
    header: FixedHeader,
    packet: Vec<u8>,
    sealed: Vec<Sealed>,
    sent: Vec<(Path, usize, Vec<u8>)>,
}

impl Forwarder {
    pub fn new() -> Outcome<Self> {
        let (mut up, mut down) = (Link::connected(1)?, Link::connected(1)?);
        for link in [&mut up, &mut down] {
            let id = *link.receiving.first().ok_or("there is no track")?;
            link.ends[1].set_receive_level(id, ReceiveLevel::Packets)?;
        }
        let parameters = up.ends[0].send_parameters(up.now, up.sending[0])?;
        let codec = parameters.codecs.first().ok_or("there is no codec")?;
        let header = FixedHeader {
            payload_type: PayloadType::new(codec.payload_type).ok_or("it has 7 bits")?,
            ssrc: Ssrc(7),
            ..FixedHeader::default()
        };
        let buffers = |count: usize| std::iter::repeat_with(|| Vec::with_capacity(1 << 16)).take(count);
        let path = Path::udp(SocketAddr::from(([0; 4], 0)), SocketAddr::from(([0; 4], 0)));
        Ok(Self {
            up,
            down,
            header,
            packet: Vec::with_capacity(2048),
            sealed: buffers(BATCH).map(|bytes| (path, bytes)).collect(),
            sent: buffers(MAX_TRANSMITS).map(|bytes| (path, 0, bytes)).collect(),
        })
    }

    /// Forwards a batch; returns how long it took, and how many packets went on.
    pub fn batch(&mut self) -> Outcome<(Duration, usize)> {
        self.write()?;
        let socket = self.up.sockets[1].ok_or("there is no socket")?;
        let (now, id) = (self.up.now, self.down.sending[0]);
        let ([_, input], [output, _]) = (&mut self.up.ends, &mut self.down.ends);
        let mut datagrams = 0;
        let start = Instant::now();
        for (path, datagram) in &mut self.sealed {
            input.handle_datagram(now, socket, *path, Ecn::NotEct, None, datagram);
        }
        while let Some(event) = input.poll_event() {
            black_box(event);
        }
        while let Some(about) = input.receive_packet(&mut self.packet) {
            if let PacketSource::Rtp { .. } = about.source {
                let mut packet = PacketMut::parse(&mut self.packet)?;
                packet.set_ssrc(Ssrc(9));
                packet.set_timestamp(RtpTimestamp(self.header.timestamp.0.wrapping_add(5)));
                output.forward_rtp(id, &mut self.packet)?;
            }
        }
        let mut spent = start.elapsed();
        for (path, size, bytes) in &mut self.sent {
            let start = Instant::now();
            let transmit = output.poll_transmit(now, &mut self.down.buf);
            spent += start.elapsed();
            bytes.clear();
            let Some(transmit) = transmit else { break };
            *path = transmit.path;
            *size = transmit.segment_size.unwrap_or_else(|| transmit.range.len()).max(1);
            bytes.extend_from_slice(&self.down.buf[transmit.range]);
            datagrams += bytes.len().div_ceil(*size);
        }
        self.deliver();
        let start = Instant::now();
        self.up.ends[1].handle_timeout(now + STEP);
        self.down.ends[0].handle_timeout(now + STEP);
        spent += start.elapsed();
        self.up.step(STEP)?;
        self.down.step(STEP)?;
        self.down.now = self.up.now;
        Ok((spent, datagrams))
    }

    /// Protects the packets of a batch at the far end.
    fn write(&mut self) -> Outcome<()> {
        let Link { ends: [sender, _], sending, buf, now, .. } = &mut self.up;
        self.header.timestamp = RtpTimestamp(self.header.timestamp.0.wrapping_add(90));
        for (path, bytes) in &mut self.sealed {
            self.header.sequence_number = SequenceNumber(self.header.sequence_number.0.wrapping_add(1));
            self.packet.resize(PAYLOAD + 100, 7);
            let len =
                PacketWriter::new(&mut self.packet, &self.header, ExtensionForm::OneByte)?.finish(PAYLOAD)?;
            sender.send_rtp(sending[0], &self.packet[..len])?;
            let transmit = sender.poll_transmit(*now, buf).ok_or("nothing goes out")?;
            *path = Path::udp(transmit.path.remote, transmit.path.local);
            bytes.clear();
            bytes.extend_from_slice(&buf[transmit.range]);
        }
        Ok(())
    }

    /// Gives the far end what went on to it.
    fn deliver(&mut self) {
        let Some(socket) = self.down.sockets[1] else { return };
        for (path, size, bytes) in self.sent.iter_mut().take_while(|(_, _, bytes)| !bytes.is_empty()) {
            let path = Path::udp(path.remote, path.local);
            for datagram in bytes.chunks_mut(*size) {
                self.down.ends[1].handle_datagram(self.down.now, socket, path, Ecn::NotEct, None, datagram);
            }
        }
        while self.down.ends[1].receive_packet(&mut self.packet).is_some() {}
    }
}
