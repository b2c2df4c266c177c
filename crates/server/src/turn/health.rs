//! The check that the service does what it is for: its threads run, and a Binding request that
//! comes to its own port is answered.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use columba_stun::{Class, Message, MessageBuilder, Method, TransactionId};
use columba_turn::server::Transport;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::service::{Connected, Service};

/// The time in which an answer must come.
const PATIENCE: Duration = Duration::from_millis(400);

/// The times that it is asked for: a datagram may be lost when the machine is very busy.
const TRIES: usize = 5;

/// The time for which the result of a check is good, so that asking often costs nothing.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The fault that a check has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The threads of TURN do not come to anything.
    #[error("the threads of TURN do not run")]
    Threads,
    /// No answer to a Binding request.
    #[error("STUN is not answered")]
    Stun,
}

/// The result of the last check.
#[derive(Debug, Default)]
pub(super) struct LastCheck(tokio::sync::Mutex<Option<(Instant, Result<(), Fault>)>>);

impl Service {
    /// Returns whether the service does what it is for, as of a second ago at most.
    ///
    /// # Errors
    /// What it does not do.
    pub(crate) async fn check(&self) -> Result<(), Fault> {
        let mut last = self.last_check.0.lock().await;
        if let Some((at, result)) = *last
            && at.elapsed() < GOOD_FOR
        {
            return result;
        }
        let result = self.check_now().await;
        *last = Some((Instant::now(), result));
        result
    }

    async fn check_now(&self) -> Result<(), Fault> {
        let udp = self.listening().iter().find(|listening| listening.transport == Transport::Udp);
        let address = udp.map(|listening| reachable(listening.address));
        // Known, so that the check holds while strangers are answered by share.
        let connected = address.map(|address| self.connected(address.ip()));
        let asking = self.spawn(async move {
            let asked = match address {
                Some(address) => ask(address).await,
                None => true,
            };
            drop::<Option<Connected>>(connected);
            asked
        });
        match timeout(PATIENCE * (2 * TRIES as u32), asking.ok_or(Fault::Threads)?).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Fault::Stun),
            Ok(Err(_)) | Err(_) => Err(Fault::Threads),
        }
    }
}

/// The address at which this machine itself reaches a listener.
fn reachable(listener: SocketAddr) -> SocketAddr {
    match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, listener.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, listener.port()).into(),
        _ => listener,
    }
}

/// Returns whether a Binding request to this address is answered.
async fn ask(address: SocketAddr) -> bool {
    let exchange = async {
        let any: IpAddr =
            if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(address).await?;
        let mut transaction = [0; 12];
        getrandom::fill(&mut transaction).map_err(io::Error::other)?;
        let transaction = TransactionId(transaction);
        let mut request = [0; 64];
        let length = MessageBuilder::new(&mut request, Class::Request, Method::BINDING, transaction)
            .map(|builder| builder.finish())
            .map_err(io::Error::other)?;
        for _ in 0..TRIES {
            socket.send(&request[..length]).await?;
            let mut answer = [0; 512];
            if let Ok(received) = timeout(PATIENCE, socket.recv(&mut answer)).await {
                let length = received?;
                let message = answer.get(..length).and_then(|bytes| Message::parse(bytes).ok());
                if message.is_some_and(|message| {
                    message.class() == Class::SuccessResponse && message.transaction_id() == transaction
                }) {
                    return Ok::<bool, io::Error>(true);
                }
            }
        }
        Ok(false)
    };
    exchange.await.unwrap_or_else(|error| {
        tracing::debug!(%error, "the check of STUN cannot be made");
        false
    })
}
