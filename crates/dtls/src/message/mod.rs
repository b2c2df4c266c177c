//! The messages of a handshake, one a file.

mod ack;
mod certificate;
mod certificate_request;
mod certificate_verify;
mod client_hello;
mod encrypted_extensions;
mod extension;
mod hello_verify_request;
mod key_exchange;
mod server_hello;

pub(crate) use ack::{MAX_ACKS, read_ack, write_ack};
pub(crate) use certificate::{read_certificate, write_certificate};
pub(crate) use certificate_request::{
    read_certificate_request_12, read_certificate_request_13, write_certificate_request_12,
    write_certificate_request_13,
};
pub(crate) use certificate_verify::{read_signed, signed_content, write_signed};
pub(crate) use client_hello::{ClientHello, ClientHelloParts};
pub(crate) use encrypted_extensions::{read_encrypted_extensions, write_encrypted_extensions};
pub(crate) use extension::{Choices, SMALLEST_LIMIT};
pub(crate) use hello_verify_request::{read_hello_verify_request, write_hello_verify_request};
pub(crate) use key_exchange::{
    ServerKeyExchange, read_client_key_exchange, write_client_key_exchange, write_server_parameters,
};
pub(crate) use server_hello::{RETRY_RANDOM, ServerHello, ServerHelloParts};

/// Handshake types (RFC 5246 §7.4, RFC 8446 §4, RFC 6347 §4.3.2).
pub(crate) const CLIENT_HELLO: u8 = 1;
pub(crate) const SERVER_HELLO: u8 = 2;
pub(crate) const HELLO_VERIFY_REQUEST: u8 = 3;
pub(crate) const NEW_SESSION_TICKET: u8 = 4;
pub(crate) const ENCRYPTED_EXTENSIONS: u8 = 8;
pub(crate) const CERTIFICATE: u8 = 11;
pub(crate) const SERVER_KEY_EXCHANGE: u8 = 12;
pub(crate) const CERTIFICATE_REQUEST: u8 = 13;
pub(crate) const SERVER_HELLO_DONE: u8 = 14;
pub(crate) const CERTIFICATE_VERIFY: u8 = 15;
pub(crate) const CLIENT_KEY_EXCHANGE: u8 = 16;
pub(crate) const FINISHED: u8 = 20;
pub(crate) const KEY_UPDATE: u8 = 24;
