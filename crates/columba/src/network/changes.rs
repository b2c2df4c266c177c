//! Hears from the system that an address or a route has come or gone.

use std::time::Duration;

/// How often the addresses are looked at where the system does not tell of changes.
const INTERVAL: Duration = Duration::from_secs(1);

/// Changes come in groups, an address and its routes: those that follow within this time are one.
const SETTLING: Duration = Duration::from_millis(50);

/// Where changes are heard of.
#[derive(Debug)]
pub(super) struct Changes {
    #[cfg(target_os = "linux")]
    news: Option<std::os::fd::OwnedFd>,
}

impl Changes {
    /// From now on no change is missed.
    pub(super) fn subscribe() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            news: netlink::subscribe()
                .inspect_err(|error| tracing::debug!(%error, "the system does not tell of new addresses"))
                .ok(),
        }
    }

    /// Blocks until something may have changed.
    pub(super) fn wait(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(news) = &self.news {
            if netlink::wait(news).is_ok() {
                std::thread::sleep(SETTLING);
                netlink::drain(news);
                return;
            }
            self.news = None;
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Linux tells of changes through a rtnetlink socket; what exactly it says is of no interest, because the addresses are read anew.
#[cfg(target_os = "linux")]
mod netlink {
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

    /// The groups of `linux/rtnetlink.h`: links, addresses and routes of both families.
    const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

    pub(super) fn subscribe() -> rustix::io::Result<OwnedFd> {
        // No protocol is protocol 0, which is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(socket)
    }

    pub(super) fn wait(news: &OwnedFd) -> rustix::io::Result<()> {
        loop {
            match recv(news, &mut [0; 512][..], RecvFlags::TRUNC) {
                Err(Errno::INTR) => {}
                // More has changed than the socket could hold.
                Ok(_) | Err(Errno::NOBUFS) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn drain(news: &OwnedFd) {
        while recv(news, &mut [0; 512][..], RecvFlags::DONTWAIT | RecvFlags::TRUNC).is_ok() {}
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_of_changes() {
        assert!(Changes::subscribe().news.is_some());
    }
}
