//! Arguments in, exit code out.

fn main() -> std::process::ExitCode {
    tawny::cli::main()
}
