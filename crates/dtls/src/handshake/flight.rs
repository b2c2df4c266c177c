//! The messages that this side has sent last, and sends again until they are answered (RFC 6347
//! §4.2.4, RFC 9147 §5.8).

use std::time::{Duration, Instant};

use super::reassembly::{FRAGMENT_HEADER, add_range};
use crate::record::{CHANGE_CIPHER_SPEC, HANDSHAKE, RecordLayer, RecordNumber};

/// The longest time between two repetitions, unless the first is longer.
///
/// Deviation: RFC 6347 §4.2.4.1 doubles the time up to 60 seconds. Here ICE has proven the path,
/// keeps it under watch, and ends what gets no answer: a handshake that lost a few datagrams need
/// not wait for so long.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of a message in one record at least: shorter fragments are not worth their headers.
const SHORTEST_FRAGMENT: usize = 32;

/// Records of a flight that acknowledgments are remembered for, at most. Of those sent before
/// nothing is known then, and their messages are sent again.
const MAX_RECORDS: usize = 256;

/// A message, or the ChangeCipherSpec of DTLS 1.2, which is none.
#[derive(Debug)]
struct Outgoing {
    content_type: u8,
    kind: u8,
    number: u16,
    epoch: u64,
    body: Vec<u8>,
    /// The parts that were acknowledged, in order.
    acknowledged: Vec<(usize, usize)>,
}

impl Outgoing {
    fn is_acknowledged(&self) -> bool {
        self.acknowledged.first() == Some(&(0, self.body.len()))
    }

    /// The next part from `offset` on that was not acknowledged.
    fn gap(&self, offset: usize) -> Option<(usize, usize)> {
        let mut start = offset;
        for (from, to) in &self.acknowledged {
            if start < *from {
                return Some((start, *from));
            }
            start = start.max(*to);
        }
        // A message without a body has one part, too.
        let is_left = start < self.body.len() || self.body.is_empty() && !self.is_acknowledged();
        is_left.then_some((start, self.body.len()))
    }
}

/// A record in which a part of a message was sent.
#[derive(Debug)]
struct Sent {
    record: RecordNumber,
    message: usize,
    from: usize,
    to: usize,
}

/// The flight that was sent last.
#[derive(Debug)]
pub(crate) struct Flight {
    messages: Vec<Outgoing>,
    /// The number of the next message.
    next_number: u16,
    /// The place up to which it was sent in this round: message and byte.
    cursor: Option<(usize, usize)>,
    /// The newest last. At most [`MAX_RECORDS`].
    sent: Vec<Sent>,
    first_timeout: Duration,
    timeout: Duration,
    deadline: Option<Instant>,
    /// When it was sent, or sent again, the last time.
    sent_at: Option<Instant>,
    /// It is sent again when the time has come, and not only when the other side repeats itself.
    is_timed: bool,
    repetitions: u32,
}

impl Flight {
    pub(crate) fn new(first_timeout: Duration) -> Self {
        Self {
            messages: Vec::new(),
            next_number: 0,
            cursor: None,
            sent: Vec::new(),
            first_timeout,
            timeout: first_timeout,
            deadline: None,
            sent_at: None,
            is_timed: true,
            repetitions: 0,
        }
    }

    /// Sets the first timeout, from now on also of the flight under way.
    pub(crate) fn set_first_timeout(&mut self, now: Instant, first_timeout: Duration) {
        (self.first_timeout, self.timeout) = (first_timeout, first_timeout);
        self.deadline = self.deadline.map(|_| now + first_timeout);
    }

    /// Begins another flight: the other side has answered the last one.
    pub(crate) fn begin(&mut self) {
        self.messages.clear();
        self.sent.clear();
        self.cursor = None;
        self.timeout = self.first_timeout;
        (self.deadline, self.sent_at) = (None, None);
        (self.is_timed, self.repetitions) = (true, 0);
    }

    /// Forgets the flight and its memory.
    pub(crate) fn end(&mut self) {
        self.begin();
        self.messages = Vec::new();
        self.sent = Vec::new();
    }

    /// Makes it the last one, to which no answer is expected.
    pub(crate) fn expect_no_answer(&mut self) {
        self.is_timed = false;
        self.deadline = None;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The number of times that the timer has sent it again.
    pub(crate) fn repetitions(&self) -> u32 {
        self.repetitions
    }

    /// Goes on with this number: the messages before it were sent without state.
    pub(crate) fn skip_to(&mut self, number: u16) {
        self.next_number = number;
    }

    /// Adds a message. Returns its number.
    pub(crate) fn push(&mut self, kind: u8, epoch: u64, body: Vec<u8>) -> u16 {
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1);
        self.push_outgoing(HANDSHAKE, kind, number, epoch, body);
        number
    }

    /// Adds the ChangeCipherSpec of DTLS 1.2.
    pub(crate) fn push_change_cipher_spec(&mut self) {
        self.push_outgoing(CHANGE_CIPHER_SPEC, 0, 0, 0, vec![1]);
    }

    fn push_outgoing(&mut self, content_type: u8, kind: u8, number: u16, epoch: u64, body: Vec<u8>) {
        let at = self.messages.len();
        self.messages.push(Outgoing { content_type, kind, number, epoch, body, acknowledged: Vec::new() });
        self.cursor.get_or_insert((at, 0));
    }

    /// The body of a message that was added.
    pub(crate) fn body(&self, number: u16) -> &[u8] {
        let found = self.messages.iter().find(|one| one.content_type == HANDSHAKE && one.number == number);
        found.map_or(&[], |message| &message.body)
    }

    /// Sends everything again that was not acknowledged.
    pub(crate) fn repeat(&mut self) {
        if !self.messages.is_empty() {
            self.cursor = Some((0, 0));
            self.deadline = None;
        }
    }

    /// Sends the flight again because the other side repeats its own: it may not have arrived. Not
    /// if it has gone out just now.
    pub(crate) fn answer_repetition(&mut self, now: Instant) {
        let is_recent = self.sent_at.is_none_or(|at| now < at + self.first_timeout / 4);
        if self.cursor.is_none() && !is_recent {
            self.repeat();
        }
    }

    /// Handles acknowledged records. Returns true if the whole flight was acknowledged by them.
    pub(crate) fn acknowledge(&mut self, now: Instant, records: impl Iterator<Item = RecordNumber>) -> bool {
        let mut is_news = false;
        for record in records {
            let Some(at) = self.sent.iter().position(|sent| sent.record == record) else { continue };
            let Sent { message, from, to, .. } = self.sent.swap_remove(at);
            if let Some(message) = self.messages.get_mut(message) {
                add_range(&mut message.acknowledged, from, to);
                is_news = true;
            }
        }
        if self.messages.iter().all(Outgoing::is_acknowledged) {
            return !self.messages.is_empty();
        }
        if is_news {
            // The rest is lost (RFC 9147 §7.2).
            self.answer_repetition(now);
        }
        false
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|at| at <= now) {
            self.timeout = (self.timeout * 2).min(LONGEST_TIMEOUT.max(self.first_timeout));
            self.repetitions += 1;
            self.repeat();
        }
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.cursor.is_some()
    }

    /// Writes the next datagram of the flight to the front of `buf`, of at most `size` bytes.
    /// Returns its length.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        records: &mut RecordLayer,
        buf: &mut [u8],
        size: usize,
    ) -> Option<usize> {
        let size = size.min(buf.len());
        let mut length = 0;
        while let Some((index, offset)) = self.cursor {
            let Some(message) = self.messages.get(index) else {
                self.cursor = None;
                self.sent_at = Some(now);
                self.deadline = self.is_timed.then(|| now + self.timeout);
                break;
            };
            let Some((from, to)) = message.gap(offset) else {
                self.cursor = Some((index + 1, 0));
                continue;
            };
            let (front, back) = records.overhead(message.epoch);
            let header = if message.content_type == HANDSHAKE { FRAGMENT_HEADER } else { 0 };
            let room = size.saturating_sub(length + front + header + back).min(records.limit() - header);
            if room < (to - from).min(SHORTEST_FRAGMENT) || size < length + front + header + back {
                break;
            }
            let to = to.min(from + room);
            let start = length + front;
            write_part(message, from, to, &mut buf[start..start + header + to - from]);
            let content_type = message.content_type;
            let range = start..start + header + to - from;
            let Ok((record, number)) = records.seal(message.epoch, content_type, buf, range) else {
                // The keys are gone: so is everything that was to be said with them.
                self.cursor = Some((index + 1, 0));
                continue;
            };
            debug_assert_eq!(record.start, length, "records stand one behind the other");
            length = record.end;
            if self.sent.len() == MAX_RECORDS {
                self.sent.remove(0);
            }
            self.sent.push(Sent { record: number, message: index, from, to });
            self.cursor = Some(if to == message.body.len() { (index + 1, 0) } else { (index, to) });
        }
        (length > 0).then_some(length)
    }
}

/// Writes a fragment with its header.
fn write_part(message: &Outgoing, from: usize, to: usize, out: &mut [u8]) {
    let mut out = out;
    if message.content_type == HANDSHAKE {
        let u24 = |number: usize| [(number >> 16) as u8, (number >> 8) as u8, number as u8];
        let (header, body) = out.split_at_mut(FRAGMENT_HEADER);
        header[0] = message.kind;
        header[1..4].copy_from_slice(&u24(message.body.len()));
        header[4..6].copy_from_slice(&message.number.to_be_bytes());
        header[6..9].copy_from_slice(&u24(from));
        header[9..12].copy_from_slice(&u24(to - from));
        out = body;
    }
    out.copy_from_slice(&message.body[from..to]);
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the origin of virtual time; nothing depends on its value")]
mod tests {
    use super::super::reassembly::{Fragment, Reassembly};
    use super::*;
    use crate::record::{HEADER, first};
    use crate::wire::Reader;

    fn datagrams(flight: &mut Flight, records: &mut RecordLayer, now: Instant, size: usize) -> Vec<Vec<u8>> {
        let mut buf = [0; 2000];
        let next = || flight.poll_transmit(now, records, &mut buf, size).map(|length| buf[..length].to_vec());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn flight_fits_into_small_datagrams_and_is_repeated_until_acknowledged() {
        let now = Instant::now();
        let (mut flight, mut records) = (Flight::new(Duration::from_millis(100)), RecordLayer::new());
        let body: Vec<u8> = (0..3000).map(|byte| byte as u8).collect();
        flight.begin();
        flight.push(11, 0, body.clone());
        flight.push(14, 0, Vec::new());
        flight.push_change_cipher_spec();
        let mut reassembly = Reassembly::default();
        let (mut numbers, mut specs) = (Vec::new(), 0);
        for datagram in datagrams(&mut flight, &mut records, now, 508) {
            assert!(datagram.len() <= 508 && datagram.len() > 20);
            let mut rest = &datagram[..];
            while let Some(raw) = first(rest) {
                let (record, after) = rest.split_at(raw.length);
                if record[0] == CHANGE_CIPHER_SPEC {
                    specs += 1;
                } else {
                    let fragment = Fragment::read(&mut Reader::new(&record[HEADER..])).unwrap();
                    reassembly.insert(0, &fragment).unwrap();
                }
                numbers.push(RecordNumber { epoch: 0, sequence: numbers.len() as u64 });
                rest = after;
            }
            assert!(rest.is_empty());
        }
        assert_eq!(reassembly.pop().unwrap().body, body);
        assert_eq!(reassembly.pop().unwrap().kind, 14);
        assert_eq!(specs, 1);
        assert_eq!(flight.poll_timeout(), Some(now + Duration::from_millis(100)));
        // All but the second record are acknowledged: it alone is sent again.
        let later = now + Duration::from_millis(100);
        let lost = numbers.remove(1);
        assert!(!flight.acknowledge(later, numbers.into_iter()));
        let again = datagrams(&mut flight, &mut records, later, 508);
        assert_eq!(again.len(), 1);
        assert!(flight.acknowledge(later, [lost].into_iter()), "the first copy was only late");
    }
}
