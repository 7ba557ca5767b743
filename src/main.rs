//! Arguments in, exit code out.

/// Most of the work is small strings that live for one batch; glibc spends a third of the time on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    tawny::cli::main()
}
