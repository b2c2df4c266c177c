//! WebRTC for Rust programs.

pub mod signaling;
mod tls;
