//! STUN and TURN messages: RFC 8489, RFC 8656, and ICE's share of them, RFC 8445.
//!
//! ```
//! use columba_stun::attributes::{Software, XorMappedAddress};
//! use columba_stun::{BuildError, Class, Message, MessageBuilder, Method, TransactionId};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A client asks; a real transaction id is random.
//! let mut request = [0; 128];
//! let id = TransactionId([1; 12]);
//! let length = MessageBuilder::new(&mut request, Class::Request, Method::BINDING, id)?
//!     .push(&Software::from("columba"))?
//!     .fingerprint()?
//!     .finish();
//!
//! // A server answers.
//! let request = Message::parse(&request[..length])?;
//! let mut response = [0; 128];
//! let length = MessageBuilder::success(&mut response, &request)?
//!     .push(&XorMappedAddress("192.0.2.1:32853".parse()?))?
//!     .fingerprint()?
//!     .finish();
//!
//! // The client reads the answer.
//! let response = Message::parse(&response[..length])?;
//! response.verify_fingerprint()?;
//! assert_eq!(response.transaction_id(), request.transaction_id());
//! let Some(XorMappedAddress(address)) = response.get()? else { panic!("no address") };
//! assert_eq!(address, "192.0.2.1:32853".parse()?);
//! # Ok(())
//! # }
//! ```
//!
//! - [`Message`] is a received message, borrowed from its datagram; [`MessageBuilder`] writes one
//!   into a buffer. Neither allocates.
//! - [`attributes`] has a type for each attribute; [`attribute`] shows how to add one.
//! - [`IntegrityKey`] is a credential, ready to sign and verify; [`auth`] has what else credentials
//!   need.
//! - [`ChannelData`] is TURN's short form; [`stream`] finds messages and channel data in a byte
//!   stream.
//! - [`canonical`] gives an address the one form in which addresses may be compared.
//!
//! Everything that comes from the network is checked, and no input panics.

mod address;
pub mod attribute;
pub mod attributes;
pub mod auth;
mod builder;
mod channel;
mod error_code;
mod header;
mod integrity;
mod message;
pub mod stream;

pub use address::{AddressFamily, canonical, canonical_ip};
pub use attribute::{Attribute, AttributeError, AttributeType, EncodeError, ValueWriter};
pub use auth::{NoncePrefix, ProfileError, SecurityFeatures};
pub use builder::{BuildError, MessageBuilder};
pub use channel::{CHANNEL_HEADER_LEN, ChannelData, ChannelDataError, ChannelNumber, is_channel_data};
pub use error_code::ErrorCode;
pub use header::{
    Class, HEADER_LEN, MAGIC_COOKIE, MAX_MESSAGE_LEN, Method, TransactionId, is_classic_binding_request,
    is_stun,
};
pub use integrity::{
    INTEGRITY_LEN, INTEGRITY_SHA256_LEN, INTEGRITY_SHA256_MIN_LEN, IntegrityError, IntegrityKey,
    IntegrityKind,
};
pub use message::{Attributes, FingerprintError, Message, ParseError, RawAttribute};
