//! mDNS (RFC 6762) for the names behind which addresses are hidden
//! (draft-ietf-mmusic-mdns-ice-candidates).
//!
//! Only as far as that needs it: a query for the addresses of one name, on all interfaces, repeated
//! until it is answered; and a [`Responder`] for the own names.

mod group;
mod message;
mod responder;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;

use group::Group;
use message::{answers, questions};
pub(super) use responder::Responder;

/// The time after which a query is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pauses between repetitions of a query; the last one is repeated. Deviation: RFC 6762 §5.2
/// has a second between the first two; a lost datagram should not delay a call by a second, and
/// there are few queries.
const REPEAT: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_millis(700), Duration::from_secs(1)];

/// The time to wait for an address of the other family once one was received. Browsers hide each
/// address behind a name of its own.
const SETTLE: Duration = Duration::from_millis(10);

/// Bytes of the largest message that is read.
const MAX_MESSAGE: usize = 9000;

/// Resolves a name that ends in `.local`; returns no address if there is no answer.
pub(super) async fn resolve(host: Arc<str>) -> Vec<IpAddr> {
    let Some(questions) = questions(&host) else { return Vec::new() };
    let sockets = Group::both();
    let mut found: Vec<IpAddr> = Vec::new();
    let mut deadline = Instant::now() + PATIENCE;
    let ask = async {
        let mut pauses = REPEAT.into_iter();
        loop {
            for socket in &sockets {
                questions.iter().for_each(|question| socket.send(question));
            }
            sleep(pauses.next().unwrap_or(REPEAT[REPEAT.len() - 1])).await;
        }
    };
    let mut ask = std::pin::pin!(ask);
    let mut buffers = [vec![0; MAX_MESSAGE], vec![0; MAX_MESSAGE]];
    loop {
        let received = async {
            let [first, second] = &mut buffers;
            tokio::select! {
                never = &mut ask => never,
                message = receive(sockets.first(), first) => message,
                message = receive(sockets.get(1), second) => message,
            }
        };
        let Ok(message) = timeout_at(deadline, received).await else { break };
        for address in answers(message, &host) {
            if !found.contains(&address) {
                found.push(address);
                deadline = deadline.min(Instant::now() + SETTLE);
            }
        }
    }
    debug!(addresses = found.len(), "asked mDNS for a name");
    found
}

async fn receive<'a>(group: Option<&Group>, buffer: &'a mut [u8]) -> &'a [u8] {
    let Some(group) = group else { return std::future::pending().await };
    match group.socket.recv(buffer).await {
        Ok(length) => &buffer[..length],
        Err(_) => {
            // An error of an earlier send: no faster than queries are sent.
            sleep(REPEAT[0]).await;
            &[]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_of_a_responder_are_resolved() {
        let interfaces = if_addrs::get_if_addrs().unwrap();
        if interfaces.iter().all(|interface| interface.is_loopback() || interface.ip().is_ipv6()) {
            // There is no multicast on a machine without a network.
            return;
        }
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        // Another run of this test on the same network must not answer.
        let name: Arc<str> = format!("{:08x}-1d2f-4e5a-8f00-3a2f6f1c9d11.local", std::process::id()).into();
        let responder = Responder::default();
        responder.publish(name.clone(), address);
        let respond = tokio::spawn(responder.clone().run());
        assert_eq!(resolve(name.clone()).await, [address]);
        respond.abort();
        assert!(respond.await.is_err());
        assert_eq!(resolve(name).await, Vec::<IpAddr>::new(), "the name is withdrawn");
    }
}
