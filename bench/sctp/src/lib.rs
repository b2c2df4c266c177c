//! The common parts of the measurements of SCTP: the engines, behind one trait, and pairs of them
//! that talk to each other.

pub mod engines;
pub mod pair;
