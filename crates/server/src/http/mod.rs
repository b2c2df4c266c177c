//! The web port: TCP, TLS, HTTP, and TURN on the same port.

mod answer;
mod connection;
mod headers;
mod health;
mod listener;
mod router;
mod socket;
mod static_files;
mod stream;
mod streams;

pub(crate) use self::connection::{Shared, serve};
pub(crate) use self::listener::{bind, bind_sentence, no_such_family};
pub(crate) use self::router::{App, router};
pub(crate) use self::socket::UNREAD_BYTES;
