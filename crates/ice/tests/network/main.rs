//! Agents that meet over a simulated network, with the TURN server's own state machine in it.

mod candidates;
mod crossing;
mod failover;
mod hostile;
mod keeping;
mod lab;
mod lite;
mod matrix;
mod meeting;
mod nominating;
mod pacing;
mod policy;
mod pool;
mod reflection;
mod relays;
mod roaming;
mod scenarios;
mod server;
mod standstill;
mod statistics;
mod stranger;
mod tcp;
mod wire;
mod worlds;
