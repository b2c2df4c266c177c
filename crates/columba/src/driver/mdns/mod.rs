//! mDNS (RFC 6762) for the names behind which addresses are hidden (draft-ietf-mmusic-mdns-ice-candidates).
//!
//! Only that: one question for the addresses of one name, on all interfaces, repeated until somebody answers; and a
//! [`Responder`] for the own names.

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

/// How long a name is asked for.
const PATIENCE: Duration = Duration::from_secs(5);

/// When the question is repeated after the first time; the last one for as often as needed. RFC 6762 §5.2 wants a second between the first
/// two; a lost datagram should not cost a second of a call's beginning, and few names are asked for.
const REPEAT: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_millis(700), Duration::from_secs(1)];

/// Once an address has come, how long to wait for one of the other family. Browsers hide each address behind a name of its own.
const SETTLE: Duration = Duration::from_millis(10);

/// The largest message that is read.
const MAX_MESSAGE: usize = 9000;

/// The addresses of a name that ends in `.local`; none if nobody answers.
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
        let heard = async {
            let [first, second] = &mut buffers;
            tokio::select! {
                never = &mut ask => never,
                heard = receive(sockets.first(), first) => heard,
                heard = receive(sockets.get(1), second) => heard,
            }
        };
        let Ok(message) = timeout_at(deadline, heard).await else { break };
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
            // An error of an earlier send; not faster than questions are asked.
            sleep(REPEAT[0]).await;
            &[]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_responder_on_the_network_is_heard() {
        let interfaces = if_addrs::get_if_addrs().unwrap();
        if interfaces.iter().all(|interface| interface.is_loopback() || interface.ip().is_ipv6()) {
            // A machine without a network has nobody to ask.
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
        assert_eq!(resolve(name).await, Vec::<IpAddr>::new(), "nobody answers for it any more");
    }
}
