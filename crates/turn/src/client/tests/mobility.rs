//! Taking the allocation along.

use super::*;

const ELSEWHERE: &str = "203.0.113.9:50000";

#[test]
fn allocation_moves_to_the_new_address() {
    let mut lab = Lab::mobile();
    lab.client.permit(lab.now, peer().ip());
    lab.client.bind(lab.now, peer());
    lab.settle();
    for address in [ELSEWHERE, "203.0.113.10:1", "203.0.113.11:1"] {
        lab.change_address(address);
        assert!(lab.client.is_moving() && lab.client.is_live());
        assert_eq!(lab.client.wrap(peer(), &mut [0; 200], HEADROOM..HEADROOM + 5), None, "not yet");
        lab.settle();
        assert_eq!(lab.client.poll_event(), Some(Event::Moved));
        assert!(lab.receives_from_peer(), "without anything having been sent to the peer");
        assert_eq!(lab.send(b"here"), 4, "the channel is still bound");
        assert_eq!(lab.arrived.pop().unwrap(), b"here");
    }
    let stats = lab.server.stats();
    assert_eq!((stats.allocations_total, stats.allocations_moved, stats.error(437)), (1, 3, 0));
    for _ in 0..60 {
        lab.advance(SECOND * 60);
        assert_eq!(lab.client.poll_event(), None);
        assert_eq!(lab.send(b"still"), 4, "it is renewed as before");
    }
}

#[test]
fn a_move_outlasts_lost_requests_and_lost_answers() {
    let mut lab = Lab::mobile();
    lab.client.permit(lab.now, peer().ip());
    lab.settle();
    lab.change_address(ELSEWHERE);
    lab.deaf = true;
    lab.settle();
    lab.advance(SECOND * 3);
    lab.deaf = false;
    lab.mute = true;
    lab.advance(SECOND * 10);
    assert_eq!(lab.client.poll_event(), None);
    lab.mute = false;
    lab.advance(SECOND * 20);
    assert_eq!(lab.client.poll_event(), Some(Event::Moved));
    assert!(lab.receives_from_peer());

    // Answers lost, and a third address before any came: the old ticket is all that the client has.
    lab.mute = true;
    lab.change_address("203.0.113.10:1");
    lab.settle();
    lab.mute = false;
    lab.change_address("203.0.113.11:1");
    lab.settle();
    assert_eq!(lab.client.poll_event(), Some(Event::Moved));
    assert!(lab.receives_from_peer());
}

#[test]
fn pending_requests_are_repeated_after_a_move() {
    let mut lab = Lab::mobile();
    lab.deaf = true;
    lab.client.permit(lab.now, peer().ip());
    lab.client.bind(lab.now, peer());
    lab.settle();
    lab.deaf = false;
    lab.change_address(ELSEWHERE);
    let other = addr("93.184.216.35:7000");
    lab.client.permit(lab.now, other.ip());
    lab.client.bind(lab.now, other);
    assert!(lab.client.poll_timeout().is_some());
    lab.settle();
    assert!(lab.client.is_bound(peer()) && lab.client.is_bound(other) && lab.client.is_permitted(other.ip()));
}

#[test]
fn a_server_that_forbids_mobility_allocates_all_the_same() {
    let mut lab = Lab::with_mobility(None, [true, false]).allocate();
    assert!(!lab.client.is_mobile() && lab.client.is_mobility_forbidden());
    assert_eq!(lab.requests, [Method::ALLOCATE; 3]);
    lab.change_address(ELSEWHERE);
    assert!(!lab.client.is_moving());
    lab.requests.clear();
    lab.settle();
    assert!(lab.requests.is_empty());
}

#[test]
fn a_nat_that_changes_the_address_is_followed() {
    let mut lab = Lab::mobile();
    lab.client.permit(lab.now, peer().ip());
    lab.settle();
    lab.tuple = FiveTuple::udp(addr("5.0.0.1:3478"), addr("198.51.100.7:40001"));
    lab.client.probe(lab.now);
    lab.settle();
    assert_eq!(lab.client.poll_event(), Some(Event::Moved));
    assert!(lab.receives_from_peer());
    // Also when a renewal is what brings it to light.
    lab.tuple = FiveTuple::udp(addr("5.0.0.1:3478"), addr("198.51.100.7:40002"));
    lab.advance(SECOND * 290);
    assert_eq!(lab.client.poll_event(), Some(Event::Moved));
    assert!(lab.client.is_permitted(peer().ip()) && lab.receives_from_peer());
}

#[test]
fn allocation_can_be_released_during_a_move() {
    let mut lab = Lab::mobile();
    lab.change_address(ELSEWHERE);
    lab.client.release(lab.now);
    lab.settle();
    assert!(lab.client.is_ended());
    assert_eq!(lab.server.stats().allocations_live, 0);
    assert_eq!((lab.client.poll_event(), lab.client.poll_timeout()), (None, None));
}

#[test]
fn allocation_that_expired_during_a_move_is_lost() {
    let mut lab = Lab::mobile();
    lab.deaf = true;
    lab.advance(SECOND * 300);
    lab.change_address(ELSEWHERE);
    lab.now += SECOND * 400;
    lab.deaf = false;
    lab.server.handle_timeout(lab.now);
    lab.settle();
    assert_eq!(lab.client.poll_event(), Some(Event::Lost));

    let mut lab = Lab::mobile();
    lab.deaf = true;
    lab.change_address(ELSEWHERE);
    lab.settle();
    lab.advance(SECOND * 40);
    assert_eq!(lab.client.poll_event(), Some(Event::Lost), "no answer");
}

/// Every move succeeds, and nothing is known of the allocation afterwards.
#[test]
fn contradictory_server_is_given_up() {
    let mut lab = Lab::mobile();
    lab.client.probe(lab.now);
    let mut port = 40_001;
    let mut buf = [0; 4000];
    while let Some(length) = lab.client.poll_transmit(lab.now, &mut buf) {
        let message = buf[..length].to_vec();
        let moving = lab.client.is_moving();
        if !moving {
            lab.tuple = FiveTuple::udp(addr("5.0.0.1:3478"), SocketAddr::new([198, 51, 100, 7].into(), port));
            port += 1;
        }
        lab.deliver(&message);
        assert!(port < 40_020, "for ever");
    }
    let events: Vec<Event> = std::iter::from_fn(|| lab.client.poll_event()).collect();
    assert_eq!(events.last(), Some(&Event::Lost));
}

/// MOBILITY-TICKET need not be understood, but there are servers that do not know what that means.
#[test]
fn server_without_mobility_is_asked_again_without_it() {
    for code in [ErrorCode::MOBILITY_FORBIDDEN, ErrorCode::UNKNOWN_ATTRIBUTE, ErrorCode::BAD_REQUEST] {
        let now = start();
        let config = Config { mobility: true, ..Config::default() };
        let mut client = Client::new(config, now, &mut ChaCha12Rng::seed_from_u64(3));
        let mut buf = [0; 500];
        let mut asked = Vec::new();
        while let Some(length) = client.poll_transmit(now, &mut buf) {
            let request = Message::parse(&buf[..length]).unwrap();
            asked.push(request.has(columba_stun::AttributeType::MOBILITY_TICKET));
            let mut answer = [0; 500];
            let length = MessageBuilder::error(&mut answer, &request, code).unwrap().finish();
            client.handle_message(now, &answer[..length]);
        }
        assert_eq!(asked, [true, false], "{code:?}");
        let Some(Event::Failed(failure)) = client.poll_event() else { panic!("no failure") };
        assert_eq!(failure.code, Some(code));
    }
}
