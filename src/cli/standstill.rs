//! Ends a command that would never end, because an object that it reads is cut off.
//!
//! A thread that reads such an object cannot be stopped without its process. What is meant to go on for ever,
//! a worker, takes its own place: it begins anew as after a crash, gives back at once what it had at work, and
//! reads the object no more, as that was moved away. Each such beginning moves one away, so it does not go on
//! for ever.

use super::error::CliError;
use super::output::Output;
use crate::domain::code::Code;
use crate::domain::shell::quoted;
use crate::git;
use crate::git::CutObject;
use crate::machine::threads::Threads;
use crate::machine::{asked, clock, process};
use std::time::Duration;

/// How long from one look to the next: seldom enough to cost nothing, and a person hardly waits for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After how many looks it is asked again, where nothing was cut off and a thread goes on computing.
const ASKED_EVERY: u32 = 60;

/// Begins to look, for as long as this process lives. `code`: what it ends with, if not the usual; `goes_on`:
/// whether it begins anew instead.
pub(super) fn watch(output: Output, code: Option<u8>, goes_on: bool) {
    let watch = move || {
        let (mut threads, mut pause, mut was_asked) = (Threads::default(), 0, false);
        loop {
            clock::sleep(LOOK_EVERY);
            pause = u32::saturating_sub(pause, 1);
            // A wish that came before the last look is that old at least.
            const { assert!(LOOK_EVERY.as_nanos() >= asked::ONE_WISH.as_nanos()) };
            if was_asked {
                asked::end_by_the_next();
            }
            was_asked = asked::is_asked();
            if threads.is_one_turning() && pause == 0 {
                pause = ASKED_EVERY;
                let cut = git::cut_objects();
                if let Some(error) = error(&cut) {
                    if goes_on && cut.iter().all(|one| one.aside.is_some()) {
                        output.warn(&format!(
                            "{}; the file was moved away, and this program restarts",
                            error.message
                        ));
                        let failed = process::begin_anew();
                        output.warn(&format!("this program cannot restart: {failed}"));
                    }
                    end(output, &error, code);
                }
            }
        }
    };
    // Without it all is as it was.
    drop(std::thread::Builder::new().name("standstill".to_owned()).spawn(watch));
}

#[expect(clippy::exit, reason = "the thread that stands still cannot be told to end")]
fn end(output: Output, error: &CliError, code: Option<u8>) {
    let code = code.unwrap_or_else(|| error.exit.code());
    output.error_with(error, code);
    std::process::exit(code.into());
}

/// What is said of them; nothing where there are none.
fn error(cut: &[CutObject]) -> Option<CliError> {
    let first = cut.first()?;
    let more = match cut.len() {
        1 => String::new(),
        all => format!(", and {} more", all - 1),
    };
    let repository = first.repository.display().to_string();
    let repository = repository.trim_end_matches('/');
    let message = format!(
        "object {} of `{repository}` is truncated{more}, probably by a power loss, and cannot be read",
        first.id
    );
    let told = CliError::new(Code::HubCacheDamaged, message)
        .fact("what", repository)
        .fact("detail", first.id.clone());
    let told = match &first.aside {
        Some(aside) => told.hint(format!("it was moved to `{}`: repeat the command", aside.display())),
        None => told.hint(format!("remove it with `rm -f {}`", quoted(&first.file.display().to_string()))),
    };
    Some(told.hint(format!(
        "if the hub then lacks the object, restore it from a clone with `git -C {} fetch --refetch CLONE HEAD`",
        quoted(repository)
    )))
}
