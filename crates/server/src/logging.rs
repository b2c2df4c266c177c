//! The log: to standard error, for people or for machines.

use std::io;

use crate::config::{LogFormat, ServeOptions};

/// Starts logging. Addresses, tokens, queries and keys are logged nowhere.
pub(crate) fn start(options: &ServeOptions) {
    let builder =
        tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(options.log.log_level.to_filter());
    // An error would mean that this process logs already; it goes on as it is then.
    let _ = match options.log.log_format {
        LogFormat::Text => {
            builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).with_target(false).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
