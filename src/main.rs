//! The program: parse, run, exit code.

use git_muster::inside::{Exit, is_contained};
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| report(&panic.to_string())));
    ExitCode::from(git_muster::inside::main())
}

/// A bug of ours ends with its own exit code, and says what to send us. One in the work of a job of a
/// worker ends that job alone.
#[expect(clippy::exit, reason = "a panic must not end in a signal, which scripts cannot tell apart")]
fn report(panic: &str) {
    let version = env!("CARGO_PKG_VERSION");
    // Nobody is left to tell when stderr is closed.
    drop(writeln!(std::io::stderr(), "error: this is a bug in git-muster {version}: {panic}"));
    drop(writeln!(std::io::stderr(), "hint: please report it with the command that you ran"));
    if is_contained() {
        return;
    }
    std::process::exit(Exit::Bug.code().into());
}
