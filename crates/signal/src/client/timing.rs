//! The durations of a client.

use std::time::Duration;

/// The durations of a signaling client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The server's answer to the first message; twice as long after each failure, up to eight
    /// times. Default 5 s.
    pub answer: Duration,
    /// The silence after which the server is asked for a sign of life. Default 12 s.
    pub silence: Duration,
    /// The time in which it must give one. Default 5 s.
    pub probe: Duration,
    /// The time for which an event may stay unacknowledged; the protocol allows 1 s. Default 400
    /// ms.
    pub acknowledge: Duration,
    /// The first pause between two attempts to connect again; it doubles each time. Default 250 ms.
    pub backoff: Duration,
    /// The longest such pause. Default 5 s.
    pub backoff_max: Duration,
    /// The time for which a message to an absent peer waits for its return. Default 60 s.
    pub hold: Duration,
    /// The time in which the last messages must be accepted when the session is left. Default 2 s.
    pub close: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            answer: ms(5000),
            silence: ms(12_000),
            probe: ms(5000),
            acknowledge: ms(400),
            backoff: ms(250),
            backoff_max: ms(5000),
            hold: ms(60_000),
            close: ms(2000),
        }
    }
}
