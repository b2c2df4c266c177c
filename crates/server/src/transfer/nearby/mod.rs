//! Senders in the local network, found by the number of their code: a service of DNS-SD over mDNS,
//! `NUMBER._columba-send._tcp.local`. Anything in the network may answer; that it is the sender
//! that was meant is proven by the code.

mod group;
mod message;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use getrandom::SysRng;
use rand_core::{Rng as _, UnwrapErr};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use self::group::{Group, PORT};

/// Seconds for which an answer may be cached: the recommendation of RFC 6762 §10 for host names.
const TTL: u32 = 120;

/// The pauses between repetitions of a question.
const REPEAT: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_millis(700), Duration::from_secs(1)];

/// The time in which further senders with the same number may answer after the first.
const SETTLE: Duration = Duration::from_millis(150);

/// The pause after an error of a socket, so that a permanent one does not keep the processor busy.
const ERROR_PAUSE: Duration = Duration::from_millis(300);

/// Bytes of the largest message that is read.
const MAX_MESSAGE: usize = 1500;

/// Senders of one search that are kept.
const MAX_SENDERS: usize = 8;

/// A service that is announced until it is dropped.
#[derive(Debug)]
pub(crate) struct Announcement {
    task: JoinHandle<()>,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Announces the sender with this number, whose server has this port.
pub(crate) fn announce(number: u16, port: u16, addresses: Vec<IpAddr>) -> Announcement {
    let name = format!("columba-{:016x}.local", UnwrapErr(SysRng).next_u64());
    let service = Service { name: message::service(number), host: name, port, addresses };
    Announcement { task: tokio::spawn(service.run()) }
}

struct Service {
    name: String,
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

/// Withdraws the service when the task ends.
struct Open {
    groups: Vec<Group>,
    service: Service,
}

impl Service {
    async fn run(self) {
        let open = Open { groups: Group::both(), service: self };
        open.say(TTL);
        let mut buffers = [[0; MAX_MESSAGE]; 2];
        loop {
            let [first, second] = &mut buffers;
            tokio::select! {
                () = open.serve(0, first) => {}
                () = open.serve(1, second) => {}
            }
        }
    }

    fn answer(&self, ttl: u32, id: Option<u16>) -> Vec<u8> {
        message::answer(&self.name, &self.host, self.port, &self.addresses, ttl, id)
    }
}

impl Open {
    fn say(&self, ttl: u32) {
        let message = self.service.answer(ttl, None);
        self.groups.iter().for_each(|group| group.send(&message));
    }

    /// Receives one message, and answers it if it asks for the service.
    async fn serve(&self, index: usize, buffer: &mut [u8]) {
        let Some(group) = self.groups.get(index) else { return std::future::pending().await };
        let Ok((length, from)) = group.socket.recv_from(buffer).await else {
            return sleep(ERROR_PAUSE).await;
        };
        let Some(id) = message::asks_for(&buffer[..length], &self.service.name) else { return };
        if from.port() == PORT {
            self.say(TTL);
        } else {
            let _ = group.socket.try_send_to(&self.service.answer(TTL, Some(id)), from);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.say(0);
    }
}

/// Looks for senders with this number, for so long at most, and returns the addresses of each.
pub(crate) async fn find(number: u16, patience: Duration) -> Vec<Vec<SocketAddr>> {
    let name = message::service(number);
    let question = message::question(&name);
    let groups = Group::both();
    let mut deadline = Instant::now() + patience;
    let ask = async {
        let mut pauses = REPEAT.into_iter();
        loop {
            groups.iter().for_each(|group| group.send(&question));
            sleep(pauses.next().unwrap_or(REPEAT[REPEAT.len() - 1])).await;
        }
    };
    let mut ask = std::pin::pin!(ask);
    let mut buffers = [[0; MAX_MESSAGE]; 2];
    let mut found: BTreeMap<String, Vec<SocketAddr>> = BTreeMap::new();
    loop {
        let received = async {
            let [first, second] = &mut buffers;
            tokio::select! {
                never = &mut ask => never,
                message = receive(groups.first(), first) => message,
                message = receive(groups.get(1), second) => message,
            }
        };
        let Ok(received) = timeout_at(deadline, received).await else { break };
        let Some((message, from)) = received else { continue };
        let Some((host, places)) = message::places(message, &name, from) else { continue };
        if found.len() < MAX_SENDERS && !found.contains_key(&host) {
            found.insert(host, places);
            deadline = deadline.min(Instant::now() + SETTLE);
        }
    }
    found.into_values().collect()
}

async fn receive<'a>(group: Option<&Group>, buffer: &'a mut [u8]) -> Option<(&'a [u8], IpAddr)> {
    let Some(group) = group else { return std::future::pending().await };
    match group.socket.recv_from(buffer).await {
        Ok((length, from)) => Some((&buffer[..length], from.ip())),
        Err(_) => {
            sleep(ERROR_PAUSE).await;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sender_is_found_by_its_number_as_long_as_it_waits() {
        let interfaces = if_addrs::get_if_addrs().unwrap();
        if interfaces.iter().all(|interface| interface.is_loopback() || interface.ip().is_ipv6()) {
            // There is no multicast on a machine without a network.
            return;
        }
        // Another run of this test on the same network must not answer.
        let number = 10_000 + u16::try_from(std::process::id() % 50_000).unwrap();
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let announcement = announce(number, 8080, vec![address]);
        let found = find(number, Duration::from_secs(5)).await;
        assert!(found.iter().flatten().any(|place| *place == SocketAddr::new(address, 8080)), "{found:?}");
        drop(announcement);
        let gone = async { while !find(number, Duration::from_millis(200)).await.is_empty() {} };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("it is withdrawn");
    }
}
