//! The `bulkhead` binary.

fn main() -> std::process::ExitCode {
    agent::cli::main()
}
