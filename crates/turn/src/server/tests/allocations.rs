//! Allocate and Refresh: RFC 8656 §7 and §8.

use columba_stun::attributes::*;
use columba_stun::{AttributeType, ErrorCode, Message, Method};

use super::super::*;
use super::harness::*;

#[test]
fn allocate_response_has_addresses_and_lifetime() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    let answer = client.allocate(&mut lab);
    assert_eq!(answer.relayed(), addr("5.0.0.1:50002"));
    assert_eq!(answer.get(), Some(XorMappedAddress(client.tuple.client())));
    assert_eq!(answer.get(), Some(Lifetime(600)));
    let stats = lab.server.stats();
    assert_eq!((stats.allocations_live, stats.allocations_total, stats.relays_live), (1, 1, 1));
}

#[test]
fn lifetimes_are_clamped() {
    let mut lab = Lab::new(config());
    for (i, (asked, granted)) in [(0, 600), (1, 600), (700, 700), (86_400, 3600)].into_iter().enumerate() {
        let mut client = Client::new(&format!("9.0.{i}.1:5000"));
        let answer = client.allocate_with(&mut lab, &move |b| b.push(&Lifetime(asked)).map(|_| ()));
        assert_eq!(answer.get(), Some(Lifetime(granted)));
        if asked > 0 {
            assert_eq!(client.refresh(&mut lab, asked).get(), Some(Lifetime(granted)));
        }
    }
}

#[test]
fn contradictory_allocate_requests_are_refused() {
    let mut lab = Lab::new(config());
    let cases: [(u16, &Fill<'_>); 12] = [
        (400, &|_| Ok(())),
        (442, &|b| b.push(&RequestedTransport::TCP).map(|_| ())),
        (400, &|b| b.push_raw(AttributeType::REQUESTED_TRANSPORT, &[17]).map(|_| ())),
        (440, &|b| {
            b.push(&RequestedTransport::UDP)?.push(&RequestedAddressFamily(9))?;
            Ok(())
        }),
        (400, &|b| {
            b.push(&RequestedTransport::UDP)?
                .push(&RequestedAddressFamily::IPV4)?
                .push(&AdditionalAddressFamily::IPV6)?;
            Ok(())
        }),
        (400, &|b| {
            b.push(&RequestedTransport::UDP)?.push(&AdditionalAddressFamily::IPV4)?;
            Ok(())
        }),
        (400, &|b| {
            b.push(&RequestedTransport::UDP)?
                .push(&EvenPort { reserve_next: true })?
                .push(&AdditionalAddressFamily::IPV6)?;
            Ok(())
        }),
        (400, &|b| {
            b.push(&RequestedTransport::UDP)?
                .push(&ReservationToken([1; 8]))?
                .push(&EvenPort { reserve_next: false })?;
            Ok(())
        }),
        (400, &|b| {
            b.push(&RequestedTransport::UDP)?
                .push(&ReservationToken([1; 8]))?
                .push(&RequestedAddressFamily::IPV4)?;
            Ok(())
        }),
        (508, &|b| {
            b.push(&RequestedTransport::UDP)?.push(&ReservationToken([1; 8]))?;
            Ok(())
        }),
        (420, &|b| {
            b.push(&RequestedTransport::UDP)?.push(&DontFragment)?;
            Ok(())
        }),
        (420, &|b| {
            b.push(&RequestedTransport::UDP)?.push_raw(AttributeType::new(0x7fff), &[])?;
            Ok(())
        }),
    ];
    for (i, (code, fill)) in cases.into_iter().enumerate() {
        let mut client = Client::new(&format!("9.0.{i}.1:5000"));
        assert_eq!(client.request(&mut lab, Method::ALLOCATE, fill).code, code, "case {i}");
    }
    assert_eq!(lab.server.table.len(), 0);
}

#[test]
fn dont_fragment_is_taken_where_the_owner_can_do_it() {
    let mut lab = Lab::new(Config { dont_fragment: true, ..config() });
    let answer = Client::new("9.0.0.1:5000").allocate_with(&mut lab, &|b| b.push(&DontFragment).map(|_| ()));
    assert_eq!(answer.code, 0);
}

#[test]
fn a_request_sent_again_gets_the_same_answer_and_another_one_437() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    let fill: &Fill<'_> = &|b| b.push(&RequestedTransport::UDP).map(|_| ());
    let challenge = client.build(Method::ALLOCATE, fill);
    let challenge = client.exchange(&mut lab, &challenge);
    client.learn(&challenge);
    let message = client.build(Method::ALLOCATE, fill);
    let first = client.exchange(&mut lab, &message);
    lab.advance(Duration::from_secs(3));
    let second = client.exchange(&mut lab, &message);
    assert_eq!(first.bytes, second.bytes);
    assert_eq!(client.allocate(&mut lab).code, 437);
    assert_eq!(lab.server.stats().allocations_total, 1);
}

#[test]
fn slow_grants_are_waited_for() {
    let mut lab = Lab::new(config());
    lab.owner = Owner::Waits;
    let mut client = Client::new("9.0.0.1:5000");
    let fill: &Fill<'_> = &|b| b.push(&RequestedTransport::UDP).map(|_| ());
    let challenge = client.build(Method::ALLOCATE, fill);
    let challenge = client.exchange(&mut lab, &challenge);
    client.learn(&challenge);
    let message = client.build(Method::ALLOCATE, fill);
    assert!(lab.deliver(client.tuple, &message).is_empty());
    assert!(lab.deliver(client.tuple, &message).is_empty(), "a retransmission waits, too");
    assert_eq!(lab.wanted.len(), 1);
    assert_eq!(client.refresh(&mut lab, 600).code, 437, "there is nothing to refresh yet");
    assert_eq!(client.allocate(&mut lab).code, 437);
    let (id, family, port) = lab.wanted[0];
    assert_eq!((family, port), (AddressFamily::Ipv4, PortRequirement::Any));
    lab.server.handle_input(lab.now, Input::RelayGranted { id, relayed: addr("5.0.0.1:60000") });
    lab.drain();
    let (to, bytes) = lab.sent.last().unwrap().clone();
    assert_eq!((to, Answer::of(bytes.clone()).relayed()), (client.tuple, addr("5.0.0.1:60000")));
    Message::parse(&bytes).unwrap().verify_integrity(&client.key()).unwrap();
    assert_eq!(lab.server.poll_timeout(), Some(lab.now + Duration::from_secs(600)));
}

#[test]
fn a_port_that_comes_too_late_is_given_back() {
    let mut lab = Lab::new(config());
    lab.owner = Owner::Waits;
    let mut client = Client::new("9.0.0.1:5000");
    let fill: &Fill<'_> = &|b| {
        b.push(&RequestedTransport::UDP)?.push(&EvenPort { reserve_next: true })?;
        Ok(())
    };
    let challenge = client.build(Method::ALLOCATE, fill);
    let challenge = client.exchange(&mut lab, &challenge);
    client.learn(&challenge);
    let message = client.build(Method::ALLOCATE, fill);
    lab.deliver(client.tuple, &message);
    lab.advance(Duration::from_secs(5));
    assert_eq!(Answer::of(lab.sent.last().unwrap().1.clone()).code, 508);
    assert_eq!(lab.server.withdrawn, 1);
    let (id, _, PortRequirement::EvenAndNext(next)) = lab.wanted[0] else { panic!("{:?}", lab.wanted) };
    lab.server.handle_input(lab.now, Input::RelayGranted { id, relayed: addr("5.0.0.1:60000") });
    lab.drain();
    assert_eq!(lab.released, [id, next]);
    assert_eq!((lab.server.withdrawn, lab.server.stats().relays_live, lab.server.deadlines.len()), (0, 0, 0));
    assert_eq!(lab.server.credentials.open_of(&client.username.as_str().into()), 0);
}

#[test]
fn refusals_of_the_owner_reach_the_client() {
    let mut lab = Lab::new(config());
    for (reason, code) in [(RefusalReason::Capacity, 508), (RefusalReason::Family, 440)] {
        lab.owner = Owner::Refuses(reason);
        let mut client = Client::new("9.0.0.1:5000");
        assert_eq!(client.allocate(&mut lab).code, code);
    }
    assert_eq!((lab.server.table.len(), lab.server.stats().relays_live), (0, 0));
    lab.owner = Owner::Grants;
    assert_eq!(Client::new("9.0.0.1:5000").allocate(&mut lab).code, 0);
}

#[test]
fn families_are_those_that_were_asked_for() {
    let mut lab = Lab::new(config());
    let mut six = Client::new("9.0.0.1:5000");
    let answer = six.allocate_with(&mut lab, &|b| b.push(&RequestedAddressFamily::IPV6).map(|_| ()));
    assert!(answer.relayed().is_ipv6());
    assert_eq!(six.permit(&mut lab, &["8.8.8.8:1"]), 443);
    assert_eq!(six.permit(&mut lab, &["[2a00::8]:1"]), 0);
    let mut four = Client::new("9.0.0.1:5001");
    assert!(four.allocate(&mut lab).relayed().is_ipv4());
    assert_eq!(four.permit(&mut lab, &["8.8.8.8:1", "[2a00::8]:1"]), 443);
    assert_eq!(four.bind(&mut lab, 0x4000, "[2a00::8]:1"), 443);
    let of_six: &Fill<'_> = &|b| b.push(&RequestedAddressFamily::IPV6).map(|_| ());
    assert_eq!(four.request(&mut lab, Method::REFRESH, of_six).code, 443);

    let mut lab = Lab::new(Config { relay_ipv6: false, ..config() });
    let mut six = Client::new("9.0.0.1:5000");
    assert_eq!(six.allocate_with(&mut lab, of_six).code, 440);
}

#[test]
fn both_families_at_once() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    let both: &Fill<'_> = &|b| b.push(&AdditionalAddressFamily::IPV6).map(|_| ());
    let answer = client.allocate_with(&mut lab, both);
    let message = Message::parse(&answer.bytes).unwrap();
    let relayed: Vec<_> = message.all::<XorRelayedAddress>().map(|a| a.unwrap().0.is_ipv4()).collect();
    assert_eq!(relayed, [true, false]);
    assert_eq!(client.permit(&mut lab, &["8.8.8.8:1", "[2a00::8]:1"]), 0);

    // Give back one of them.
    let zero_of_six: &Fill<'_> = &|b| {
        b.push(&RequestedAddressFamily::IPV6)?.push(&Lifetime(0))?;
        Ok(())
    };
    assert_eq!(client.request(&mut lab, Method::REFRESH, zero_of_six).code, 0);
    assert_eq!((lab.released.len(), lab.server.stats().allocations_live), (1, 1));
    assert_eq!(client.permit(&mut lab, &["[2a00::8]:1"]), 443);
    assert_eq!(client.permit(&mut lab, &["8.8.8.8:1"]), 0);
    assert_eq!(client.request(&mut lab, Method::REFRESH, zero_of_six).code, 443);
    assert_eq!(client.refresh(&mut lab, 0).code, 0);
    assert_eq!((lab.released.len(), lab.server.stats().allocations_live), (2, 0));
}

#[test]
fn one_of_two_families_is_granted_with_an_address_error() {
    let both: &Fill<'_> = &|b| b.push(&AdditionalAddressFamily::IPV6).map(|_| ());
    let mut lab = Lab::new(config());
    lab.owner = Owner::RefusesIpv6;
    let answer = Client::new("9.0.0.1:5000").allocate_with(&mut lab, both);
    assert!(answer.relayed().is_ipv4());
    let error = answer.get::<AddressErrorInfo<'_>>().unwrap();
    assert_eq!((error.family, error.code), (AddressFamily::Ipv6, ErrorCode::INSUFFICIENT_CAPACITY));

    let mut lab = Lab::new(Config { relay_ipv6: false, ..config() });
    let answer = Client::new("9.0.0.1:5000").allocate_with(&mut lab, both);
    assert!(answer.relayed().is_ipv4());
    let error = answer.get::<AddressErrorInfo<'_>>().unwrap();
    assert_eq!(error.code, ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED);
}

#[test]
fn reserved_port_goes_to_the_client_with_the_token() {
    let mut lab = Lab::new(config());
    let even: &Fill<'_> = &|b| b.push(&EvenPort { reserve_next: true }).map(|_| ());
    let mut rtp = Client::new("9.0.0.1:5000");
    let answer = rtp.allocate_with(&mut lab, even);
    let ReservationToken(token) = answer.get().unwrap();
    let below = answer.relayed();
    assert_eq!((below.port() % 2, lab.server.stats().relays_live), (0, 2));

    let claim: &Fill<'_> = &move |b| b.push(&ReservationToken(token)).map(|_| ());
    let mut eve = Client::named("9.9.9.9:5000", "eve");
    assert_eq!(eve.allocate_with(&mut lab, claim).code, 508, "another client's token");
    let mut rtcp = Client::new("9.0.0.1:5001");
    let answer = rtcp.allocate_with(&mut lab, claim);
    assert_eq!(answer.relayed(), SocketAddr::new(below.ip(), below.port() + 1));
    assert_eq!(answer.get::<ReservationToken>(), None);
    let mut third = Client::new("9.0.0.1:5002");
    assert_eq!(third.allocate_with(&mut lab, claim).code, 508, "a token is good once");
    assert_eq!(lab.server.credentials.open_of(&rtp.username.as_str().into()), 2);
    assert_eq!(lab.server.stats().relays_live, 2);
}

#[test]
fn unclaimed_port_is_released() {
    let mut lab = Lab::new(config());
    let even: &Fill<'_> = &|b| b.push(&EvenPort { reserve_next: true }).map(|_| ());
    let mut client = Client::new("9.0.0.1:5000");
    let answer = client.allocate_with(&mut lab, even);
    let ReservationToken(token) = answer.get().unwrap();
    assert_eq!(lab.server.credentials.open_of(&client.username.as_str().into()), 2);
    lab.advance(Duration::from_secs(30));
    assert_eq!((lab.released.len(), lab.server.stats().relays_live), (1, 1));
    assert_eq!(lab.server.credentials.open_of(&client.username.as_str().into()), 1);
    let mut late = Client::new("9.0.0.1:5001");
    let claim: &Fill<'_> = &move |b| b.push(&ReservationToken(token)).map(|_| ());
    assert_eq!(late.allocate_with(&mut lab, claim).code, 508);
}

#[test]
fn without_an_allocation_there_is_nothing_to_change() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    assert_eq!(client.refresh(&mut lab, 600).code, 437);
    assert_eq!(client.refresh(&mut lab, 0).code, 437);
    assert_eq!(client.permit(&mut lab, &["8.8.8.8:1"]), 437);
    assert_eq!(client.bind(&mut lab, 0x4000, "8.8.8.8:1"), 437);
}

#[test]
fn refreshing_prolongs_and_zero_deletes() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    client.allocate(&mut lab);
    lab.advance(Duration::from_secs(500));
    assert_eq!(client.refresh(&mut lab, 600).code, 0);
    lab.advance(Duration::from_secs(599));
    assert_eq!(lab.server.stats().allocations_live, 1);
    assert_eq!(client.refresh(&mut lab, 0).get(), Some(Lifetime(0)));
    assert_eq!((lab.server.stats().allocations_live, lab.released.len()), (0, 1));
    assert_eq!(client.allocate(&mut lab).code, 0, "the 5-tuple is free again");
}

#[test]
fn expiry_releases_everything() {
    let mut lab = Lab::new(config());
    let mut udp = Client::new("9.0.0.1:5000");
    let mut tcp = Client::new("9.0.0.1:5000").over(Transport::Tcp, 1);
    for client in [&mut udp, &mut tcp] {
        assert_eq!(client.allocate(&mut lab).code, 0);
        assert_eq!(client.permit(&mut lab, &["8.8.8.8:1", "8.8.4.4:1"]), 0);
        assert_eq!(client.bind(&mut lab, 0x4000, "8.8.8.8:1"), 0);
    }
    lab.advance(Duration::from_secs(600));
    let stats = lab.server.stats();
    assert_eq!((stats.allocations_live, stats.relays_live, lab.released.len()), (0, 0, 2));
    assert_eq!(lab.closed, [tcp.tuple], "an idle stream is of no use");
    let server = &lab.server;
    assert_eq!((server.table.len(), server.by_address.len(), server.deadlines.len()), (0, 0, 0));
    assert_eq!((server.credentials.len(), server.addresses.len()), (0, 0));
    assert_eq!(server.poll_timeout(), None);
}

#[test]
fn a_stream_takes_its_allocation_with_it() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000").over(Transport::Tls, 7);
    client.allocate(&mut lab);
    lab.server.handle_input(lab.now, Input::ConnectionClosed { tuple: client.tuple });
    lab.drain();
    assert_eq!((lab.server.stats().allocations_live, lab.released.len()), (0, 1));
    // The next connection from the same port is another 5-tuple.
    let mut next = Client::new("9.0.0.1:5000").over(Transport::Tls, 8);
    assert_eq!(next.allocate(&mut lab).code, 0);
}

#[test]
fn thousands_of_allocations_have_one_table_of_deadlines() {
    let mut lab = Lab::new(Config {
        max_allocations: 5000,
        max_allocations_per_credential: 5000,
        max_allocations_per_address: 5000,
        ..config()
    });
    for i in 0..2000_u32 {
        let mut client = Client::new(&format!("9.0.{}.{}:5000", i / 250, i % 250)).over(Transport::Tcp, 1);
        assert_eq!(client.allocate(&mut lab).code, 0);
    }
    assert_eq!(lab.server.deadlines.len(), 2000);
    lab.advance(Duration::from_secs(600));
    assert_eq!((lab.released.len(), lab.server.deadlines.len()), (2000, 0));
}
