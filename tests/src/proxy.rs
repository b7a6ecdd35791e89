//! A proxy between a service and the broker that loses or holds a request of a kind, as networks do.
//!
//! Kafka's clients learn the brokers' addresses from the brokers: the proxy puts its own in their place.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Largest request or answer (bytes): Kafka's own bound is 100 MiB.
const MAX_FRAME: usize = 100 << 20;
/// Longer than a service takes to come to the request that a test waits for.
const PATIENCE: Duration = Duration::from_mins(1);

/// A kind of request, of those that tests strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    Produce,
    /// A question for records.
    Fetch,
    /// The fencing of a transactional id's earlier producers.
    InitProducerId,
    /// The end of a transaction, by commit or abort.
    EndTransaction,
    /// The deletion of topics.
    DeleteTopics,
}

impl Request {
    /// By Kafka's `api_key`.
    fn of(api_key: i16) -> Option<Self> {
        match api_key {
            0 => Some(Self::Produce),
            1 => Some(Self::Fetch),
            20 => Some(Self::DeleteTopics),
            22 => Some(Self::InitProducerId),
            26 => Some(Self::EndTransaction),
            _ => None,
        }
    }
}

/// What becomes of a request that is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The connection ends before the broker has it.
    LostRequest,
    /// The broker has it, and the connection ends instead of its answer.
    LostAnswer,
    /// It is kept until [`Proxy::release`], and with it all that follows on the connection.
    Held,
}

/// A proxy for one broker on this machine. Its connections end with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    broker: SocketAddr,
    /// The address that the broker advertises, and that of the proxy, which is as long.
    addresses: [Vec<u8>; 2],
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<(Request, Fate)>,
    /// How many requests were struck (count).
    struck: usize,
    /// Of ends of transactions that were asked for: whether by commit.
    ends: Vec<bool>,
    is_holding: bool,
    is_closed: bool,
}

impl Proxy {
    /// For the broker at this address.
    ///
    /// # Panics
    /// Where the broker does not advertise an address of this machine.
    pub fn start(bootstrap_server: &str) -> Self {
        let broker: SocketAddr = bootstrap_server
            .parse()
            .unwrap_or_else(|_| panic!("a proxy needs a broker on 127.0.0.1, not {bootstrap_server}"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let addresses = [broker, address].map(|address| advertised(&address));
        let shared = Arc::new(Shared { broker, addresses, state: Mutex::default(), news: Condvar::new() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.state().is_closed {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A broker that is away refuses the client's connection as it would without the proxy.
                let _ = client.and_then(|client| shared.connect(client));
            }
        });
        Self { address, shared }
    }

    /// The bootstrap server to configure.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The next so many requests of this kind meet this fate.
    pub fn strike(&self, request: Request, fate: Fate, count: usize) {
        let mut state = self.shared.state();
        state.is_holding = true;
        state.rules.extend(std::iter::repeat_n((request, fate), count));
    }

    pub fn heal(&self) {
        self.shared.state().rules.clear();
        self.release();
    }

    /// Waits until all that was ordered has struck.
    ///
    /// # Panics
    /// Where that takes a minute.
    pub fn await_struck(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.state();
        while !state.rules.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not struck within {PATIENCE:?}: {:?}", state.rules);
            state = self.shared.wait(state, left);
        }
    }

    /// Waits until one request was struck.
    ///
    /// # Panics
    /// Where that takes a minute.
    pub fn await_first_struck(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.state();
        while state.struck == 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing was struck within {PATIENCE:?}");
            state = self.shared.wait(state, left);
        }
    }

    /// Lets what is held go on.
    pub fn release(&self) {
        self.shared.state().is_holding = false;
        self.shared.news.notify_all();
    }

    /// Whether by commit, of each end of a transaction that was asked for, in order.
    pub fn ends(&self) -> Vec<bool> {
        self.shared.state().ends.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_closed = true;
        state.is_holding = false;
        drop(state);
        self.shared.news.notify_all();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, timeout: Duration) -> MutexGuard<'a, State> {
        self.news.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0
    }

    /// A thread for each direction; the end of one is the end of both.
    fn connect(self: Arc<Self>, client: TcpStream) -> io::Result<()> {
        let broker = TcpStream::connect(self.broker)?;
        for stream in [&client, &broker] {
            stream.set_nodelay(true)?;
        }
        let doomed = Arc::<Mutex<BTreeSet<i32>>>::default();
        let (answers, requests) = ((broker.try_clone()?, client.try_clone()?), (client, broker));
        let (shared, promised) = (Arc::clone(&self), Arc::clone(&doomed));
        thread::spawn(move || {
            let (from, to) = answers;
            // An end is an end, of whichever side.
            let _ = shared.answers(&from, &to, &promised);
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
        thread::spawn(move || {
            let (from, to) = requests;
            let _ = self.requests(&from, &to, &doomed);
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
        Ok(())
    }

    fn requests(&self, from: &TcpStream, to: &TcpStream, doomed: &Mutex<BTreeSet<i32>>) -> io::Result<()> {
        loop {
            let frame = read(from)?;
            match self.fate(&frame) {
                None => {}
                Some(Fate::LostRequest) => return Ok(()),
                Some(Fate::LostAnswer) => {
                    doomed.lock().unwrap_or_else(PoisonError::into_inner).insert(int(&frame, 4));
                }
                Some(Fate::Held) => {
                    let mut state = self.state();
                    while state.is_holding {
                        state = self.wait(state, PATIENCE);
                    }
                }
            }
            write(to, &frame)?;
        }
    }

    fn answers(&self, from: &TcpStream, to: &TcpStream, doomed: &Mutex<BTreeSet<i32>>) -> io::Result<()> {
        loop {
            let mut frame = read(from)?;
            if doomed.lock().unwrap_or_else(PoisonError::into_inner).contains(&int(&frame, 0)) {
                return Ok(());
            }
            let [theirs, ours] = &self.addresses;
            let mut start = 0;
            while let Some(found) = frame[start..].windows(theirs.len()).position(|it| it == theirs) {
                let found = start + found;
                frame[found..found + ours.len()].copy_from_slice(ours);
                start = found + ours.len();
            }
            write(to, &frame)?;
        }
    }

    fn fate(&self, frame: &[u8]) -> Option<Fate> {
        let short = |at: usize| frame.get(at..at + 2).map(|it| i16::from_be_bytes([it[0], it[1]]));
        let request = Request::of(short(0)?)?;
        let mut state = self.state();
        if request == Request::EndTransaction {
            // `committed` is the last field; from version 3 on, a count of tagged fields follows.
            let behind = if short(2)? < 3 { 1 } else { 2 };
            state.ends.push(frame.get(frame.len() - behind) == Some(&1));
        }
        let rule = state.rules.iter().position(|(struck, _)| *struck == request)?;
        let (_, fate) = state.rules.remove(rule);
        state.struck += 1;
        drop(state);
        self.news.notify_all();
        Some(fate)
    }
}

/// An address as it is in an answer: the host's text, and the port in 32 bits.
fn advertised(address: &SocketAddr) -> Vec<u8> {
    assert_eq!(address.ip().to_string(), "127.0.0.1", "one address takes the place of the other");
    [b"127.0.0.1".as_slice(), &u32::from(address.port()).to_be_bytes()].concat()
}

/// A request or an answer, without its length. One that is too short to have a header is padded: no client sends one.
fn read(mut from: &TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if !(8..=MAX_FRAME).contains(&length) && length != 4 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

fn write(mut to: &TcpStream, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).expect("it was read so");
    to.write_all(&[&length.to_be_bytes(), frame].concat())
}

fn int(frame: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
}
