//! Mobility: RFC 8016.

use columba_stun::Method;
use columba_stun::attributes::{Lifetime, MobilityTicket};

use super::super::*;
use super::harness::*;

const PEER: &str = "93.184.216.34:5000";
const SECOND: Duration = Duration::from_secs(1);

/// A client with a mobile allocation, and its ticket.
fn mobile(lab: &mut Lab, client: &str) -> (Client, Vec<u8>, SocketAddr) {
    let mut client = Client::new(client);
    let answer = client.allocate_with(lab, &|b| b.push(&MobilityTicket(&[])).map(|_| ()));
    (client, ticket(&answer).expect("a ticket"), answer.relayed())
}

fn ticket(answer: &Answer) -> Option<Vec<u8>> {
    answer.get::<MobilityTicket<'_>>().map(|MobilityTicket(ticket)| ticket.to_vec())
}

/// The same user somewhere else.
fn elsewhere(client: &Client, address: &str) -> Client {
    let tuple = FiveTuple::udp(client.tuple.local(), addr(address));
    Client { tuple, nonce: Vec::new(), realm: Vec::new(), ..client.clone() }
}

fn move_with(client: &mut Client, lab: &mut Lab, ticket: &[u8]) -> Answer {
    client.request(lab, Method::REFRESH, &|b| {
        b.push(&Lifetime(600))?.push(&MobilityTicket(ticket))?;
        Ok(())
    })
}

fn relay(lab: &mut Lab, client: &mut Client) -> RelayId {
    let message = client.send(PEER, b"x");
    let Routed::ToPeer { relay, .. } = lab.data(client.tuple, &message) else { panic!("not relayed") };
    relay
}

/// To whom data from the peer goes.
fn receiver(lab: &mut Lab, id: RelayId) -> SocketAddr {
    match lab.peer_sends(id, addr(PEER), b"hello") {
        Routed::ToClient(tuple, _) => tuple.client(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ticket_is_given_only_on_request() {
    let mut lab = Lab::new(config());
    let answer = Client::new("9.0.0.1:5000").allocate(&mut lab);
    assert_eq!(ticket(&answer), None);
    let (mut client, first, _) = mobile(&mut lab, "9.0.0.2:5000");
    assert_eq!(ticket(&client.refresh(&mut lab, 600)), None, "nothing has moved");
    let (_, second, _) = mobile(&mut lab, "9.0.0.3:5000");
    assert_ne!(first, second);
    assert!(first.len() == 28 && first.is_ascii() && !first.contains(&0));
}

#[test]
fn server_without_mobility_answers_405() {
    let mut lab = Lab::new(Config { mobility: false, ..config() });
    let mut client = Client::new("9.0.0.1:5000");
    let ask: &Fill<'_> = &|b| b.push(&MobilityTicket(&[])).map(|_| ());
    assert_eq!(client.allocate_with(&mut lab, ask).code, 405);
    assert_eq!(client.allocate(&mut lab).code, 0);
    assert_eq!(move_with(&mut elsewhere(&client, "9.0.0.1:5001"), &mut lab, &[1; 20]).code, 405);
    assert_eq!(lab.server.stats().error(405), 2);
}

#[test]
fn ticket_in_an_allocate_request_is_refused() {
    let mut lab = Lab::new(config());
    let (_, ticket, _) = mobile(&mut lab, "9.0.0.1:5000");
    let ask: &Fill<'_> = &|b| b.push(&MobilityTicket(&ticket)).map(|_| ());
    assert_eq!(Client::new("9.0.0.2:5000").allocate_with(&mut lab, ask).code, 400);
}

#[test]
fn the_allocation_moves_with_all_that_it_has() {
    let mut lab = Lab::new(config());
    let (mut old, first, _) = mobile(&mut lab, "9.0.0.1:5000");
    assert_eq!(old.permit(&mut lab, &[PEER]), 0);
    assert_eq!(old.bind(&mut lab, 0x4000, PEER), 0);
    let id = relay(&mut lab, &mut old);

    let mut new = elsewhere(&old, "77.0.0.1:6000");
    let answer = move_with(&mut new, &mut lab, &first);
    assert_eq!((answer.code, answer.get()), (0, Some(Lifetime(600))));
    let second = ticket(&answer).expect("a ticket");
    assert_ne!(first, second);

    // Both addresses are good until the client sends from the new one.
    assert_eq!(receiver(&mut lab, id), old.tuple.client());
    assert!(matches!(lab.data(old.tuple, &channel_data(0x4000, b"late")), Routed::ToPeer { .. }));
    assert_eq!(receiver(&mut lab, id), old.tuple.client());

    let Routed::ToPeer { relay, peer, payload, .. } = lab.data(new.tuple, &channel_data(0x4000, b"here"))
    else {
        panic!("not relayed")
    };
    assert_eq!((relay, peer, payload.as_slice()), (id, addr(PEER), b"here".as_slice()));
    assert_eq!(receiver(&mut lab, id), new.tuple.client());
    let gone = lab.data(old.tuple, &channel_data(0x4000, b"gone"));
    assert_eq!(gone, Routed::Drop(DropReason::NoAllocation));
    let stats = lab.server.stats();
    assert_eq!((stats.allocations_live, stats.allocations_total, stats.allocations_moved), (1, 1, 1));

    assert_eq!(new.refresh(&mut lab, 0).code, 0);
    assert_everything_is_gone(&lab);
}

fn assert_everything_is_gone(lab: &Lab) {
    let server = &lab.server;
    assert_eq!((server.stats().allocations_live, server.tickets.len(), server.table.len()), (0, 0, 0));
    assert_eq!(server.table.links(), 0);
    assert_eq!(server.poll_timeout(), None);
}

#[test]
fn request_from_the_new_address_ends_the_move_as_data_does() {
    let mut lab = Lab::new(config());
    let (mut old, first, _) = mobile(&mut lab, "9.0.0.1:5000");
    old.permit(&mut lab, &[PEER]);
    let id = relay(&mut lab, &mut old);
    let mut new = elsewhere(&old, "77.0.0.1:6000");
    move_with(&mut new, &mut lab, &first);
    assert_eq!(receiver(&mut lab, id), old.tuple.client());
    assert_eq!(new.refresh(&mut lab, 600).code, 0);
    assert_eq!(receiver(&mut lab, id), new.tuple.client());
}

#[test]
fn a_lost_answer_does_not_lose_the_allocation() {
    let mut lab = Lab::new(config());
    let (old, first, _) = mobile(&mut lab, "9.0.0.1:5000");
    let mut new = elsewhere(&old, "77.0.0.1:6000");
    let second = ticket(&move_with(&mut new, &mut lab, &first)).unwrap();
    // The client has no answer, goes on to a third address, and still has the first ticket only.
    let mut third = elsewhere(&old, "88.0.0.1:7000");
    let answer = move_with(&mut third, &mut lab, &first);
    assert_eq!(answer.code, 0);
    assert_eq!(move_with(&mut new, &mut lab, &second).code, 437, "that ticket is spent");
    assert_eq!(third.refresh(&mut lab, 600).code, 0);
    assert_eq!(move_with(&mut new, &mut lab, &first).code, 437, "the client has come, the old ticket goes");
    let last = ticket(&answer).unwrap();
    assert_eq!(move_with(&mut new, &mut lab, &last).code, 0);
}

#[test]
fn the_same_request_again_gets_the_same_answer() {
    let mut lab = Lab::new(config());
    let (old, first, _) = mobile(&mut lab, "9.0.0.1:5000");
    let mut new = elsewhere(&old, "77.0.0.1:6000");
    let fill: &Fill<'_> = &|b| b.push(&MobilityTicket(&first)).map(|_| ());
    let challenge = {
        let message = new.build(Method::REFRESH, fill);
        new.exchange(&mut lab, &message)
    };
    new.learn(&challenge);
    let request = new.build(Method::REFRESH, fill);
    let answer = new.exchange(&mut lab, &request);
    assert_eq!(answer.code, 0);
    assert_eq!(new.exchange(&mut lab, &request).bytes, answer.bytes);
    // Even when the client is there, and the ticket in it is not good any more.
    assert_eq!(new.refresh(&mut lab, 600).code, 0);
    assert_eq!(new.exchange(&mut lab, &request).bytes, answer.bytes);
    assert_eq!(lab.server.tickets.len(), 1);
}

#[test]
fn a_stolen_ticket_is_worth_nothing_without_the_credential() {
    let mut lab = Lab::new(config());
    let (mut old, ticket, _) = mobile(&mut lab, "9.0.0.1:5000");
    old.permit(&mut lab, &[PEER]);
    let id = relay(&mut lab, &mut old);
    let mut thief = Client::named("66.0.0.6:6000", "eve");
    assert_eq!(move_with(&mut thief, &mut lab, &ticket).code, 441);
    let mut guesser = Client { password: "guess".into(), ..elsewhere(&old, "66.0.0.6:6001") };
    let message = guesser.build(Method::REFRESH, &|b| b.push(&MobilityTicket(&ticket)).map(|_| ()));
    let challenge = guesser.exchange(&mut lab, &message);
    guesser.learn(&challenge);
    let message = guesser.build(Method::REFRESH, &|b| b.push(&MobilityTicket(&ticket)).map(|_| ()));
    assert_eq!(guesser.exchange(&mut lab, &message).code, 401);
    // Nor can the thief give it back, or get at it from an allocation of its own.
    let give_back: &Fill<'_> = &|b| {
        b.push(&Lifetime(0))?.push(&MobilityTicket(&ticket))?;
        Ok(())
    };
    assert_eq!(thief.request(&mut lab, Method::REFRESH, give_back).code, 441);
    assert_eq!(thief.allocate(&mut lab).code, 0);
    assert_eq!(move_with(&mut thief, &mut lab, &ticket).code, 441);
    assert_eq!(receiver(&mut lab, id), old.tuple.client());
    assert_eq!(lab.server.stats().allocations_moved, 0);
}

#[test]
fn tickets_cannot_be_forged() {
    let mut lab = Lab::new(config());
    let (old, good, _) = mobile(&mut lab, "9.0.0.1:5000");
    let mut new = elsewhere(&old, "77.0.0.1:6000");
    for bit in 0..good.len() * 8 {
        let mut forged = good.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(move_with(&mut new, &mut lab, &forged).code, 437, "bit {bit}");
    }
    for length in (0..good.len()).chain([good.len() + 1, 700]) {
        let mut forged = good.clone();
        forged.resize(length, 0);
        assert_eq!(move_with(&mut new, &mut lab, &forged).code, 437, "{length} bytes");
    }
    assert_eq!(lab.server.stats().allocations_moved, 0);
    assert_eq!(move_with(&mut new, &mut lab, &good).code, 0);
}

#[test]
fn ticket_moves_only_its_own_allocation_to_a_free_address() {
    let mut lab = Lab::new(config());
    let (mut one, first, _) = mobile(&mut lab, "9.0.0.1:5000");
    let (mut two, _, _) = mobile(&mut lab, "9.0.0.1:5001");
    assert_eq!(move_with(&mut one, &mut lab, &first).code, 400, "it is here already");
    assert_eq!(move_with(&mut two, &mut lab, &first).code, 437, "another one is here");
    assert_eq!(lab.server.stats().allocations_live, 2);
}

#[test]
fn released_allocation_takes_its_tickets_along() {
    let mut lab = Lab::new(config());
    let (mut one, first, _) = mobile(&mut lab, "9.0.0.1:5000");
    assert_eq!(one.refresh(&mut lab, 0).code, 0);
    assert_eq!(move_with(&mut elsewhere(&one, "77.0.0.1:1"), &mut lab, &first).code, 437);
    let (two, second, _) = mobile(&mut lab, "9.0.0.1:5001");
    move_with(&mut elsewhere(&two, "77.0.0.1:6000"), &mut lab, &second);
    lab.advance(SECOND * 601);
    assert_eq!(move_with(&mut elsewhere(&two, "77.0.0.1:6001"), &mut lab, &second).code, 437);
    lab.advance(SECOND);
    assert_everything_is_gone(&lab);
}

#[test]
fn allocation_can_be_deleted_from_a_new_address() {
    let mut lab = Lab::new(config());
    let (old, first, _) = mobile(&mut lab, "9.0.0.1:5000");
    let answer = elsewhere(&old, "77.0.0.1:6000").request(&mut lab, Method::REFRESH, &|b| {
        b.push(&Lifetime(0))?.push(&MobilityTicket(&first))?;
        Ok(())
    });
    assert_eq!((answer.code, answer.get()), (0, Some(Lifetime(0))));
    assert_everything_is_gone(&lab);
}

#[test]
fn a_move_prolongs_even_after_the_credential_has_expired() {
    let mut lab = Lab::new(config());
    let (mut old, first, _) = mobile(&mut lab, "9.0.0.1:5000");
    for _ in 0..26 {
        assert_eq!(old.refresh(&mut lab, 3600).code, 0);
        lab.advance(SECOND * 3500);
    }
    // More than a day has gone by.
    assert_eq!(move_with(&mut elsewhere(&old, "77.0.0.1:6000"), &mut lab, &first).code, 0);
    assert_eq!(move_with(&mut elsewhere(&old, "77.0.0.1:6001"), &mut lab, &[7; 20]).code, 401);
}

#[test]
fn a_connection_that_ends_leaves_the_allocation_for_a_minute() {
    let mut lab = Lab::new(config());
    let ask: &Fill<'_> = &|b| b.push(&MobilityTicket(&[])).map(|_| ());
    let mut old = Client::new("9.0.0.1:5000").over(Transport::Tcp, 1);
    let first = ticket(&old.allocate_with(&mut lab, ask)).unwrap();
    old.permit(&mut lab, &[PEER]);
    let id = relay(&mut lab, &mut old);
    lab.server.handle_input(lab.now, Input::ConnectionClosed { tuple: old.tuple });
    lab.drain();
    lab.advance(SECOND * 59);
    let mut new = elsewhere(&old, "77.0.0.1:6000").over(Transport::Tcp, 2);
    let second = ticket(&move_with(&mut new, &mut lab, &first)).unwrap();
    assert_eq!(new.refresh(&mut lab, 600).code, 0);
    assert_eq!(receiver(&mut lab, id), new.tuple.client());
    lab.advance(SECOND * 120);
    assert_eq!(lab.server.stats().allocations_live, 1, "a move gives it a whole lifetime");

    // This time the new connection is there before the old one is known to be gone.
    let mut third = elsewhere(&old, "88.0.0.1:6000").over(Transport::Tls, 3);
    assert_eq!(move_with(&mut third, &mut lab, &second).code, 0);
    lab.server.handle_input(lab.now, Input::ConnectionClosed { tuple: new.tuple });
    lab.drain();
    assert_eq!(third.permit(&mut lab, &[PEER]), 0);
    assert_eq!(receiver(&mut lab, id), third.tuple.client());
    lab.server.handle_input(lab.now, Input::ConnectionClosed { tuple: third.tuple });
    lab.advance(SECOND * 61);
    assert_everything_is_gone(&lab);
}

#[test]
fn a_connection_that_was_left_is_closed() {
    let mut lab = Lab::new(config());
    let ask: &Fill<'_> = &|b| b.push(&MobilityTicket(&[])).map(|_| ());
    let mut old = Client::new("9.0.0.1:5000").over(Transport::Tcp, 1);
    let first = ticket(&old.allocate_with(&mut lab, ask)).unwrap();
    old.permit(&mut lab, &[PEER]);
    let mut new = elsewhere(&old, "77.0.0.1:6000");
    move_with(&mut new, &mut lab, &first);
    relay(&mut lab, &mut new);
    assert_eq!(lab.server.poll_timeout(), Some(lab.now));
    lab.advance(Duration::ZERO);
    assert_eq!(lab.closed, [old.tuple]);
    lab.server.handle_input(lab.now, Input::ConnectionClosed { tuple: old.tuple });
    assert_eq!(lab.server.stats().allocations_live, 1);
}

#[test]
fn quotas_follow_a_move() {
    let mut lab = Lab::new(Config { max_allocations_per_address: 1, ..config() });
    let (old, first, _) = mobile(&mut lab, "9.0.0.1:5000");
    let (_, _, _) = mobile(&mut lab, "77.0.0.1:5000");
    assert_eq!(move_with(&mut elsewhere(&old, "77.0.0.1:6000"), &mut lab, &first).code, 486);
    let mut new = elsewhere(&old, "88.0.0.1:6000");
    assert_eq!(move_with(&mut new, &mut lab, &first).code, 0);
    let mut other = Client::named("9.0.0.1:5002", "bob");
    assert_eq!(other.allocate(&mut lab).code, 486, "until the client has come, it counts in both places");
    assert_eq!(new.refresh(&mut lab, 600).code, 0);
    assert_eq!(other.allocate(&mut lab).code, 0);
}
