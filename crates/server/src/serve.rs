//! `columba serve`: everything is opened, announced, run, and closed again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use columba_signal::Relay;
use getrandom::SysRng;
use rand_core::UnwrapErr;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tracing::{info, warn};

use crate::announce::Announcement;
use crate::config::{Config, Listen, ServeOptions};
use crate::drain::{Drain, GRACE, RECONNECT_AFTER};
use crate::failure::Failure;
use crate::http::{self, App, Shared, router};
use crate::logging;
use crate::signal::{Endpoint, IceServerSource, Signal, Transport};
use crate::tls::Tls;

/// Serves until a signal says to stop.
pub(crate) fn run(config: Config) -> Result<(), Failure> {
    logging::start(&config.options);
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("The system gives no threads ({error}).")))?;
    let result = runtime.block_on(serve(config));
    // Whoever has not let go by now is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

async fn serve(config: Config) -> Result<(), Failure> {
    let options = &config.options;
    let mut warnings = Vec::new();
    let mut signals = Stop::new()?;
    let tls = Tls::from_options(options, &mut warnings)?;
    let listeners = bind_web(options)?;
    let web: Vec<SocketAddr> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();

    let endpoints = web_endpoints(&web, tls.is_some());
    let source = IceServerSource {
        public_host: options.relay.public_host.clone(),
        public_addresses: options.relay.public_address.clone(),
        endpoints: endpoints.clone(),
        secret: options.relay.turn_secret.first().cloned(),
        lifetime: options.relay.credential_lifetime.0,
    };
    let signal = Signal::new(Relay::new(options.signal.to_relay(), UnwrapErr(SysRng)), source);
    let drain = Drain::new();
    let shared = Arc::new(Shared::new(drain.clone(), tls.clone(), &options.web));
    let app = Arc::new(App {
        options: options.clone(),
        shared: shared.clone(),
        signal: signal.clone(),
        strict_transport: tls.as_ref().is_some_and(|tls| !tls.is_self_signed()),
    });
    let router = router(app);
    let keeping_time = signal.clone();
    tokio::spawn(async move { keeping_time.keep_time().await });
    for listener in listeners {
        tokio::spawn(http::serve(listener, router.clone(), shared.clone()));
    }
    Announcement { options, web: &web, endpoints: &endpoints, tls: tls.as_ref(), warnings }.make();

    signals.wait(options, tls.as_ref()).await;
    info!("stopping: clients are told to come back, again to stop at once");
    drain.begin();
    signal.drain(RECONNECT_AFTER);
    tokio::select! {
        () = shared.wait_until_idle() => {}
        () = tokio::time::sleep(GRACE) => {}
        () = signals.wait(options, None) => {}
    }
    Ok(())
}

fn bind_web(options: &ServeOptions) -> Result<Vec<TcpListener>, Failure> {
    let addresses = options.web.listen.iter().filter_map(|listen| match listen {
        Listen::On(address) => Some(*address),
        Listen::Off => None,
    });
    let listeners: Vec<TcpListener> = addresses
        .map(|address| {
            http::bind(address)
                .map_err(|error| Failure::new(http::bind_sentence("listen", "TCP", address, &error)))
        })
        .collect::<Result<_, _>>()?;
    if listeners.is_empty() {
        return Err(Failure::new("There is nothing to listen on: give at least one address with --listen."));
    }
    Ok(listeners)
}

/// The web port serves TURN too.
fn web_endpoints(web: &[SocketAddr], tls: bool) -> Vec<Endpoint> {
    let transport = if tls { Transport::Tls } else { Transport::Tcp };
    web.iter().map(|address| Endpoint { transport, address: *address, web: true }).collect()
}

/// A connection and an allocation take a file descriptor each, and the soft limit is made for programs that use `select`.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "the limit of open files stays as it is");
    }
}

/// The signals that a service gets.
struct Stop {
    terminate: Signals,
    interrupt: Signals,
    hangup: Signals,
}

impl Stop {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new(format!("Signals cannot be received ({error}).")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT; on SIGHUP reads the certificate again meanwhile.
    async fn wait(&mut self, options: &ServeOptions, tls: Option<&Tls>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => match tls.map(|tls| tls.reload(options)) {
                    Some(Ok(())) => info!("the certificate has been read again"),
                    Some(Err(failure)) => warn!("{failure} The certificate in use stays."),
                    None => {}
                },
            }
        }
    }
}
