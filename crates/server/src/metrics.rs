//! The text that Prometheus reads.

use std::fmt::Write as _;

/// Prometheus's text format. Names and labels come from the program, never from the network.
#[derive(Debug, Default)]
pub(crate) struct Exposition(String);

impl Exposition {
    /// The text of all that has been added.
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// A number that only grows.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help, "", &[("", value)]);
    }

    /// A number that is what it is now.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help, "", &[("", value)]);
    }

    /// Several counters that differ in one label.
    pub(crate) fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.family(name, "counter", help, label, values);
    }

    /// Several gauges that differ in one label.
    pub(crate) fn gauges(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.family(name, "gauge", help, label, values);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (of, value) in values {
            let _ = match label {
                "" => writeln!(self.0, "{name} {value}"),
                label => writeln!(self.0, "{name}{{{label}=\"{of}\"}} {value}"),
            };
        }
    }
}
