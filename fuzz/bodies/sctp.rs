//! The bodies of the SCTP targets. The crate's ordinary tests include this file, too, and run it
//! over random bytes, so that it is compiled and exercised without a fuzzer.
#![allow(dead_code, reason = "each target uses one of the bodies")]

use std::time::{Duration, Instant};

use columba_sctp::channels::{ChannelEvent, ChannelId, ChannelInit, DataChannels, Payload, Role};
use columba_sctp::{Config, Ecn, Unlimited};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

/// A packet as it came, checksum and all, into an association without a peer.
pub(crate) fn packet(data: &[u8], now: Instant) {
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let mut channels = DataChannels::new(Config::default(), now, &mut rng);
    channels.handle_input(now, data, Ecn::NotMarked);
    drain(&mut channels, now);
}

/// A sequence of packets and pauses into an association whose state the first byte chooses. Ports
/// and tags are right: they are not what keeps a hostile peer out.
pub(crate) fn sequence(data: &[u8], now: Instant) {
    let Some((&state, mut rest)) = data.split_first() else { return };
    let Prepared { mut channels, tag, tsns, sending } = prepare(state, now);
    let mut now = now;
    while let Some((&length, after)) = rest.split_first() {
        let (chunks, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        let mut packet = vec![0x13, 0x88, 0x13, 0x88];
        packet.extend_from_slice(if chunks.first() == Some(&1) { &[0; 4] } else { &tag });
        packet.extend_from_slice(&[0; 4]);
        packet.extend_from_slice(chunks);
        shift_tsns(&mut packet[12..], tsns);
        channels.handle_input(now, &packet, Ecn::NotMarked);
        now += Duration::from_millis(u64::from(length));
        if channels.poll_timeout().is_some_and(|at| at <= now) {
            channels.handle_timeout(now);
        }
        drain(&mut channels, now);
    }
    if let Some(channel) = sending {
        assert!(channels.buffered_amount(channel) <= 20_000);
    }
}

/// The states of RFC 9260 §4, as [`prepare`] numbers them.
pub(crate) const STATES: [&str; 9] = [
    "Idle",
    "CookieWait",
    "CookieEchoed",
    "Established",
    "ShutdownPending",
    "ShutdownSent",
    "ShutdownReceived",
    "ShutdownAckSent",
    "Closed",
];

/// An association in some state.
pub(crate) struct Prepared {
    pub(crate) channels: DataChannels,
    /// Under which tag it is spoken to.
    tag: [u8; 4],
    /// From where its TSNs count, and the peer's.
    tsns: [u32; 2],
    sending: Option<ChannelId>,
}

/// The lower four bits choose the state, the next ones what else is so.
pub(crate) fn prepare(state: u8, now: Instant) -> Prepared {
    let mut rng = ChaCha12Rng::seed_from_u64(2);
    let config = Config {
        interleaving: state & 16 != 0,
        receive_window: 50_000,
        max_receive_window: 100_000,
        max_message_size: 10_000,
        ..Config::default()
    };
    let mut channels = DataChannels::new(config.clone(), now, &mut rng);
    let mut peer = DataChannels::new(config, now, &mut rng);
    let init = channels.export_init();
    let tag = init[4..8].try_into().expect("an INIT has a tag");
    let tsns = [first_tsn(&channels), first_tsn(&peer)];
    let name = STATES[usize::from(state & 15) % STATES.len()];
    let mut sending = None;
    if matches!(name, "CookieWait" | "CookieEchoed") {
        channels.start(now, Role::Client);
    } else if name != "Idle" {
        channels.import_init(now, Role::Client, &peer.export_init()).expect("an INIT of our own");
        peer.import_init(now, Role::Server, &init).expect("an INIT of our own");
    }
    if matches!(name, "Established" | "ShutdownPending" | "ShutdownReceived") {
        let channel = channels.open(now, "fuzz", ChannelInit::default()).expect("a stream is free");
        for _ in 0..4 {
            let message = Payload::Binary(vec![0; 5_000].into());
            channels.send(now, channel, message).expect("the channel is open");
        }
        if state & 32 != 0 {
            channels.close(now, channel);
        }
        sending = Some(channel);
    }
    match name {
        "CookieEchoed" => {
            carry(&mut channels, &mut peer, now);
            carry(&mut peer, &mut channels, now);
        }
        "ShutdownPending" | "ShutdownSent" => channels.shutdown(now),
        "ShutdownReceived" | "ShutdownAckSent" => {
            peer.shutdown(now);
            carry(&mut peer, &mut channels, now);
        }
        "Closed" => channels.abort(now),
        _ => {}
    }
    Prepared { channels, tag, tsns, sending }
}

/// Carries what one has to say to the other.
fn carry(from: &mut DataChannels, to: &mut DataChannels, now: Instant) {
    let mut buffer = [0; 2048];
    while let Some(length) = from.poll_transmit(now, &mut Unlimited, &mut buffer) {
        to.handle_input(now, &buffer[..length], Ecn::NotMarked);
    }
}

fn first_tsn(channels: &DataChannels) -> u32 {
    let init = channels.export_init();
    u32::from_be_bytes(init[16..20].try_into().expect("an INIT has a TSN"))
}

/// Lets the TSNs of chunks count from where they began, so that small numbers hit.
fn shift_tsns(mut chunks: &mut [u8], [ours, theirs]: [u32; 2]) {
    while let [kind, _, high, low, rest @ ..] = chunks {
        let length = usize::from(u16::from_be_bytes([*high, *low])).next_multiple_of(4).saturating_sub(4);
        let origin = match *kind {
            0 | 64 | 192 | 194 => theirs,
            3 | 7 => ours,
            _ => 0,
        };
        if let Some(tsn) = rest.first_chunk_mut::<4>() {
            *tsn = u32::from_be_bytes(*tsn).wrapping_add(origin).to_be_bytes();
        }
        if length == 0 || length > rest.len() {
            return;
        }
        chunks = &mut rest[length..];
    }
}

/// Checks that the output ends, and a deadline lies ahead.
fn drain(channels: &mut DataChannels, now: Instant) {
    let mut buffer = [0; 2048];
    let mut packets = 0;
    while channels.poll_transmit(now, &mut Unlimited, &mut buffer).is_some() {
        packets += 1;
        assert!(packets < 1000, "packets without end");
    }
    let mut events = 0;
    while let Some(event) = channels.poll_event() {
        events += 1;
        assert!(events < 10_000, "events without end");
        if let ChannelEvent::Readable(channel) = event {
            while channels.receive(now, channel).is_some() {}
        }
    }
    if channels.poll_timeout().is_some_and(|at| at <= now) {
        channels.handle_timeout(now);
        assert!(channels.poll_timeout().is_none_or(|at| at > now), "a deadline that has passed");
    }
}
