//! What the SCTP targets do with their input. The crate's ordinary tests include this file, too, and run it over random
//! bytes, so that it is compiled and exercised without a fuzzer.
#![allow(dead_code, reason = "each target uses one of the bodies")]

use std::time::{Duration, Instant};

use columba_sctp::channels::{ChannelEvent, ChannelInit, DataChannels, Payload, Role};
use columba_sctp::{Config, Ecn, Unlimited};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

/// A packet as it came, checksum and all, into an association that knows nobody.
pub(crate) fn packet(data: &[u8], now: Instant) {
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let mut channels = DataChannels::new(Config::default(), now, &mut rng);
    channels.handle_input(now, data, Ecn::NotMarked);
    drain(&mut channels, now);
}

/// A sequence of packets and pauses into an association whose state the first byte chooses. Ports and tags are right: they are
/// not what keeps a hostile peer out.
pub(crate) fn sequence(data: &[u8], now: Instant) {
    let Some((&state, mut rest)) = data.split_first() else { return };
    let mut rng = ChaCha12Rng::seed_from_u64(2);
    let config = Config {
        interleaving: state & 8 != 0,
        receive_window: 50_000,
        max_receive_window: 100_000,
        max_message_size: 10_000,
        ..Config::default()
    };
    let mut channels = DataChannels::new(config.clone(), now, &mut rng);
    let peer = DataChannels::new(config, now, &mut rng);
    let tag: [u8; 4] = channels.export_init()[4..8].try_into().expect("an INIT has a tag");
    let tsns = [first_tsn(&channels), first_tsn(&peer)];
    let mut now = now;
    let mut sending = None;
    match state & 3 {
        0 => {}
        1 => channels.start(now, Role::Client),
        _ => {
            channels.import_init(now, Role::Client, &peer.export_init()).expect("an INIT of our own");
            let channel = channels.open(now, "fuzz", ChannelInit::default()).expect("a stream is free");
            for _ in 0..4 {
                let message = Payload::Binary(vec![0; 5_000].into());
                channels.send(now, channel, message).expect("the channel is open");
            }
            if state & 4 != 0 {
                channels.close(now, channel);
            }
            sending = Some(channel);
        }
    }
    if state & 16 != 0 {
        channels.shutdown(now);
    }
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

/// What comes out ends, and a deadline lies ahead.
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
