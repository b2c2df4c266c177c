//! Reading: what arrives at a UDP socket is taken to the server by a task of the socket's own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::ingress::Source;
use super::shared::Shared;
use super::udp::UdpSocket;
use super::worker::with_worker;

/// The pause of a reader when receiving fails, so that an error that stays does not keep a core
/// busy.
const REST_AFTER_ERROR: Duration = Duration::from_millis(10);

/// Takes what arrives at a UDP socket to the server, for ever. A batch that makes it panic is lost,
/// and the next one is read.
pub(super) async fn read(shared: Arc<Shared>, socket: Arc<UdpSocket>, source: Source) {
    loop {
        let received = match socket.readable().await {
            Ok(()) => shared.supervisor.attempt("a reader of datagrams", || {
                with_worker(|worker| worker.receive(&shared, &socket, source))
            }),
            Err(error) => Some(Err(error)),
        };
        match received {
            // Others have their turn before the next batch.
            Some(Ok(true)) | None => tokio::task::yield_now().await,
            Some(Ok(false)) => {}
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            Some(Err(_)) => {
                shared.counters.receive_failed.add_one();
                tokio::time::sleep(REST_AFTER_ERROR).await;
            }
        }
    }
}
