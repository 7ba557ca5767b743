//! Arguments in, exit code out.

use std::alloc::{GlobalAlloc, System};

/// Most of the work is small strings that live for one batch; glibc spends a third of the time on them. Mimalloc stands in
/// the place of `malloc` itself, for C code too, and is asked through it: the way that its own face takes checks the
/// alignment of each block once more, and takes more memory than is asked for wherever a large block is no power of two.
#[global_allocator]
static ALLOCATOR: System = System;

/// Nothing else names the crate, and a linker leaves out what nobody names.
#[used]
static LINKED: &(dyn GlobalAlloc + Sync) = &mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    tawny::cli::main()
}
