//! The product's allocator, counting: by thread, so that what others do meanwhile is not in it.
//!
//! Whoever includes this file has it for its global allocator.
#![allow(dead_code, reason = "each of them uses its part")]
#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use mimalloc::MiMalloc;

/// Bytes that the whole process has asked for and not given back.
static HELD: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has asked for memory so far.
pub(crate) fn calls() -> u64 {
    CALLS.get()
}

/// Without what the allocator rounds up to, and its own books.
pub(crate) fn held_bytes() -> u64 {
    HELD.load(Ordering::Relaxed)
}

struct CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn count(added: usize, removed: usize) {
    // A thread that ends may ask when its counter is gone; nobody reads that any more.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + u64::from(added > 0)));
    HELD.fetch_add(added as u64, Ordering::Relaxed);
    HELD.fetch_sub(removed as u64, Ordering::Relaxed);
}

// SAFETY: every call is handed on as it is.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are those that `alloc` asks for.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are those that `alloc_zeroed` asks for.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller's promises are those that `realloc` asks for.
        unsafe { MiMalloc.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promises are those that `dealloc` asks for.
        unsafe { MiMalloc.dealloc(memory, layout) }
    }
}
