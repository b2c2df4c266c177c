//! An association against a peer made by hand, which can say what no honest one would.

mod chunks;
mod handshake;
mod hostile;
mod losses;
mod reset;
mod shutdown;
mod transport;

use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

use super::*;
use crate::budget::Unlimited;
use crate::wire::{Data, Extensions, Header, Init, Writer, cause, chunk_type, parse, seal};

/// The peer's tag, and the first TSN that it sends.
const TAG: u32 = 0x0bad_cafe;
const FIRST: Tsn = Tsn(0xffff_fff0);

/// Every extension.
const EVERYTHING: Extensions = Extensions {
    forward_tsn: true,
    reconfig: true,
    interleaving: false,
    zero_checksum: true,
    partial_sacks: false,
    padding: true,
    ecn: false,
};

/// An association, and the hand that plays its peer.
struct Hand {
    now: Instant,
    association: Association,
    /// The tag under which the association is spoken to.
    tag: u32,
    next: Tsn,
}

/// A chunk that was output.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OutputChunk {
    tag: u32,
    kind: u8,
    flags: u8,
    value: Vec<u8>,
}

impl Hand {
    /// An association that has not begun.
    fn new(config: Config) -> Self {
        let now = crate::test_time();
        let association = Association::new(config, now, &mut ChaCha12Rng::seed_from_u64(3));
        Self { now, tag: association.local_tag, association, next: FIRST }
    }

    /// An established one, whose peer can do so much.
    fn established(config: Config, extensions: Extensions) -> Self {
        let mut hand = Self::new(config);
        let init = write(|writer| peer_init(extensions).write(writer, chunk_type::INIT));
        hand.association.import_init(hand.now, &init).unwrap();
        hand.events();
        hand
    }

    /// Says a packet of these chunks, under the right tag.
    fn deliver(&mut self, chunks: impl FnOnce(&mut Writer<'_>)) {
        let tag = self.tag;
        self.deliver_as(tag, chunks);
    }

    fn deliver_as(&mut self, tag: u32, chunks: impl FnOnce(&mut Writer<'_>)) {
        let mut packet = write(|writer| {
            Header { source_port: 5000, destination_port: 5000, verification_tag: tag }.write(writer);
            chunks(writer);
        });
        seal(&mut packet);
        self.association.handle_input(self.now, &packet, Ecn::NotMarked);
    }

    /// Says a fragment under the next TSN.
    fn deliver_fragment(&mut self, data: Data<'_>) {
        let tsn = self.next;
        self.next = tsn.next();
        let interleaved = self.association.peer.extensions.interleaving;
        self.deliver(|writer| Data { tsn, ..data }.write(writer, interleaved));
    }

    fn deliver_sack(&mut self, cumulative: Tsn, window: u32, blocks: &[(u16, u16)]) {
        self.deliver(|writer| {
            writer.chunk(chunk_type::SACK, 0, |writer| {
                writer.u32(cumulative.0);
                writer.u32(window);
                writer.u16(blocks.len() as u16);
                writer.u16(0);
                for (start, end) in blocks {
                    writer.u16(*start);
                    writer.u16(*end);
                }
            });
        });
    }

    /// Everything that the association sends now.
    fn poll_output(&mut self) -> Vec<OutputChunk> {
        let mut output = Vec::new();
        let mut buffer = vec![0; 65_536];
        while let Some(length) = self.association.poll_transmit(self.now, &mut Unlimited, &mut buffer) {
            let (header, chunks) = parse(&buffer[..length], true).expect("a packet of ours can be read");
            output.extend(chunks.map(|chunk| {
                let chunk = chunk.expect("a chunk of ours can be read");
                OutputChunk {
                    tag: header.verification_tag,
                    kind: chunk.kind,
                    flags: chunk.flags,
                    value: chunk.value.to_vec(),
                }
            }));
            assert!(output.len() < 100_000, "chunks without end");
        }
        output
    }

    /// Lets time pass, and returns what is sent meanwhile.
    fn wait(&mut self, time: Duration) -> Vec<OutputChunk> {
        let end = self.now + time;
        let mut output = self.poll_output();
        while let Some(at) = self.association.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.association.handle_timeout(self.now);
            output.extend(self.poll_output());
        }
        self.now = end;
        output
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.association.poll_event()).collect()
    }

    fn send(&mut self, stream: u16, payload: &'static [u8]) {
        self.association.send(self.now, StreamId(stream), Message::new(Ppid(53), payload)).unwrap();
    }
}

fn write(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let mut writer = Writer::new(&mut buffer);
    write(&mut writer);
    writer.written().to_vec()
}

fn peer_init(extensions: Extensions) -> Init<'static> {
    Init {
        tag: TAG,
        window: 1 << 20,
        outgoing_streams: u16::MAX,
        incoming_streams: u16::MAX,
        initial_tsn: FIRST,
        extensions,
        cookie: &[],
        unrecognized: &[],
    }
}

/// A whole ordered message without content, to be changed.
fn fragment(stream: u16) -> Data<'static> {
    Data {
        tsn: FIRST,
        stream: StreamId(stream),
        unordered: false,
        begin: true,
        end: true,
        immediate: false,
        message: 0,
        fragment: 0,
        ppid: Ppid(53),
        payload: &[],
    }
}

fn kinds(output: &[OutputChunk]) -> Vec<u8> {
    output.iter().map(|output| output.kind).collect()
}
