//! The peer's requests of the outside world: sockets, connections, names.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use columba_peer::{Input, Request, ResolveId, TransportId};
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
            Request::BindUdp { id, address } => {
                let bound = self.sockets.bind(transport, address);
                self.answer(transport, bound, |local| Input::Bound { id, local }, Input::BindFailed { id });
            }
            Request::CloseUdp { local } => self.sockets.mark_closing(local),
            Request::Connect { id, local, remote, tls: server_name, framing } => {
                let request = StreamRequest { transport, id, local, remote, server_name, framing };
                self.connections.open(request, self.shared, self.tasks);
            }
            Request::Listen { id, address, opens } => {
                let bound = self.connections.listen(transport, address, opens);
                let failure = Input::ListenFailed { id };
                self.answer(transport, bound, |local| Input::Listening { id, local }, failure);
            }
            Request::CloseListener { local } => self.connections.close_listener(local),
            Request::CloseStream { path } => self.connections.mark_closing(path),
            Request::Resolve { id, host } => self.resolve(transport, id, names::resolve(host)),
            Request::ResolveMdns { id, host } => self.resolve(transport, id, mdns::resolve(host)),
            Request::PublishMdns { host, address } => self.publish(host, address),
        }
    }

    /// Gives the peer the address of a new socket, or the failure.
    fn answer(
        &self,
        transport: TransportId,
        bound: io::Result<SocketAddr>,
        success: impl FnOnce(SocketAddr) -> Input,
        failure: Input,
    ) {
        let input = match bound {
            Ok(local) => success(local),
            Err(error) => {
                debug!(%error, "binding a socket failed");
                failure
            }
        };
        self.shared.lock().peer.handle_input(Instant::now(), transport, input);
    }

    fn resolve(
        &mut self,
        transport: TransportId,
        id: ResolveId,
        answer: impl Future<Output = Vec<IpAddr>> + Send + 'static,
    ) {
        self.tasks.spawn(names::report(Arc::downgrade(self.shared), transport, id, answer));
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
