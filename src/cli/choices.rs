//! The words that a flag takes, each with what the help says of it. What they mean is decided in `domain`,
//! which knows nothing of a command line.

use super::fsck::Severity;
use crate::domain::job::{FailReason, IfNeedFails};
use crate::domain::message::MessageType;
use crate::domain::status::StatusWord;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// `--fail-on` of `fsck`.
pub(super) fn severity() -> impl TypedValueParser<Value = Severity> {
    const ALL: &[(Severity, &str)] = &[
        (Severity::Note, "No action needed"),
        (Severity::Warning, "Handled, but not as the writer intended, or without a safeguard"),
        (Severity::Error, "Data was lost, or commands fail or misbehave"),
    ];
    one_of(ALL, Severity::as_str)
}

/// `--type` of a message.
pub(super) fn message_type() -> impl TypedValueParser<Value = MessageType> {
    const ALL: &[(MessageType, &str)] = &[
        (MessageType::Info, "Information"),
        (MessageType::Warning, "Something may go wrong"),
        (MessageType::Error, "Something went wrong"),
        (MessageType::Request, "The recipient should do something"),
        (MessageType::Response, "Answers a request"),
        (MessageType::Update, "Reports progress"),
    ];
    one_of(ALL, MessageType::as_str)
}

/// `--reason` of `job fail`.
pub(super) fn fail_reason() -> impl TypedValueParser<Value = FailReason> {
    const ALL: &[(FailReason, &str)] = &[
        (FailReason::ScriptFailure, "The job itself failed; not retried automatically"),
        (FailReason::Timeout, "The job exceeded its timeout"),
        (FailReason::Lost, "The server was lost"),
        (
            FailReason::Interrupted,
            "The server stopped the job in an orderly shutdown; the attempt does not count",
        ),
        (FailReason::MissingArtifact, "A required artifact is missing"),
        (FailReason::WorkerSystemFailure, "The server could not run the job: disk, tool, checkout"),
    ];
    one_of(ALL, FailReason::as_str)
}

/// `--if-need-fails` of a job.
pub(super) fn if_need_fails() -> impl TypedValueParser<Value = IfNeedFails> {
    const ALL: &[(IfNeedFails, &str)] = &[
        (IfNeedFails::Wait, "Stay queued until the needed job is retried and completes"),
        (IfNeedFails::Cancel, "Cancel this job, and with it every job that needs it and has the same policy"),
        (IfNeedFails::Run, "Run anyway"),
    ];
    one_of(ALL, IfNeedFails::as_str)
}

/// What `status set` takes.
pub(super) fn status_word() -> impl TypedValueParser<Value = StatusWord> {
    const ALL: &[(StatusWord, &str)] = &[
        (StatusWord::Idle, "Ready for jobs"),
        (StatusWord::Building, "Running a job"),
        (StatusWord::Failed, "The last job failed"),
        (StatusWord::Success, "The last job succeeded"),
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
