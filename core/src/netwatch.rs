//! What the system says of its network and of its sleep, once for all clients of a process.
//!
//! A link, an address or a route that changes is heard from the kernel (rtnetlink), and every client is told: one that
//! waits for a network tries again, one that has a link asks it for a sign of life. That the machine has slept is heard
//! from a timer which the kernel cancels then, and every client is woken to look at its clocks. Only Linux tells; where
//! nobody does, clients notice a little later by their own timers.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::runtime::PerGeneration;
use crate::shared::Shared;

static CLIENTS: PerGeneration<Mutex<Vec<Weak<Shared>>>> = PerGeneration::new();

/// From now on this client is told.
pub(crate) fn enrol(client: &Arc<Shared>) {
    if let Ok(clients) = CLIENTS.get_or_try_init(|| Ok(Mutex::default())) {
        let mut clients = clients.lock();
        // What is gone is cleared away whenever the list would have to grow.
        if clients.len() == clients.capacity() {
            clients.retain(|client| client.strong_count() > 0);
        }
        clients.push(Arc::downgrade(client));
    }
}

/// Begins to listen, for as long as the runtime lives.
pub(crate) fn begin(runtime: &Handle) {
    #[cfg(target_os = "linux")]
    {
        runtime.spawn(linux::network());
        runtime.spawn(linux::sleep());
    }
    #[cfg(not(target_os = "linux"))]
    let _ = runtime;
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
    use std::time::Duration;

    use nix::errno::Errno;
    use nix::sys::socket::{
        bind, recv, socket, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType,
    };
    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    use nix::time::clock_gettime;
    use tokio::io::unix::AsyncFd;
    use tokio::io::Interest;

    use super::{Shared, CLIENTS};

    /// Links, IPv4 addresses and routes, IPv6 addresses and routes: the RTMGRP_ constants of rtnetlink(7).
    const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
    /// A change comes as several messages: those of so long are one.
    const CHANGE: Duration = Duration::from_millis(10);
    /// How far away the timer is set that only ever is cancelled, in seconds.
    const NEVER: i64 = 10 * 365 * 86_400;

    pub(super) async fn network() {
        let Ok(fd) = listening() else { return };
        let Some(fd) = watched(fd) else { return };
        let mut messages = [0; 8 << 10];
        loop {
            // The news is told when it is complete: a link without its route is of no use.
            drop(fd.readable().await);
            tokio::time::sleep(CHANGE).await;
            let Ok(mut ready) = fd.readable().await else { return };
            loop {
                match recv(fd.as_raw_fd(), &mut messages, MsgFlags::MSG_DONTWAIT) {
                    // ENOBUFS: there were more than the kernel keeps.
                    Ok(_) | Err(Errno::EINTR | Errno::ENOBUFS) => {}
                    Err(Errno::EAGAIN) => break,
                    Err(_) => return,
                }
            }
            ready.clear_ready();
            drop(ready);
            tell(Shared::network_changed);
        }
    }

    fn listening() -> nix::Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
        Ok(fd)
    }

    /// nix gives no raw descriptor of a timer.
    struct Timer(TimerFd);

    impl AsRawFd for Timer {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_fd().as_raw_fd()
        }
    }

    pub(super) async fn sleep() {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let Ok(timer) = TimerFd::new(ClockId::CLOCK_REALTIME, flags) else { return };
        let Some(fd) = watched(Timer(timer)) else { return };
        loop {
            let Ok(now) = clock_gettime(nix::time::ClockId::CLOCK_REALTIME) else { return };
            let never = Expiration::OneShot(TimeSpec::new(now.tv_sec() + NEVER, 0));
            let how = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
            if fd.get_ref().0.set(never, how).is_err() {
                return;
            }
            let Ok(mut ready) = fd.readable().await else { return };
            // ECANCELED, whatever made the clock jump: a sleep, or somebody who set it.
            let _ = fd.get_ref().0.wait();
            ready.clear_ready();
            drop(ready);
            tell(Shared::wake);
        }
    }

    /// Deprecated because a descriptor may be closed below it; those that come here are owned by what is registered.
    #[allow(deprecated)]
    fn watched<T: AsRawFd>(fd: T) -> Option<AsyncFd<T>> {
        AsyncFd::with_interest(fd, Interest::READABLE).ok()
    }

    fn tell(news: fn(&Shared)) {
        let Ok(clients) = CLIENTS.get_or_try_init(|| Ok(Default::default())) else { return };
        // Not under the lock: the last reference may be dropped here.
        let clients: Vec<_> = clients.lock().iter().filter_map(|client| client.upgrade()).collect();
        clients.iter().for_each(|client| news(client));
    }
}
