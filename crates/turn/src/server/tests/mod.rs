//! The server in virtual time, with clients and an owner that live in this module.

mod abuse;
mod allocations;
mod authentication;
mod classic;
mod harness;
mod limits;
mod mobility;
mod relaying;

pub(super) use harness::start;
