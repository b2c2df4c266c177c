//! Caps on allocations, permissions, channels and bandwidth.

use columba_stun::Method;
use columba_stun::attributes::{EvenPort, RequestedTransport};

use super::super::*;
use super::harness::*;

#[test]
fn a_credential_has_so_many_allocations() {
    let mut lab = Lab::new(Config { max_allocations_per_credential: 2, ..config() });
    let mut clients: Vec<_> = (0..3).map(|i| Client::new(&format!("9.0.{i}.1:5000"))).collect();
    assert_eq!(clients[0].allocate(&mut lab).code, 0);
    assert_eq!(clients[1].allocate(&mut lab).code, 0);
    assert_eq!(clients[2].allocate(&mut lab).code, 486);
    assert_eq!(Client::named("9.0.2.1:5001", "bob").allocate(&mut lab).code, 0);
    clients[0].refresh(&mut lab, 0);
    assert_eq!(clients[2].allocate(&mut lab).code, 0, "one was given back");
    assert_eq!(lab.server.stats().error(486), 1);
}

#[test]
fn a_reserved_port_counts() {
    let mut lab = Lab::new(Config { max_allocations_per_credential: 2, ..config() });
    let even: &Fill<'_> = &|b| b.push(&EvenPort { reserve_next: true }).map(|_| ());
    assert_eq!(Client::new("9.0.0.1:5000").allocate_with(&mut lab, even).code, 0);
    assert_eq!(Client::new("9.0.0.1:5001").allocate(&mut lab).code, 486);
}

#[test]
fn an_address_has_so_many_allocations() {
    let mut lab = Lab::new(Config { max_allocations_per_address: 2, ..config() });
    let mut allocate = |client: &str, name: &str| Client::named(client, name).allocate(&mut lab).code;
    assert_eq!(allocate("9.0.0.1:1", "a"), 0);
    assert_eq!(allocate("9.0.0.1:2", "b"), 0);
    assert_eq!(allocate("9.0.0.1:3", "c"), 486);
    assert_eq!(allocate("9.0.0.2:3", "c"), 0);
    // An IPv6 client has a /64.
    assert_eq!(allocate("[2a01:0:0:1::1]:1", "d"), 0);
    assert_eq!(allocate("[2a01:0:0:1:ffff::2]:1", "e"), 0);
    assert_eq!(allocate("[2a01:0:0:1:8::3]:1", "f"), 486);
    assert_eq!(allocate("[2a01:0:0:2::1]:1", "f"), 0);
}

#[test]
fn the_server_has_so_many_allocations() {
    let mut lab = Lab::new(Config { max_allocations: 3, ..config() });
    for i in 0..3 {
        assert_eq!(Client::new(&format!("9.0.{i}.1:5000")).allocate(&mut lab).code, 0);
    }
    assert_eq!(Client::new("9.0.3.1:5000").allocate(&mut lab).code, 508);
}

/// 21 /64s of one /48 took all 4,000 allocations.
#[test]
fn one_network_leaves_allocations_for_others() {
    for network in ["2a0f:9:0:{}00::1", "9.0.0.{}"] {
        let mut lab = Lab::new(Config { max_allocations: 60, max_allocations_per_address: 4, ..config() });
        let mut codes = BTreeMap::new();
        for host in 1..40 {
            for port in 1..5 {
                let ip = network.replace("{}", &host.to_string());
                let at = SocketAddr::new(ip.parse().unwrap(), port);
                let mut client = Client::named(&at.to_string(), &format!("{host}"));
                *codes.entry(client.allocate(&mut lab).code).or_insert(0) += 1;
            }
        }
        assert_eq!(codes.keys().copied().collect::<Vec<_>>(), [0, 486], "{network}");
        assert_eq!(codes[&0], 40, "two thirds");
        assert_eq!(Client::named("8.0.0.1:5000", "bystander").allocate(&mut lab).code, 0);
        // What is given back is free again.
        lab.advance(Duration::from_secs(4000));
        assert_eq!(Client::named("9.0.0.1:5000", "again").allocate(&mut lab).code, 0);
    }
}

#[test]
fn unanswered_requests_for_ports_are_bounded() {
    let mut lab = Lab::new(Config { max_allocations: 5, ..config() });
    lab.owner = Owner::Waits;
    for i in 0..20 {
        let mut client = Client::named(&format!("9.0.{i}.1:5000"), &format!("user{i}"));
        let fill: &Fill<'_> = &|b| b.push(&RequestedTransport::UDP).map(|_| ());
        let challenge = client.build(Method::ALLOCATE, fill);
        let challenge = client.exchange(&mut lab, &challenge);
        client.learn(&challenge);
        let message = client.build(Method::ALLOCATE, fill);
        lab.deliver(client.tuple, &message);
        lab.advance(Duration::from_secs(10));
    }
    assert_eq!((lab.wanted.len(), lab.server.relays.len(), lab.server.withdrawn), (5, 5, 5));
}

#[test]
fn an_allocation_has_so_many_permissions_and_channels() {
    let mut lab = Lab::new(Config { max_permissions: 3, max_channels: 2, ..config() });
    let mut client = Client::new("9.0.0.1:5000");
    client.allocate(&mut lab);
    assert_eq!(client.permit(&mut lab, &["8.0.0.1:1", "8.0.0.2:1", "8.0.0.3:1", "8.0.0.4:1"]), 508);
    assert_eq!(client.bind(&mut lab, 0x4000, "8.0.0.1:1"), 0);
    assert_eq!(client.permit(&mut lab, &["8.0.0.1:1", "8.0.0.2:1"]), 0);
    assert_eq!(client.bind(&mut lab, 0x4001, "8.0.0.2:1"), 0);
    assert_eq!(client.bind(&mut lab, 0x4002, "8.0.0.2:2"), 508, "a third channel");
    assert_eq!(client.permit(&mut lab, &["8.0.0.3:1"]), 0);
    assert_eq!(client.permit(&mut lab, &["8.0.0.4:1"]), 508);
    assert_eq!(client.permit(&mut lab, &["8.0.0.3:1"]), 0, "refreshing needs no room");
    assert_eq!(client.bind(&mut lab, 0x4000, "8.0.0.1:1"), 0);
}

/// Bytes that get through in `seconds` when twice as much is offered as `rate` allows.
fn through(lab: &mut Lab, mut offer: impl FnMut(&mut Lab) -> bool, rate: Rate, seconds: u64) -> u64 {
    let size = 1000 + DATAGRAM_OVERHEAD as u64;
    let step = Duration::from_nanos(size * 1_000_000_000 / (2 * rate.bytes_per_second));
    let (end, mut passed) = (lab.now + Duration::from_secs(seconds), 0);
    while lab.now < end {
        passed += if offer(lab) { size } else { 0 };
        lab.advance(step);
    }
    passed
}

#[test]
fn bandwidth_is_bounded_each_way_and_at_each_level() {
    let small = Rate { bytes_per_second: 100_000, burst: 20_000 };
    type Level = fn(&mut Config) -> &mut Rate;
    let levels: [(DropReason, Level); 3] = [
        (DropReason::CredentialBandwidth, |c| &mut c.bandwidth_per_credential),
        (DropReason::AddressBandwidth, |c| &mut c.bandwidth_per_address),
        (DropReason::TotalBandwidth, |c| &mut c.bandwidth_total),
    ];
    for (reason, level) in levels {
        let mut config = config();
        *level(&mut config) = small;
        let mut lab = Lab::new(config);
        let mut client = Client::new("9.0.0.1:5000");
        client.allocate(&mut lab);
        client.bind(&mut lab, 0x4000, "8.8.8.8:1");
        let tuple = client.tuple;
        let slot = lab.server.table.find(&tuple).unwrap();
        let relay = lab.server.relay_for(slot, AddressFamily::Ipv4).unwrap().id;
        let up = channel_data(0x4000, &[1; 1000]);
        let passed =
            through(&mut lab, |lab| matches!(lab.data(tuple, &up), Routed::ToPeer { .. }), small, 10);
        assert!((1_000_000..=1_025_000).contains(&passed), "{reason}: {passed} up");
        let down = |lab: &mut Lab| {
            matches!(lab.peer_sends(relay, addr("8.8.8.8:1"), &[1; 1000]), Routed::ToClient(..))
        };
        let passed = through(&mut lab, down, small, 10);
        assert!((1_000_000..=1_025_000).contains(&passed), "{reason}: {passed} down");
        assert!(lab.server.stats().dropped(reason) > 1000);
    }
}

#[test]
fn two_allocations_of_one_credential_share_its_bandwidth() {
    let small = Rate { bytes_per_second: 100_000, burst: 20_000 };
    let mut lab = Lab::new(Config { bandwidth_per_credential: small, ..config() });
    let mut tuples = Vec::new();
    for i in 0..2 {
        let mut client = Client::new(&format!("9.0.{i}.1:5000"));
        client.allocate(&mut lab);
        client.bind(&mut lab, 0x4000, "8.8.8.8:1");
        tuples.push(client.tuple);
    }
    let up = channel_data(0x4000, &[1; 1000]);
    let mut turn = 0;
    let offer = |lab: &mut Lab| {
        turn += 1;
        matches!(lab.data(tuples[turn % 2], &up), Routed::ToPeer { .. })
    };
    let passed = through(&mut lab, offer, small, 10);
    assert!(passed <= 1_025_000, "{passed}");
}

#[test]
fn default_bandwidth_carries_a_call_and_a_file() {
    // 8 Mbit/s of video and 8 Mbit/s of data in datagrams of 1,200 bytes, for ten seconds, nothing
    // lost.
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    client.allocate(&mut lab);
    client.bind(&mut lab, 0x4000, "8.8.8.8:1");
    let up = channel_data(0x4000, &[1; 1200]);
    for _ in 0..10 * 16_000_000 / (8 * 1200) {
        assert!(matches!(lab.data(client.tuple, &up), Routed::ToPeer { .. }));
        lab.advance(Duration::from_micros(600));
    }
}
