//! Ports reserved for one test, across processes.
//!
//! A node that was killed must come back on its port, so a port is held longer than any socket on it. The numbers
//! lie below the range from which the system gives ports to outgoing connections.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A loopback port, held until this is dropped or the process ends.
#[derive(Debug)]
pub struct Port {
    pub number: u16,
    _lock: File,
}

/// Reserves a port that nobody listens on.
pub fn reserve() -> Port {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let folder = std::env::temp_dir().join("freshet-test-ports");
    std::fs::create_dir_all(&folder).expect("a folder for port locks");
    // For the other users of this machine, where it was this one that made the folder.
    let _made_by_another = std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777));
    let start = u16::try_from(std::process::id().wrapping_mul(37) % u32::from(COUNT)).expect("below COUNT");
    for _ in 0..COUNT {
        let number = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        let Ok(lock) = File::create(folder.join(number.to_string())) else { continue };
        if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
            return Port { number, _lock: lock };
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
