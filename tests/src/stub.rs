//! An HTTP server on loopback with configured answers, which remembers the requests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Longest wait for a request's next bytes.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server. Dropping it stops it.
#[derive(Debug)]
pub struct Stub {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A request's answer: status, headers, body.
pub type Answer = (u16, Vec<(&'static str, String)>, String);

impl Stub {
    /// Answers each request, head and body as they came, by `answer`.
    ///
    /// # Panics
    /// Where loopback has no port.
    pub fn start(answer: impl Fn(&str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let (requests, is_over) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::<AtomicBool>::default());
        let (seen, end) = (Arc::clone(&requests), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            for connection in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut connection) = connection else { continue };
                let Some(request) = read(&mut connection) else { continue };
                let answer = response(answer(&String::from_utf8_lossy(&request)));
                // Who has the answer finds the request.
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                // Who hangs up early has seen enough.
                let _hung_up = connection.write_all(&answer);
            }
        });
        Self { address, requests, is_over, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked so far.
    pub fn requests(&self) -> Vec<String> {
        self.received().iter().map(|request| String::from_utf8_lossy(request).into_owned()).collect()
    }

    /// The same, byte for byte.
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes it up.
        let _refused = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Head and body; `None` where the connection ends before.
fn read(connection: &mut TcpStream) -> Option<Vec<u8>> {
    connection.set_read_timeout(Some(PATIENCE)).ok()?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 8192]);
    loop {
        let count = connection.read(&mut buffer).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
            });
            if bytes.len() >= head.len() + 4 + length.unwrap_or(0) {
                return Some(bytes);
            }
        }
    }
}

fn response((status, headers, body): Answer) -> Vec<u8> {
    let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let headers = lines.concat();
    let length = body.len();
    format!("HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}")
        .into_bytes()
}
