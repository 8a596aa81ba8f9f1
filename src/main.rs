//! The program: hands its arguments to [`mailbridge::cli`] and ends with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    mailbridge::cli::main()
}
