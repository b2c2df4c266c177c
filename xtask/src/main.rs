//! The project's chores: `cargo xtask test` and its companions.

fn main() {}
