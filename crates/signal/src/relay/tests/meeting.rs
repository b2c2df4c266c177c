use super::*;

fn meet(house: &mut House, id: &str, with: Option<&str>) -> (ConnectionId, Value) {
    house.join(&json!({"type": "meet", "id": id, "with": with}))
}

fn ids(peers: &Value) -> Vec<&str> {
    peers.as_array().unwrap().iter().map(|peer| peer["id"].as_str().unwrap()).collect()
}

#[test]
fn clients_that_name_each_other_see_each_other() {
    let mut house = House::new();
    let (ann, joined) = meet(&mut house, "ann", Some("bob"));
    assert_eq!((&joined["session"], ids(&joined["peers"])), (&Value::Null, vec![]));
    let (bob, joined) = meet(&mut house, "bob", Some("ann"));
    assert_eq!(ids(&joined["peers"]), ["ann"]);
    assert_eq!(house.receive_one(ann)["id"], "bob");
    house.send_json(ann, &send(1, "hello"));
    assert_eq!(data(&house.receive(bob)), ["hello"]);
}

#[test]
fn a_waiting_client_is_found_by_several_who_do_not_see_one_another() {
    let mut house = House::new();
    let (early, _) = meet(&mut house, "early", Some("desk"));
    let (desk, joined) = meet(&mut house, "desk", None);
    assert_eq!(ids(&joined["peers"]), ["early"], "who came before it is found too");
    let (late, joined) = meet(&mut house, "late", Some("desk"));
    assert_eq!(ids(&joined["peers"]), ["desk"]);
    assert_eq!(house.receive_one(desk)["id"], "late");
    assert_eq!(house.receive_one(early)["id"], "desk");
    house.send_json(late, &send(1, "to the desk"));
    house.send_json(desk, &send(1, "to both"));
    assert_eq!(data(&house.receive(desk)), ["to the desk"]);
    assert_eq!(
        (data(&house.receive(early)), data(&house.receive(late))),
        (vec![json!("to both")], vec![json!("to both")])
    );
}

#[test]
fn client_that_asked_for_another_is_not_found() {
    let mut house = House::new();
    let (ann, first) = meet(&mut house, "ann", Some("bob"));
    let (_, eve) = meet(&mut house, "eve", Some("ann"));
    assert_eq!((ids(&eve["peers"]), house.receive(ann)), (vec![], vec![]));
    house.send_json(ann, &json!({"type": "leave"}));
    let (_, again) = meet(&mut house, "ann", None);
    assert_ne!(again["peer"], first["peer"], "no instance was given");
    assert_eq!(ids(&again["peers"]), ["eve"], "she still asks");
}

#[test]
fn an_id_belongs_to_one_client_at_a_time() {
    let mut house = House::new();
    let desk = json!({"type": "meet", "id": "desk", "instance": instance_text(1)});
    let (first, joined) = house.join(&desk);
    let other = house.connect();
    house.send_json(other, &json!({"type": "meet", "id": "desk", "instance": instance_text(2)}));
    assert_eq!(house.receive_one(other)["code"], "id-taken");
    let (caller, _) = meet(&mut house, "ann", Some("desk"));
    let (_, again) = house.join(&desk);
    assert_eq!((&again["peer"], ids(&again["peers"])), (&joined["peer"], vec!["ann"]));
    assert_eq!(house.was_closed(first), Some((1008, Some(ErrorCode::Replaced))));
    let received = house.receive(caller);
    assert_eq!((&received[0]["reason"], &received[1]["type"]), (&json!("replaced"), &json!("peer-joined")));
    house.send_json(other, &json!({"type": "meet", "id": "me", "with": "me"}));
    assert_eq!(house.receive_one(other)["code"], "bad-id");
}

#[test]
fn full_desk_is_full_until_a_client_leaves() {
    let mut house = House::limited(|config| config.session_peers = 3);
    let early: Vec<_> = ["a", "b", "c"].map(|id| meet(&mut house, id, Some("desk")).0).into();
    let (desk, joined) = meet(&mut house, "desk", None);
    assert_eq!(ids(&joined["peers"]), ["a", "b"], "the first who came, as many as there is room for");
    assert_eq!(house.receive(early[2]), [json!(null); 0]);
    let refused = house.connect();
    house.send_json(refused, &json!({"type": "meet", "id": "d", "with": "desk"}));
    assert_eq!(house.receive_one(refused)["code"], "session-full");
    house.send_json(early[0], &json!({"type": "leave"}));
    let received = house.receive(desk);
    assert_eq!((&received[0]["type"], &received[1]["id"]), (&json!("peer-left"), &json!("c")));
    assert_eq!(house.receive_one(early[2])["id"], "desk");
}

#[test]
fn nothing_is_left_of_a_meeting() {
    let mut house = House::new();
    let clients: Vec<_> = [("a", Some("b")), ("b", Some("a")), ("c", Some("b")), ("d", None)]
        .map(|(id, with)| meet(&mut house, id, with))
        .into();
    for (client, _) in clients {
        house.send_json(client, &json!({"type": "leave"}));
        house.disconnect(client);
    }
    assert!(house.relay.meeting.is_empty());
    assert_eq!((house.relay.stats().peers, house.relay.poll_timeout()), (0, None));
}
