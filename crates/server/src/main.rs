//! The program `columba`.

fn main() {}
