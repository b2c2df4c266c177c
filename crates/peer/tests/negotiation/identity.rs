//! The identity of the other side: fingerprint, `a=tls-id`, `a=setup`.

use columba_peer::{DtlsRole, Error, SdpType, SessionDescription};

use crate::world::{ALICE, BOB, World};

fn line<'a>(sdp: &'a str, start: &str) -> &'a str {
    sdp.lines().find(|line| line.starts_with(start)).unwrap_or_default()
}

fn with_line(description: &SessionDescription, start: &str, new: &str) -> SessionDescription {
    let sdp = description.sdp.replace(line(&description.sdp, start), new);
    SessionDescription { sdp, ..description.clone() }
}

fn reason(error: Error) -> String {
    match error {
        Error::InvalidDescription { reason, .. } => reason,
        error => panic!("{error:?}"),
    }
}

#[test]
fn dtls_association_has_one_name_until_it_is_another() {
    let mut world = World::agreed();
    let name = |world: &World, index: usize| line(&world.text(index), "a=tls-id").to_owned();
    let before = [name(&world, ALICE), name(&world, BOB)];
    assert!(before.iter().all(|name| name.len() >= "a=tls-id:".len() + 20));
    assert_ne!(before[ALICE], before[BOB]);
    world.exchange(BOB);
    world.peers[ALICE].restart_ice(world.now);
    world.exchange(ALICE);
    assert_eq!([name(&world, ALICE), name(&world, BOB)], before, "ICE alone has restarted");
    // The other side begins anew, with a restart.
    world.peers[ALICE].restart_ice(world.now);
    let offer = world.describe(ALICE);
    world.set(BOB, with_line(&offer, "a=tls-id", "a=tls-id:another-one-of-enough-letters"));
    let answer = world.describe(BOB);
    assert_ne!(line(&answer.sdp, "a=tls-id"), before[BOB]);
    assert_eq!(line(&answer.sdp, "a=setup"), "a=setup:active");
}

#[test]
fn another_name_without_a_restart_is_refused() {
    let mut world = World::agreed();
    let offer = world.describe(ALICE);
    let forged = with_line(&offer, "a=tls-id", "a=tls-id:another-one-of-enough-letters");
    let error = world.peers[BOB].set_remote_description(world.now, forged).unwrap_err();
    assert!(reason(error).contains("a=tls-id"));
    world.set(BOB, offer);
}

#[test]
fn role_of_the_association_cannot_be_claimed_by_both_sides() {
    let mut world = World::agreed();
    let offer = world.describe(ALICE);
    let forged = with_line(&offer, "a=setup", "a=setup:active");
    let error = world.peers[BOB].set_remote_description(world.now, forged).unwrap_err();
    assert!(reason(error).contains("a=setup"), "Bob is the client");
    world.set(BOB, with_line(&offer, "a=setup", "a=setup:passive"));
    assert_eq!(line(&world.describe(BOB).sdp, "a=setup"), "a=setup:active");
}

/// The first answer settles the roles, before there is a path, too. Firefox may claim another one
/// in a later answer.
#[test]
fn later_answer_does_not_change_the_role() {
    let role = |world: &mut World, index: usize| {
        let stats = world.peers[index].stats(world.now);
        stats.transports[0].dtls.role
    };
    for (offerer, own, claimed) in
        [(BOB, DtlsRole::Client, "a=setup:active"), (ALICE, DtlsRole::Server, "a=setup:passive")]
    {
        for restarts in [false, true] {
            let mut world = World::agreed();
            assert_eq!(role(&mut world, offerer), Some(own));
            if restarts {
                world.peers[offerer].restart_ice(world.now);
            }
            let offer = world.describe(offerer);
            world.set(1 - offerer, offer);
            let answer = world.describe(1 - offerer);
            world.set(offerer, with_line(&answer, "a=setup", claimed));
            assert_eq!(role(&mut world, offerer), Some(own), "restarts: {restarts}");
        }
    }
}

/// RFC 4145 §4.1: the answer is passive then.
#[test]
fn answer_without_setup_is_passive() {
    let mut world = World::new();
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    let answer = world.describe(BOB);
    assert_eq!(answer.kind, SdpType::Answer);
    world.set(ALICE, with_line(&answer, "a=setup", "a=unknown"));
    let stats = world.peers[ALICE].stats(world.now);
    assert_eq!(stats.transports[0].dtls.role, Some(DtlsRole::Client));
}

#[test]
fn options_of_ice_are_those_of_the_session() {
    let world = World::agreed();
    let sdp = world.text(ALICE);
    assert!(sdp.find("a=ice-options:trickle") < sdp.find("m="), "{sdp}");
}
