//! The limit on answers to unauthenticated sources, against reflection (see [`AnswerLimit`]).

use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use columba_limits::client_address;

use super::config::AnswerLimit;
use super::familiar::Familiar;
use super::hash::Keyed;
use super::pool::{Pool, PoolLimit};

/// The sources that wait for an answer of which the time is kept, four bytes each: some seconds of
/// 20,000 forged requests a second.
const WAITING: usize = 1 << 17;

/// The unit of time in that table, in milliseconds.
const WAITING_UNIT: u64 = 50;

/// The shortest pause before a request is sent again, in those units: 400 ms, as the first
/// retransmission comes after 500 ms (RFC 8489 §6.2.1).
const SHORTEST_WAIT: u16 = 8;

/// The longest time for which a request is sent again, in those units: 40 s (RFC 8489 §6.2.1).
const LONGEST_WAIT: u16 = 800;

/// The bytes of an answer that tell a request from the next one of the same source: the
/// transaction id.
pub(super) const TRANSACTION: std::ops::Range<usize> = 8..20;

/// A request of a source that has not authenticated, or the answer to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stranger<'a> {
    pub(super) source: SocketAddr,
    /// The message, of which the transaction id counts.
    pub(super) message: &'a [u8],
    /// True if a client at this address has an allocation.
    pub(super) is_client: bool,
}

/// The state of [`AnswerLimit`]: buckets in a table of fixed size (prefixes that hash to the same
/// slot share one), one for all together, and the sources that are known.
#[derive(Debug)]
pub(super) struct Answers {
    limit: AnswerLimit,
    keyed: Keyed,
    start: Instant,
    prefixes: Box<[Pool]>,
    of_prefix: PoolLimit,
    all: Pool,
    of_all: PoolLimit,
    pub(super) familiar: Familiar,
    /// A tag in the upper and a time in the lower half of each; zero if there is none.
    waiting: Box<[u32]>,
    draws: u64,
}

impl Answers {
    pub(super) fn new(limit: AnswerLimit, keyed: Keyed, start: Instant) -> Self {
        let of_prefix = PoolLimit {
            bytes_per_second: limit.bytes_per_second.unwrap_or(u32::MAX),
            burst: limit.burst,
            share_percent: limit.share_percent,
            floor_bytes_per_second: limit.floor_bytes_per_second,
            share_burst: limit.share_burst,
        };
        let of_all = PoolLimit {
            bytes_per_second: limit.total_bytes_per_second.unwrap_or(u32::MAX),
            burst: limit.total_bytes_per_second.unwrap_or(u32::MAX),
            share_percent: limit.share_percent,
            floor_bytes_per_second: limit.total_floor_bytes_per_second,
            share_burst: limit.total_floor_bytes_per_second.saturating_mul(10),
        };
        Self {
            keyed,
            start,
            prefixes: vec![Pool::full(&of_prefix); limit.slots.max(1)].into_boxed_slice(),
            of_prefix,
            all: Pool::full(&of_all),
            of_all,
            familiar: Familiar::new(keyed, limit.familiar_bytes_per_second),
            // Zeroed memory costs nothing before it is used.
            waiting: vec![0; WAITING].into_boxed_slice(),
            draws: 0,
            limit,
        }
    }

    /// Counts a request. Returns whether an answer of at least `answer` bytes could go out, and is
    /// to.
    pub(super) fn note(&mut self, now: Instant, request: Stranger<'_>, answer: usize) -> bool {
        let ip = request.source.ip();
        if self.is_familiar(now, request) {
            return self.familiar.has(now, ip, answer);
        }
        let (ms, len) = (self.milliseconds(now), request.message.len());
        if self.limit.bytes_per_second.is_some() {
            let (slot, of_prefix) = (self.slot(ip), self.of_prefix);
            self.prefixes[slot].refill(ms, &of_prefix);
            self.prefixes[slot].add_share(len, &of_prefix);
            if !self.prefixes[slot].has(answer) {
                return false;
            }
        }
        if self.limit.total_bytes_per_second.is_none() {
            return true;
        }
        self.all.refill(ms, &self.of_all);
        self.all.add_share(len, &self.of_all);
        let is_drawn = self.draw(ms, request);
        if !is_drawn {
            self.note_waiting(ms, request);
        }
        is_drawn
    }

    /// Returns whether an answer may go out; if so, it is taken from the buckets.
    pub(super) fn take(&mut self, now: Instant, answer: Stranger<'_>) -> bool {
        let (ip, len) = (answer.source.ip(), answer.message.len());
        if self.is_familiar(now, answer) {
            return self.familiar.take(now, ip, len);
        }
        let ms = self.milliseconds(now);
        let (by_prefix, by_all) =
            (self.limit.bytes_per_second.is_some(), self.limit.total_bytes_per_second.is_some());
        let (slot, of_prefix) = (self.slot(ip), self.of_prefix);
        self.prefixes[slot].refill(ms, &of_prefix);
        self.all.refill(ms, &self.of_all);
        if (by_prefix && !self.prefixes[slot].has(len)) || (by_all && !self.all.has(len)) {
            self.note_waiting(ms, answer);
            return false;
        }
        if by_prefix {
            self.prefixes[slot].take(len);
        }
        if by_all {
            self.all.take(len);
        }
        true
    }

    /// A client at this address has received our nonce, so it is no victim: from now on it has a
    /// bucket of its own.
    pub(super) fn proven(&mut self, now: Instant, source: IpAddr) {
        self.familiar.remember(now, source);
    }

    /// Returns whether a source is known: by a nonce that came back, a connection, or an
    /// allocation.
    pub(super) fn is_familiar(&mut self, now: Instant, stranger: Stranger<'_>) -> bool {
        let ip = stranger.source.ip();
        if stranger.is_client && !self.familiar.is_remembered(now, ip) {
            self.familiar.remember(now, ip);
        }
        self.familiar.knows(now, ip)
    }

    /// Draws the sources that are answered when the bucket for all runs empty. While it is half
    /// full all are; below that requests that are sent again go first, as the last quarter is kept
    /// for them, and the others have a chance that goes down with the level.
    fn draw(&mut self, ms: u64, request: Stranger<'_>) -> bool {
        /// The full level.
        const FULL: u64 = 1 << 16;
        let level = self.all.level(FULL, &self.of_all);
        if level >= FULL / 2 {
            return true;
        }
        self.draws += 1;
        let random = self.keyed.hash_one(self.draws) % (FULL / 4);
        if level >= FULL / 4 {
            random < level - FULL / 4 || self.is_waiting(ms, request)
        } else {
            self.is_waiting(ms, request) && random < level
        }
    }

    /// Returns whether this very request came before, as long ago as a client waits before it sends
    /// it again.
    fn is_waiting(&self, ms: u64, request: Stranger<'_>) -> bool {
        let (slot, entry) = self.waiting_entry(ms, request);
        let age = (entry as u16).wrapping_sub(self.waiting[slot] as u16);
        self.waiting[slot] != 0
            && self.waiting[slot] >> 16 == entry >> 16
            && (SHORTEST_WAIT..=LONGEST_WAIT).contains(&age)
    }

    fn note_waiting(&mut self, ms: u64, request: Stranger<'_>) {
        let (slot, entry) = self.waiting_entry(ms, request);
        let age = (entry as u16).wrapping_sub(self.waiting[slot] as u16);
        // One that waits already keeps the time of its beginning.
        if self.waiting[slot] >> 16 != entry >> 16 || age > LONGEST_WAIT {
            self.waiting[slot] = entry;
        }
    }

    /// The slot of a request, and the entry for it if it came now.
    fn waiting_entry(&self, ms: u64, request: Stranger<'_>) -> (usize, u32) {
        let transaction = request.message.get(TRANSACTION).unwrap_or_default();
        let hash = self.keyed.hash_one((request.source, transaction));
        let tag = ((hash >> 48) as u16).max(1);
        let slot = (hash % self.waiting.len() as u64) as usize;
        (slot, u32::from(tag) << 16 | u32::from((ms / WAITING_UNIT) as u16))
    }

    fn slot(&self, source: IpAddr) -> usize {
        (self.keyed.hash_one(prefix(source, 24, 56)) % self.prefixes.len() as u64) as usize
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_millis() as u64
    }
}

/// The network that a client is in, as bits to compare: the first `v4` bits of an IPv4 address, the
/// first `v6` bits of an IPv6 address.
pub(super) fn prefix(ip: IpAddr, v4: u32, v6: u32) -> (bool, u128) {
    match client_address(ip) {
        IpAddr::V4(ip) => (false, u128::from(ip.to_bits() >> (32 - v4))),
        IpAddr::V6(ip) => (true, ip.to_bits() >> (128 - v6)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::start;
    use super::*;

    fn answers() -> Answers {
        Answers::new(AnswerLimit::default(), Keyed::new(3, 4), start())
    }

    /// A message of this length from this address, the first one of its transaction.
    fn message(number: u64, len: usize) -> Vec<u8> {
        let mut message = vec![0; len];
        message[8..16].copy_from_slice(&number.to_be_bytes());
        message
    }

    fn stranger(source: [u8; 4], message: &[u8]) -> Stranger<'_> {
        Stranger { source: SocketAddr::from((source, 5000)), message, is_client: false }
    }

    /// One request of 28 bytes and its answer of this length; returns whether it goes out.
    fn ask(answers: &mut Answers, now: Instant, source: [u8; 4], number: u64, answer: usize) -> bool {
        let (request, answer) = (message(number, 28), message(number, answer));
        answers.note(now, stranger(source, &request), 32) && answers.take(now, stranger(source, &answer))
    }

    /// Requests of `request` bytes, answers of `answer`, `per_second` of them for `seconds`: bytes
    /// in, bytes out.
    fn flood(
        answers: &mut Answers,
        request: usize,
        answer: usize,
        per_second: u64,
        seconds: u64,
    ) -> (usize, usize) {
        let (mut bytes_in, mut bytes_out) = (0, 0);
        for i in 0..per_second * seconds {
            let now = start() + Duration::from_nanos(i * 1_000_000_000 / per_second);
            // All of one /24.
            let source = [198, 51, 100, i as u8];
            let (request, answer) = (message(i, request), message(i, answer));
            bytes_in += request.len();
            if answers.note(now, stranger(source, &request), 32)
                && answers.take(now, stranger(source, &answer))
            {
                bytes_out += answer.len();
            }
        }
        (bytes_in, bytes_out)
    }

    #[test]
    fn under_a_flood_less_goes_out_than_comes_in() {
        for per_second in [50, 200, 1000, 20_000] {
            let limit = AnswerLimit::default();
            let (bytes_in, bytes_out) = flood(&mut answers(), 28, 104, per_second, 60);
            assert!(bytes_out < bytes_in, "{per_second}/s: {bytes_in} in, {bytes_out} out");
            let most = limit.burst + 60 * limit.bytes_per_second.unwrap();
            assert!(bytes_out <= most as usize, "{per_second}/s: {bytes_out} out");
            assert!(bytes_out > 8000, "it does not fall silent");
        }
    }

    #[test]
    fn an_address_that_proves_itself_is_answered_again_and_its_neighbours_are_not() {
        let mut answers = answers();
        flood(&mut answers, 28, 104, 10_000, 1);
        let now = start() + Duration::from_secs(1);
        let (source, neighbour) = ([198, 51, 100, 1], [198, 51, 100, 2]);
        assert!(!answers.take(now, stranger(source, &[0; 8001])));
        answers.proven(now, source.into());
        assert!(answers.take(now, stranger(source, &[0; 8001])));
        assert!(!answers.take(now, stranger(neighbour, &[0; 8001])));
    }

    #[test]
    fn another_prefix_is_not_disturbed() {
        let mut answers = answers();
        flood(&mut answers, 28, 104, 10_000, 1);
        let other = message(1, 28);
        assert!(answers.note(start() + Duration::from_secs(1), stranger([198, 51, 101, 1], &other), 8000));
    }

    #[test]
    fn prefixes_have_the_given_lengths() {
        let p = |s: &str| prefix(s.parse().unwrap(), 24, 56);
        assert_eq!(p("10.0.0.1"), p("10.0.0.255"));
        assert_ne!(p("10.0.0.1"), p("10.0.1.1"));
        assert_eq!(p("2a00:0:0:1::"), p("2a00:0:0:ff::1"));
        assert_ne!(p("2a00:0:0:100::"), p("2a00:0:0:1::"));
        assert_eq!(p("64:ff9b::a00:1"), p("10.0.0.7"), "translated");
    }

    /// Forged requests from all /24s of a /8, and clients that come meanwhile and send as RFC 8489
    /// §6.2.1 has it. Each forged request is sent so many times, half a second apart. Returns bytes
    /// in, bytes out, and the share of clients that were served.
    fn spoofed(per_second: u64, request: usize, answer: usize, seconds: u64, times: u64) -> (u64, u64, f64) {
        let mut answers = answers();
        let (mut bytes_in, mut bytes_out) = (0, 0);
        // The times at which a client sends, in milliseconds after its first.
        let schedule = [0, 500, 1500, 3500, 7500, 15_500, 31_500];
        let clients = 100_u64;
        let begin = |client: u64| 2000 + client * 20;
        let mut sends: Vec<(u64, u64)> =
            (0..clients).flat_map(|client| schedule.map(|after| (begin(client) + after, client))).collect();
        sends.sort_unstable();
        let mut served = vec![false; clients as usize];
        let mut next = 0;
        for i in 0..per_second * seconds {
            let now = Duration::from_nanos(i * 1_000_000_000 / per_second);
            // Rounds of half a second: in each, every request but the newest was sent before.
            let (round, at) = (i / (per_second / 2), i % (per_second / 2));
            let fresh = per_second / 2 / times;
            let number = (round + at / fresh.max(1)) * fresh + at % fresh.max(1);
            let random = Keyed::new(5, 6).hash_one(number);
            let [a, b, ..] = random.to_be_bytes();
            let (query, reply) = (message(number, request), message(number, answer));
            bytes_in += request as u64;
            let source = [100, a, b, 1];
            if answers.note(start() + now, stranger(source, &query), 32)
                && answers.take(start() + now, stranger(source, &reply))
            {
                bytes_out += answer as u64;
            }
            while let Some((at, client)) =
                sends.get(next).copied().filter(|(at, _)| u128::from(*at) <= now.as_millis())
            {
                next += 1;
                if !served[client as usize] {
                    let source = [9, client as u8, (client >> 8) as u8, 7];
                    let at = start() + Duration::from_millis(at);
                    served[client as usize] = ask(&mut answers, at, source, u64::MAX - client, answer);
                }
            }
        }
        let share = served.iter().filter(|served| **served).count() as f64 / clients as f64;
        (bytes_in, bytes_out, share)
    }

    #[test]
    fn a_flood_from_65_536_networks_gets_less_out_than_it_puts_in_and_clients_are_served() {
        for (per_second, request, answer) in [(4000, 20, 32), (20_000, 20, 32), (20_000, 28, 104)] {
            let (bytes_in, bytes_out, served) = spoofed(per_second, request, answer, 36, 1);
            assert!(bytes_out < bytes_in, "{per_second}/s of {request}: {bytes_in} in, {bytes_out} out");
            assert!(bytes_out * 5 > bytes_in, "it does not fall silent: {bytes_in} in, {bytes_out} out");
            assert!(served >= 0.99, "{per_second}/s of {request}: {served} of the clients served");
        }
    }

    /// Forged requests that are sent again as clients do cannot be told from theirs: each
    /// transmission is answered with the share of the bytes out in the bytes asked for.
    #[test]
    fn forged_retransmissions_leave_clients_their_random_share() {
        for (request, answer, least) in [(20, 32, 0.95), (28, 104, 0.7)] {
            let (bytes_in, bytes_out, served) = spoofed(20_000, request, answer, 36, 5);
            assert!(bytes_out < bytes_in, "{request}: {bytes_in} in, {bytes_out} out");
            assert!(served >= least, "{request}: {served} of the clients served");
        }
    }

    #[test]
    fn who_is_known_goes_first_however_empty_the_bucket_is() {
        let mut answers = answers();
        let (by_nonce, by_connection, by_allocation) = ([9, 0, 0, 1], [9, 0, 1, 1], [9, 0, 2, 1]);
        answers.familiar.connect(by_connection.into());
        let mut random = 1_u64;
        let mut refused = 0;
        for i in 0..100_000_u64 {
            let now = start() + Duration::from_micros(i * 20);
            if i == 0 {
                answers.proven(now, by_nonce.into());
            }
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let [a, b, ..] = random.to_be_bytes();
            refused += u32::from(!ask(&mut answers, now, [100, a, b, 1], i, 104));
            if i % 5000 == 4999 {
                for source in [by_nonce, by_connection, by_allocation] {
                    let (request, answer) = (message(i, 28), message(i, 104));
                    let is_client = source == by_allocation;
                    let of = |message| Stranger { is_client, ..stranger(source, message) };
                    assert!(
                        answers.note(now, of(&request), 32) && answers.take(now, of(&answer)),
                        "{source:?}"
                    );
                }
            }
        }
        assert!(refused > 50_000, "the bucket was empty: {refused}");
        answers.familiar.disconnect(by_connection.into());
        let later = start() + Duration::from_secs(1000);
        assert!(!answers.familiar.knows(later, by_connection.into()));
    }

    #[test]
    fn the_defaults_suit_a_carriers_network_of_10_000_phones() {
        // All phones of a /24 come at once, as after an outage, through 250 addresses: each asks
        // STUN, then TURN, and does so again as RFC 8489 §6.2.1 has it until it is answered. The
        // answer to TURN is a nonce that comes back.
        let mut answers = answers();
        let schedule = [0, 500, 1500, 3500, 7500, 15_500, 31_500];
        let mut sends: Vec<(u64, u64)> =
            (0..10_000).flat_map(|phone| schedule.map(|after| (phone / 10 + after, phone))).collect();
        sends.sort_unstable();
        let mut served = [vec![false; 10_000], vec![false; 10_000]];
        for (at, phone) in sends {
            let (now, index) = (start() + Duration::from_millis(at), phone as usize);
            let source = [198, 51, 100, (phone % 250) as u8];
            if !served[0][index] {
                served[0][index] = ask(&mut answers, now, source, phone, 44);
            }
            if !served[1][index] && ask(&mut answers, now, source, phone + 10_000, 104) {
                served[1][index] = true;
                answers.proven(now, source.into());
            }
        }
        for (of, served) in ["STUN", "TURN"].iter().zip(&served) {
            let count = served.iter().filter(|served| **served).count();
            assert!(count >= 9990, "{of}: {count} of 10,000 phones");
        }
    }
}
