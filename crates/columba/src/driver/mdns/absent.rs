//! In place of mDNS where the feature `mdns` is not built in: no name is found. A configuration
//! that would publish names is refused (`features.rs`).

use std::net::IpAddr;
use std::sync::Arc;

/// Finds no address.
pub(super) async fn resolve(_host: Arc<str>) -> Vec<IpAddr> {
    Vec::new()
}

/// Publishes nothing.
#[derive(Clone, Debug, Default)]
pub(in crate::driver) struct Responder;

impl Responder {
    pub(in crate::driver) fn publish(&self, _host: Arc<str>, _address: IpAddr) {}

    pub(in crate::driver) async fn run(self) {}
}
