//! The TCP and TLS connections of a peer: to TURN servers, and to peers that datagrams do not
//! reach.

mod listener;
mod options;
mod outgoing;
mod stream;
mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use columba_peer::framing::Framing;
use columba_peer::{Input, Path, TransportId};
use tokio::task::JoinSet;

use crate::shared::Shared;
use listener::Listener;
pub(crate) use outgoing::Outgoing;
pub(super) use outgoing::Pushed;
pub(super) use stream::StreamRequest;
pub(crate) use tls::ServerTls;

/// Connections accepted from one listener in a turn.
const ACCEPTS_PER_TURN: usize = 16;

/// Listeners, and the connections that are to be closed. Each open connection has a task of its
/// own.
pub(super) struct Connections {
    tls: ServerTls,
    listeners: Vec<Listener>,
    /// Connections to be closed, once the turn's datagrams are queued on them.
    closing: Vec<Path>,
    /// Closed connections that still write what waits.
    ending: Vec<Arc<Outgoing>>,
}

impl Connections {
    pub(super) fn new(tls: ServerTls) -> Self {
        Self { tls, listeners: Vec::new(), closing: Vec::new(), ending: Vec::new() }
    }

    /// Opens a connection in a task of its own, which reports to the peer.
    pub(super) fn open(&self, request: StreamRequest, shared: &Arc<Shared>, tasks: &mut JoinSet<()>) {
        tasks.spawn(stream::run(request, self.tls.clone(), Arc::downgrade(shared)));
    }

    /// Listens at this address and any port, for connections of this transport; returns the address
    /// with the port.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn listen(
        &mut self,
        transport: TransportId,
        address: IpAddr,
        opens: bool,
    ) -> io::Result<SocketAddr> {
        let listener = Listener::bind(transport, address, opens)?;
        let local = listener.local;
        self.listeners.reserve_exact(1);
        self.listeners.push(listener);
        Ok(local)
    }

    /// Stops listening at this address; accepted connections stay.
    pub(super) fn close_listener(&mut self, local: SocketAddr) {
        self.listeners.retain(|listener| listener.local != local);
    }

    /// Accepts connections that others have opened. True if more may wait.
    pub(super) fn accept(&self, cx: &mut Context<'_>, shared: &Arc<Shared>, tasks: &mut JoinSet<()>) -> bool {
        let mut is_more = false;
        for listener in &self.listeners {
            let mut accepted = 0;
            while let Some((stream, path)) = listener.poll_accept(cx) {
                let outgoing = Arc::new(Outgoing::new(listener.transport, Framing::Rfc4571));
                // The peer knows of the connection before anything is read from it.
                let mut state = shared.lock();
                state.streams.insert(path, outgoing.clone());
                state.peer.handle_input(Instant::now(), listener.transport, Input::Accepted { path });
                drop(state);
                let shared = Arc::downgrade(shared);
                tasks.spawn(stream::carry(stream, path, outgoing, shared));
                accepted += 1;
                if accepted == ACCEPTS_PER_TURN {
                    is_more = true;
                    break;
                }
            }
        }
        is_more
    }

    /// Closes this connection with [`close_marked`](Self::close_marked).
    pub(super) fn mark_closing(&mut self, path: Path) {
        self.closing.push(path);
    }

    /// Closes the connections that are marked, each as soon as what waits on it is written.
    pub(super) fn close_marked(&mut self, shared: &Shared) {
        for path in self.closing.drain(..) {
            if let Some(stream) = shared.lock().streams.remove(&path) {
                stream.close();
                self.ending.push(stream);
            }
        }
        self.ending.retain(|stream| !stream.is_done());
    }

    /// Returns whether closed connections still write.
    pub(super) fn is_writing(&self) -> bool {
        !self.ending.is_empty()
    }
}
