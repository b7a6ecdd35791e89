//! What a process writes, as far as it has written it.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

#[derive(Debug)]
pub(super) struct Output {
    written: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    /// Reads the pipe to its end, so that the process never waits for a reader.
    pub(super) fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let target = Arc::clone(&written);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                target.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
            }
        });
        Self { written, reader: Some(reader) }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    pub(super) fn contains(&self, text: &str) -> bool {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&written).contains(text)
    }

    /// All of it, once the process has ended.
    pub(super) fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("reading does not panic");
        }
        self.text()
    }
}
