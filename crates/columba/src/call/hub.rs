//! The task of a call: it gives what comes from the signaling server to the tasks of the peers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use columba_signal::{ClientId, ErrorCode, PeerId};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Source;
use super::events::{CallEvent, PeerEnd};
use super::message::{CallMessage, Received};
use super::options::{Admission, CallOptions};
use super::post::{Delivery, Post};
use super::remote::{Ended, Means, PeerCommand, RemotePeer};
use super::signaling::Signaling;
use super::state::{PeerRequest, Shared};
use crate::signaling::{SignalingError, SignalingEvent};

/// The most commands that wait for a remote peer; more are dropped, and a sender that needs an
/// answer repeats itself.
const MAX_COMMANDS: usize = 256;

/// Messages of a peer that wait until the application connects to it; the oldest is dropped first.
const MAX_HELD: usize = 64;

/// A peer of the session.
enum Peer {
    /// Nothing is done before the application wants it.
    Waiting(VecDeque<Received>),
    /// It has a task.
    Connecting(mpsc::Sender<PeerCommand>),
}

/// A peer that has said goodbye and is still in the session. It may call again on its channel, but
/// what it has sent before may come later than its goodbye, which goes over the connection.
struct Farewell {
    /// The number of the last connection.
    attempt: u64,
    /// The way to the task that opens its messages, if they are sealed.
    listener: Option<mpsc::Sender<String>>,
}

/// The first message of a peer that calls again, and what came behind it.
type Heard = (PeerId, CallMessage, mpsc::Receiver<String>);

pub(super) struct Hub {
    shared: Arc<Shared>,
    signaling: Arc<dyn Signaling>,
    own: PeerId,
    options: CallOptions,
    peers: BTreeMap<PeerId, Peer>,
    /// Peers that are not listened to until they leave the session.
    dismissed: BTreeSet<PeerId>,
    farewells: BTreeMap<PeerId, Farewell>,
    tasks: JoinSet<Ended>,
    listeners: JoinSet<Option<Heard>>,
}

impl Hub {
    pub(super) fn new(
        shared: Arc<Shared>,
        signaling: Arc<dyn Signaling>,
        own: PeerId,
        options: CallOptions,
    ) -> Self {
        Self {
            shared,
            signaling,
            own,
            options,
            peers: BTreeMap::new(),
            dismissed: BTreeSet::new(),
            farewells: BTreeMap::new(),
            tasks: JoinSet::new(),
            listeners: JoinSet::new(),
        }
    }

    pub(super) async fn run(mut self, mut source: Source) {
        let mut signaling_is_over = false;
        while !signaling_is_over || !self.peers.is_empty() {
            let has_room = self.shared.has_room();
            tokio::select! {
                event = source.next(), if has_room && !signaling_is_over => {
                    signaling_is_over = matches!(event, None | Some(SignalingEvent::Closed(_)));
                    self.handle_event(event.unwrap_or(SignalingEvent::Closed(SignalingError::Closed)));
                }
                () = self.shared.room(), if !has_room => {}
                Some(ended) = self.tasks.join_next() => {
                    if let Ok(ended) = ended {
                        self.task_ended(ended);
                    }
                }
                Some(Ok(Some(heard))) = self.listeners.join_next() => self.heard(heard),
                (peer, request) = self.shared.next_request() => self.fulfil(peer, request).await,
                patience = self.shared.leaving() => {
                    self.leave(patience, &mut source).await;
                    break;
                }
            }
        }
        self.signaling.close().await;
        self.shared.end();
    }

    fn handle_event(&mut self, event: SignalingEvent) {
        match event {
            SignalingEvent::PeerJoined { peer, id } => {
                self.dismissed.remove(&peer);
                self.farewells.remove(&peer);
                self.reachable(peer, true);
                if self.peers.contains_key(&peer) {
                    // It is the same peer as before, whatever happened to the server meanwhile.
                    self.command(peer, PeerCommand::Reachable { anew: true });
                } else {
                    self.add(peer, id);
                }
            }
            SignalingEvent::PeerLeft { peer, reason } => {
                self.reachable(peer, false);
                self.dismissed.remove(&peer);
                self.farewells.remove(&peer);
                if matches!(self.peers.get(&peer), Some(Peer::Waiting(_))) {
                    self.ended(peer, PeerEnd::Left);
                }
                self.command(peer, PeerCommand::Unreachable(reason));
            }
            SignalingEvent::Message { from, data } => match Received::read(&data) {
                Received::Other => self.shared.emit(CallEvent::Signal { peer: from, data }),
                received => self.received(from, received),
            },
            SignalingEvent::IceServers => self.command_all(|| PeerCommand::IceServers),
            SignalingEvent::Open { rejoined } => {
                self.shared.emit(CallEvent::SignalingOpen { rejoined });
                self.command_all(|| PeerCommand::IceServers);
                let signaling = &self.signaling;
                let is_here = |peer: &PeerId| signaling.is_reachable(*peer);
                let here: Vec<PeerId> = self.peers.keys().copied().filter(is_here).collect();
                for peer in here {
                    self.command(peer, PeerCommand::Reachable { anew: rejoined });
                }
            }
            SignalingEvent::Reconnecting => self.shared.emit(CallEvent::SignalingInterrupted),
            SignalingEvent::Refused(refusal) => {
                if refusal.code != ErrorCode::NoSuchPeer {
                    self.shared.emit(CallEvent::SignalingRefused(refusal));
                }
            }
            SignalingEvent::Closed(error) => self.shared.emit(CallEvent::SignalingClosed(error)),
        }
    }

    fn reachable(&self, peer: PeerId, reachable: bool) {
        if self.peers.contains_key(&peer) {
            self.shared.emit(CallEvent::PeerReachable { peer, reachable });
        }
    }

    fn received(&mut self, from: PeerId, received: Received) {
        if self.dismissed.contains(&from) {
            return;
        }
        if !self.peers.contains_key(&from) && self.signaling.is_reachable(from) {
            // One that has left on this channel may be calling again.
            let is_new = match (&received, self.farewells.get(&from)) {
                (Received::Clear(message), None) => message.bye != Some(true),
                (Received::Clear(message), Some(farewell)) => message.is_later_than(farewell.attempt),
                (Received::Sealed(text), Some(_)) if self.options.admission == Admission::Automatic => {
                    return self.listen(from, text.clone());
                }
                (Received::Unreadable, Some(_)) => false,
                _ => true,
            };
            if !is_new {
                return;
            }
            self.add(from, None);
        }
        self.command(from, PeerCommand::Signal(received));
    }

    /// Gives a sealed message of a peer that has said goodbye to the task that opens them.
    fn listen(&mut self, from: PeerId, text: String) {
        let Some(Farewell { attempt, listener }) = self.farewells.get_mut(&from) else { return };
        let listener = listener.get_or_insert_with(|| {
            let (sender, messages) = mpsc::channel(MAX_COMMANDS);
            let post = Post::new(self.signaling.clone(), self.options.seal.clone(), self.own, from);
            self.listeners.spawn(hear(from, *attempt, post, messages));
            sender
        });
        // A peer that calls again repeats itself.
        let _ = listener.try_send(text);
    }

    /// A peer that had said goodbye calls again.
    fn heard(&mut self, (peer, first, mut messages): Heard) {
        if self.farewells.remove(&peer).is_none() || self.peers.contains_key(&peer) {
            return;
        }
        self.add(peer, None);
        self.command(peer, PeerCommand::Signal(Received::Opened(first)));
        while let Ok(text) = messages.try_recv() {
            self.command(peer, PeerCommand::Signal(Received::Sealed(text)));
        }
    }

    fn add(&mut self, peer: PeerId, client_id: Option<ClientId>) {
        self.farewells.remove(&peer);
        self.peers.insert(peer, Peer::Waiting(VecDeque::new()));
        self.shared.add_peer(peer);
        self.shared.emit(CallEvent::PeerJoined { peer, client_id });
        if self.options.admission == Admission::Automatic {
            self.connect(peer);
        }
    }

    /// Begins to connect to a peer, unless that is so already.
    fn connect(&mut self, peer: PeerId) {
        let Some(Peer::Waiting(held)) = self.peers.get_mut(&peer) else { return };
        let held = std::mem::take(held);
        let (sender, commands) = mpsc::channel(MAX_COMMANDS);
        let post = Post::new(self.signaling.clone(), self.options.seal.clone(), self.own, peer);
        let remote = RemotePeer::new(Means {
            shared: self.shared.clone(),
            signaling: self.signaling.clone(),
            configuration: self.options.configuration.clone(),
            endpoint: self.options.endpoint.clone(),
            direct_only: self.options.direct_only,
            media: self.options.media.clone(),
            timing: self.options.timing.clone(),
            post,
            own: self.own,
            peer,
        });
        self.tasks.spawn(remote.run(commands));
        self.peers.insert(peer, Peer::Connecting(sender));
        for received in held {
            self.command(peer, PeerCommand::Signal(received));
        }
    }

    fn command_all(&mut self, command: impl Fn() -> PeerCommand) {
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.command(peer, command());
        }
    }

    fn command(&mut self, peer: PeerId, command: PeerCommand) {
        match self.peers.get_mut(&peer) {
            // A peer that missed a message asks again.
            Some(Peer::Connecting(commands)) => {
                let _ = commands.try_send(command);
            }
            Some(Peer::Waiting(held)) => {
                if let PeerCommand::Signal(received) = command {
                    held.push_back(received);
                    if held.len() > MAX_HELD {
                        held.pop_front();
                    }
                }
            }
            None => {}
        }
    }

    async fn fulfil(&mut self, peer: PeerId, request: PeerRequest) {
        match (request, self.peers.get(&peer)) {
            (PeerRequest::Connect, _) => self.connect(peer),
            (PeerRequest::Dismiss, Some(Peer::Connecting(commands))) => {
                self.dismissed.insert(peer);
                // The task ends, and its end ends the peer.
                let _ = commands.send(PeerCommand::Leave(Duration::ZERO)).await;
            }
            (PeerRequest::Dismiss, Some(Peer::Waiting(_))) => {
                self.dismissed.insert(peer);
                self.ended(peer, PeerEnd::Dismissed);
            }
            (PeerRequest::Dismiss, None) => {}
        }
    }

    fn task_ended(&mut self, Ended { peer, end, attempt }: Ended) {
        if end == Some(PeerEnd::Left) && self.signaling.is_reachable(peer) {
            self.farewells.insert(peer, Farewell { attempt, listener: None });
        }
        self.ended(peer, end.unwrap_or(PeerEnd::Dismissed));
    }

    fn ended(&mut self, peer: PeerId, end: PeerEnd) {
        if self.peers.remove(&peer).is_some() {
            self.shared.remove_peer(peer);
            self.shared.emit(CallEvent::PeerLeft { peer, end });
        }
    }

    async fn leave(&mut self, patience: Duration, source: &mut Source) {
        for peer in self.peers.values() {
            if let Peer::Connecting(commands) = peer {
                let _ = commands.send(PeerCommand::Leave(patience)).await;
            }
        }
        while !self.tasks.is_empty() {
            tokio::select! {
                // The last texts may still need a connection.
                Some(event) = source.next() => if let SignalingEvent::Message { from, data } = event {
                    let received = Received::read(&data);
                    if !matches!(received, Received::Other) {
                        self.command(from, PeerCommand::Signal(received));
                    }
                },
                Some(ended) = self.tasks.join_next() => if let Ok(Ended { peer, .. }) = ended {
                    self.ended(peer, PeerEnd::Dismissed);
                },
            }
        }
    }
}

/// Opens messages until there is one that can be about a later connection than this one.
async fn hear(
    peer: PeerId,
    attempt: u64,
    mut post: Post,
    mut messages: mpsc::Receiver<String>,
) -> Option<Heard> {
    while let Some(text) = messages.recv().await {
        post.receive(Received::Sealed(text));
        if let Delivery::Message(message) = post.next().await
            && message.is_later_than(attempt)
        {
            return Some((peer, message, messages));
        }
    }
    None
}
