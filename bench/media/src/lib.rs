//! Connections in memory, of ours and of another stack, for the programs that measure them.

pub mod in_memory;
