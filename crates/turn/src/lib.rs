//! TURN (RFC 8656) as a sans-IO state machine.
