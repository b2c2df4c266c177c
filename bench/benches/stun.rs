//! STUN parsing and building.

fn main() {}
