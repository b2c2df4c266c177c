//! The signaling protocol of Columba: its messages, and the session relay as a sans-IO state machine.
