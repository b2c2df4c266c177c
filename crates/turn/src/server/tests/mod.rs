//! The server in virtual time, with clients and an owner that live in this module.

mod harness;

pub(super) use harness::start;
