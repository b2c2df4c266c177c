//! What this client sends, until the server has accepted it.
//!
//! A message waits in `held` until there is somebody to receive it, then goes into `flight` under the next number and stays there until it
//! is acknowledged. Bounds: [`MAX_MESSAGES`] and [`MAX_BYTES`]; whoever wants to add more is refused. A message to a peer that does
//! not come is dropped after a while.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_signal::{ClientMessage, PeerId};
use serde_json::value::RawValue;

/// Messages that wait, at most.
const MAX_MESSAGES: usize = 1024;

/// Their bytes, at most.
const MAX_BYTES: usize = 8 << 20;

/// Unacknowledged messages at a time: what one that was refused makes the client send again stays small.
const WINDOW: usize = 64;

#[derive(Debug)]
pub(super) struct Outbox {
    held: VecDeque<Held>,
    flight: VecDeque<InFlight>,
    next_seq: u64,
    bytes: usize,
    hold: Duration,
}

#[derive(Clone, Debug)]
struct Held {
    data: Arc<RawValue>,
    to: Option<PeerId>,
    since: Instant,
}

#[derive(Debug)]
struct InFlight {
    message: Held,
    seq: u64,
    /// Whether it went out on the present connection.
    sent: bool,
}

impl Outbox {
    pub(super) fn new(hold: Duration) -> Self {
        Self { held: VecDeque::new(), flight: VecDeque::new(), next_seq: 1, bytes: 0, hold }
    }

    /// False if there is no room for it.
    pub(super) fn add(&mut self, now: Instant, to: Option<PeerId>, data: Arc<RawValue>) -> bool {
        self.drop_overdue(now);
        let size = data.get().len();
        if self.held.len() + self.flight.len() >= MAX_MESSAGES || self.bytes + size > MAX_BYTES {
            return false;
        }
        self.bytes += size;
        self.held.push_back(Held { data, to, since: now });
        true
    }

    /// The next message to be transmitted, if there is one; `reachable` tells whether somebody would receive it.
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

    /// Its receiver had just left: it waits for the receiver's return, under a new number.
    pub(super) fn hold_again(&mut self, seq: u64) {
        if let Some(message) = self.remove(seq) {
            self.held.push_front(message);
        }
    }

    /// A new membership: numbers start from 1 again, and what was never acknowledged goes first.
    pub(super) fn restart(&mut self) {
        for unacknowledged in self.flight.drain(..).rev() {
            self.held.push_front(unacknowledged.message);
        }
        self.next_seq = 1;
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

    /// Whether nothing waits for the server's word.
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
    use super::*;

    fn json(text: &str) -> Arc<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap().into()
    }

    fn taken(outbox: &mut Outbox, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| outbox.take(now, |_| true)).map(|message| message.to_json()).collect()
    }

    #[test]
    fn numbers_stay_until_acknowledged_and_begin_anew_with_a_membership() {
        let now = Instant::now();
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
    fn what_nobody_would_hear_waits_and_is_dropped_in_the_end() {
        let now = Instant::now();
        let peer: PeerId = "abcdefghijklmnop".parse().unwrap();
        let mut outbox = Outbox::new(Duration::from_secs(60));
        assert!(outbox.add(now, Some(peer), json("\"to one\"")) && outbox.add(now, None, json("\"to all\"")));
        assert!(outbox.take(now, |_| false).is_none());
        let later = now + Duration::from_secs(61);
        let rest = taken(&mut outbox, later);
        assert_eq!(rest, [r#"{"type":"send","seq":1,"data":"to all"}"#]);
    }

    #[test]
    fn a_message_to_one_who_just_left_waits_again_under_a_new_number() {
        let now = Instant::now();
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
    fn it_is_bounded_in_messages_and_bytes() {
        let now = Instant::now();
        let mut outbox = Outbox::new(Duration::from_secs(60));
        assert!((0..MAX_MESSAGES).all(|_| outbox.add(now, None, json("1"))));
        assert!(!outbox.add(now, None, json("1")));
        let mut outbox = Outbox::new(Duration::from_secs(60));
        assert!(!outbox.add(now, None, json(&format!("\"{}\"", "x".repeat(MAX_BYTES)))));
    }
}
