//! Notifications of the system about addresses and routes.

use std::time::Duration;

/// The interval at which addresses are read where the system has no notifications.
const INTERVAL: Duration = Duration::from_secs(1);

/// Changes come in groups, an address and its routes: those within this time are one.
const SETTLING: Duration = Duration::from_millis(50);

/// A subscription to changes.
#[derive(Debug)]
pub(super) struct Changes {
    #[cfg(target_os = "linux")]
    netlink: Option<std::os::fd::OwnedFd>,
}

impl Changes {
    /// Subscribes: no change after this call is missed.
    pub(super) fn subscribe() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            netlink: netlink::subscribe()
                .inspect_err(|error| tracing::debug!(%error, "the system does not notify of new addresses"))
                .ok(),
        }
    }

    /// Blocks until something may have changed.
    pub(super) fn wait(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(socket) = &self.netlink {
            if netlink::wait(socket).is_ok() {
                std::thread::sleep(SETTLING);
                netlink::drain(socket);
                return;
            }
            self.netlink = None;
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Linux's notifications on a rtnetlink socket. Their contents do not matter, because the addresses
/// are read anew.
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

    pub(super) fn wait(socket: &OwnedFd) -> rustix::io::Result<()> {
        loop {
            match recv(socket, &mut [0; 512][..], RecvFlags::TRUNC) {
                Err(Errno::INTR) => {}
                // More has changed than the socket's buffer holds.
                Ok(_) | Err(Errno::NOBUFS) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn drain(socket: &OwnedFd) {
        while recv(socket, &mut [0; 512][..], RecvFlags::DONTWAIT | RecvFlags::TRUNC).is_ok() {}
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_has_notifications() {
        assert!(Changes::subscribe().netlink.is_some());
    }
}
