//! Sending: what waits, what is in flight, what is lost, and how fast to go.

pub(crate) mod congestion;
mod delivery;
mod outstanding;
mod pacer;
mod queue;
mod rack;
mod room;
mod rtt;
mod sender;

pub(crate) use outstanding::Policy;
pub(crate) use queue::QueuedMessage;
pub(crate) use sender::Sender;

use delivery::{Delivery, Marks};
use pacer::Pacer;
use queue::{Fragment, SendQueue};
use rack::Rack;
use rtt::RoundTrip;
