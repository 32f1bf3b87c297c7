//! Small blocks of memory for one VM.
//!
//! Lua asks for and gives back small blocks all the time, and always says how large they are. The server's
//! allocator finds that out by itself and keeps books of every block; here a block costs a few
//! instructions. Memory comes from the global allocator, which in the server is the module API's, in
//! chunks, and whole chunks go back.
//!
//! A chunk is cut into pages. A page holds blocks of one size, and its head lies where any address in it
//! is rounded down to. A page that is empty can be used for another size.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};

/// Blocks up to here come from the pool.
pub(super) const LARGEST: usize = 512;
/// Sizes of blocks are multiples of this.
const GRAIN: usize = 16;
const CLASSES: usize = LARGEST / GRAIN;
/// The size and the alignment of a page.
const PAGE: usize = 8 * 1024;
/// Pages in a chunk; one more is asked for, since only aligned ones can be used.
const PAGES: usize = 32;
const CHUNK: Layout = match Layout::from_size_align((PAGES + 1) * PAGE, 16) {
    Ok(layout) => layout,
    Err(_) => panic!("a proper layout"),
};

/// A block that is not in use.
struct Free {
    next: *mut Free,
}

/// The head of a page.
#[repr(C, align(64))]
struct Page {
    /// Blocks that were given back.
    free: *mut Free,
    /// Where blocks begin that were never given out.
    fresh: usize,
    /// How many blocks are in use.
    used: usize,
    /// The size of its blocks.
    size: usize,
    /// The pages with free blocks of the same size, before and behind it.
    before: *mut Page,
    behind: *mut Page,
    /// The chunk it belongs to.
    chunk: *mut Chunk,
}

const HEAD: usize = size_of::<Page>();

/// Memory for some pages.
struct Chunk {
    memory: NonNull<u8>,
    /// Its place among the pool's chunks.
    index: usize,
    /// Pages that are not in use, linked by [`Page::behind`].
    free: *mut Page,
    /// How many pages are in use.
    used: usize,
}

/// The small blocks of one VM.
pub(super) struct Pool {
    /// By size, the pages that have free blocks.
    partial: [*mut Page; CLASSES],
    #[expect(clippy::vec_box, reason = "pages point to their chunk, which must not move")]
    chunks: Vec<Box<Chunk>>,
    /// The place of a chunk that may have a free page.
    hint: usize,
    /// How many pages are in use.
    pages: usize,
}

impl Pool {
    pub(super) const fn new() -> Self {
        Self { partial: [ptr::null_mut(); CLASSES], chunks: Vec::new(), hint: 0, pages: 0 }
    }

    /// Bytes in pages that are in use.
    pub(super) fn held(&self) -> usize {
        self.pages * PAGE
    }

    /// The class of blocks of `size` bytes, which is neither 0 nor above [`LARGEST`].
    #[inline]
    fn class(size: usize) -> usize {
        (size - 1) / GRAIN
    }

    /// Whether a block of `old` bytes can stay where it is when it becomes one of `new`.
    #[inline]
    pub(super) fn fits(old: usize, new: usize) -> bool {
        Self::class(old) == Self::class(new)
    }

    /// Whether the next block of `size` bytes needs no further page.
    #[inline]
    pub(super) fn has(&self, size: usize) -> bool {
        !self.partial[Self::class(size)].is_null()
    }

    /// A block of `size` bytes, aligned to 16.
    ///
    /// # Safety
    /// `size` is from 1 to [`LARGEST`].
    #[inline]
    pub(super) unsafe fn take(&mut self, size: usize) -> *mut u8 {
        let mut page = self.partial[Self::class(size)];
        if page.is_null() {
            page = self.add_page(Self::class(size));
        }
        // SAFETY: pages in the lists are live, and have a free block.
        let head = unsafe { &mut *page };
        head.used += 1;
        let block = head.free;
        if block.is_null() {
            let block = head.fresh as *mut u8;
            head.fresh += head.size;
            if head.is_full(page) {
                self.unlink(page);
            }
            return block;
        }
        // SAFETY: a free block holds the place of the next.
        head.free = unsafe { (*block).next };
        if head.is_full(page) {
            self.unlink(page);
        }
        block.cast()
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// `block` came from [`Pool::take`] of this pool, and nothing uses it any more.
    #[inline]
    pub(super) unsafe fn give(&mut self, block: *mut u8) {
        let page = block.map_addr(|address| address & !(PAGE - 1)).cast::<Page>();
        // SAFETY: every block lies in a live page, whose head is at this place.
        let head = unsafe { &mut *page };
        let was_full = head.is_full(page);
        let block = block.cast::<Free>();
        // SAFETY: the block is free, aligned, and large enough.
        unsafe { block.write(Free { next: head.free }) };
        head.free = block;
        head.used -= 1;
        if was_full {
            self.link(page);
        }
        if head.used == 0 {
            self.drop_page(page);
        }
    }

    /// Makes a page for blocks of a class and puts it into the list.
    #[cold]
    fn add_page(&mut self, class: usize) -> *mut Page {
        let has_free = |chunk: &Chunk| !chunk.free.is_null();
        if !self.chunks.get(self.hint).is_some_and(|chunk| has_free(chunk)) {
            match self.chunks.iter().position(|chunk| has_free(chunk)) {
                Some(index) => self.hint = index,
                None => self.add_chunk(),
            }
        }
        let chunk = &mut self.chunks[self.hint];
        let page = chunk.free;
        // SAFETY: free pages have a head whose `behind` is the next one.
        chunk.free = unsafe { (*page).behind };
        chunk.used += 1;
        self.pages += 1;
        let head = Page {
            free: ptr::null_mut(),
            fresh: page.addr() + HEAD,
            used: 0,
            size: (class + 1) * GRAIN,
            before: ptr::null_mut(),
            behind: ptr::null_mut(),
            chunk: &raw mut **chunk,
        };
        // SAFETY: the page is ours and nothing is in it.
        unsafe { page.write(head) };
        self.link(page);
        page
    }

    /// Gives an empty page back to its chunk, and the chunk back if it is empty then and not the last.
    #[cold]
    fn drop_page(&mut self, page: *mut Page) {
        self.unlink(page);
        self.pages -= 1;
        // SAFETY: the page is live, and its chunk as well.
        let chunk = unsafe { &mut *(*page).chunk };
        // SAFETY: as above.
        unsafe { (*page).behind = chunk.free };
        chunk.free = page;
        chunk.used -= 1;
        self.hint = chunk.index;
        if chunk.used == 0 && self.chunks.len() > 1 {
            let index = chunk.index;
            drop(self.chunks.swap_remove(index));
            if let Some(moved) = self.chunks.get_mut(index) {
                moved.index = index;
            }
        }
    }

    fn add_chunk(&mut self) {
        // SAFETY: the layout has a size.
        let Some(memory) = NonNull::new(unsafe { alloc(CHUNK) }) else { handle_alloc_error(CHUNK) };
        let first = memory.as_ptr().map_addr(|address| address.next_multiple_of(PAGE));
        let mut free = ptr::null_mut();
        for index in (0..PAGES).rev() {
            // SAFETY: the chunk has room for that many pages from its first aligned address on.
            let page = unsafe { first.add(index * PAGE) }.cast::<Page>();
            // SAFETY: as above, and the place is aligned for it.
            unsafe { (&raw mut (*page).behind).write(free) };
            free = page;
        }
        self.hint = self.chunks.len();
        self.chunks.push(Box::new(Chunk { memory, index: self.hint, free, used: 0 }));
    }

    fn link(&mut self, page: *mut Page) {
        // SAFETY: the page is live.
        let head = unsafe { &mut *page };
        let first = &mut self.partial[Self::class(head.size)];
        head.before = ptr::null_mut();
        head.behind = *first;
        if !first.is_null() {
            // SAFETY: pages in the list are live, and this is another one.
            unsafe { (**first).before = page };
        }
        *first = page;
    }

    fn unlink(&mut self, page: *mut Page) {
        // SAFETY: the page is live.
        let head = unsafe { &mut *page };
        if head.before.is_null() {
            self.partial[Self::class(head.size)] = head.behind;
        } else {
            // SAFETY: pages in the list are live, and these are others.
            unsafe { (*head.before).behind = head.behind };
        }
        if !head.behind.is_null() {
            // SAFETY: as above.
            unsafe { (*head.behind).before = head.before };
        }
    }
}

impl Page {
    /// Whether no block is free in the page, which lies at `place`.
    #[inline]
    fn is_full(&self, place: *mut Page) -> bool {
        self.free.is_null() && self.fresh + self.size > place.addr() + PAGE
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: the memory was allocated with this layout, and nothing in it is in use.
        unsafe { dealloc(self.memory.as_ptr(), CHUNK) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes and gives back blocks at random and looks whether they overlap or lose their bytes.
    #[test]
    fn blocks_are_apart_and_keep_their_bytes() {
        let mut pool = Pool::new();
        let mut blocks: Vec<(*mut u8, usize, u8)> = Vec::new();
        let mut seed = 7_u64;
        for round in 0..200_000_u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = (seed >> 33) as usize;
            // Phases of growing and shrinking, so that pages and chunks come and go.
            let grows = (round / 20_000) % 2 == 0;
            if blocks.is_empty() || random % 8 < if grows { 6 } else { 2 } {
                let size = 1 + (random >> 3) % LARGEST;
                // SAFETY: the size is within the bounds.
                let block = unsafe { pool.take(size) };
                assert_eq!(block.addr() % GRAIN, 0);
                let mark = (random >> 5) as u8;
                // SAFETY: the block has that many bytes.
                unsafe { block.write_bytes(mark, size) };
                blocks.push((block, size, mark));
            } else {
                let (block, size, mark) = blocks.swap_remove((random >> 3) % blocks.len());
                // SAFETY: the block is in use and was filled.
                let bytes = unsafe { std::slice::from_raw_parts(block, size) };
                assert!(bytes.iter().all(|&byte| byte == mark), "someone else wrote here");
                // SAFETY: the block came from the pool.
                unsafe { pool.give(block) };
            }
        }
        for (block, ..) in blocks {
            // SAFETY: as above.
            unsafe { pool.give(block) };
        }
        assert_eq!(pool.held(), 0);
        assert_eq!(pool.chunks.len(), 1, "empty chunks go back, but for one");
    }
}
