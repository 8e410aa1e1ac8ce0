//! The `bulkhead` binary, where tests that kill it find it: cargo shows a test only the binaries of its own package.

fn main() -> std::process::ExitCode {
    agent::cli::main()
}
