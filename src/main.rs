//! The `glassbox` program: parses the command line and hands over.

use std::process::ExitCode;

fn main() -> ExitCode {
    glassbox::cli::main()
}
