//! The session relay behind WebSockets in this process, as `columba serve` runs it, with
//! connections that can be broken.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use columba_signal::{Config, ConnectionId, Event, IceServer, IceServers, Input, PeerId, SessionRelay};
use futures_util::{SinkExt as _, StreamExt as _};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

/// A signaling server on 127.0.0.1.
pub struct Server {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Something may be ready for some connection.
    work: Notify,
    /// All connections break now.
    broken: Notify,
}

struct State {
    relay: SessionRelay,
    /// Connections that the relay is done with.
    closing: BTreeSet<ConnectionId>,
}

impl State {
    fn new(config: Config) -> Self {
        Self { relay: SessionRelay::new(config, UnwrapErr(SysRng)), closing: BTreeSet::new() }
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Mutex::new(State::new(config));
        let shared = Arc::new(Shared { state, work: Notify::new(), broken: Notify::new() });
        let accepting = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                let shared = accepting.clone();
                tokio::spawn(async move {
                    let broken = shared.broken.notified();
                    tokio::select! { () = broken => {}, () = shared.serve(stream, from) => {} }
                });
            }
        });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Breaks all connections without a word.
    pub fn break_connections(&self) {
        self.shared.broken.notify_waiters();
    }

    /// Forgets everything, as after a restart.
    pub fn restart(&self) {
        *self.shared.state.lock().unwrap() = State::new(Config::default());
        self.break_connections();
    }
}

impl Shared {
    fn with<T>(&self, call: impl FnOnce(&mut SessionRelay, Instant) -> T) -> T {
        let mut state = self.state.lock().unwrap();
        let result = call(&mut state.relay, Instant::now());
        while let Some(event) = state.relay.poll_event() {
            if let Event::Close { connection, .. } = event {
                state.closing.insert(connection);
            }
        }
        self.work.notify_waiters();
        result
    }

    async fn serve(&self, stream: TcpStream, from: SocketAddr) {
        #[expect(clippy::result_large_err, clippy::unnecessary_wraps, reason = "tungstenite says so")]
        fn subprotocol(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
            response.headers_mut().insert("Sec-WebSocket-Protocol", "columba.v1".parse().unwrap());
            Ok(response)
        }
        let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, subprotocol).await else { return };
        let connection = self.with(|relay, now| relay.connect(now, from.ip()));
        let _gone = Gone { shared: self, connection };
        loop {
            let mut work = std::pin::pin!(self.work.notified());
            work.as_mut().enable();
            let closes = self.state.lock().unwrap().closing.contains(&connection);
            loop {
                let next = {
                    let mut state = self.state.lock().unwrap();
                    state.relay.poll_transmit(Instant::now(), connection, &ice_servers)
                };
                let Some(frame) = next else { break };
                if socket.send(Message::Text(frame.text.into())).await.is_err() {
                    return;
                }
            }
            if closes {
                let _ = socket.close(None).await;
                return;
            }
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        self.with(|relay, now| relay.handle_input(now, connection, Input::Text(&text)));
                    }
                    Some(Ok(_)) => {}
                    _ => return,
                },
                () = work => {}
            }
        }
    }
}

/// Tells the relay that a connection is gone.
struct Gone<'a> {
    shared: &'a Shared,
    connection: ConnectionId,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.shared.with(|relay, now| relay.disconnect(now, self.connection));
    }
}

fn ice_servers(_: PeerId) -> IceServers {
    let server = IceServer { urls: vec!["stun:127.0.0.1:9".to_owned()], username: None, credential: None };
    IceServers { servers: vec![server], expire: None }
}
