//! What the threads of one torture share: whether it is over, what went wrong, and what each client
//! sent last.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;

/// The shared state.
pub struct Scene {
    /// Where the server under attack listens.
    pub socket: PathBuf,
    is_over: AtomicBool,
    failures: Mutex<Vec<String>>,
    last_sent: Mutex<BTreeMap<usize, Vec<u8>>>,
}

impl Scene {
    /// Begins.
    pub fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            is_over: AtomicBool::new(false),
            failures: Mutex::default(),
            last_sent: Mutex::default(),
        }
    }

    /// Whether clients should stop.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Tells clients to stop.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Records a failure, which ends the scene.
    pub fn fail(&self, what: String) {
        lock(&self.failures).push(what);
        self.end();
    }

    /// What went wrong so far.
    pub fn failures(&self) -> Vec<String> {
        lock(&self.failures).clone()
    }

    /// Keeps what a client is about to send.
    pub fn note(&self, client: usize, requests: Vec<u8>) {
        lock(&self.last_sent).insert(client, requests);
    }

    /// Writes what each client sent last into a file of its own.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_last_sent(&self, folder: &Path) -> Result<()> {
        for (client, requests) in lock(&self.last_sent).iter() {
            std::fs::write(folder.join(format!("last-of-client-{client}.resp")), requests)?;
        }
        Ok(())
    }
}

/// A thread that panicked has left nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
