//! The transports of signaling around the relay of `columba-signal`. `docs/signaling.md` is the
//! contract.

mod attachment;
mod body;
mod http;
mod ice_servers;
mod metrics;
mod origin;
mod service;
mod websocket;

pub(crate) use self::http::{enter, events, leave, messages};
pub(crate) use self::ice_servers::{Endpoint, IceServerSource};
pub(crate) use self::origin::guard_origin;
pub(crate) use self::service::Signal;
pub(crate) use self::websocket::websocket;
