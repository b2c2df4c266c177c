//! The STUN and TURN servers of the configuration, and their addresses.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use columba_stun::{canonical, canonical_ip};

use super::ids::ServerIndex;
use crate::config::{Host, IceServer};
use crate::event::ResolveId;

/// Addresses of one server that are used, at most: one of each family, and some in reserve.
const MAX_SERVER_ADDRESSES: usize = 4;

/// The servers in use.
#[derive(Debug, Default)]
pub(super) struct Servers {
    list: Vec<Server>,
}

/// A server of the configuration.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) config: IceServer,
    addresses: Resolution,
    /// TURN: the server has said that allocations must not move (RFC 8016).
    forbids_mobility: bool,
}

#[derive(Debug)]
enum Resolution {
    Pending(ResolveId),
    Known(Vec<IpAddr>),
}

impl Server {
    /// The server's addresses, best first; none until its name is resolved.
    pub(super) fn addresses(&self) -> &[IpAddr] {
        match &self.addresses {
            Resolution::Known(addresses) => addresses,
            Resolution::Pending(_) => &[],
        }
    }

    /// The server's address in the family of `local`.
    pub(super) fn address_for(&self, local: IpAddr) -> Option<SocketAddr> {
        let ip = self.addresses().iter().find(|ip| ip.is_ipv4() == local.is_ipv4())?;
        Some(canonical(SocketAddr::new(*ip, self.config.port)))
    }

    fn pending(&self) -> Option<ResolveId> {
        match self.addresses {
            Resolution::Pending(id) => Some(id),
            Resolution::Known(_) => None,
        }
    }
}

impl Servers {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Server> {
        self.list.iter()
    }

    pub(super) fn indexed(&self) -> impl Iterator<Item = (ServerIndex, &Server)> {
        self.list.iter().enumerate().map(|(index, server)| (ServerIndex(index), server))
    }

    pub(super) fn get(&self, index: ServerIndex) -> Option<&Server> {
        self.list.get(index.0)
    }

    /// The server with this URL.
    pub(super) fn with_url(&self, url: &str) -> Option<(ServerIndex, &Server)> {
        self.indexed().find(|(_, server)| *server.config.url == *url)
    }

    pub(super) fn find(&self, config: &IceServer) -> Option<&Server> {
        self.list.iter().find(|server| server.config == *config)
    }

    /// Adds a server. Returns the name that is to be resolved for it, if it is not being resolved
    /// already.
    pub(super) fn add(
        &mut self,
        config: IceServer,
        new_id: impl FnOnce() -> ResolveId,
    ) -> Option<(ResolveId, Arc<str>)> {
        let (addresses, request) = match &config.host {
            Host::Ip(ip) => (Resolution::Known(vec![canonical_ip(*ip)]), None),
            Host::Name(name) => {
                let same = self.list.iter().filter(|server| server.config.host == config.host);
                match same.filter_map(Server::pending).next() {
                    Some(id) => (Resolution::Pending(id), None),
                    None => {
                        let id = new_id();
                        (Resolution::Pending(id), Some((id, name.clone())))
                    }
                }
            }
        };
        self.list.push(Server { config, addresses, forbids_mobility: false });
        request
    }

    /// Takes in the addresses of a name. Returns false if no server waits for it.
    pub(super) fn resolve(&mut self, id: ResolveId, addresses: &[IpAddr]) -> bool {
        let mut found = false;
        for server in self.list.iter_mut().filter(|server| server.pending() == Some(id)) {
            let known = addresses.iter().copied().map(canonical_ip);
            server.addresses = Resolution::Known(known.take(MAX_SERVER_ADDRESSES).collect());
            found = true;
        }
        found
    }

    /// The URLs of the servers that wait for this name.
    pub(super) fn waiting_for(&self, id: ResolveId) -> Vec<Arc<str>> {
        let waiting = self.list.iter().filter(|server| server.pending() == Some(id));
        waiting.map(|server| server.config.url.clone()).collect()
    }

    /// Stops waiting for names. Returns the URLs of the servers that have no address now.
    pub(super) fn give_up_names(&mut self) -> Vec<Arc<str>> {
        let pending = self.list.iter_mut().filter(|server| server.pending().is_some());
        pending
            .map(|server| {
                server.addresses = Resolution::Known(Vec::new());
                server.config.url.clone()
            })
            .collect()
    }

    /// Returns whether a name is being resolved.
    pub(super) fn is_pending(&self) -> bool {
        self.list.iter().any(|server| server.pending().is_some())
    }

    /// Returns whether a server has said that allocations must not move.
    pub(super) fn forbids_mobility(&self, config: &IceServer) -> bool {
        self.list.iter().any(|server| server.config == *config && server.forbids_mobility)
    }

    pub(super) fn forbid_mobility(&mut self, config: &IceServer) {
        let servers = self.list.iter_mut().filter(|server| server.config == *config);
        servers.for_each(|server| server.forbids_mobility = true);
    }
}
