//! A network that breaks: a proxy on loopback in front of a hub's server, which cuts what goes
//! through it after so many bytes.
//!
//! Bytes are counted over all connections since [`Proxy::arm`], so that the whole of a command is
//! one line, however many connections it makes. It is cut once; what comes later goes through. Whether
//! and where the cut fell is told by [`Proxy::fallen`]: a test that does not ask may have tested nothing.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use super::wait::pause;

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

/// Where to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// So many bytes that way.
    Bytes(Way, usize),
    /// The hub's branch has moved: nothing that it says of that comes through.
    TheMove,
    /// Never: it only counts.
    Everything,
}

/// Where and how to cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) after: After,
    pub(crate) how: How,
}

/// A moment in the life of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    /// How many bytes had been handed on each way.
    pub(crate) up: usize,
    pub(crate) down: usize,
    /// What the witness held.
    pub(crate) witness: String,
}

impl Moment {
    /// How many bytes had been handed on that way.
    #[must_use]
    pub(crate) fn passed(&self, way: Way) -> usize {
        match way {
            Way::Up => self.up,
            Way::Down => self.down,
        }
    }
}

/// What the threads share.
#[derive(Debug, Default)]
struct Shared {
    cut: Mutex<Option<Cut>>,
    fallen: Mutex<Option<Moment>>,
    marked: Mutex<Option<Moment>>,
    witness: Mutex<Option<(PathBuf, &'static str)>>,
    branch: PathBuf,
    tip: Mutex<Option<Vec<u8>>>,
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
    /// Starts one in front of a port on loopback, where a hub is served whose branch lies in this file.
    #[track_caller]
    pub(crate) fn before(port: u16, branch: PathBuf) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let own = listener.local_addr().expect("a bound address").port();
        listener.set_nonblocking(true).expect("a socket of ours");
        let shared = Arc::new(Shared { branch, ..Shared::default() });
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
    pub(crate) fn arm(&self, cut: Cut) {
        *self.shared.cut.lock().unwrap() = Some(cut);
        *self.shared.fallen.lock().unwrap() = None;
        *self.shared.marked.lock().unwrap() = None;
        *self.shared.tip.lock().unwrap() = self.shared.tip_now();
        self.shared.up.store(0, Ordering::SeqCst);
        self.shared.down.store(0, Ordering::SeqCst);
    }

    /// Cuts no more, and lets what was counted stand.
    pub(crate) fn disarm(&self) {
        *self.shared.cut.lock().unwrap() = None;
    }

    /// How many bytes went each way since then.
    #[must_use]
    pub(crate) fn counted(&self, way: Way) -> usize {
        self.shared.counter(way).load(Ordering::SeqCst)
    }

    /// Names a file that tells what a command is at, and what in it is worth noting.
    pub(crate) fn set_witness(&self, file: &Path, mark: &'static str) {
        *self.shared.witness.lock().unwrap() = Some((file.to_owned(), mark));
    }

    /// Where it has cut since it was armed, if it has.
    #[must_use]
    pub(crate) fn fallen(&self) -> Option<Moment> {
        self.shared.fallen.lock().unwrap().clone()
    }

    /// When the witness held its mark for the first time since then.
    #[must_use]
    pub(crate) fn marked(&self) -> Option<Moment> {
        self.shared.marked.lock().unwrap().clone()
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

    fn now(&self) -> Moment {
        let witness = self.witness.lock().unwrap();
        let witness = witness.as_ref().and_then(|(file, _)| fs::read_to_string(file).ok());
        Moment {
            up: self.up.load(Ordering::SeqCst),
            down: self.down.load(Ordering::SeqCst),
            witness: witness.unwrap_or_default(),
        }
    }

    fn tip_now(&self) -> Option<Vec<u8>> {
        fs::read(&self.branch).ok()
    }

    fn look_for_mark(&self) {
        let mark = self.witness.lock().unwrap().as_ref().map(|(_, mark)| *mark);
        let mut marked = self.marked.lock().unwrap();
        if let (Some(mark), None) = (mark, &*marked) {
            *marked = Some(self.now()).filter(|now| now.witness.contains(mark));
        }
    }

    /// Counts `length` more bytes; how many of them go through, and how it ends there if it does.
    fn pass(&self, way: Way, length: usize) -> (usize, Option<How>) {
        let mut armed = self.cut.lock().unwrap();
        self.look_for_mark();
        let before = self.counter(way).fetch_add(length, Ordering::SeqCst);
        let passes = match armed.map(|cut| cut.after) {
            Some(After::Bytes(cut, after)) if cut == way && before + length >= after => {
                after.saturating_sub(before)
            }
            Some(After::TheMove) if way == Way::Down && *self.tip.lock().unwrap() != self.tip_now() => 0,
            _ => return (length, None),
        };
        let (cut, now) = (armed.take(), self.now());
        *self.fallen.lock().unwrap() = Some(match way {
            Way::Up => Moment { up: before + passes, ..now },
            Way::Down => Moment { down: before + passes, ..now },
        });
        (passes, cut.map(|cut| cut.how))
    }
}

fn accept(listener: &TcpListener, port: u16, shared: &Arc<Shared>) {
    let mut pumps = Vec::new();
    while !shared.ended.load(Ordering::SeqCst) {
        let Ok((client, _)) = listener.accept() else {
            pause();
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
