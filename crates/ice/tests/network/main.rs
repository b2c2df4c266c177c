//! Agents that connect over a simulated network, with the TURN server's own state machine in it.

mod amplification;
mod candidates;
mod compatibility;
mod connecting;
mod consent;
mod failover;
mod hostile;
mod lab;
mod lite;
mod matrix;
mod nomination;
mod pacing;
mod policy;
mod pool;
mod relays;
mod roaming;
mod scenarios;
mod scripted;
mod server;
mod simultaneous_open;
mod stalls;
mod statistics;
mod tcp;
mod topologies;
mod wire;
