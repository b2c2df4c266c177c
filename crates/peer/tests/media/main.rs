//! The negotiation of audio and video between two peer connections, and with the descriptions of
//! others.

mod codecs;
mod common;
mod corpus;
mod cost;
mod directions;
mod examples;
mod hostile;
mod munged;
mod recorded;
mod rfc_4317;
mod rollback;
mod rounds;
mod simulcast;
mod transceivers;
