//! What the measurements of SCTP have in common: the engines, behind one trait, and two of them that talk to each other.

pub mod engines;
pub mod pair;
