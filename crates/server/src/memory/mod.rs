//! One budget for all the memory that clients can make the server hold.
//!
//! Each connection has an [`Account`]. What it makes the server keep is held on that account by a
//! [`Held`], which gives the bytes back when it is dropped. When more is held than the budget
//! allows, the accounts that hold most are evicted, those of the network that holds most first, so
//! that a client that holds little stays.

mod ledger;
mod machine;

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use self::ledger::{AccountId, Ledger};
pub(crate) use self::machine::default_limit;

/// The kinds of memory that clients make the server hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Buffers and state of HTTP connections and requests.
    Http,
    /// State of TLS sessions.
    Tls,
    /// Bodies of requests.
    Bodies,
    /// Parts of answers that the client has not taken.
    Answers,
    /// Parts of WebSocket messages, in either direction.
    WebSockets,
    /// Messages that wait for peers of sessions.
    Queues,
    /// Buffers of TURN over TCP and TLS.
    TurnStreams,
    /// The kernel's queues of clients that take nothing, or are left unread.
    Sockets,
}

impl Holder {
    /// All kinds, in the order of their positions in the ledger.
    const ALL: [Self; 8] = [
        Self::Http,
        Self::Tls,
        Self::Bodies,
        Self::Answers,
        Self::WebSockets,
        Self::Queues,
        Self::TurnStreams,
        Self::Sockets,
    ];

    /// The name in `/metrics`.
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tls => "tls",
            Self::Bodies => "bodies",
            Self::Answers => "answers",
            Self::WebSockets => "websockets",
            Self::Queues => "queues",
            Self::TurnStreams => "turn_streams",
            Self::Sockets => "sockets",
        }
    }
}

/// The budget, shared by all that hold something for clients.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Mutex<Ledger>>);

/// The numbers of a budget at one moment.
#[derive(Clone, Debug)]
pub(crate) struct BudgetStats {
    /// The bytes that may be held.
    pub(crate) limit: u64,
    /// The bytes held, by the name of the holder.
    pub(crate) held: Vec<(&'static str, u64)>,
    /// The accounts evicted so far.
    pub(crate) evictions: u64,
}

/// The refusal to hold more: the account is evicted, and its owner closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's memory for clients is used up, and this connection held most of it")]
pub(crate) struct Evicted;

impl Budget {
    /// A budget of so many bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self(Arc::new(Mutex::new(Ledger::new(limit))))
    }

    /// The account of a connection that begins. Accounts of one network are evicted as one holder;
    /// without a network (behind a trusted proxy) the account stands for itself.
    pub(crate) fn open(&self, network: Option<IpAddr>) -> Account {
        let eviction = Arc::new(Eviction::default());
        let id = self.ledger().open(network, eviction.clone());
        Account(Arc::new(Open { budget: self.clone(), id, eviction, unread: AtomicBool::new(false) }))
    }

    /// Sets the bytes that wait in the queues of sessions, which belong to no single connection.
    pub(crate) fn set_queues(&self, bytes: u64) {
        self.ledger().set_queues(bytes);
    }

    /// The numbers for `/metrics`.
    pub(crate) fn stats(&self) -> BudgetStats {
        let ledger = self.ledger();
        let held = Holder::ALL.iter().map(|holder| (holder.name(), ledger.held(*holder))).collect();
        BudgetStats { limit: ledger.limit(), held, evictions: ledger.evictions() }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Budget").field(&self.stats()).finish()
    }
}

/// The account of one connection. Cloning shares it; it ends with the last clone and the last
/// [`Held`] on it.
#[derive(Clone, Debug)]
pub(crate) struct Account(Arc<Open>);

#[derive(Debug)]
struct Open {
    budget: Budget,
    id: AccountId,
    eviction: Arc<Eviction>,
    /// The last reading of the connection's socket took something, so that there may be more.
    unread: AtomicBool,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.budget.ledger().close(self.id);
    }
}

impl Account {
    /// Holds so many bytes until the answer is dropped.
    ///
    /// # Errors
    ///
    /// [`Evicted`] if this account has to go, now or before.
    pub(crate) fn hold(&self, holder: Holder, bytes: usize) -> Result<Held, Evicted> {
        let mut held = Held { account: self.clone(), holder, bytes: 0 };
        held.resize(bytes)?;
        Ok(held)
    }

    /// Returns whether the account has been evicted.
    pub(crate) fn is_evicted(&self) -> bool {
        self.0.eviction.decided.load(Ordering::Acquire)
    }

    /// Notes whether the connection's socket may have more to read.
    pub(crate) fn note_unread(&self, unread: bool) {
        self.0.unread.store(unread, Ordering::Relaxed);
    }

    /// Returns whether the connection's socket may have more to read.
    pub(crate) fn has_unread(&self) -> bool {
        self.0.unread.load(Ordering::Relaxed)
    }

    /// Returns when the account is evicted: the connection is to be closed at once. For one task at
    /// a time.
    pub(crate) async fn evicted(&self) {
        while !self.is_evicted() {
            self.0.eviction.wake.notified().await;
        }
    }
}

/// Bytes held on an account, given back when this is dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the bytes back"]
pub(crate) struct Held {
    account: Account,
    holder: Holder,
    bytes: usize,
}

impl Held {
    /// Holds another number of bytes from now on. Less is always granted.
    ///
    /// # Errors
    ///
    /// [`Evicted`] if this account has to go; the number held stays then.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), Evicted> {
        if bytes == self.bytes {
            return Ok(());
        }
        let open = &self.account.0;
        open.budget.ledger().change(open.id, self.holder, self.bytes as u64, bytes as u64)?;
        self.bytes = bytes;
        Ok(())
    }

    /// The bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Less is always granted.
        let _ = self.resize(0);
    }
}

/// The notice to the task of a connection that it has to go.
#[derive(Debug, Default)]
struct Eviction {
    decided: AtomicBool,
    wake: Notify,
}

impl Eviction {
    fn decide(&self) {
        self.decided.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    fn held(budget: &Budget, name: &str) -> u64 {
        budget.stats().held.iter().find(|(holder, _)| *holder == name).unwrap().1
    }

    #[test]
    fn largest_account_is_evicted_and_small_ones_stay() {
        let budget = Budget::new(1000);
        let (large, small) = (budget.open(network(1)), budget.open(network(2)));
        let first = large.hold(Holder::Answers, 900).unwrap();
        let _second = small.hold(Holder::Bodies, 200).unwrap();
        assert!(large.is_evicted() && !small.is_evicted());
        assert_eq!(large.hold(Holder::Answers, 1).unwrap_err(), Evicted);
        assert_eq!((held(&budget, "answers"), held(&budget, "bodies")), (900, 200));
        let _third = small.hold(Holder::Bodies, 500).unwrap();
        assert!(!small.is_evicted(), "what an evicted account still holds counts as free");
        drop(first);
        assert_eq!((held(&budget, "answers"), budget.stats().evictions), (0, 1));
    }

    #[test]
    fn account_that_asks_for_more_than_all_is_refused_itself() {
        let budget = Budget::new(1000);
        let (large, small) = (budget.open(network(1)), budget.open(network(2)));
        let _some = small.hold(Holder::Bodies, 100).unwrap();
        assert_eq!(large.hold(Holder::Bodies, 2000).unwrap_err(), Evicted);
        assert_eq!(held(&budget, "bodies"), 100);
        assert!(!small.is_evicted());
    }

    #[test]
    fn network_that_holds_most_pays_with_its_largest_account() {
        let budget = Budget::new(1000);
        let many: Vec<Account> = (0..9).map(|_| budget.open(network(1))).collect();
        let _held: Vec<Held> =
            many.iter().enumerate().map(|(at, a)| a.hold(Holder::Http, 90 + at).unwrap()).collect();
        let alone = budget.open(network(2));
        let _own = alone.hold(Holder::Http, 200).unwrap();
        assert!(!alone.is_evicted(), "it holds more than any other account, but its network less");
        let evicted: Vec<bool> = many.iter().map(Account::is_evicted).collect();
        assert_eq!(evicted, [[false; 7].as_slice(), &[true; 2]].concat(), "its two largest, for some room");
        // Behind a proxy each account stands for itself.
        let proxied: Vec<Account> = (0..2).map(|_| budget.open(None)).collect();
        let _proxied: Vec<Held> = proxied.iter().map(|a| a.hold(Holder::Http, 150).unwrap()).collect();
        assert!(proxied.iter().all(|account| !account.is_evicted()));
    }

    #[test]
    fn queues_count_although_no_connection_owns_them() {
        let budget = Budget::new(1000);
        let account = budget.open(network(1));
        let _held = account.hold(Holder::WebSockets, 600).unwrap();
        budget.set_queues(300);
        assert!(!account.is_evicted());
        budget.set_queues(500);
        assert!(account.is_evicted());
        assert_eq!(held(&budget, "queues"), 500);
    }

    #[test]
    fn closed_accounts_leave_nothing() {
        let budget = Budget::new(1000);
        for _ in 0..100 {
            let account = budget.open(network(1));
            let mut held = account.hold(Holder::TurnStreams, 400).unwrap();
            drop(account);
            held.resize(700).unwrap();
            assert_eq!((held.bytes(), budget.stats().held[6].1), (700, 700));
        }
        assert!(budget.stats().held.iter().all(|(_, bytes)| *bytes == 0));
        assert_eq!(budget.ledger().accounts(), 0);
    }

    #[tokio::test]
    async fn eviction_wakes_the_task_of_the_connection() {
        let budget = Budget::new(10);
        let account = budget.open(network(1));
        let waiting = tokio::spawn({
            let account = account.clone();
            async move { account.evicted().await }
        });
        tokio::task::yield_now().await;
        assert!(account.hold(Holder::Http, 11).is_err());
        waiting.await.unwrap();
    }
}
