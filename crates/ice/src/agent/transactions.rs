//! Requests are repeated, and given up (RFC 8489 §6.2.1).

use std::time::Instant;

use super::Agent;
use super::ids::{Base, PairId};
use super::transaction::{DOUBTFUL, Kind, MAX_PROMPTS};

impl Agent {
    /// Repeats what is due, and gives up what had its time.
    pub(super) fn expire_transactions(&mut self, now: Instant) {
        for id in self.transactions.due(now) {
            let Some(transaction) = self.transactions.get_mut(id) else { continue };
            if transaction.is_reprieved(now) {
                self.transactions.woke = Some(now);
                continue;
            }
            if let (Kind::Consent { pair, .. }, false) = (transaction.kind, transaction.late) {
                // On a path that has become slow all answers come late, and yet the other side
                // consents.
                let sent = transaction.first;
                transaction.linger(sent + self.config.timings.consent_timeout);
                self.handle_consent_silence(now, pair, sent);
                continue;
            }
            if transaction.deadline > now {
                let bytes = transaction.repeat(now);
                let (base, remote, pair) = (transaction.base, transaction.remote, transaction.pair());
                if let (Base::Relay(relay), Kind::Check { .. }) = (base, transaction.kind)
                    && transaction.sent == DOUBTFUL
                {
                    self.doubt_relay(now, relay);
                }
                if let Some(pair) = pair.and_then(|pair| self.pairs.get_mut(pair)) {
                    pair.counters.retransmissions_sent += 1;
                }
                self.send(base, remote, bytes);
                continue;
            }
            let Some(transaction) = self.transactions.remove(id) else { continue };
            match transaction.kind {
                Kind::Check { pair, .. } => {
                    if let Some(pair) = self.pairs.get_mut(pair)
                        && pair.consent.heard.is_some_and(|at| at >= transaction.first)
                    {
                        pair.setbacks.one_way = Some(now);
                    }
                    self.handle_check_silence(pair);
                }
                Kind::Consent { .. } => {}
                Kind::Server { server, first } => self.handle_server_silence(&transaction, server, first),
            }
        }
    }

    /// The other side's check has come through: what kept this side's out may be gone.
    pub(super) fn answer_prompt(&mut self, now: Instant, pair: PairId) {
        let check = self.pairs.get(pair).and_then(|pair| pair.check).map(|check| check.transaction);
        let transaction = check.and_then(|id| self.transactions.get_mut(id));
        if let Some(transaction) = transaction.filter(|one| one.prompts < MAX_PROMPTS) {
            transaction.prompts += u32::from(transaction.may_be_repeated(now));
            self.repeat_now(now, pair);
        }
    }

    /// Repeats the check under way, and does so again as in its beginning: repetitions are worth
    /// while now.
    pub(super) fn repeat_now(&mut self, now: Instant, pair: PairId) {
        let check = self.pairs.get(pair).and_then(|pair| pair.check).map(|check| check.transaction);
        let (rto, quick) = (self.config.timings.check_rto, self.config.timings.quick_repetitions);
        let transaction = check.and_then(|id| self.transactions.get_mut(id));
        let Some(transaction) = transaction.filter(|one| one.may_be_repeated(now)) else { return };
        (transaction.rto, transaction.quick) = (rto, quick);
        let bytes = transaction.repeat(now);
        let (base, remote) = (transaction.base, transaction.remote);
        if let Some(pair) = self.pairs.get_mut(pair) {
            pair.counters.retransmissions_sent += 1;
        }
        self.send(base, remote, bytes);
    }
}
