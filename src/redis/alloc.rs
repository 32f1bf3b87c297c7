//! The global allocator: the server's once the module is loaded, the system's in tests and benches.
//!
//! The server counts what comes from its own allocator, so `maxmemory` and `INFO memory` see the module.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

use redis_module::raw;

struct ServerAllocator;

#[global_allocator]
static ALLOCATOR: ServerAllocator = ServerAllocator;

/// The alignment the server's allocator gives without being asked.
const NATURAL_ALIGN: usize = 16;

// The pointers of the module API are set before the module allocates anything and never change, so a block
// always goes back to where it came from. Blocks of a larger alignment always belong to the system.
//
// SAFETY: both allocators meet the contract of `GlobalAlloc`; which one is used depends only on the layout.
unsafe impl GlobalAlloc for ServerAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: read of a pointer that is written once, before any allocation.
        match unsafe { raw::RedisModule_Alloc } {
            Some(alloc) if layout.align() <= NATURAL_ALIGN => {
                // SAFETY: the server's allocator takes any size.
                unsafe { alloc(layout.size()) }.cast()
            }
            // SAFETY: the layout is the caller's.
            _ => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        match unsafe { raw::RedisModule_Calloc } {
            Some(calloc) if layout.align() <= NATURAL_ALIGN => {
                // SAFETY: the server's allocator takes any size.
                unsafe { calloc(1, layout.size()) }.cast()
            }
            // SAFETY: the layout is the caller's.
            _ => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        match unsafe { raw::RedisModule_Free } {
            Some(free) if layout.align() <= NATURAL_ALIGN => {
                // SAFETY: the block came from the server's allocator.
                unsafe { free(block.cast()) };
            }
            // SAFETY: the block came from the system.
            _ => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        debug_assert_ne!(block, ptr::null_mut());
        // SAFETY: as in `alloc`.
        match unsafe { raw::RedisModule_Realloc } {
            Some(realloc) if layout.align() <= NATURAL_ALIGN => {
                // SAFETY: the block came from the server's allocator.
                unsafe { realloc(block.cast(), size) }.cast()
            }
            // SAFETY: the block came from the system.
            _ => unsafe { System.realloc(block, layout, size) },
        }
    }
}
