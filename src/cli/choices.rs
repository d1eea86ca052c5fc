//! The words that a flag takes, each with what the help says of it. What they mean is decided in `domain`,
//! which knows nothing of a command line.

use crate::domain::audit::Severity;
use crate::domain::job::{FailReason, IfNeedFails};
use crate::domain::message::MessageType;
use crate::domain::status::StatusWord;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// `--fail-on` of `fsck`.
pub(super) fn severity() -> impl TypedValueParser<Value = Severity> {
    const ALL: &[(Severity, &str)] = &[
        (Severity::Note, "Good to know; nothing has to be done"),
        (Severity::Warning, "Read and coped with, but not as its writer meant it, or without a safeguard"),
        (Severity::Error, "A rule is broken: commands refuse or misbehave, or something was lost"),
    ];
    one_of(ALL, Severity::as_str)
}

/// `--type` of a message.
pub(super) fn message_type() -> impl TypedValueParser<Value = MessageType> {
    const ALL: &[(MessageType, &str)] = &[
        (MessageType::Info, "Good to know"),
        (MessageType::Warning, "Something may go wrong"),
        (MessageType::Error, "Something went wrong"),
        (MessageType::Request, "The recipient is to do something"),
        (MessageType::Response, "Answers a request"),
        (MessageType::Update, "Tells how something goes on"),
    ];
    one_of(ALL, MessageType::as_str)
}

/// `--reason` of `job fail`.
pub(super) fn fail_reason() -> impl TypedValueParser<Value = FailReason> {
    const ALL: &[(FailReason, &str)] = &[
        (FailReason::ScriptFailure, "The work itself failed: not tried again by itself"),
        (FailReason::Timeout, "It took longer than it may"),
        (FailReason::Lost, "Its server was lost"),
        (FailReason::Interrupted, "Its server stopped it in good order; the attempt does not count"),
        (FailReason::MissingArtifact, "Something it was to make is not there"),
        (FailReason::WorkerSystemFailure, "The server could not do it: disk, tool, checkout"),
    ];
    one_of(ALL, FailReason::as_str)
}

/// `--if-need-fails` of a job.
pub(super) fn if_need_fails() -> impl TypedValueParser<Value = IfNeedFails> {
    const ALL: &[(IfNeedFails, &str)] = &[
        (IfNeedFails::Wait, "It waits until that one is put back and completes"),
        (IfNeedFails::Cancel, "It is called off, and so is what needs it with the same wish"),
        (IfNeedFails::Run, "It may run all the same"),
    ];
    one_of(ALL, IfNeedFails::as_str)
}

/// What `status set` takes.
pub(super) fn status_word() -> impl TypedValueParser<Value = StatusWord> {
    const ALL: &[(StatusWord, &str)] = &[
        (StatusWord::Idle, "Ready for work"),
        (StatusWord::Building, "At work"),
        (StatusWord::Failed, "The last work failed"),
        (StatusWord::Success, "The last work succeeded"),
    ];
    one_of(ALL, StatusWord::as_str)
}

/// Takes one of `all` by its word.
fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [(T, &'static str)],
    word: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let possible = all.iter().map(|(value, help)| PossibleValue::new(word(*value)).help(*help));
    PossibleValuesParser::new(possible).map(move |text| {
        let (value, _) = all.iter().find(|(value, _)| word(*value) == text).expect("no other word is taken");
        *value
    })
}
