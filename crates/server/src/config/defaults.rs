//! Defaults that depend on other options, and rules between options.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::options::{ServeOptions, TlsMode, TurnCredentials};
use super::units::Span;
use super::{Environment, Failure, reach};

/// The lifetime of TURN credentials of a server that the Internet does not reach.
const LOCAL_CREDENTIAL_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// And of one that it reaches.
pub(super) const PUBLIC_CREDENTIAL_LIFETIME: Duration = Duration::from_secs(3600);

/// The least memory for clients: some messages of the default size, and some connections.
const LEAST_MEMORY: u64 = 8_000_000;

/// The values of options that are not set and whose default is not a constant.
pub(super) fn computed(options: &ServeOptions, environment: &Environment) -> BTreeMap<String, Vec<String>> {
    let tls = options.tls.tls_cert.is_some() || options.tls.tls == TlsMode::SelfSigned;
    let mut values = BTreeMap::new();
    if options.web.listen.is_empty() {
        values.insert("listen".to_owned(), vec![if tls { "[::]:8443" } else { "[::]:8080" }.to_owned()]);
    }
    if options.relay.turns_listen.is_empty() {
        values.insert("turns-listen".to_owned(), vec![if tls { "[::]:5349" } else { "off" }.to_owned()]);
    }
    if options.tls.state_dir.is_none()
        && let Some(directory) = state_directory(environment)
    {
        values.insert("state-dir".to_owned(), vec![directory.to_string_lossy().into_owned()]);
    }
    if options.memory.memory_limit.is_none() {
        values.insert("memory-limit".to_owned(), vec![options.memory.limit().to_string()]);
    }
    if options.signal.total_buffer.is_none() {
        values.insert("total-buffer".to_owned(), vec![(options.memory.limit() / 2).to_string()]);
    }
    // The addresses are looked up once, and only if something depends on them.
    if options.relay.turn_credentials.is_none() || options.relay.credential_lifetime.is_none() {
        let (who, lifetime) = credentials(options, reach::is_local(options));
        if options.relay.turn_credentials.is_none() {
            values.insert("turn-credentials".to_owned(), vec![who.to_owned()]);
        }
        if options.relay.credential_lifetime.is_none() {
            values.insert("credential-lifetime".to_owned(), vec![format!("{}h", lifetime.as_secs() / 3600)]);
        }
    }
    values
}

/// The receivers of TURN credentials, and their lifetime. A server on the Internet relays for
/// strangers, who pay nothing for a membership; so two must have met, and a credential that is
/// passed on soon ends.
fn credentials(options: &ServeOptions, is_local: bool) -> (&'static str, Duration) {
    let has_key = options.signal.join_key.is_some() || options.signal.join_key_file.is_some();
    match (is_local, has_key) {
        (true, _) => ("open", LOCAL_CREDENTIAL_LIFETIME),
        (false, true) => ("joined", PUBLIC_CREDENTIAL_LIFETIME),
        (false, false) => ("peers", PUBLIC_CREDENTIAL_LIFETIME),
    }
}

/// Where state belongs by the XDG base directory specification.
fn state_directory(environment: &Environment) -> Option<PathBuf> {
    let absolute = |name: &str| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("columba"))
}

/// Checks that the options fit together.
pub(super) fn check(options: &ServeOptions) -> Result<(), Failure> {
    let ServeOptions { web, tls, relay, signal, .. } = options;
    match (&tls.tls_cert, &tls.tls_key) {
        (Some(_), None) => return fail("--tls-cert needs the private key too: give it with --tls-key FILE."),
        (None, Some(_)) => return fail("--tls-key needs the certificate too: give it with --tls-cert FILE."),
        _ => {}
    }
    check_admission(options)?;
    if !(256..=64 << 20).contains(&signal.message_size.0) {
        return fail("--message-size must be between 256 bytes and 64MiB.");
    }
    if signal.peer_buffer.0 < signal.message_size.0.saturating_mul(2) {
        return fail("--peer-buffer must have room for two messages: make it at least twice --message-size.");
    }
    if signal.idle_timeout.0 <= signal.ping_interval.0 {
        return fail(
            "--idle-timeout must be longer than --ping-interval, or living connections would be ended.",
        );
    }
    if signal.peers_per_session < 2 {
        return fail("--peers-per-session must be at least 2, so that two peers can meet.");
    }
    if options.memory.limit() < LEAST_MEMORY {
        return fail("--memory-limit must be at least 8MB, or nothing could be served.");
    }
    let rates = [
        ("joins-per-minute", signal.joins_per_minute),
        ("messages-per-second", signal.messages_per_second),
        ("message-burst", signal.message_burst),
        ("max-peers", signal.max_peers),
        ("max-sessions", signal.max_sessions),
        ("errors-per-minute", signal.errors_per_minute),
        ("max-connections", web.max_connections),
        ("max-connections-per-client", web.max_connections_per_client),
    ];
    if let Some((name, _)) = rates.iter().find(|(_, value)| *value == 0) {
        return fail(&format!("--{name} must be at least 1."));
    }
    let times = [
        ("resume-within", signal.resume_within),
        ("ping-interval", signal.ping_interval),
        ("idle-timeout", signal.idle_timeout),
        ("join-timeout", signal.join_timeout),
        ("request-timeout", web.request_timeout),
        ("credential-lifetime", Span(relay.credential_lifetime())),
    ];
    let day = Duration::from_secs(86_400);
    let fits = |Span(time): Span| (Duration::from_millis(100)..=day * 365).contains(&time);
    match times.into_iter().find(|(_, time)| !fits(*time)) {
        Some((name, _)) => fail(&format!("--{name} must be between 100ms and 365d.")),
        None => Ok(()),
    }
}

/// The options about who may enter, and who is relayed for.
fn check_admission(options: &ServeOptions) -> Result<(), Failure> {
    let signal = &options.signal;
    if signal.join_key.is_some() && signal.join_key_file.is_some() {
        return fail("The join key is given twice: give it with --join-key or with --join-key-file.");
    }
    let is_joined = options.relay.turn_credentials() == TurnCredentials::Joined;
    if is_joined && signal.join_key.is_none() && signal.join_key_file.is_none() {
        return fail("--turn-credentials joined needs a join key: give one with --join-key.");
    }
    match &signal.join_key {
        Some(key) => super::join_key::parse(key.expose()).map(|_| ()),
        None => Ok(()),
    }
}

fn fail(sentence: &str) -> Result<(), Failure> {
    Err(Failure::new(sentence))
}
