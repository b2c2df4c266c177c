//! Connections that take less than SCTP would send: it waits, and nothing is lost on the way.

use std::time::Duration;

use columba_netsim::Queue;
use columba_peer::{
    ChannelId, Configuration, DataChannelInit, Event, IceConnectionState, Message, Transport,
};

use crate::lab::{ALICE, BOB, Lab, SECOND};

/// Messages of each side's, and the bytes of each.
const MESSAGES: usize = 40;
const SIZE: usize = 50_000;

fn numbered(index: usize) -> Message {
    let mut bytes = vec![9; SIZE];
    bytes[0] = index as u8;
    Message::Binary(bytes.into())
}

/// Two peers without datagrams, far from each other, with a channel.
fn far_apart(seed: u64) -> (Lab, [ChannelId; 2]) {
    let ice = columba_ice::Config { udp: false, ..columba_ice::Config::default() };
    let mut lab = Lab::lan(&Configuration { ice, ..Configuration::default() }, 0.0, seed);
    for interface in lab.interfaces.clone() {
        lab.network.change_link(interface, |out, into| {
            (out.delay, into.delay) = (Duration::from_millis(25), Duration::from_millis(25));
        });
    }
    let alice = lab.open(ALICE, "transfer", DataChannelInit::default());
    let opened = lab.run_until(SECOND * 10, |lab| lab.both(|host| !host.open.is_empty()));
    assert!(opened, "{}", lab.network.trace());
    let bob = lab.peer(BOB).open[0];
    (lab, [alice, bob])
}

fn send(lab: &mut Lab, channels: [ChannelId; 2], senders: &[usize]) {
    for side in senders {
        lab.with(*side, |host, now| {
            for index in 0..MESSAGES {
                host.peer.send(now, channels[*side], numbered(index)).unwrap();
            }
        });
    }
}

/// From now on each link carries so many bits a second, and drops nothing.
fn narrow(lab: &mut Lab, rate: u64) {
    for interface in lab.interfaces.clone() {
        lab.network.change_link(interface, |out, into| {
            for link in [out, into] {
                (link.rate, link.queue) = (Some(rate), Queue::DropTail { bytes: usize::MAX });
            }
        });
    }
}

fn must_end_whole(lab: &mut Lab, senders: &[usize]) {
    let whole = |lab: &Lab| senders.iter().all(|side| lab.peer(1 - side).all_received().len() == MESSAGES);
    assert!(lab.run_until(SECOND * 600, whole), "{}", lab.network.trace());
    let now = lab.network.now();
    for side in senders {
        assert!(lab.peer(1 - side).all_received() == (0..MESSAGES).map(numbered).collect::<Vec<_>>());
    }
    for side in [ALICE, BOB] {
        let host = lab.peer(side);
        let stats = host.peer.stats(now);
        assert!(
            stats.transports[0]
                .ice
                .pairs
                .iter()
                .all(|pair| pair.path.is_none_or(|path| path.transport == Transport::Tcp))
        );
        assert_eq!(stats.dropped.no_path, 0);
        assert!(!host.events.contains(&Event::IceConnectionState(IceConnectionState::Disconnected)));
        assert!(host.errors.is_empty() && host.closed.is_empty());
    }
}

#[test]
fn full_connection_holds_back_data_of_sctp() {
    for (seed, senders) in [&[ALICE][..], &[BOB], &[ALICE, BOB]].into_iter().enumerate() {
        let (mut lab, channels) = far_apart(seed as u64);
        send(&mut lab, channels, senders);
        must_end_whole(&mut lab, senders);
        // The mark, and what was under way when it was told of: not what the congestion window
        // would have let go.
        let waited = lab.network.stats().most_on_way;
        assert!((64 << 10..80 << 10).contains(&waited), "{waited} bytes waited");
        let window = lab.peer(senders[0]).peer.stats(lab.network.now()).sctp.association.congestion_window;
        assert!(window > 2 * waited, "a window of {window} bytes does not need to be held back");
    }
}

/// Waiting data takes seconds when the path becomes slow, and consent checks wait behind it.
#[test]
fn slow_connection_keeps_consent() {
    for (seed, rate) in [(10, 1_000_000), (11, 250_000)] {
        let (mut lab, channels) = far_apart(seed);
        send(&mut lab, channels, &[ALICE, BOB]);
        lab.run_for(Duration::from_millis(1500));
        assert!(lab.both(|host| (1..MESSAGES).contains(&host.all_received().len())));
        narrow(&mut lab, rate);
        must_end_whole(&mut lab, &[ALICE, BOB]);
    }
}
