//! `sctp-proto`, with its defaults but for sizes. It knows no zero checksum.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier, ServerConfig, StreamEvent, TransportConfig,
};

use super::{Engine, LARGEST_MESSAGE, MTU};

/// One end of sctp-proto.
pub struct SctpProto {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    established: bool,
    /// Datagrams of the last transmission that are still to be carried.
    packets: std::vec::IntoIter<Bytes>,
}

impl Engine for SctpProto {
    const NAME: &'static str = "sctp-proto";

    fn new(_now: Instant, _seed: u64, begins: bool) -> Self {
        let largest = LARGEST_MESSAGE as u32;
        let transport = TransportConfig::default()
            .with_max_send_message_size(largest)
            .with_max_receive_message_size(largest)
            .with_max_receive_buffer_size(5 << 20);
        let transport = Arc::new(transport);
        let mut config = EndpointConfig::new();
        // It says the size of a packet without SCTP's and a DATA chunk's header.
        config.max_payload_size((MTU - 28) as u32);
        let mut server = ServerConfig::default();
        server.transport = transport.clone();
        let mut endpoint = Endpoint::new(Arc::new(config), (!begins).then(|| Arc::new(server)));
        let association = begins.then(|| {
            let mut config = ClientConfig::default();
            config.transport = transport;
            endpoint.connect(config, OTHER).expect("one association is not too many")
        });
        Self { endpoint, association, established: false, packets: Vec::new().into_iter() }
    }

    fn is_established(&self) -> bool {
        self.established
    }

    fn open(&mut self, stream: u16) {
        if let Some((_, association)) = &mut self.association {
            // The other end may have opened it already.
            let _ = association.open_stream(stream, PayloadProtocolIdentifier::Binary);
        }
    }

    fn send(&mut self, _now: Instant, stream: u16, message: &Bytes) -> bool {
        let Some((_, association)) = &mut self.association else { return false };
        let Ok(mut stream) = association.stream(stream) else { return false };
        let is_full = stream.buffered_amount().is_ok_and(|buffered| buffered + message.len() > QUEUE);
        !is_full && stream.write_chunk(message).is_ok()
    }

    fn transmit(&mut self, now: Instant, mut carry: impl FnMut(&[u8])) -> bool {
        loop {
            if let Some(packet) = self.packets.next() {
                carry(&packet);
                return true;
            }
            let own = self.association.as_mut().and_then(|(_, association)| association.poll_transmit(now));
            let Some(transmit) = own.or_else(|| self.endpoint.poll_transmit()) else { return false };
            if let Payload::RawEncode(packets) = transmit.payload {
                self.packets = packets.into_iter();
            }
        }
    }

    fn receive(&mut self, now: Instant, packet: &[u8]) {
        let packet = Bytes::copy_from_slice(packet);
        match self.endpoint.handle(now, OTHER, None, None, packet) {
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                self.association = Some((handle, association));
            }
            Some((_, DatagramEvent::AssociationEvent(event))) => {
                if let Some((_, association)) = &mut self.association {
                    association.handle_event(event);
                }
            }
            None => {}
        }
    }

    fn read(&mut self) -> (u64, u64) {
        let (mut messages, mut bytes) = (0, 0);
        let Some((_, association)) = &mut self.association else { return (0, 0) };
        while let Some(event) = association.poll() {
            match event {
                Event::Connected => self.established = true,
                Event::Stream(StreamEvent::Readable { id }) => {
                    let Ok(mut stream) = association.stream(id) else { continue };
                    while let Ok(Some(chunks)) = stream.read() {
                        messages += 1;
                        // As one piece, as the applications of the other engines get it.
                        let mut whole = vec![0; chunks.len()];
                        bytes += chunks.read(&mut whole).map_or(0, |length| length as u64);
                    }
                }
                _ => {}
            }
        }
        (messages, bytes)
    }

    fn timeout(&self) -> Option<Instant> {
        self.association.as_ref().and_then(|(_, association)| association.poll_timeout())
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some((_, association)) = &mut self.association {
            association.handle_timeout(now);
        }
    }
}

/// Whom an end believes to talk to.
const OTHER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

/// Bytes that may wait in one stream.
const QUEUE: usize = 2_000_000;
