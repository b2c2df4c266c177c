//! The protocols of the server, as an attacker speaks them: without any care for its rules.

pub(crate) mod h2;
pub(crate) mod http;
pub(crate) mod transport;
pub(crate) mod turn;
pub(crate) mod websocket;
