//! The driver: the only place where a peer connection meets sockets, names and the clock.
//!
//! One task for each connection. Whenever something has happened (a socket is readable, a deadline has come, a handle has changed
//! the state machine), it takes in what arrived, sends what is to be sent, hands on what is to be known, and sleeps again. It never waits for
//! the application, and holds the lock for no longer than one step of the state machine takes.

mod listener;
mod mdns;
mod names;
pub(crate) mod network;
pub(crate) mod stream;
mod udp;

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use columba_peer::framing::Framing;
use columba_peer::{BindId, Event, Input, ListenId, LocalAddress, Path, Request, Transmit, Transport};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep_until};
use tracing::debug;

use crate::data_channel::ENOUGH_ROOM;
use crate::shared::{ChannelSignals, Shared, State};
use listener::Listener;
use stream::{Outgoing, Pushed};
use udp::{Received, Socket};

/// Sends between two looks at the sockets, so that a flood of one kind does not starve the other.
const SENDS_PER_TURN: usize = 32;

/// Batches read from one socket in a turn.
const BATCHES_PER_TURN: usize = 4;

/// Connections accepted from one listener in a turn.
const ACCEPTS_PER_TURN: usize = 16;

/// How long a closed connection may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(3);

/// What is sent at once, at most: 64 KiB is what the kernel takes.
const SEND_BUFFER: usize = 64 << 10;

thread_local! {
    /// What is about to be sent; one for each thread, because nobody needs it between two turns.
    static OUTGOING: RefCell<Vec<u8>> = RefCell::new(vec![0; SEND_BUFFER]);
}

pub(crate) struct Driver {
    shared: Arc<Shared>,
    sockets: Vec<Socket>,
    /// Sockets to be closed, once what is to be sent has gone.
    closing: Vec<SocketAddr>,
    listeners: Vec<Listener>,
    /// The same for TCP connections.
    closing_streams: Vec<Path>,
    /// Connections that still write what waits.
    ending: Vec<Arc<Outgoing>>,
    /// What a socket did not take; nothing else is sent before it.
    blocked: Option<Transmit>,
    blocked_bytes: Vec<u8>,
    timer: Pin<Box<Sleep>>,
    /// When a closed connection is given up.
    give_up: Option<Instant>,
    /// How certificates are checked, if not as the system does it.
    tls: Option<Arc<rustls::ClientConfig>>,
    /// Answers for the own names, if addresses are hidden.
    responder: Option<mdns::Responder>,
    tasks: JoinSet<()>,
    /// Channels to be told of, once the lock is released: whoever is woken goes for it at once.
    news: Vec<(News, Arc<ChannelSignals>)>,
}

/// What those who wait on a channel wait for.
#[derive(Clone, Copy, Debug)]
enum News {
    Readable,
    Changed,
}

/// Whether there is more to do at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Done,
    More,
}

impl Driver {
    /// A driver that tells the peer of the host's addresses whenever they change. To be called inside a runtime.
    pub(crate) fn new(
        shared: Arc<Shared>,
        addresses: watch::Receiver<Arc<[LocalAddress]>>,
        tls: Option<Arc<rustls::ClientConfig>>,
    ) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(report_addresses(Arc::downgrade(&shared), addresses));
        Self {
            shared,
            sockets: Vec::new(),
            closing: Vec::new(),
            listeners: Vec::new(),
            closing_streams: Vec::new(),
            ending: Vec::new(),
            blocked: None,
            blocked_bytes: Vec::new(),
            timer: Box::pin(sleep_until(Instant::now().into())),
            give_up: None,
            tls,
            responder: None,
            tasks,
            news: Vec::new(),
        }
    }

    /// Runs until the connection is closed and everything is said.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.lock().driver = Some(cx.waker().clone());
        while let Poll::Ready(Some(_)) = self.tasks.poll_join_next(cx) {}
        self.keep_time();
        let mut turn = self.receive(cx);
        // Whoever waits for what has come may run while the rest of the turn goes on.
        let acted = self.hand_on();
        if self.transmit(cx) == Turn::More || acted {
            turn = Turn::More;
        }
        // Sockets that were just asked for have something to send, and the next turn listens to them.
        while self.hand_on() {
            self.transmit(cx);
            turn = Turn::More;
        }
        let everything_went = turn == Turn::Done && self.blocked.is_none();
        if everything_went {
            self.close_sockets();
        }
        let deadline = {
            let mut state = self.shared.lock();
            make_room(&mut state, &mut self.news);
            if everything_went && self.ending.is_empty() && state.peer.is_drained() {
                return Poll::Ready(());
            }
            state.peer.poll_timeout()
        };
        self.spread();
        let now = Instant::now();
        if self.give_up.is_some_and(|at| at <= now) {
            return Poll::Ready(());
        }
        let is_due = [deadline, self.give_up].into_iter().flatten().min().is_some_and(|deadline| {
            self.timer.as_mut().reset(deadline.into());
            self.timer.as_mut().poll(cx).is_ready()
        });
        if turn == Turn::More || is_due {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Whether the application has closed the connection; from then on it has a while to say goodbye.
    fn is_closed(&self, state: &State) -> bool {
        state.peer.connection_state() == columba_peer::PeerConnectionState::Closed
    }

    fn keep_time(&mut self) {
        let now = Instant::now();
        let mut state = self.shared.lock();
        if state.peer.poll_timeout().is_some_and(|deadline| deadline <= now) {
            state.peer.handle_timeout(now);
        }
        if self.give_up.is_none() && self.is_closed(&state) {
            self.give_up = Some(now + FAREWELL);
        }
    }

    /// Takes in what has arrived.
    fn receive(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut turn = self.accept(cx);
        for socket in &mut self.sockets {
            let mut batches = 0;
            loop {
                match socket.poll_receive(cx, &self.shared) {
                    Received::Nothing => break,
                    Received::Something if batches < BATCHES_PER_TURN => batches += 1,
                    Received::Something => {
                        turn = Turn::More;
                        break;
                    }
                }
            }
        }
        turn
    }

    /// Takes in connections that others have opened.
    fn accept(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut turn = Turn::Done;
        for listener in &self.listeners {
            let mut accepted = 0;
            while let Some((stream, path)) = listener.poll_accept(cx) {
                let outgoing = Arc::new(Outgoing::new(Framing::Rfc4571));
                // The peer knows of the connection before anything is read from it.
                let mut state = self.shared.lock();
                state.streams.insert(path, outgoing.clone());
                state.peer.handle_input(Instant::now(), Input::Accepted { path });
                drop(state);
                let shared = Arc::downgrade(&self.shared);
                self.tasks.spawn(stream::carry(stream, Framing::Rfc4571, path, outgoing, shared));
                accepted += 1;
                if accepted == ACCEPTS_PER_TURN {
                    turn = Turn::More;
                    break;
                }
            }
        }
        turn
    }

    /// Sends what there is to be sent.
    fn transmit(&mut self, cx: &mut Context<'_>) -> Turn {
        if let Some(transmit) = self.blocked.take() {
            let bytes = std::mem::take(&mut self.blocked_bytes);
            let rest = self.send(cx, &bytes, transmit);
            self.blocked_bytes = bytes;
            if let Some(rest) = rest {
                self.blocked = Some(rest);
                return Turn::Done;
            }
        }
        OUTGOING.with_borrow_mut(|buffer| {
            for _ in 0..SENDS_PER_TURN {
                let next = self.shared.lock().peer.poll_transmit(Instant::now(), buffer);
                let Some(transmit) = next else { return Turn::Done };
                if let Some(rest) = self.send(cx, buffer, transmit) {
                    self.blocked_bytes.clear();
                    self.blocked_bytes.extend_from_slice(&buffer[rest.range.clone()]);
                    self.blocked = Some(Transmit { range: 0..rest.range.len(), ..rest });
                    return Turn::Done;
                }
            }
            Turn::More
        })
    }

    /// Gives one transmit to its socket or connection. What the socket did not take comes back.
    fn send(&mut self, cx: &mut Context<'_>, buffer: &[u8], transmit: Transmit) -> Option<Transmit> {
        if transmit.path.transport == Transport::Udp {
            let socket = self.sockets.iter_mut().find(|socket| socket.local == transmit.path.local)?;
            return socket.poll_send(cx, buffer, transmit);
        }
        let state = &mut *self.shared.lock();
        if let Some(stream) = state.streams.get(&transmit.path)
            && stream.push(&buffer[transmit.range]) == Pushed::Clogged
        {
            state.peer.handle_input(Instant::now(), Input::Clogged { path: transmit.path });
        }
        None
    }

    /// Hands on what the peer has to say. True if anything was done that may lead to more.
    fn hand_on(&mut self) -> bool {
        let mut acted = false;
        let mut told = false;
        loop {
            let mut state = self.shared.lock();
            let Some(event) = state.peer.poll_event() else { break };
            match event {
                Event::Request(request) => {
                    drop(state);
                    self.fulfil(request);
                    acted = true;
                }
                event => told |= hand_to_application(&mut state, event, &mut self.news),
            }
        }
        self.spread();
        if told {
            self.shared.changed.notify_waiters();
        }
        acted
    }

    /// Wakes those for whom there is news. To be called without the lock.
    fn spread(&mut self) {
        for (news, signals) in self.news.drain(..) {
            match news {
                News::Readable => signals.readable.notify_waiters(),
                News::Changed => signals.changed.notify_waiters(),
            }
        }
    }

    /// Does, or begins to do, what is needed of the outside world.
    fn fulfil(&mut self, request: Request) {
        match request {
            Request::BindUdp { id, address } => self.bind(id, address),
            Request::CloseUdp { local } => self.closing.push(local),
            Request::Connect { id, local, remote, tls, framing } => {
                let tls = tls.map(|name| (name, self.tls.clone()));
                let wish = stream::Wish { id, local, remote, tls, framing };
                self.tasks.spawn(stream::run(wish, Arc::downgrade(&self.shared)));
            }
            Request::Listen { id, address, opens } => self.listen(id, address, opens),
            Request::CloseListener { local } => self.listeners.retain(|listener| listener.local != local),
            Request::CloseStream { path } => self.closing_streams.push(path),
            Request::Resolve { id, host } => {
                let answer = names::resolve(host);
                self.tasks.spawn(names::report(Arc::downgrade(&self.shared), id, answer));
            }
            Request::ResolveMdns { id, host } => {
                let answer = mdns::resolve(host);
                self.tasks.spawn(names::report(Arc::downgrade(&self.shared), id, answer));
            }
            Request::PublishMdns { host, address } => {
                let responder = self.responder.get_or_insert_with(|| {
                    let responder = mdns::Responder::default();
                    self.tasks.spawn(responder.clone().run());
                    responder
                });
                responder.publish(host, address);
            }
            request => debug!(?request, "nobody does this here"),
        }
    }

    fn bind(&mut self, id: BindId, address: IpAddr) {
        let input = match Socket::bind(address) {
            Ok(socket) => {
                let local = socket.local;
                self.sockets.push(socket);
                Input::Bound { id, local }
            }
            Err(error) => {
                debug!(%error, "a socket could not be bound");
                Input::BindFailed { id }
            }
        };
        self.shared.lock().peer.handle_input(Instant::now(), input);
    }

    fn listen(&mut self, id: ListenId, address: IpAddr, opens: bool) {
        let input = match Listener::bind(address, opens) {
            Ok(listener) => {
                let local = listener.local;
                self.listeners.push(listener);
                Input::Listening { id, local }
            }
            Err(error) => {
                debug!(%error, "a listener could not be had");
                Input::ListenFailed { id }
            }
        };
        self.shared.lock().peer.handle_input(Instant::now(), input);
    }

    /// A goodbye may have been asked for in the same breath as the end of the socket that carries it.
    fn close_sockets(&mut self) {
        for path in self.closing_streams.drain(..) {
            if let Some(stream) = self.shared.lock().streams.remove(&path) {
                stream.close();
                self.ending.push(stream);
            }
        }
        self.ending.retain(|stream| !stream.is_done());
        let closing = &self.closing;
        self.sockets.retain(|socket| !closing.contains(&socket.local));
        self.closing.clear();
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

impl Drop for Driver {
    /// Also when the runtime ends before the connection does: nobody shall wait for ever.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_over = true;
        state.driver = None;
        for channel in state.channels.keys().copied().collect::<Vec<_>>() {
            state.channel_closed(channel, None);
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }
}

/// Gives an event to those whom it concerns. True if it is one of the connection's, which the application receives.
fn hand_to_application(state: &mut State, event: Event, news: &mut Vec<(News, Arc<ChannelSignals>)>) -> bool {
    match event {
        Event::ChannelReadable(channel) => {
            news.extend(state.channels.get(&channel).map(|signals| (News::Readable, signals.clone())));
            false
        }
        Event::ChannelOpen(channel) | Event::BufferedAmountLow(channel) | Event::ChannelClosing(channel) => {
            news.extend(state.channels.get(&channel).map(|signals| (News::Changed, signals.clone())));
            false
        }
        Event::ChannelClosed(channel, error) => {
            state.channel_closed(channel, error);
            false
        }
        Event::DataChannel(channel) => {
            if !state.keep_event(Event::DataChannel(channel)) {
                debug!("nobody takes a data channel of the other side's");
                // It may be closed again already, which is as good.
                let _ = state.peer.close_channel(Instant::now(), channel);
            }
            true
        }
        event => {
            state.keep_event(event);
            true
        }
    }
}

/// There is news for those who wait for room on a data channel, where there is some.
fn make_room(state: &mut State, news: &mut Vec<(News, Arc<ChannelSignals>)>) {
    if state.waiting_for_room.is_empty() {
        return;
    }
    let State { peer, channels, waiting_for_room, .. } = state;
    waiting_for_room.retain(|channel| {
        let waits = peer.buffered_amount(*channel) > ENOUGH_ROOM;
        if let (false, Some(signals)) = (waits, channels.get(channel)) {
            news.push((News::Changed, signals.clone()));
        }
        waits
    });
}
