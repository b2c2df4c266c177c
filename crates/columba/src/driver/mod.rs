//! The driver: the only place where a peer connection meets sockets, names and the clock.
//!
//! One task for each connection. It is woken when a socket is readable, when a deadline has come,
//! or when a handle has changed the state machine; then it receives, sends, fulfils requests,
//! delivers events and sleeps again. It never waits for the application, and holds the lock for one
//! step of the state machine at a time.

#[cfg_attr(not(feature = "mdns"), path = "mdns/absent.rs")]
mod mdns;
mod names;
mod requests;
mod sockets;
pub(crate) mod tcp;
pub(crate) mod wake;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use columba_peer::{Input, LocalAddress, PeerConnectionState, Request, Transmit, Transport, TransportId};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep_until};

use crate::certificates;
use crate::endpoint::Endpoint;
use crate::shared::{Shared, State};
pub(crate) use sockets::udp;

use requests::Requests;
use sockets::Sockets;
use tcp::{Connections, Pushed, ServerTls};
use wake::Wakeups;

/// Sends between two receives, so that neither starves the other.
const SENDS_PER_TURN: usize = 32;

/// The longest time that a closed connection may take to send its close notifications.
const CLOSING: Duration = Duration::from_secs(3);

/// Bytes sent at once, at most: 64 KiB is what the kernel takes.
const SEND_BUFFER: usize = 64 << 10;

thread_local! {
    /// The datagrams that are about to be sent. One for each thread: it is empty between two turns.
    static OUTGOING: RefCell<Vec<u8>> = RefCell::new(vec![0; SEND_BUFFER]);
}

/// The task of one connection.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    sockets: Sockets,
    connections: Connections,
    timer: Pin<Box<Sleep>>,
    /// The time at which a closed connection is dropped, whether its close notifications have gone
    /// or not.
    give_up: Option<Instant>,
    /// Answers mDNS questions for the own names, if addresses are hidden.
    responder: Option<mdns::Responder>,
    tasks: JoinSet<()>,
    wakeups: Wakeups,
    /// Requests that wait until nothing else is to be done.
    deferred: VecDeque<(TransportId, Request)>,
    /// A certificate is to be made for a later connection once this one is up.
    replenishes: bool,
}

impl Driver {
    /// A driver that tells the peer of the host's addresses whenever they change. To be called
    /// inside a runtime.
    pub(crate) fn new(
        shared: Arc<Shared>,
        addresses: watch::Receiver<Arc<[LocalAddress]>>,
        tls: ServerTls,
        endpoint: Option<Endpoint>,
        replenishes: bool,
    ) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(report_addresses(Arc::downgrade(&shared), addresses));
        let sockets = Sockets::new(endpoint, &shared);
        Self {
            shared,
            sockets,
            connections: Connections::new(tls),
            timer: Box::pin(sleep_until(Instant::now().into())),
            give_up: None,
            responder: None,
            tasks,
            wakeups: Wakeups::default(),
            deferred: VecDeque::new(),
            replenishes,
        }
    }

    /// One turn. Ready once the connection is closed and everything is sent.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.lock().driver = Some(cx.waker().clone());
        while let Poll::Ready(Some(_)) = self.tasks.poll_join_next(cx) {}
        self.handle_time();
        let mut is_more = self.connections.accept(cx, &self.shared, &mut self.tasks);
        is_more |= self.sockets.receive(cx, &self.shared);
        // Tasks that wait for what was received may run while the rest of the turn goes on.
        self.deliver_events();
        is_more |= self.fulfil_requests();
        is_more |= self.transmit(cx);
        self.sockets.report_lost(&self.shared);
        self.deliver_events();
        // New sockets have something to send, and are polled for input in the next turn.
        while self.fulfil_requests() {
            self.transmit(cx);
            self.deliver_events();
            is_more = true;
        }
        is_more = is_more || self.fulfil_deferred();
        let all_is_sent = !is_more && !self.sockets.is_blocked();
        if all_is_sent {
            // A close notification may be sent in the same turn that closes its socket.
            self.connections.close_marked(&self.shared);
            self.sockets.close_marked();
        }
        self.replenish();
        let deadline = {
            let state = self.shared.lock();
            if all_is_sent && !self.connections.is_writing() && state.peer.is_drained() {
                return Poll::Ready(());
            }
            state.peer.poll_timeout()
        };
        let now = Instant::now();
        if self.give_up.is_some_and(|at| at <= now) {
            return Poll::Ready(());
        }
        let is_due = [deadline, self.give_up].into_iter().flatten().min().is_some_and(|deadline| {
            self.timer.as_mut().reset(deadline.into());
            self.timer.as_mut().poll(cx).is_ready()
        });
        if is_more || is_due {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn handle_time(&mut self) {
        let now = Instant::now();
        let mut state = self.shared.lock();
        if state.peer.poll_timeout().is_some_and(|deadline| deadline <= now) {
            state.peer.handle_timeout(now);
        }
        if self.give_up.is_none() && state.peer.connection_state() == PeerConnectionState::Closed {
            self.give_up = Some(now + CLOSING);
        }
    }

    /// Sends the datagrams that wait. True if more wait.
    fn transmit(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.sockets.send_blocked(cx) {
            return false;
        }
        self.sockets.mark(&self.shared.lock().peer);
        OUTGOING.with_borrow_mut(|buffer| {
            for _ in 0..SENDS_PER_TURN {
                let next = self.shared.lock().peer.poll_transmit(Instant::now(), buffer);
                let Some(transmit) = next else { return false };
                if transmit.path.transport == Transport::Udp {
                    self.sockets.send(cx, buffer, transmit);
                } else {
                    send_on_stream(&mut self.shared.lock(), buffer, transmit);
                }
                if self.sockets.is_blocked() {
                    return false;
                }
            }
            true
        })
    }

    fn requests(&mut self) -> Requests<'_> {
        Requests {
            shared: &self.shared,
            sockets: &mut self.sockets,
            connections: &mut self.connections,
            responder: &mut self.responder,
            tasks: &mut self.tasks,
        }
    }

    /// Fulfils the peer's requests. True if there were any, from which more may follow. Listeners
    /// are seldom needed and take as long as sockets of UDP, whose candidates do not wait for them.
    fn fulfil_requests(&mut self) -> bool {
        let mut is_more = false;
        loop {
            let next = self.shared.lock().peer.poll_request();
            let Some((transport, request)) = next else { return is_more };
            if matches!(request, Request::Listen { .. }) {
                self.deferred.push_back((transport, request));
                continue;
            }
            self.requests().fulfil(transport, request);
            is_more = true;
        }
    }

    /// Fulfils one of the requests that wait: what arrives meanwhile is handled before the next.
    /// False if there is none.
    fn fulfil_deferred(&mut self) -> bool {
        let Some((transport, request)) = self.deferred.pop_front() else { return false };
        self.requests().fulfil(transport, request);
        if self.deferred.is_empty() {
            self.deferred = VecDeque::new();
        }
        true
    }

    /// Makes a certificate for the next connection in place of that which this one has used, and
    /// spares its sockets a detour of the kernel's.
    fn replenish(&mut self) {
        let is_up = || self.shared.lock().peer.connection_state() == PeerConnectionState::Connected;
        if self.replenishes && is_up() {
            self.replenishes = false;
            tokio::spawn(async {
                certificates::replenish();
                udp::keep_offload();
            });
        }
    }

    /// Delivers the peer's events, and wakes their waiters.
    fn deliver_events(&mut self) {
        let mut state = self.shared.lock();
        self.wakeups.deliver_all(&mut state);
        if let Some(seat) = self.sockets.seat() {
            seat.follow(&state.peer, state.negotiations);
        }
        drop(state);
        self.wakeups.wake_waiters(&self.shared);
    }
}

/// Written out: an async function would keep its argument twice.
impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.turn(cx)
    }
}

impl Drop for Driver {
    /// Ends all waiting, also when the runtime is shut down before the connection is closed.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_over = true;
        state.driver = None;
        state.close_channels();
        drop(state);
        self.shared.changed.notify_waiters();
        self.shared.packets.notify_waiters();
    }
}

/// Queues datagrams on their connection; one that is closed already drops them.
fn send_on_stream(state: &mut State, buffer: &[u8], transmit: Transmit) {
    if let Some(stream) = state.streams.get(&transmit.path)
        && stream.push(&buffer[transmit.range]) == Pushed::Clogged
    {
        let input = Input::Clogged { path: transmit.path };
        state.peer.handle_input(Instant::now(), stream.transport, input);
    }
}

/// Tells the peer of the host's addresses whenever they change.
async fn report_addresses(shared: Weak<Shared>, mut addresses: watch::Receiver<Arc<[LocalAddress]>>) {
    while addresses.changed().await.is_ok() {
        let Some(shared) = shared.upgrade() else { return };
        let now = addresses.borrow_and_update().clone();
        shared.with_peer(|peer, at| peer.handle_network_change(at, &now));
    }
}
