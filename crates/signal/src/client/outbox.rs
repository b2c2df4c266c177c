//! The messages that the server has not accepted yet.
//!
//! A message is held until its receiver is present, then it is in flight under the next sequence
//! number until it is acknowledged. Messages to the same receiver leave in the order in which they
//! were added, also after refusals. Bounds: [`MAX_MESSAGES`] and [`MAX_BYTES`]; more are refused. A
//! message to a peer that does not come is dropped after a while.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::client_message::ClientMessage;
use crate::names::PeerId;

/// The most messages, held and in flight together.
const MAX_MESSAGES: usize = 1024;

/// The most bytes of JSON, held and in flight together.
const MAX_BYTES: usize = 8 << 20;

/// The most messages in flight, so that a refusal makes the client repeat few of them.
const WINDOW: usize = 64;

#[derive(Debug)]
pub(super) struct Outbox {
    /// Sorted by `order`.
    held: VecDeque<Held>,
    /// Sorted by `seq`.
    flight: VecDeque<InFlight>,
    next_order: u64,
    next_seq: u64,
    bytes: usize,
    hold: Duration,
}

#[derive(Clone, Debug)]
struct Held {
    /// The place in which it was added, never used twice.
    order: u64,
    data: Arc<RawValue>,
    to: Option<PeerId>,
    since: Instant,
}

#[derive(Debug)]
struct InFlight {
    message: Held,
    seq: u64,
    /// True if it went out on the present connection.
    sent: bool,
}

impl Outbox {
    pub(super) fn new(hold: Duration) -> Self {
        Self { held: VecDeque::new(), flight: VecDeque::new(), next_order: 0, next_seq: 1, bytes: 0, hold }
    }

    /// Returns false if there is no room for the message.
    pub(super) fn add(&mut self, now: Instant, to: Option<PeerId>, data: Arc<RawValue>) -> bool {
        self.drop_overdue(now);
        let size = data.get().len();
        if self.held.len() + self.flight.len() >= MAX_MESSAGES || self.bytes + size > MAX_BYTES {
            return false;
        }
        self.bytes += size;
        self.held.push_back(Held { order: self.next_order, data, to, since: now });
        self.next_order += 1;
        true
    }

    /// Returns the next message to be transmitted; `reachable` is true for present receivers.
    pub(super) fn take(
        &mut self,
        now: Instant,
        reachable: impl Fn(Option<PeerId>) -> bool,
    ) -> Option<ClientMessage> {
        self.drop_overdue(now);
        if let Some(again) = self.flight.iter_mut().find(|each| !each.sent) {
            again.sent = true;
            return Some(again.wire());
        }
        if self.flight.len() >= WINDOW {
            return None;
        }
        let position = self.held.iter().position(|each| reachable(each.to))?;
        let message = self.held.remove(position)?;
        let next = InFlight { message, seq: self.next_seq, sent: true };
        self.next_seq += 1;
        let wire = next.wire();
        self.flight.push_back(next);
        Some(wire)
    }

    /// The server has everything up to `seq`.
    pub(super) fn acknowledge(&mut self, seq: u64) {
        while self.flight.front().is_some_and(|first| first.seq <= seq) {
            self.bytes -= self.flight.pop_front().map_or(0, |gone| gone.message.data.get().len());
        }
    }

    /// Everything from `seq` on must be transmitted again, under the same numbers.
    pub(super) fn go_back(&mut self, seq: u64) {
        for each in self.flight.iter_mut().filter(|each| each.seq >= seq) {
            each.sent = false;
        }
    }

    /// The server refused this one for good.
    pub(super) fn drop_refused(&mut self, seq: u64) {
        if let Some(message) = self.remove(seq) {
            self.bytes -= message.data.get().len();
        }
    }

    /// The receiver had just left: the message waits for its return, at its old place among the
    /// held ones, and goes out under a new number.
    pub(super) fn hold_again(&mut self, seq: u64) {
        if let Some(message) = self.remove(seq) {
            self.hold(message);
        }
    }

    /// A new membership: numbers start from 1 again, and what was not acknowledged is sent again.
    pub(super) fn restart(&mut self) {
        for unacknowledged in std::mem::take(&mut self.flight) {
            self.hold(unacknowledged.message);
        }
        self.next_seq = 1;
    }

    /// Puts a message among the held ones, by the order in which they were added.
    fn hold(&mut self, message: Held) {
        let position = self.held.partition_point(|each| each.order < message.order);
        self.held.insert(position, message);
    }

    /// Drops what waits for a peer that has gone for good.
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.keep_held(|each| each.to != Some(peer));
    }

    fn drop_overdue(&mut self, now: Instant) {
        let hold = self.hold;
        self.keep_held(|each| each.to.is_none() || now.saturating_duration_since(each.since) <= hold);
    }

    fn keep_held(&mut self, wanted: impl Fn(&Held) -> bool) {
        let bytes = &mut self.bytes;
        self.held.retain(|each| {
            let kept = wanted(each);
            if !kept {
                *bytes -= each.data.get().len();
            }
            kept
        });
    }

    fn remove(&mut self, seq: u64) -> Option<Held> {
        let position = self.flight.iter().position(|each| each.seq == seq)?;
        self.flight.remove(position).map(|each| each.message)
    }

    /// Returns whether the server has answered for everything that was sent.
    pub(super) fn is_settled(&self) -> bool {
        self.flight.is_empty()
    }
}

impl InFlight {
    fn wire(&self) -> ClientMessage {
        let Held { data, to, .. } = &self.message;
        ClientMessage::Send { seq: self.seq, to: to.map(Into::into), data: data.clone() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_clock::start;

    fn json(text: &str) -> Arc<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap().into()
    }

    fn taken(outbox: &mut Outbox, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| outbox.take(now, |_| true)).map(|message| message.to_json()).collect()
    }

    #[test]
    fn numbers_stay_until_acknowledged_and_restart_with_a_membership() {
        let now = start();
        let mut outbox = Outbox::new(Duration::from_secs(60));
        for text in ["1", "2", "3"] {
            assert!(outbox.add(now, None, json(text)));
        }
        assert_eq!(taken(&mut outbox, now).len(), 3);
        outbox.acknowledge(1);
        outbox.go_back(0);
        let again = taken(&mut outbox, now);
        assert_eq!(again, [r#"{"type":"send","seq":2,"data":2}"#, r#"{"type":"send","seq":3,"data":3}"#]);
        outbox.restart();
        let anew = taken(&mut outbox, now);
        assert_eq!(anew, [r#"{"type":"send","seq":1,"data":2}"#, r#"{"type":"send","seq":2,"data":3}"#]);
        outbox.acknowledge(2);
        assert!(outbox.is_settled() && outbox.bytes == 0);
    }

    #[test]
    fn messages_without_receiver_are_held_and_dropped_after_a_while() {
        let now = start();
        let peer: PeerId = "abcdefghijklmnop".parse().unwrap();
        let mut outbox = Outbox::new(Duration::from_secs(60));
        assert!(outbox.add(now, Some(peer), json("\"to one\"")) && outbox.add(now, None, json("\"to all\"")));
        assert!(outbox.take(now, |_| false).is_none());
        let later = now + Duration::from_secs(61);
        let rest = taken(&mut outbox, later);
        assert_eq!(rest, [r#"{"type":"send","seq":1,"data":"to all"}"#]);
    }

    #[test]
    fn refused_message_is_held_and_gets_a_new_number() {
        let now = start();
        let peer: PeerId = "abcdefghijklmnop".parse().unwrap();
        let mut outbox = Outbox::new(Duration::from_secs(60));
        outbox.add(now, Some(peer), json("1"));
        assert_eq!(taken(&mut outbox, now).len(), 1);
        outbox.hold_again(1);
        assert!(outbox.is_settled());
        assert!(taken(&mut outbox, now)[0].contains(r#""seq":2"#));
        outbox.drop_refused(2);
        assert_eq!(outbox.bytes, 0);
    }

    #[test]
    fn outbox_is_bounded_in_messages_and_bytes() {
        let now = start();
        let mut outbox = Outbox::new(Duration::from_secs(60));
        assert!((0..MAX_MESSAGES).all(|_| outbox.add(now, None, json("1"))));
        assert!(!outbox.add(now, None, json("1")));
        let mut outbox = Outbox::new(Duration::from_secs(60));
        assert!(!outbox.add(now, None, json(&format!("\"{}\"", "x".repeat(MAX_BYTES)))));
    }

    fn peers() -> [PeerId; 2] {
        ["abcdefghijklmnop", "ponmlkjihgfedcba"].map(|id| id.parse().unwrap())
    }

    /// All subsets of these numbers, in all orders.
    fn arrangements(numbers: &[u64]) -> Vec<Vec<u64>> {
        let mut all = vec![Vec::new()];
        for first in numbers {
            let others: Vec<u64> = numbers.iter().copied().filter(|other| other != first).collect();
            all.extend(arrangements(&others).into_iter().map(|rest| [vec![*first], rest].concat()));
        }
        all
    }

    /// The number in each message that goes out now, and its sequence number.
    fn numbers(
        outbox: &mut Outbox,
        now: Instant,
        reachable: impl Fn(Option<PeerId>) -> bool,
    ) -> Vec<(u64, u64)> {
        let messages = std::iter::from_fn(|| outbox.take(now, &reachable));
        messages
            .map(|message| match message {
                ClientMessage::Send { seq, data, .. } => (data.get().parse().unwrap(), seq),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// Four messages in flight, of which these are refused in this order, and two more.
    fn refused(now: Instant, refusals: &[u64]) -> Outbox {
        let [bob, _] = peers();
        let mut outbox = Outbox::new(Duration::from_secs(60));
        for number in 1..=6 {
            outbox.add(now, Some(bob), json(&number.to_string()));
            if number == 4 {
                assert_eq!(numbers(&mut outbox, now, |_| true).len(), 4);
            }
        }
        refusals.iter().for_each(|seq| outbox.hold_again(*seq));
        outbox
    }

    #[test]
    fn refused_messages_keep_their_order_for_every_order_of_refusals() {
        let now = start();
        for refusals in arrangements(&[1, 2, 3, 4]) {
            let sent: Vec<u64> =
                numbers(&mut refused(now, &refusals), now, |_| true).iter().map(|(data, _)| *data).collect();
            let mut expected = refusals.clone();
            expected.sort_unstable();
            expected.extend([5, 6]);
            assert_eq!(sent, expected, "{refusals:?}");

            let mut outbox = refused(now, &refusals);
            outbox.restart();
            let sent = numbers(&mut outbox, now, |_| true);
            assert_eq!(sent, [1, 2, 3, 4, 5, 6].map(|each| (each, each)), "{refusals:?}");
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(usize),
        Take(usize),
        Refuse(prop::sample::Index),
        Restart,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..2_usize).prop_map(Step::Add),
            2 => (0..2_usize).prop_map(Step::Take),
            3 => any::<prop::sample::Index>().prop_map(Step::Refuse),
            1 => Just(Step::Restart),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn messages_to_each_receiver_leave_in_the_order_of_adding(
            steps in prop::collection::vec(step(), 0..60),
        ) {
            let now = start();
            let mut outbox = Outbox::new(Duration::from_secs(60));
            let mut next = 0;
            // Receiver, number and sequence number of what is in flight; what waits for each
            // receiver.
            let mut flight: Vec<(usize, u64, u64)> = Vec::new();
            let mut waiting = [Vec::new(), Vec::new()];
            for step in steps {
                match step {
                    Step::Add(to) => {
                        next += 1;
                        prop_assert!(outbox.add(now, Some(peers()[to]), json(&next.to_string())));
                        waiting[to].push(next);
                    }
                    Step::Take(to) => {
                        let sent = numbers(&mut outbox, now, |receiver| receiver == Some(peers()[to]));
                        let data: Vec<u64> = sent.iter().map(|(data, _)| *data).collect();
                        waiting[to].sort_unstable();
                        prop_assert_eq!(&data, &waiting[to]);
                        waiting[to].clear();
                        flight.extend(sent.iter().map(|(data, seq)| (to, *data, *seq)));
                    }
                    Step::Refuse(index) if !flight.is_empty() => {
                        let (to, data, seq) = flight.remove(index.index(flight.len()));
                        outbox.hold_again(seq);
                        waiting[to].push(data);
                    }
                    Step::Refuse(_) => {}
                    Step::Restart => {
                        outbox.restart();
                        flight.drain(..).for_each(|(to, data, _)| waiting[to].push(data));
                    }
                }
            }
        }
    }
}
