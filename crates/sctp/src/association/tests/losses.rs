//! Losses are found soon, whatever the peer's answers have led to believe before.

use std::collections::BTreeSet;

use super::*;

/// The round trip before anything is lost.
const ROUND_TRIP: Duration = Duration::from_millis(20);
/// Small chunks in flight, of which nearly all are lost.
const MANY: u32 = 180;

/// The peer of a [`Hand`], if it tells the truth: what it has got, counted from the first TSN.
struct Honest {
    first: Tsn,
    received: BTreeSet<u32>,
}

impl Honest {
    fn new(hand: &Hand) -> Self {
        Self { first: hand.association.sender.outstanding.next_tsn(), received: BTreeSet::new() }
    }

    fn take(&mut self, output: &[OutputChunk]) {
        for data in output.iter().filter(|output| output.kind == chunk_type::DATA) {
            let tsn = Tsn(u32::from_be_bytes(data.value[..4].try_into().unwrap()));
            self.received.insert(tsn.since(self.first));
        }
    }

    fn answer(&self, hand: &mut Hand) {
        let whole = (0..).find(|offset| !self.received.contains(offset)).unwrap();
        let mut blocks: Vec<(u16, u16)> = Vec::new();
        for offset in self.received.range(whole..) {
            let gap = (offset + 1 - whole) as u16;
            match blocks.last_mut().filter(|block| block.1 + 1 == gap) {
                Some(block) => block.1 = gap,
                None => blocks.push((gap, gap)),
            }
        }
        hand.deliver_sack(self.first.plus(whole).previous(), 1 << 20, &blocks);
    }

    /// Answers everything after this delay until nothing is missing; how long that took.
    fn until_whole(&mut self, hand: &mut Hand, delay: Duration) -> Duration {
        let start = hand.now;
        while !hand.association.sender.is_done() {
            let output = hand.wait(delay);
            self.take(&output);
            self.answer(hand);
            assert!(hand.now - start < Duration::from_secs(60), "{} came", self.received.len());
        }
        hand.now - start
    }
}

/// An association that knows its round trip and has a window for all that follows.
fn warmed_up() -> Hand {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    let mut peer = Honest::new(&hand);
    for _ in 0..20 {
        hand.send(0, &[7; 5000]);
        peer.until_whole(&mut hand, ROUND_TRIP);
    }
    hand
}

fn send_many(hand: &mut Hand) -> Vec<OutputChunk> {
    for _ in 0..MANY {
        hand.send(0, &[7; 28]);
    }
    let output = hand.wait(ROUND_TRIP / 2);
    assert_eq!(output.iter().filter(|output| output.kind == chunk_type::DATA).count(), MANY as usize);
    output
}

/// An answer that comes late, because the peer was busy, makes of a timeout an error. Yet most was
/// lost.
#[test]
fn a_late_answer_hides_no_loss() {
    let mut hand = warmed_up();
    let mut peer = Honest::new(&hand);
    let output = send_many(&mut hand);
    let arrived = output.last().cloned().unwrap();
    hand.wait(hand.association.sender.round_trip.rto());
    peer.take(&[arrived]);
    peer.answer(&mut hand);
    let took = peer.until_whole(&mut hand, ROUND_TRIP);
    assert!(took < ROUND_TRIP * 10, "{took:?}");
}

/// Answers that come sooner than any before may be to the first transmission: they prove nothing of
/// what was sent before the second.
#[test]
fn answers_to_probes_do_not_put_the_timeout_off() {
    let mut hand = warmed_up();
    let mut peer = Honest::new(&hand);
    send_many(&mut hand);
    let took = peer.until_whole(&mut hand, ROUND_TRIP / 10);
    assert!(took < Duration::from_secs(1), "{took:?}");
}
