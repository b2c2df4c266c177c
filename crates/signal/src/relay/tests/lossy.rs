//! Clients whose connections break at any moment, over both transports, and who repeat themselves:
//! every message arrives once and in order, without any error.

use rand_core::Rng as _;

use super::*;

const MESSAGES: u64 = 60;

/// The present connection of a client.
enum Way {
    None,
    Socket(ConnectionId),
    Stream(ConnectionId),
}

/// A client as `docs/signaling.md` wants it.
struct Client {
    joined: Value,
    way: Way,
    /// The last event received.
    received: u64,
    /// The last `send` made, and the last that is known to be accepted.
    made: u64,
    accepted: u64,
    /// The messages from each other peer.
    inbox: Vec<(String, u64)>,
}

impl Client {
    fn new(house: &mut House, number: u8, over_http: bool) -> Self {
        let message = json!({"type": "join", "session": "room", "instance": instance_text(number)});
        let (way, joined) = if over_http {
            (Way::None, house.http_join(&message).unwrap())
        } else {
            let (connection, joined) = house.join(&message);
            (Way::Socket(connection), joined)
        };
        Self { joined, way, received: 0, made: 0, accepted: 0, inbox: Vec::new() }
    }

    fn take(&mut self, message: &Value) {
        match message["type"].as_str().unwrap() {
            "ack" | "resumed" => self.accepted = self.accepted.max(message["seq"].as_u64().unwrap()),
            "message" => {
                self.count(message);
                self.inbox
                    .push((message["from"].as_str().unwrap().into(), message["data"].as_u64().unwrap()));
            }
            "peer-joined" => self.count(message),
            "ping" => {}
            "error" => {
                assert!(matches!(message["code"].as_str(), Some("replaced" | "sequence-gap")), "{message}")
            }
            other => panic!("{other}"),
        }
    }

    fn count(&mut self, event: &Value) {
        self.received += 1;
        assert_eq!(event["seq"].as_u64(), Some(self.received), "events come without gaps and once");
    }

    /// Receives at most `most` of what waits.
    fn receive(&mut self, house: &mut House, most: u32) {
        let (Way::Socket(connection) | Way::Stream(connection)) = self.way else { return };
        for _ in 0..most {
            let Some(frame) = house.frame(connection) else { break };
            let message: Value = serde_json::from_str(&frame.text).unwrap();
            assert_eq!(
                frame.seq,
                message["seq"]
                    .as_u64()
                    .filter(|_| message["from"].is_string() || message["peer"].is_string())
            );
            self.take(&message);
        }
    }

    /// Sends from some number on that may be accepted already, up to the last.
    fn send_from(&mut self, house: &mut House, first: u64) {
        let batch: Vec<_> = (first..=self.made).map(|seq| send(seq, seq)).collect();
        match self.way {
            Way::Socket(connection) => batch.iter().for_each(|message| house.send_json(connection, message)),
            _ => {
                let answers = house.post(&self.joined, &Value::Array(batch)).unwrap();
                answers.as_array().unwrap().iter().for_each(|answer| self.take(answer));
            }
        }
    }

    fn acknowledge(&mut self, house: &mut House) {
        let ack = json!({"type": "ack", "seq": self.received});
        match self.way {
            Way::Socket(connection) => house.send_json(connection, &ack),
            _ => drop(house.post(&self.joined, &ack).unwrap()),
        }
    }

    /// The connection breaks: what was pulled and not received is lost. The server may not even
    /// notice.
    fn lose(&mut self, house: &mut House, rng: &mut ChaCha12Rng) {
        if let Way::Socket(connection) | Way::Stream(connection) = std::mem::replace(&mut self.way, Way::None)
        {
            for _ in 0..rng.next_u32() % 4 {
                house.frame(connection);
            }
            if rng.next_u32().is_multiple_of(2) {
                house.disconnect(connection);
            }
        }
    }

    fn come_back(&mut self, house: &mut House, over_http: bool) {
        if over_http {
            let opened = house.open(&self.joined, Some(self.received), EventsKind::Stream);
            self.way = Way::Stream(opened.unwrap());
        } else {
            let (connection, received) = house.resume(&self.joined, self.received);
            self.way = Way::Socket(connection);
            received.iter().for_each(|message| self.take(message));
        }
    }
}

fn run(seed: u64) {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut house = House::limited(|config| {
        config.messages_per_second = 100_000;
        config.message_burst = 100_000;
    });
    let count = 2 + (seed % 2) as u8;
    let mut clients: Vec<_> = (0..count).map(|number| Client::new(&mut house, number, number == 1)).collect();
    let pick = |rng: &mut ChaCha12Rng, below: u32| rng.next_u32() % below;
    let wanted = (MESSAGES * u64::from(count - 1)) as usize;
    let is_done = |client: &Client| client.accepted >= MESSAGES && client.inbox.len() >= wanted;
    let mut steps = 0;
    while !clients.iter().all(is_done) {
        steps += 1;
        assert!(steps < 20_000, "seed {seed}: something got lost");
        let client = &mut clients[pick(&mut rng, count.into()) as usize];
        match (pick(&mut rng, 8), &client.way) {
            (0, _) => client.lose(&mut house, &mut rng),
            (_, Way::None) => client.come_back(&mut house, pick(&mut rng, 2) == 0),
            (1..=3, _) => {
                client.made = MESSAGES.min(client.made + u64::from(pick(&mut rng, 4)));
                // Now and then old ones again, and now and then with a gap, as after a lost batch.
                let first = (client.accepted + 1).saturating_sub(pick(&mut rng, 3).into()).max(1);
                client.send_from(&mut house, first + u64::from(pick(&mut rng, 10) == 0));
            }
            (4, _) => client.acknowledge(&mut house),
            _ => client.receive(&mut house, rng.next_u32() % 10),
        }
        house.pass(Duration::from_millis(u64::from(pick(&mut rng, 30))));
    }
    for client in &clients {
        for other in clients.iter().filter(|other| other.joined["peer"] != client.joined["peer"]) {
            let from = other.joined["peer"].as_str().unwrap();
            let numbers: Vec<_> =
                client.inbox.iter().filter(|(peer, _)| peer == from).map(|(_, number)| *number).collect();
            assert_eq!(numbers, (1..=MESSAGES).collect::<Vec<_>>(), "seed {seed}");
        }
    }
    assert_eq!(house.relay.stats().peers, u64::from(count), "no member was lost");
}

#[test]
fn every_message_arrives_once_and_in_order() {
    (0..200).for_each(run);
}
