//! A buffer for what a native function writes, on the VM's memory account.

use mlua::ffi::lua_State;

use super::entry::Raised;
use super::memory::Shared;
use super::stack::Stack;
use super::sys;

/// Bytes up to which a buffer is kept for the next function.
const KEPT: usize = 64 * 1024;
/// Bytes between two looks at the interrupt flag.
const BETWEEN_POLLS: usize = 64 * 1024;

/// Why no more can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The VM's memory limit; collecting garbage may help.
    Memory,
    /// The run must end.
    Interrupted,
}

/// A growing text or message of a native function.
///
/// It counts as memory of the VM. Growing looks from time to time whether the run must end.
pub(crate) struct Output<'vm> {
    l: *mut lua_State,
    shared: &'vm Shared,
    bytes: Vec<u8>,
    /// Bytes of it on the account.
    charged: usize,
    /// Bytes that may be written before the next look at memory and interrupts.
    room: usize,
}

impl<'vm> Output<'vm> {
    /// An empty buffer for a function that runs on `stack`.
    pub(crate) fn new(stack: &Stack<'vm>) -> Self {
        let shared = stack.shared();
        let mut bytes = shared.spare.take();
        bytes.clear();
        // What is kept is little, so it is on the account only while it is used.
        if !shared.charge(bytes.capacity()) {
            bytes = Vec::new();
        }
        let charged = bytes.capacity();
        Self { l: stack.raw(), shared, bytes, charged, room: charged }
    }

    /// What was written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what was written.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Makes room for `count` bytes more.
    ///
    /// # Errors
    /// See [`Full`].
    #[inline]
    pub(crate) fn reserve(&mut self, count: usize) -> Result<(), Full> {
        match self.bytes.len().checked_add(count) {
            Some(len) if len <= self.room => Ok(()),
            _ => self.grow(count),
        }
    }

    /// Looks whether the run must end, for functions that may take long without writing.
    ///
    /// # Errors
    /// [`Full::Interrupted`] if it must.
    pub(crate) fn poll(&mut self) -> Result<(), Full> {
        // SAFETY: the state runs the function that writes; polling does not raise.
        if unsafe { sys::redlua_pollend(self.l) } != 0 { Err(Full::Interrupted) } else { Ok(()) }
    }

    #[cold]
    fn grow(&mut self, count: usize) -> Result<(), Full> {
        self.poll()?;
        let needed = self.bytes.len().checked_add(count).ok_or(Full::Memory)?;
        if needed > self.charged {
            let new = needed.max(self.charged.saturating_mul(2)).max(256);
            if !self.shared.charge(new - self.charged) {
                return Err(Full::Memory);
            }
            self.charged = new;
            self.bytes.reserve_exact(new - self.bytes.len());
        }
        self.room = self.charged.min(needed.saturating_add(BETWEEN_POLLS));
        Ok(())
    }

    /// Writes one byte; there must be room for it, or the account is wrong.
    #[inline]
    pub(crate) fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Writes `bytes`; there must be room for them, or the account is wrong.
    #[inline]
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Makes room for `bytes` and writes them.
    ///
    /// # Errors
    /// See [`Full`].
    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.reserve(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.shared.discharge(self.charged);
        if bytes.capacity() <= KEPT {
            self.shared.spare.set(bytes);
        }
    }
}

impl Stack<'_> {
    /// The end of a native whose output is [`Full`] for good: the memory error, or the run's end.
    pub(crate) fn raise_full(&mut self, full: Full) -> Raised {
        if full == Full::Memory {
            self.shared().exhaust();
        }
        self.push_nil();
        Raised
    }
}
