//! Parse, dispatch, exit code.
use std::process::ExitCode;

fn main() -> ExitCode {
    image_factory::main()
}
