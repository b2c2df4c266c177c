//! The exchange of descriptions as RFC 9429 and the W3C have it, with peers that have no network.

mod algorithms;
mod bundles;
mod candidates;
mod data;
mod identity;
mod objects;
mod restart;
mod rollback;
mod tasks;
mod variants;
mod world;
