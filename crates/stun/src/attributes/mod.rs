//! The attributes, each a type of its own: one file for each RFC's share.
//!
//! The integrity attributes and FINGERPRINT are not here: [`Message`](crate::Message) verifies them
//! and [`MessageBuilder`](crate::MessageBuilder) writes them.

mod addresses;
mod credentials;
mod discovery;
mod errors;
mod ice;
mod simple;
mod texts;
mod turn;

pub use addresses::{
    AlternateServer, MappedAddress, OtherAddress, ResponseOrigin, XorMappedAddress, XorPeerAddress,
    XorRelayedAddress,
};
pub use credentials::{PasswordAlgorithm, PasswordAlgorithmList, PasswordAlgorithms, UserHash};
pub use discovery::{ChangeRequest, Padding, ResponsePort};
pub use errors::{AddressErrorInfo, ErrorInfo, UnknownAttributes};
pub use ice::{IceControlled, IceControlling, Priority, UseCandidate};
pub(crate) use texts::until_nul;
pub use texts::{AlternateDomain, Nonce, Realm, Software, Username};
pub use turn::{
    AdditionalAddressFamily, ConnectionId, Data, DontFragment, EvenPort, Icmp, Lifetime, MobilityTicket,
    RequestedAddressFamily, RequestedTransport, ReservationToken,
};
