//! Benchmarks of the protocol rooms; see `benches/`.
