//! Permissions, channels and the data path: RFC 8656 §9 to 12.

use columba_stun::attributes::{Data, DontFragment, XorPeerAddress};
use columba_stun::{AttributeType, Class, MessageBuilder, Method, TransactionId};

use super::super::*;
use super::harness::*;

/// A client with an allocation; the relay's id and address.
fn allocated(lab: &mut Lab, client: &mut Client) -> (RelayId, SocketAddr) {
    let relayed = client.allocate(lab).relayed();
    let slot = lab.server.table.find(&client.tuple).unwrap();
    let relay = lab.server.relay_for(slot, AddressFamily::of(relayed.ip())).unwrap();
    assert_eq!(relay.addr, relayed);
    (relay.id, relayed)
}

#[test]
fn indications_go_both_ways_once_there_is_a_permission() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    let (relay, _) = allocated(&mut lab, &mut client);
    let send = client.send("8.8.8.8:7000", b"hello");
    assert_eq!(lab.data(client.tuple, &send), Routed::Drop(DropReason::NoPermission));
    let peer = addr("8.8.8.8:7000");
    assert_eq!(lab.peer_sends(relay, peer, b"hi"), Routed::Drop(DropReason::NoPermission));

    assert_eq!(client.permit(&mut lab, &["8.8.8.8:1", "8.8.4.4:0"]), 0);
    let payload = b"hello".to_vec();
    let out = Routed::ToPeer { relay, peer, payload, dont_fragment: false };
    assert_eq!(lab.data(client.tuple, &send), out);
    // A permission is for an address, whatever the port.
    for (peer, payload) in [("8.8.8.8:7000", &b"hi"[..]), ("8.8.8.8:9", b""), ("8.8.4.4:9", b"abcdefgh")] {
        let routed = lab.peer_sends(relay, addr(peer), payload);
        assert!(matches!(routed, Routed::ToClient(to, _) if to == client.tuple));
        assert_eq!(routed.indication(), (addr(peer), payload.to_vec()));
    }
    let stats = lab.server.stats();
    assert_eq!((stats.datagrams_to_peers, stats.bytes_to_peers), (1, 5));
    assert_eq!((stats.datagrams_to_clients, stats.bytes_to_clients), (3, 10));
    assert_eq!(stats.dropped(DropReason::NoPermission), 2);
}

#[test]
fn indications_carry_ipv6_peers() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("[2a01::9]:5000");
    let six = columba_stun::attributes::RequestedAddressFamily::IPV6;
    client.allocate_with(&mut lab, &|b| b.push(&six).map(|_| ()));
    assert_eq!(client.permit(&mut lab, &["[2a00::8]:1"]), 0);
    let slot = lab.server.table.find(&client.tuple).unwrap();
    let relay = lab.server.relay_for(slot, AddressFamily::Ipv6).unwrap();
    let routed = lab.peer_sends(relay.id, addr("[2a00::8]:99"), &[7; 1201]);
    assert_eq!(routed.indication(), (addr("[2a00::8]:99"), vec![7; 1201]));
    let send = client.send("[2a00::8]:99", b"x");
    assert!(matches!(lab.data(client.tuple, &send), Routed::ToPeer { .. }));
}

#[test]
fn channels_go_both_ways() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    let (relay, _) = allocated(&mut lab, &mut client);
    let message = channel_data(0x4001, b"hello");
    assert_eq!(lab.data(client.tuple, &message), Routed::Drop(DropReason::NoChannel));
    assert_eq!(client.bind(&mut lab, 0x4001, "8.8.8.8:7000"), 0);
    let peer = addr("8.8.8.8:7000");
    let out = Routed::ToPeer { relay, peer, payload: b"hello".to_vec(), dont_fragment: false };
    assert_eq!(lab.data(client.tuple, &message), out);
    let mut padded = message.clone();
    padded.extend_from_slice(&[0; 3]);
    assert_eq!(lab.data(client.tuple, &padded), out, "padding is not data");

    let routed = lab.peer_sends(relay, peer, b"hi");
    assert_eq!(routed.channel_data(), (0x4001, b"hi".to_vec()));
    let Routed::ToClient(_, bytes) = routed else { unreachable!() };
    assert_eq!(bytes.len(), 6, "no padding over UDP");
    // Another port of the same address has the permission, not the channel.
    assert_eq!(lab.peer_sends(relay, addr("8.8.8.8:7001"), b"hi").indication().1, b"hi");
}

#[test]
fn over_a_stream_channel_data_is_padded() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000").over(Transport::Tcp, 5);
    let (relay, _) = allocated(&mut lab, &mut client);
    client.bind(&mut lab, 0x4001, "8.8.8.8:7000");
    for len in 0..9 {
        let Routed::ToClient(_, bytes) = lab.peer_sends(relay, addr("8.8.8.8:7000"), &vec![9; len]) else {
            panic!("length {len}")
        };
        assert_eq!(bytes.len(), 4 + len.next_multiple_of(4));
        assert!(bytes[4 + len..].iter().all(|b| *b == 0));
    }
}

#[test]
fn channel_and_peer_belong_together() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    allocated(&mut lab, &mut client);
    assert_eq!(client.bind(&mut lab, 0x4000, "8.8.8.8:1"), 0);
    assert_eq!(client.bind(&mut lab, 0x4000, "8.8.8.8:1"), 0, "a refresh");
    assert_eq!(client.bind(&mut lab, 0x4000, "8.8.8.8:2"), 400);
    assert_eq!(client.bind(&mut lab, 0x4001, "8.8.8.8:1"), 400);
    for number in [0, 0x3fff, 0x8000, 0xffff] {
        assert_eq!(client.bind(&mut lab, number, "8.8.8.8:3"), 400, "{number:x}");
    }
    assert_eq!(client.bind(&mut lab, 0x4fff, "8.8.8.8:3"), 0);
    assert_eq!(client.bind(&mut lab, 0x7fff, "8.8.8.8:4"), 0, "RFC 5766's range, as coturn's client has it");
    assert_eq!(client.bind(&mut lab, 0x4002, "8.8.8.8:0"), 403);
    let half: &Fill<'_> = &|b| b.push(&XorPeerAddress(addr("8.8.8.8:5"))).map(|_| ());
    assert_eq!(client.request(&mut lab, Method::CHANNEL_BIND, half).code, 400);
    assert_eq!(client.permit(&mut lab, &[]), 400);
    lab.advance(Duration::from_secs(599));
    assert_eq!(client.bind(&mut lab, 0x4000, "8.8.8.8:2"), 400);
}

#[test]
fn permissions_last_five_minutes_and_channels_ten() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    let (relay, _) = allocated(&mut lab, &mut client);
    client.refresh(&mut lab, 3600);
    client.bind(&mut lab, 0x4000, "8.8.8.8:1");
    client.permit(&mut lab, &["8.8.4.4:1"]);
    let (in_channel, by_permission) = (addr("8.8.8.8:1"), addr("8.8.4.4:1"));
    let open = |lab: &mut Lab, peer| matches!(lab.peer_sends(relay, peer, b"x"), Routed::ToClient(..));

    lab.advance(Duration::from_secs(299));
    assert!(open(&mut lab, in_channel) && open(&mut lab, by_permission));
    client.permit(&mut lab, &["8.8.4.4:1"]);
    lab.advance(Duration::from_secs(1));
    assert!(!open(&mut lab, in_channel), "the channel's permission ends first");
    assert!(open(&mut lab, by_permission), "refreshed");
    let message = channel_data(0x4000, b"x");
    assert!(matches!(lab.data(client.tuple, &message), Routed::ToPeer { .. }));
    client.bind(&mut lab, 0x4000, "8.8.8.8:1");
    assert!(open(&mut lab, in_channel), "binding again permits again");

    lab.advance(Duration::from_secs(600));
    assert_eq!(lab.data(client.tuple, &message), Routed::Drop(DropReason::NoChannel));
    assert!(!open(&mut lab, in_channel) && !open(&mut lab, by_permission));
    let slot = lab.server.table.find(&client.tuple).unwrap();
    assert_eq!(lab.server.table.get(slot).unwrap().peers.len(), (0, 0), "nothing is kept");
    assert_eq!(client.bind(&mut lab, 0x4000, "8.8.8.8:2"), 0, "the number is free");
}

#[test]
fn addresses_that_are_not_the_internet_are_forbidden() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    let both = columba_stun::attributes::AdditionalAddressFamily::IPV6;
    client.allocate_with(&mut lab, &|b| b.push(&both).map(|_| ()));
    for peer in [
        "127.0.0.1:80",
        "10.0.0.1:80",
        "192.168.1.1:80",
        "169.254.169.254:80",
        "100.64.0.1:80",
        "224.0.0.1:80",
        "0.0.0.0:80",
        "[::1]:80",
        "[::]:80",
        "[fe80::1]:80",
        "[fd00::1]:80",
        "[ff02::1]:80",
        "[::ffff:10.0.0.1]:80",
        "[::ffff:127.0.0.1]:80",
        "[64:ff9b::a00:1]:80",
        "[2002:7f00:1::]:80",
    ] {
        assert_eq!(client.permit(&mut lab, &[peer]), 403, "{peer}");
        assert_eq!(client.permit(&mut lab, &["8.8.8.8:80", peer]), 403, "{peer}");
        assert_eq!(client.bind(&mut lab, 0x4000, peer), 403, "{peer}");
        let send = client.send(peer, b"x");
        assert_eq!(lab.data(client.tuple, &send), Routed::Drop(DropReason::NoPermission), "{peer}");
    }
    let send = client.send("8.8.8.8:80", b"x");
    assert_eq!(lab.data(client.tuple, &send), Routed::Drop(DropReason::NoPermission), "all peers or none");
}

#[test]
fn allowed_peers_are_open_except_for_listeners() {
    let mut lab = Lab::new(Config {
        allow_peers: vec!["127.0.0.0/8".parse().unwrap()],
        listeners: vec![addr("0.0.0.0:3478")],
        ..config()
    });
    let mut client = Client::new("9.0.0.1:5000");
    allocated(&mut lab, &mut client);
    assert_eq!(client.permit(&mut lab, &["127.0.0.1:1"]), 0);
    let send = client.send("127.0.0.1:7000", b"x");
    assert!(matches!(lab.data(client.tuple, &send), Routed::ToPeer { .. }));
    let send = client.send("127.0.0.1:3478", b"x");
    assert_eq!(lab.data(client.tuple, &send), Routed::Drop(DropReason::OwnAddress));
    let send = client.send("127.0.0.1:0", b"x");
    assert_eq!(lab.data(client.tuple, &send), Routed::Drop(DropReason::PeerForbidden));
}

#[test]
fn two_clients_meet_relay_to_relay_in_process() {
    for allow in [vec![], vec!["0.0.0.0/0".parse().unwrap()]] {
        let mut lab = Lab::new(Config { allow_peers: allow, ..config() });
        let mut ada = Client::new("9.0.0.1:5000");
        let mut bob = Client::named("9.0.0.2:5000", "bob").over(Transport::Tcp, 9);
        let (_, at_ada) = allocated(&mut lab, &mut ada);
        let (_, at_bob) = allocated(&mut lab, &mut bob);
        assert_eq!(ada.permit(&mut lab, &[&at_bob.to_string()]), 0);
        let send = ada.send(&at_bob.to_string(), b"hello");
        assert_eq!(
            lab.data(ada.tuple, &send),
            Routed::Drop(DropReason::NoPermission),
            "bob has not said yes"
        );
        assert_eq!(bob.bind(&mut lab, 0x4000, &at_ada.to_string()), 0);

        // As indication into a channel, and back as channel data into an indication.
        let routed = lab.data(ada.tuple, &send);
        assert!(matches!(routed, Routed::ToClient(to, _) if to == bob.tuple));
        assert_eq!(routed.channel_data(), (0x4000, b"hello".to_vec()));
        let routed = lab.data(bob.tuple, &channel_data(0x4000, b"hi"));
        assert!(matches!(routed, Routed::ToClient(to, _) if to == ada.tuple));
        assert_eq!(routed.indication(), (at_bob, b"hi".to_vec()));
        assert_eq!(lab.server.stats().datagrams_in_process, 2);
        let stats = lab.server.stats();
        assert_eq!((stats.datagrams_to_peers, stats.datagrams_to_clients), (2, 2));

        // Where no allocation is, nothing goes: not to the listening socket, not to a port that was
        // released.
        bob.refresh(&mut lab, 0);
        for nowhere in [at_bob, addr("5.0.0.1:3478"), addr("5.0.0.1:22")] {
            let send = ada.send(&nowhere.to_string(), b"x");
            assert_eq!(lab.data(ada.tuple, &send), Routed::Drop(DropReason::OwnAddress), "{nowhere}");
        }
    }
}

#[test]
fn relayed_addresses_are_own_even_if_not_configured() {
    let mut lab = Lab::new(Config { own_addresses: vec![], listeners: vec![], ..config() });
    lab.relay_ips[0] = "10.0.0.9";
    let mut ada = Client::new("9.0.0.1:5000");
    allocated(&mut lab, &mut ada);
    assert_eq!(ada.permit(&mut lab, &["10.0.0.9:1"]), 0);
    assert_eq!(ada.permit(&mut lab, &["10.0.0.8:1"]), 403);
    let send = ada.send("10.0.0.9:22", b"x");
    assert_eq!(lab.data(ada.tuple, &send), Routed::Drop(DropReason::OwnAddress));
}

#[test]
fn an_interface_that_comes_later_is_own_from_then_on() {
    let mut lab = Lab::new(Config { allow_peers: vec!["10.0.0.0/8".parse().unwrap()], ..config() });
    let mut ada = Client::new("9.0.0.1:5000");
    let (_, relayed) = allocated(&mut lab, &mut ada);
    assert_eq!(ada.permit(&mut lab, &["10.0.0.9:22"]), 0);
    let send = ada.send("10.0.0.9:22", b"x");
    assert!(matches!(lab.data(ada.tuple, &send), Routed::ToPeer { .. }), "not own so far");
    lab.server.set_own_addresses(vec!["10.0.0.9".parse().unwrap()], vec![]);
    assert_eq!(lab.data(ada.tuple, &send), Routed::Drop(DropReason::OwnAddress));
    let beside = SocketAddr::new(relayed.ip(), 22).to_string();
    assert_eq!(ada.permit(&mut lab, &[&beside]), 0, "the relay's address is still known");
    let send = ada.send(&beside, b"x");
    assert_eq!(lab.data(ada.tuple, &send), Routed::Drop(DropReason::OwnAddress));
}

/// An address that is allowed but cannot be served is refused, not granted and then dropped.
#[test]
fn own_addresses_that_are_allowed_are_refused_unless_their_port_is_open() {
    let allow = || vec!["10.0.0.0/8".parse().unwrap(), "5.0.0.1/32".parse().unwrap()];
    let own = || vec!["5.0.0.1".parse().unwrap(), "10.0.0.9".parse().unwrap()];
    let mut lab = Lab::new(Config { allow_peers: allow(), own_addresses: own(), ..config() });
    let mut ada = Client::new("9.0.0.1:5000");
    let (_, relayed) = allocated(&mut lab, &mut ada);
    assert_eq!(ada.permit(&mut lab, &["10.0.0.9:40000"]), 403, "no relay is there");
    assert_eq!(ada.bind(&mut lab, 0x4000, "10.0.0.9:40000"), 403);
    assert_eq!(ada.permit(&mut lab, &["5.0.0.1:40000"]), 0, "relays are there");
    assert_eq!(ada.bind(&mut lab, 0x4000, "5.0.0.1:40000"), 403, "but not at this port");
    let send = ada.send("5.0.0.1:40000", b"x");
    assert_eq!(lab.data(ada.tuple, &send), Routed::Drop(DropReason::OwnAddress));
    assert_eq!(lab.server.stats().dropped(DropReason::OwnAddress), 1);
    assert_eq!(ada.bind(&mut lab, 0x4000, &relayed.to_string()), 0);
    assert_eq!(ada.permit(&mut lab, &["10.0.0.8:1"]), 0, "another host");

    let config = Config { own_addresses: own(), own_ports: vec![40_000, 3478], ..config() };
    let mut lab = Lab::new(config);
    allocated(&mut lab, &mut ada);
    for open in ["5.0.0.1:40000", "10.0.0.9:40000"] {
        assert_eq!(ada.permit(&mut lab, &[open]), 0);
        let send = ada.send(open, b"x");
        assert!(matches!(lab.data(ada.tuple, &send), Routed::ToPeer { .. }), "{open}");
    }
    assert_eq!(ada.bind(&mut lab, 0x4001, "10.0.0.9:40000"), 0);
    assert_eq!(ada.bind(&mut lab, 0x4002, "10.0.0.9:40001"), 403);
    assert_eq!(ada.bind(&mut lab, 0x4002, "5.0.0.1:3478"), 403, "where the server itself listens");
}

/// Where the server listens on all its addresses, no address leads there: a NAT may turn one that
/// the server does not know back to it.
#[test]
fn listening_ports_are_closed_at_every_address() {
    let mut lab = Lab::new(Config { closed_ports: vec![3478], ..config() });
    let mut ada = Client::new("9.0.0.1:5000");
    allocated(&mut lab, &mut ada);
    assert_eq!(ada.permit(&mut lab, &["8.8.8.8:3478"]), 0);
    let send = ada.send("8.8.8.8:3478", b"x");
    assert_eq!(lab.data(ada.tuple, &send), Routed::Drop(DropReason::OwnAddress));
    assert_eq!(ada.bind(&mut lab, 0x4000, "8.8.8.8:3478"), 403);
    assert_eq!(ada.bind(&mut lab, 0x4000, "8.8.8.8:3479"), 0);
}

#[test]
fn relays_on_an_open_loopback_meet_in_process_too() {
    let mut lab = Lab::new(Config { allow_peers: vec!["127.0.0.1/32".parse().unwrap()], ..config() });
    lab.relay_ips[0] = "127.0.0.1";
    let mut ada = Client::new("9.0.0.1:5000");
    let mut bob = Client::new("9.0.0.2:5000");
    let (_, at_ada) = allocated(&mut lab, &mut ada);
    let (_, at_bob) = allocated(&mut lab, &mut bob);
    assert_eq!(ada.permit(&mut lab, &[&at_bob.to_string()]), 0);
    assert_eq!(bob.permit(&mut lab, &[&at_ada.to_string()]), 0);
    let send = ada.send(&at_bob.to_string(), b"hello");
    assert_eq!(lab.data(ada.tuple, &send).indication(), (at_ada, b"hello".to_vec()));
}

#[test]
fn dont_fragment_is_passed_on_or_refused() {
    for able in [true, false] {
        let mut lab = Lab::new(Config { dont_fragment: able, ..config() });
        let mut client = Client::new("9.0.0.1:5000");
        allocated(&mut lab, &mut client);
        client.permit(&mut lab, &["8.8.8.8:1"]);
        let mut buf = [0; 100];
        let len = MessageBuilder::new(&mut buf, Class::Indication, Method::SEND, TransactionId([1; 12]))
            .unwrap()
            .push(&XorPeerAddress(addr("8.8.8.8:1")))
            .unwrap()
            .push(&DontFragment)
            .unwrap()
            .push(&Data(b"x"))
            .unwrap()
            .finish();
        match lab.data(client.tuple, &buf[..len]) {
            Routed::ToPeer { dont_fragment, .. } => assert!(able && dont_fragment),
            other => assert!(!able && other == Routed::Drop(DropReason::Unexpected), "{other:?}"),
        }
    }
}

#[test]
fn indications_that_lack_something_are_dropped() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    allocated(&mut lab, &mut client);
    client.permit(&mut lab, &["8.8.8.8:1"]);
    let build = |fill: &Fill<'_>| {
        let mut buf = [0; 100];
        let mut b =
            MessageBuilder::new(&mut buf, Class::Indication, Method::SEND, TransactionId([1; 12])).unwrap();
        fill(&mut b).unwrap();
        b.as_bytes().to_vec()
    };
    let peer = XorPeerAddress(addr("8.8.8.8:1"));
    let cases: [(DropReason, &Fill<'_>); 4] = [
        (DropReason::Malformed, &|b| b.push(&peer).map(|_| ())),
        (DropReason::Malformed, &|b| b.push(&Data(b"x")).map(|_| ())),
        (DropReason::Malformed, &|b| {
            b.push_raw(AttributeType::XOR_PEER_ADDRESS, &[0, 1, 2])?.push(&Data(b"x")).map(|_| ())
        }),
        (DropReason::Unexpected, &|b| {
            b.push(&peer)?.push(&Data(b"x"))?.push_raw(AttributeType::new(0x7ffe), &[])?;
            Ok(())
        }),
    ];
    for (reason, fill) in cases {
        assert_eq!(lab.data(client.tuple, &build(fill)), Routed::Drop(reason));
    }
    // Of two peers the first counts.
    let twice = build(&|b| {
        b.push(&peer)?.push(&XorPeerAddress(addr("10.0.0.1:1")))?.push(&Data(b"x"))?;
        Ok(())
    });
    assert!(
        matches!(lab.data(client.tuple, &twice), Routed::ToPeer { peer, .. } if peer == addr("8.8.8.8:1"))
    );
}

#[test]
fn data_without_an_allocation_goes_nowhere() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    let send = client.send("8.8.8.8:1", b"x");
    assert_eq!(lab.data(client.tuple, &send), Routed::Drop(DropReason::NoAllocation));
    let data = channel_data(0x4000, b"x");
    assert_eq!(lab.data(client.tuple, &data), Routed::Drop(DropReason::NoAllocation));
    assert_eq!(lab.peer_sends(RelayId(77), addr("8.8.8.8:1"), b"x"), Routed::Drop(DropReason::NoAllocation));
    let (relay, _) = allocated(&mut lab, &mut client);
    client.permit(&mut lab, &["8.8.8.8:1"]);
    client.refresh(&mut lab, 0);
    assert_eq!(lab.peer_sends(relay, addr("8.8.8.8:1"), b"x"), Routed::Drop(DropReason::NoAllocation));
}

#[test]
fn without_room_around_it_data_is_dropped_not_damaged() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    let (id, _) = allocated(&mut lab, &mut client);
    client.permit(&mut lab, &["8.8.8.8:1"]);
    let peer = addr("8.8.8.8:1");
    let mut route =
        |buf: &mut [u8], range| lab.server.route(lab.now, Arrival::Relay { id, peer }, buf, range);
    let no_room = Forward::Drop(DropReason::NoRoom);
    assert_eq!(route(&mut [0; 36], 35..36), no_room, "no tail room");
    assert_eq!(route(&mut [0; 50], 35..36), no_room, "no head room");
    assert_eq!(route(&mut [0; 50], 40..51), no_room, "no such range");
    let backwards = std::ops::Range { start: 45, end: 40 };
    assert_eq!(route(&mut [0; 50], backwards), no_room);
    assert!(matches!(route(&mut [0; 40], 36..37), Forward::ToClient { range, .. } if range == (0..40)));
    assert_eq!(route(&mut vec![0; 70_000], 48..69_000), no_room, "too long for any header");
}
