//! Data channels between two peers.

use std::time::Duration;

use bytes::Bytes;
use columba_netsim::Nat;
use columba_peer::{
    ChannelId, Configuration, DataChannelInit, DataChannelState, DtlsTransportState, Error, Event, Message,
    PeerConnectionState, Priority,
};

use crate::lab::{ALICE, BOB, Lab, SECOND, with_turn};

fn send(lab: &mut Lab, index: usize, channel: ChannelId, message: impl Into<Message>) {
    lab.with(index, |host, now| host.peer.send(now, channel, message.into()).unwrap());
}

/// A channel of Alice's that is open at both ends, and its name at Bob's.
fn open(lab: &mut Lab, init: DataChannelInit) -> (ChannelId, ChannelId) {
    let known = lab.peer(BOB).open.len();
    let channel = lab.open(ALICE, "chat", init);
    let open = |lab: &Lab| lab.peer(ALICE).open.contains(&channel) && lab.peer(BOB).open.len() > known;
    let done = lab.run_until(SECOND * 90, open);
    assert!(done, "{}: {:?} {:?}", lab.network.trace(), lab.summary(ALICE), lab.summary(BOB));
    (channel, lab.peer(BOB).open[known])
}

/// The `index`th message.
fn numbered(index: usize) -> Message {
    let mut bytes = vec![index as u8; 1 + index * 37 % 5000];
    bytes[0] = (index >> 8) as u8;
    Message::Binary(bytes.into())
}

#[test]
fn messages_arrive_whole_and_in_order_over_lossy_networks() {
    for seed in 0..24 {
        let loss = [0.0, 0.05, 0.15, 0.3][seed as usize % 4];
        let mut lab = match seed % 3 {
            0 => Lab::lan(&Configuration::default(), loss, seed),
            1 => Lab::homes([Nat::PORT, Nat::ADDRESS], &with_turn(), loss, seed),
            _ => Lab::homes([Nat::SYMMETRIC; 2], &with_turn(), loss, seed),
        };
        talk_and_close(&mut lab, seed);
    }
}

#[test]
fn messages_arrive_over_tcp_without_udp() {
    for seed in 0..8 {
        let ice = columba_ice::Config { udp: false, ..columba_ice::Config::default() };
        let configuration = Configuration { ice, ..Configuration::default() };
        let mut lab = Lab::lan(&configuration, [0.0, 0.05, 0.15, 0.3][seed as usize % 4], seed);
        talk_and_close(&mut lab, seed);
        let stats = lab.peer(ALICE).peer.stats(lab.network.now()).transports.remove(0).ice;
        let pair = stats.pairs.iter().find(|pair| Some(pair.id) == stats.transport.selected_pair).unwrap();
        let of = |candidates: &[columba_ice::CandidateStats], id: u32| {
            candidates.iter().find(|one| one.id == id).unwrap().candidate.transport
        };
        let ends = [of(&stats.local_candidates, pair.local), of(&stats.remote_candidates, pair.remote)];
        assert!(ends.iter().all(|end| end.is_tcp()) && ends[0] != ends[1], "{ends:?}");
        for index in [ALICE, BOB] {
            lab.with(index, |host, now| host.peer.close(now));
            // The goodbye goes before the connection ends.
            lab.run_for(SECOND);
            assert!(lab.peer(index).streams.is_empty());
            let stats = lab.peer(1 - index).peer.stats(lab.network.now());
            assert_eq!(stats.transports[0].dtls.state, DtlsTransportState::Closed, "seed {seed}");
        }
    }
}

/// Forty messages each way, and the end of the channel.
fn talk_and_close(lab: &mut Lab, seed: u64) {
    let (alice, bob) = open(lab, DataChannelInit::default());
    for index in 0..40 {
        send(lab, ALICE, alice, numbered(index));
        send(lab, BOB, bob, numbered(index + 1000));
    }
    let all = |lab: &Lab| lab.both(|host| host.all_received().len() == 40);
    assert!(lab.run_until(SECOND * 240, all), "seed {seed}: {}", lab.network.trace());
    assert_eq!(lab.peer(BOB).all_received(), (0..40).map(numbered).collect::<Vec<_>>());
    assert_eq!(lab.peer(ALICE).all_received(), (1000..1040).map(numbered).collect::<Vec<_>>());
    assert!(lab.both(|host| host.errors.is_empty()), "seed {seed}: {:?}", lab.peer(ALICE).errors);
    // Either side may close.
    let (closer, channel) = if seed.is_multiple_of(2) { (ALICE, alice) } else { (BOB, bob) };
    lab.with(closer, |host, now| host.peer.close_channel(now, channel).unwrap());
    let closed = |lab: &Lab| lab.peer(ALICE).closed == [alice] && lab.peer(BOB).closed == [bob];
    assert!(lab.run_until(SECOND * 120, closed), "seed {seed}: {}", lab.network.trace());
    assert_eq!(lab.peer(ALICE).peer.channel(alice), None);
}

#[test]
fn bulk_data_is_sent_in_batches_of_one_size() {
    for nats in [[Nat::PORT; 2], [Nat::SYMMETRIC; 2]] {
        let mut lab = Lab::homes(nats, &with_turn(), 0.0, 3);
        let (alice, _) = open(&mut lab, DataChannelInit::default());
        let piece = Bytes::from(vec![7; 65_536]);
        for _ in 0..32 {
            send(&mut lab, ALICE, alice, piece.clone());
        }
        let whole = |lab: &Lab| lab.peer(BOB).all_received().len() == 32;
        assert!(lab.run_until(SECOND * 60, whole), "{}", lab.network.trace());
        let stats = lab.peer(ALICE).peer.stats(lab.network.now());
        assert_eq!((stats.channels[0].messages_sent, stats.channels[0].bytes_sent), (32, 32 * 65_536));
        assert_eq!(stats.data_channels_opened, 1);
        let relayed = nats == [Nat::SYMMETRIC; 2];
        let largest = lab.peer(ALICE).largest;
        // What every IPv6 path carries is 1,280 bytes, less 48 of headers.
        assert_eq!(largest <= 1232, relayed, "{largest}: through a relay nothing larger is tried");
        assert_eq!(lab.peer(ALICE).batches > 0, !relayed, "the kernel cannot cut what a relay wraps");
    }
}

#[test]
fn unread_messages_hold_back_the_sender() {
    let mut configuration = Configuration::default();
    configuration.data.receive_buffer = 200_000;
    configuration.data.send_buffer = 500_000;
    let mut lab = Lab::lan(&configuration, 0.0, 4);
    let (alice, bob) = open(&mut lab, DataChannelInit::default());
    lab.with(BOB, |host, _| host.reads = false);
    let piece = Message::Binary(vec![9; 10_000].into());
    let mut sent = 0;
    for _ in 0..200 {
        sent += lab.with(ALICE, |host, now| match host.peer.send(now, alice, piece.clone()) {
            Ok(_) => 1,
            Err(error) => {
                assert_eq!(error, Error::BufferFull);
                0
            }
        });
        lab.run_for(Duration::from_millis(50));
    }
    assert!((50..200).contains(&sent), "{sent}");
    assert!(lab.peer(ALICE).peer.buffered_amount(alice) >= 400_000);
    lab.with(BOB, |host, _| host.reads = true);
    let all = |lab: &Lab| lab.peer(BOB).received.get(&bob).map_or(0, Vec::len) == sent;
    assert!(lab.run_until(SECOND * 30, all));
    let events = &lab.peer(ALICE).events;
    assert!(
        events.contains(&Event::ChannelWritable(alice))
            && events.iter().any(|event| matches!(event, Event::BufferedAmountLow(id, 0) if *id == alice))
    );
    assert_eq!(lab.peer(ALICE).peer.buffered_amount(alice), 0);
}

#[test]
fn texts_empty_messages_and_limits() {
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 5);
    let (alice, _) = open(&mut lab, DataChannelInit { ordered: false, ..DataChannelInit::default() });
    let messages = [Message::from("gurr-gurr 🕊"), Message::from(""), Message::Binary(Bytes::new())];
    for message in &messages {
        send(&mut lab, ALICE, alice, message.clone());
    }
    send(&mut lab, ALICE, alice, vec![1; 262_144]);
    lab.with(ALICE, |host, now| {
        let too_large = host.peer.send(now, alice, vec![1; 262_145].into());
        assert_eq!(too_large, Err(Error::MessageTooLarge { size: 262_145, limit: 262_144 }));
        let both = DataChannelInit {
            max_retransmits: Some(1),
            max_packet_life_time: Some(1),
            ..DataChannelInit::default()
        };
        assert!(matches!(host.peer.create_data_channel(now, "", both), Err(Error::InvalidChannel { .. })));
        let later = host.peer.create_data_channel(now, "later", DataChannelInit::default()).unwrap();
        assert_eq!(host.peer.channel(later).unwrap().state, DataChannelState::Open);
    });
    lab.run_for(SECOND * 2);
    let received = lab.peer(BOB).all_received();
    assert_eq!(received.len(), 4);
    assert!(messages.iter().all(|message| received.contains(message)));
}

#[test]
fn urgent_messages_overtake_bulk_data() {
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 8);
    let (bulk, _) =
        open(&mut lab, DataChannelInit { priority: Priority::VeryLow, ..DataChannelInit::default() });
    let (urgent, there) =
        open(&mut lab, DataChannelInit { priority: Priority::High, ..DataChannelInit::default() });
    let told = lab.peer(BOB).peer.channel(there).unwrap().init.priority;
    assert_eq!(told, Priority::High, "the other side knows the priority, too");
    for _ in 0..40 {
        send(&mut lab, ALICE, bulk, vec![1; 250_000]);
    }
    send(&mut lab, ALICE, urgent, "now");
    let came = |lab: &Lab| lab.peer(BOB).received.contains_key(&there);
    assert!(lab.run_until(SECOND * 60, came));
    let before = lab.peer(BOB).all_received().len() - 1;
    assert!(before < 20, "it came after {before} long messages");
    assert!(lab.run_until(SECOND * 60, |lab| lab.peer(BOB).all_received().len() == 41));
}

#[test]
fn negotiated_channels_are_not_announced() {
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 6);
    let init = DataChannelInit { negotiated: Some(40), ..DataChannelInit::default() };
    let alice = lab.open(ALICE, "mine", init.clone());
    let bob = lab.open(BOB, "yours", init);
    let open = |lab: &Lab| lab.peer(ALICE).open == [alice] && lab.peer(BOB).open == [bob];
    assert!(lab.run_until(SECOND * 10, open), "{}", lab.network.trace());
    assert!(lab.peer(BOB).events.contains(&Event::ChannelOpen(bob)));
    send(&mut lab, BOB, bob, "coo");
    assert!(lab.run_until(SECOND, |lab| lab.peer(ALICE).all_received() == [Message::from("coo")]));
    assert_eq!(lab.peer(ALICE).peer.channel(alice).unwrap().stream, Some(40));
}

#[test]
fn closing_the_connection_closes_the_channels_of_both_sides_without_its_failure() {
    for closer in [ALICE, BOB] {
        let mut lab = Lab::homes([Nat::SYMMETRIC; 2], &with_turn(), 0.0, 7);
        let (alice, bob) = open(&mut lab, DataChannelInit::default());
        assert!(lab.allocations() > 0);
        lab.with(closer, |host, now| host.peer.close(now));
        lab.run_for(SECOND * 2);
        let channels = [alice, bob];
        let state = lab.peer(closer).peer.channel_state(channels[closer]);
        assert!(state.is_none_or(|state| state == DataChannelState::Closed));
        let reason = Some(Error::ClosedRemotely { cause: Some(12) });
        let closed = Event::ChannelClosed(channels[1 - closer], reason);
        assert!(lab.peer(1 - closer).events.contains(&closed));
        assert!(lab.peer(closer).peer.is_drained());
        lab.with(1 - closer, |host, now| host.peer.close(now));
        lab.run_for(SECOND * 2);
        assert!(lab.both(|host| host.errors.is_empty() && host.peer.is_drained()));
        assert_eq!(lab.allocations(), 0, "nothing is left at the server");
        assert!(lab.both(|host| host.peer.connection_state() == PeerConnectionState::Closed));
    }
}

/// Of several channels each ends with the error and once; one that was closed before has none, and
/// nothing follows.
#[test]
fn each_channel_of_a_connection_that_is_closed_remotely_ends_once() {
    for closer in [ALICE, BOB] {
        let mut lab = Lab::lan(&Configuration::default(), 0.0, 31);
        let (alice, bob) = open(&mut lab, DataChannelInit::default());
        let others: Vec<_> = (0..5).map(|_| open(&mut lab, DataChannelInit::default())).collect();
        lab.with(ALICE, |host, now| host.peer.close_channel(now, alice).unwrap());
        assert!(lab.run_until(SECOND * 5, |lab| lab.both(|host| host.closed.len() == 1)));
        let unread = others[0];
        lab.with(1 - closer, |host, _| host.reads = false);
        let from = [unread.0, unread.1][closer];
        send(&mut lab, closer, from, "last words");
        lab.run_for(SECOND);
        lab.with(closer, |host, now| host.peer.close(now));
        lab.run_for(SECOND * 5);
        let host = lab.peer(1 - closer);
        let ends = |id: ChannelId| {
            let events = host.events.iter();
            let ends = events.filter_map(|event| match event {
                Event::ChannelClosed(of, reason) if *of == id => Some(reason.clone()),
                _ => None,
            });
            ends.collect::<Vec<_>>()
        };
        assert_eq!(ends([alice, bob][1 - closer]), [None]);
        for other in &others {
            let id = [other.0, other.1][1 - closer];
            assert_eq!(ends(id), [Some(Error::ClosedRemotely { cause: Some(12) })]);
        }
        let id = [unread.0, unread.1][1 - closer];
        lab.with(1 - closer, |host, now| {
            assert_eq!(host.peer.receive(now, id), Some(Message::from("last words")));
            assert_eq!(host.peer.receive(now, id), None);
        });
    }
}

#[test]
fn received_messages_can_be_read_after_closing() {
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 8);
    let (alice, bob) = open(&mut lab, DataChannelInit::default());
    lab.with(BOB, |host, _| host.reads = false);
    send(&mut lab, ALICE, alice, "last words");
    lab.with(ALICE, |host, now| host.peer.close_channel(now, alice).unwrap());
    assert!(lab.run_until(SECOND * 5, |lab| lab.peer(BOB).closed == [bob]));
    lab.with(BOB, |host, now| {
        assert_eq!(host.peer.receive(now, bob), Some(Message::from("last words")));
        assert_eq!(host.peer.receive(now, bob), None);
        assert_eq!(host.peer.channel(bob), None);
    });
}

#[test]
fn a_message_sent_right_before_the_close_arrives() {
    for (seed, nats) in [(10, [Nat::PORT; 2]), (11, [Nat::SYMMETRIC; 2])] {
        let mut lab = Lab::homes(nats, &with_turn(), 0.0, seed);
        let (alice, bob) = open(&mut lab, DataChannelInit::default());
        lab.run_for(SECOND);
        let words: Vec<_> = (0..5).map(numbered).collect();
        lab.with(ALICE, |host, now| {
            for word in &words {
                host.peer.send(now, alice, word.clone()).unwrap();
            }
            host.peer.close(now);
        });
        let heard = lab.run_until(SECOND, |lab| lab.peer(BOB).closed == [bob]);
        assert!(heard, "the other side hears of it at once: {}", lab.network.trace());
        assert_eq!(lab.peer(BOB).all_received(), words);
        assert!(lab.peer(BOB).errors.is_empty(), "{:?}", lab.peer(BOB).errors);
    }
}

#[test]
fn closing_channel_sends_waiting_messages_first() {
    let mut lab = Lab::homes([Nat::PORT; 2], &with_turn(), 0.05, 12);
    let (alice, bob) = open(&mut lab, DataChannelInit::default());
    for index in 0..400 {
        send(&mut lab, ALICE, alice, numbered(index));
    }
    assert!(lab.peer(ALICE).peer.buffered_amount(alice) > 500_000, "more than a window");
    lab.with(ALICE, |host, now| host.peer.close_channel(now, alice).unwrap());
    let closed = |lab: &Lab| lab.peer(ALICE).closed == [alice] && lab.peer(BOB).closed == [bob];
    assert!(lab.run_until(SECOND * 60, closed), "{}", lab.network.trace());
    assert_eq!(lab.peer(BOB).all_received(), (0..400).map(numbered).collect::<Vec<_>>());
}

#[test]
fn sctp_ports_may_differ() {
    for early_handshakes in [false, true] {
        let configuration = Configuration { early_handshakes, ..Configuration::default() };
        let mut lab = Lab::lan(&configuration, 0.0, 13);
        // What Alice hears of Bob, and Bob of Alice, is another port than what they use: nothing
        // can get through.
        lab.forge = |description| {
            let sdp = description.sdp.replace("a=sctp-port:5000", "a=sctp-port:6789");
            columba_peer::SessionDescription { sdp, ..description }
        };
        lab.open(ALICE, "chat", DataChannelInit::default());
        assert!(lab.run_until(SECOND * 5, Lab::connected), "{:?}", lab.peer(ALICE).errors);
        lab.run_for(SECOND * 5);
        assert!(lab.peer(BOB).open.is_empty(), "packets go to the port that was said");
        // With both sides' INIT in the descriptions no packet is needed for a channel to be open.
        assert_eq!(lab.peer(ALICE).open.is_empty(), !early_handshakes);
    }
}

#[test]
fn ice_restart_during_a_transfer_loses_nothing() {
    let mut lab = Lab::homes([Nat::PORT; 2], &with_turn(), 0.02, 9);
    let (alice, _) = open(&mut lab, DataChannelInit::default());
    for index in 0..300 {
        send(&mut lab, ALICE, alice, numbered(index));
        if index == 100 {
            lab.with(BOB, |host, now| host.peer.restart_ice(now));
        }
        lab.run_for(Duration::from_millis(10));
    }
    assert!(lab.run_until(SECOND * 60, |lab| lab.peer(BOB).all_received().len() == 300));
    assert_eq!(lab.peer(BOB).all_received(), (0..300).map(numbered).collect::<Vec<_>>());
    assert!(lab.both(|host| host.errors.is_empty()));
}

#[test]
fn datagram_size_follows_the_path_mtu() {
    for before in [1500, 65_535] {
        let mut lab = Lab::lan(&Configuration::default(), 0.0, 5);
        let paths = lab.interfaces.clone();
        let limit = |lab: &mut Lab, mtu: usize| {
            for interface in &paths {
                lab.network.change_link(*interface, |up, down| (up.mtu, down.mtu) = (mtu, mtu));
            }
        };
        limit(&mut lab, before);
        let (alice, _) = open(&mut lab, DataChannelInit::default());
        let mtu = |lab: &Lab| lab.peer(ALICE).peer.stats(lab.network.now()).sctp.association.mtu;
        let known = mtu(&lab);
        let mut sent = 0;
        let mut transfer = |lab: &mut Lab, count: usize| {
            for _ in 0..count {
                send(lab, ALICE, alice, numbered(sent));
                sent += 1;
            }
            assert!(lab.run_until(SECOND * 60, |lab| lab.peer(BOB).all_received().len() == sent), "{before}");
        };
        transfer(&mut lab, 600);
        lab.run_for(SECOND * 5);
        let grown = mtu(&lab);
        // A record has up to 38 bytes of its own, and IP and UDP have 28; the rest is how exactly
        // it is found.
        let most = (before - 66).min((1 << 14) - 4);
        assert!(grown > known && (most - 36..=most + 16).contains(&grown), "{grown} of {before}");
        limit(&mut lab, 1280);
        transfer(&mut lab, 600);
        assert!(mtu(&lab) <= 1280 - 28, "{}", mtu(&lab));
        assert_eq!(lab.peer(BOB).all_received(), (0..1200).map(numbered).collect::<Vec<_>>());
    }
}
