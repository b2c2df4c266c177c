//! Whole peers over a simulated network, in virtual time, with the TURN server's own state machine
//! in it.

mod agreement;
mod assaults;
mod bundles;
mod calls;
mod clogging;
mod early;
mod failing;
mod frames;
mod glare;
mod lab;
mod meeting;
mod members;
mod packets;
mod patience;
mod priorities;
mod renewing;
mod repair;
mod server;
mod sharing;
mod simulcast;
mod stalling;
mod statistics;
mod storms;
mod streams;
mod talking;
mod waiting;
