//! Receiving: which TSNs have arrived, putting messages together, and how much may still come.

mod reassembly;
mod receiver;
mod tracker;
mod window;

pub(crate) use reassembly::Notice;
pub(crate) use receiver::{Receiver, initial_window};

use reassembly::Reassembly;
use tracker::{Arrival, Tracker};
use window::Window;
