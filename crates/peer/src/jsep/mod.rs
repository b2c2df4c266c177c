//! The exchange of offers and answers (RFC 9429): descriptions, media sections, and the changes
//! that follow from them for the transports and for data.
//!
//! Nothing outside of this module looks into sections: [`Jsep`] answers questions, and gives
//! [`Change`]s that the peer connection executes.

mod answer;
mod application;
mod apply;
mod bundle;
pub(crate) mod candidate;
mod candidates;
mod default_candidate;
mod media;
mod offer;
mod remote;
mod rtp;
mod section;
mod session;
mod set;
#[cfg(test)]
mod tests;
mod transport;
mod transports;
mod write;

pub(crate) use apply::Change;
pub(crate) use media::Negotiated;
pub(crate) use session::{Jsep, Stage, Wanted};
pub(crate) use transport::{Extensions, TransportDescription};
pub(crate) use write::LocalParameters;
