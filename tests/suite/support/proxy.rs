//! A network that breaks: a proxy on loopback in front of a hub's server, which cuts what goes
//! through it after so many bytes.
//!
//! Bytes are counted over all connections since [`Proxy::arm`], so that the whole of a command is
//! one line, however many connections it makes. It is cut once; what comes later goes through.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

/// How long a thread waits for bytes before it looks whether it is to end.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the hub.
    Up,
    /// From the hub.
    Down,
}

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// As when the other side crashed.
    Reset,
    /// In good order.
    Close,
    /// Not at all: nothing comes through any more.
    Stall,
}

/// Where and how to cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) way: Way,
    pub(crate) after: usize,
    pub(crate) how: How,
}

/// What the threads share.
#[derive(Debug, Default)]
struct Shared {
    cut: Mutex<Option<Cut>>,
    up: AtomicUsize,
    down: AtomicUsize,
    ended: AtomicBool,
}

/// The proxy; ends when it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts one in front of a port on loopback.
    #[track_caller]
    pub(crate) fn before(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let own = listener.local_addr().expect("a bound address").port();
        listener.set_nonblocking(true).expect("a socket of ours");
        let shared = Arc::new(Shared::default());
        let for_acceptor = Arc::clone(&shared);
        let acceptor = thread::spawn(move || accept(&listener, port, &for_acceptor));
        Self { port: own, shared, acceptor: Some(acceptor) }
    }

    /// Where it listens.
    #[must_use]
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Begins to count anew, and cuts as said.
    pub(crate) fn arm(&self, cut: Option<Cut>) {
        *self.shared.cut.lock().unwrap() = cut;
        self.shared.up.store(0, Ordering::SeqCst);
        self.shared.down.store(0, Ordering::SeqCst);
    }

    /// How many bytes went each way since then.
    #[must_use]
    pub(crate) fn counted(&self, way: Way) -> usize {
        self.shared.counter(way).load(Ordering::SeqCst)
    }

    /// Whether it has cut since it was armed.
    #[must_use]
    pub(crate) fn has_cut(&self) -> bool {
        self.shared.cut.lock().unwrap().is_none()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
    }
}

impl Shared {
    fn counter(&self, way: Way) -> &AtomicUsize {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    /// Counts `length` more bytes; how many of them go through, and how it ends there if it does.
    fn pass(&self, way: Way, length: usize) -> (usize, Option<How>) {
        let mut armed = self.cut.lock().unwrap();
        let before = self.counter(way).fetch_add(length, Ordering::SeqCst);
        match *armed {
            Some(cut) if cut.way == way && before + length >= cut.after => {
                *armed = None;
                (cut.after.saturating_sub(before), Some(cut.how))
            }
            _ => (length, None),
        }
    }
}

fn accept(listener: &TcpListener, port: u16, shared: &Arc<Shared>) {
    let mut pumps = Vec::new();
    while !shared.ended.load(Ordering::SeqCst) {
        let Ok((client, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        client.set_nonblocking(false).expect("a socket of ours");
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
        for stream in [&client, &server] {
            stream.set_read_timeout(Some(LOOK_INTERVAL)).expect("a socket of ours");
            stream.set_nodelay(true).expect("a socket of ours");
        }
        let copies = (client.try_clone().expect("descriptors"), server.try_clone().expect("descriptors"));
        let (up, down) = (Arc::clone(shared), Arc::clone(shared));
        pumps.push(thread::spawn(move || pump(client, server, Way::Up, &up)));
        pumps.push(thread::spawn(move || pump(copies.1, copies.0, Way::Down, &down)));
    }
    for pump in pumps {
        pump.join().ok();
    }
}

/// Hands on what `from` says to `to`, until it is cut or over.
fn pump(mut from: TcpStream, mut to: TcpStream, way: Way, shared: &Shared) {
    let mut buffer = [0; 4096];
    while !shared.ended.load(Ordering::SeqCst) {
        let length = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if is_only_time(&error) => continue,
            Err(_) => break,
        };
        let (passes, end) = shared.pass(way, length);
        let handed_on = to.write_all(&buffer[..passes]);
        match end {
            Some(How::Stall) => {
                swallow(&mut from, shared);
                break;
            }
            Some(How::Reset) => {
                let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                for stream in [&from, &to] {
                    setsockopt(stream, sockopt::Linger, &at_once).expect("a socket of ours");
                }
                break;
            }
            Some(How::Close) => break,
            None if handed_on.is_err() => break,
            None => {}
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}

/// Takes what comes and hands nothing on, until whoever sends it gives up.
fn swallow(from: &mut TcpStream, shared: &Shared) {
    let mut buffer = [0; 4096];
    while !shared.ended.load(Ordering::SeqCst) {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Err(error) if !is_only_time(&error) => return,
            _ => {}
        }
    }
}

/// Whether nothing came for as long as we wait at a time.
fn is_only_time(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
