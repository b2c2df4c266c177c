//! The relay's counters for Prometheus.

use columba_signal::ErrorCode;

use super::Signal;
use crate::metrics::Exposition;

impl Signal {
    /// Adds what the relay has counted.
    pub(crate) fn expose(&self, text: &mut Exposition) {
        let stats = self.stats();
        for (name, help, value) in [
            ("columba_signal_sessions", "Sessions.", stats.sessions),
            ("columba_signal_peers", "Memberships, those waiting for their client included.", stats.peers),
            ("columba_signal_connections", "WebSockets, event streams and polls.", stats.connections),
            ("columba_signal_buffered_bytes", "Bytes that wait for clients.", stats.buffered_bytes),
        ] {
            text.gauge(name, help, value);
        }
        for (name, help, value) in [
            ("columba_signal_joins_total", "Successful joins.", stats.joins),
            ("columba_signal_resumes_total", "Connections that came back to a membership.", stats.resumes),
            ("columba_signal_expiries_total", "Memberships whose client did not come back.", stats.expiries),
            ("columba_signal_replacements_total", "Memberships replaced by a new join.", stats.replacements),
            ("columba_signal_put_out_slow_total", "Clients put out for being slow.", stats.put_out_slow),
            (
                "columba_signal_put_out_violation_total",
                "Clients put out for breaking the protocol.",
                stats.put_out_violation,
            ),
            ("columba_signal_messages_in_total", "Messages accepted.", stats.messages_in),
            ("columba_signal_bytes_in_total", "Bytes of data in them.", stats.bytes_in),
            ("columba_signal_messages_out_total", "Messages for receivers.", stats.messages_out),
            ("columba_signal_bytes_out_total", "Bytes of data in them.", stats.bytes_out),
            ("columba_signal_duplicates_total", "Messages that came twice.", stats.duplicates),
        ] {
            text.counter(name, help, value);
        }
        let errors: Vec<(&str, u64)> =
            ErrorCode::ALL.iter().map(|code| (code.as_str(), stats.errors(*code))).collect();
        text.counters("columba_signal_errors_total", "Errors sent to clients.", "code", &errors);
    }
}
