//! Agents that connect in virtual time, and their cost in processor time and memory:
//! `cargo xtask bench ice`.

#![allow(dead_code, reason = "the laboratory is shared with the tests, which use all of it")]

mod connect;
mod cost;
mod is_agent;
#[path = "../../../crates/ice/tests/network/lab.rs"]
mod lab;
#[path = "../../../crates/ice/tests/network/server.rs"]
mod server;
#[path = "../../../crates/ice/tests/network/wire.rs"]
mod wire;

fn main() {
    connect::negotiations();
    connect::times();
    cost::checks();
    cost::consent();
    cost::idle();
}
