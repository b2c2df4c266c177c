//! The peer's requests of the outside world: sockets, connections, names.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use columba_peer::{BindId, Input, ListenId, Request, TransportId};
use tokio::task::JoinSet;
use tracing::debug;

use super::sockets::Sockets;
use super::tcp::{Connections, StreamRequest};
use super::{mdns, names};
use crate::shared::Shared;

/// The means by which requests are fulfilled.
pub(super) struct Requests<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) sockets: &'a mut Sockets,
    pub(super) connections: &'a mut Connections,
    /// Answers mDNS questions for the own names, if addresses are hidden.
    pub(super) responder: &'a mut Option<mdns::Responder>,
    pub(super) tasks: &'a mut JoinSet<()>,
}

impl Requests<'_> {
    /// Fulfils a request of a transport, or begins to. The lock must not be held.
    pub(super) fn fulfil(&mut self, transport: TransportId, request: Request) {
        match request {
            Request::BindUdp { id, address } => self.bind(transport, id, address),
            Request::CloseUdp { local } => self.sockets.mark_closing(local),
            Request::Connect { id, local, remote, tls, framing } => {
                let request = StreamRequest { transport, id, local, remote, server_name: tls, framing };
                self.connections.open(request, self.shared, self.tasks);
            }
            Request::Listen { id, address, opens } => self.listen(transport, id, address, opens),
            Request::CloseListener { local } => self.connections.close_listener(local),
            Request::CloseStream { path } => self.connections.mark_closing(path),
            Request::Resolve { id, host } => {
                let answer = names::resolve(host);
                self.tasks.spawn(names::report(Arc::downgrade(self.shared), transport, id, answer));
            }
            Request::ResolveMdns { id, host } => {
                let answer = mdns::resolve(host);
                self.tasks.spawn(names::report(Arc::downgrade(self.shared), transport, id, answer));
            }
            Request::PublishMdns { host, address } => self.publish(host, address),
        }
    }

    fn bind(&mut self, transport: TransportId, id: BindId, address: IpAddr) {
        let bound = self.sockets.bind(transport, address);
        self.answer(transport, bound, |local| Input::Bound { id, local }, Input::BindFailed { id });
    }

    fn listen(&mut self, transport: TransportId, id: ListenId, address: IpAddr, opens: bool) {
        let bound = self.connections.listen(transport, address, opens);
        self.answer(transport, bound, |local| Input::Listening { id, local }, Input::ListenFailed { id });
    }

    fn answer(
        &self,
        transport: TransportId,
        bound: io::Result<SocketAddr>,
        success: impl FnOnce(SocketAddr) -> Input,
        failure: Input,
    ) {
        let input = bound.map_or_else(
            |error| {
                debug!(%error, "binding a socket failed");
                failure
            },
            success,
        );
        self.shared.lock().peer.handle_input(Instant::now(), transport, input);
    }

    fn publish(&mut self, host: Arc<str>, address: IpAddr) {
        let responder = self.responder.get_or_insert_with(|| {
            let responder = mdns::Responder::default();
            self.tasks.spawn(responder.clone().run());
            responder
        });
        responder.publish(host, address);
    }
}
